"""Collections as a whole: what is in them, their earlier versions, and their way to another service and back."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, takewhile
from typing import BinaryIO, Protocol

from typing_extensions import TypedDict
from ulid import ULID

from face_common.calibrations import Calibration, calibration_key, decoded
from face_common.contract import Code, InvalidMessageError, is_distractor, photo_key
from face_common.errors import ObjectMissingError, ServiceError
from face_common.ports import Bucket
from face_common.templates import (
    GalleryExport,
    GalleryVersion,
    PersonPhotos,
    Restoration,
    Template,
    TemplateIdentity,
)
from face_web import gallery_file
from face_web.gallery_file import Header
from face_web.traces import READERS, in_batches, side_by_side
from face_web.versions import GalleryVersions

_DELETED = 1000  # photos at a time
_ADDED = 5000  # templates at a time
_FEWEST_PEOPLE = 2  # of whom anything can be measured
_ASKED = 1000  # photos that are asked for one by one; more of them are found sooner in a listing


class WholeGallery(Protocol):
    """The gallery, beyond single people."""

    def collections(self) -> list[str]:
        """Every collection, by name."""

    def version(self, collection: str) -> int:
        """The latest version, 0 when nobody was ever enrolled."""

    def people(self, collection: str) -> dict[str, PersonPhotos]:
        """Everyone enrolled, with the number of their photos."""

    def models(self, collection: str) -> dict[str, int]:
        """How many templates of people each model made."""

    def identities(self, collection: str) -> list[TemplateIdentity]:
        """What tells the collection's templates apart."""

    def export(self, collection: str) -> GalleryExport:
        """Everything enrolled, at one version."""

    def add(self, collection: str, templates: Sequence[Template]) -> int:
        """Append templates; the version that holds them."""

    def versions(self, collection: str) -> list[GalleryVersion]:
        """The versions that can be restored, the present one first."""

    def restore(self, collection: str, version: int) -> Restoration:
        """Undo what has happened since a version; ServiceError (version-unknown) when it is not kept."""


class Consents(Protocol):
    """Who has agreed to be enrolled."""

    def require_consent(self, collection: str, person: str) -> None:
        """ServiceError (consent-missing) where consent is required and none is recorded."""


class Description(TypedDict):
    """What is in a collection."""

    collection: str
    people: int
    photos: int
    templates: int
    """A photo has one of each model that has encoded it."""
    version: int
    """Rises with every change."""
    models: list[str]
    """Ids of the models that made the templates."""


class Imported(TypedDict):
    """What an import has changed."""

    collection: str
    people: int
    """People whose templates were added."""
    templates: int
    """Templates that were added."""
    present: int
    """Templates that were there already, and stay as they are."""
    gallery_version: int


class CalibrationAnswer(Calibration):
    """How a collection's threshold was found, and what it does."""

    latest_version: int
    """The collection's version by now; beyond gallery_version until a worker has measured it anew."""


class Galleries:
    """Describes, undoes, exports and imports. Thread-safe."""

    def __init__(self, *, gallery: WholeGallery, store: Bucket, versions: GalleryVersions, consents: Consents) -> None:
        self._gallery = gallery
        self._store = store
        self._versions = versions
        self._consents = consents
        self._described: dict[str, Description] = {}
        self._lock = threading.Lock()

    def all(self, is_wanted: Callable[[str], bool]) -> list[Description]:
        """The wanted collections in which somebody is enrolled, by name."""
        descriptions = [
            self.describe(collection) for collection in self._gallery.collections() if is_wanted(collection)
        ]
        return [description for description in descriptions if description["templates"]]

    def describe(self, collection: str) -> Description:
        """What is in a collection; counted only when it has changed."""
        version = self._versions.saw(collection, self._gallery.version(collection))
        known = self._described.get(collection)
        if known is not None and known["version"] == version:
            return known
        with self._lock:  # for all collections: counting many at the same time would take much memory
            photos, models = self._gallery.people(collection), self._gallery.models(collection)
            described: Description = {
                "collection": collection,
                "people": len(photos),
                "photos": sum(has.photos for has in photos.values()),
                "templates": sum(models.values()),
                "version": version,
                "models": sorted(models),
            }
            if described["templates"]:
                self._described[collection] = described
        return described

    def calibration(self, collection: str) -> CalibrationAnswer:
        """What workers have measured of a collection; ServiceError (not-found) while there is nothing to tell."""
        described = self.describe(collection)
        if described["people"] < _FEWEST_PEOPLE:
            detail = f"there is nobody to tell apart in {collection}: at least two people have to be enrolled"
            raise ServiceError(Code.NOT_FOUND, detail)
        try:
            measured = decoded(self._store.get(calibration_key(collection)))
        except (ObjectMissingError, InvalidMessageError) as error:
            detail = (
                f"no worker has measured {collection} yet: one does some seconds after a photo was looked for in it"
            )
            raise ServiceError(Code.NOT_FOUND, detail) from error
        return {**measured, "latest_version": described["version"]}

    def versions(self, collection: str) -> list[GalleryVersion]:
        """The versions that can be restored, the present one first."""
        return self._gallery.versions(collection)

    def restore(self, collection: str, version: int) -> Restoration:
        """Undo what has happened since a version; the files of photos that are not enrolled any more by that stay.

        ServiceError (version-unknown) when the version is not kept.
        """
        done = self._gallery.restore(collection, version)
        self._versions.saw(collection, done.version)
        return done

    def owners(self, collection: str) -> dict[str, str]:
        """Whose each enrolled photo is."""
        return {row.photo: row.person for row in self._gallery.identities(collection)}

    def remove_photos(self, collection: str, photos: Sequence[str]) -> None:
        """Remove the files of photos that are not enrolled in this collection any more. Done twice, it is the same."""
        doomed = [photo_key(photo) for photo in self._only_here(collection, photos)]
        for first in range(0, len(doomed), _DELETED):
            self._store.delete(doomed[first : first + _DELETED])

    def _only_here(self, collection: str, photos: Sequence[str]) -> list[str]:
        """Those of the photos that no other collection has: photos lie beside each other, whosever they are."""
        left = set(photos)
        others = [other for other in self._gallery.collections() if left and other != collection]
        with side_by_side() as mapped:
            for batch in in_batches(others, READERS):
                for rows in mapped(self._gallery.identities, batch):
                    left.difference_update(row.photo for row in rows)
        return sorted(left)

    def export(self, collection: str) -> Iterator[bytes]:
        """The lines of a file with everything enrolled; see docs/gallery.md."""
        exported = self._gallery.export(collection)
        yield Header(collection, sorted(exported.models), sum(exported.models.values())).to_line()
        yield from map(gallery_file.to_line, exported.templates)

    def import_file(self, collection: str, file: BinaryIO) -> Imported:
        """Enrol what such a file holds. It is read to its end before anything is written.

        ServiceError with gallery-file-invalid, model-mismatch or consent-missing; nothing is changed then.
        """
        present = _Present(collection, self._gallery.identities(collection))
        header, rows = gallery_file.read(file)
        present.require_model(collection, header.models)
        people: dict[str, None] = {}
        wanted: dict[int, str] = {}
        for place, row in enumerate(rows):
            if present.take(row):
                wanted[place] = row.photo
                people[row.person] = None
        for person in people:
            self._consents.require_consent(collection, person)
        file.seek(0)
        ids = present.ids(set(wanted.values()), self._kept)
        rows = (row for place, row in enumerate(gallery_file.read(file)[1]) if place in wanted)
        version = self._add(collection, (replace(row, photo=ids[row.photo]) for row in rows))
        return {
            "collection": collection,
            "people": sum(not is_distractor(person) for person in people),
            "templates": len(wanted),
            "present": header.templates - len(wanted),
            "gallery_version": version,
        }

    def _kept(self, photos: Sequence[str]) -> set[str]:
        """Those of the photos, in ascending order, whose files are kept."""
        keys = {photo_key(photo): photo for photo in photos}
        if len(photos) <= _ASKED:
            with side_by_side() as mapped:
                return {photo for photo, exists in zip(photos, mapped(self._store.exists, keys), strict=True) if exists}
        last = photo_key(photos[-1])
        # Behind the first one's id with its last letter off lies everything from this id on.
        entries = self._store.entries("photos/", after=photo_key(photos[0])[:-1])
        return {keys[entry.key] for entry in takewhile(lambda entry: entry.key <= last, entries) if entry.key in keys}

    def _add(self, collection: str, rows: Iterator[Template]) -> int:
        version = self._gallery.version(collection)
        while batch := list(islice(rows, _ADDED)):
            version = self._versions.saw(collection, self._gallery.add(collection, batch))
        return version


class _Present:
    """What a collection holds already."""

    def __init__(self, collection: str, identities: Iterable[TemplateIdentity]) -> None:
        self._collection = collection
        self._photos: set[tuple[str, str]] = set()
        self._files: set[tuple[str, str, str]] = set()
        self._models: set[str] = set()
        for row in identities:
            self._note(row)
            self._models.add(row.model)
        self._own = {photo for photo, _ in self._photos}

    def require_model(self, collection: str, models: Iterable[str]) -> None:
        """ServiceError (model-mismatch) unless one of the models is the collection's, or it has none yet."""
        if self._models and not self._models.intersection(models):
            detail = (
                f"the file's templates are of {', '.join(models)}, those of {collection} of {', '.join(self._models)}"
            )
            raise ServiceError(Code.MODEL_MISMATCH, detail)

    def take(self, row: Template) -> bool:
        """Whether neither the photo nor its person's same file has a template of this model; from now on it has."""
        known = (
            (row.photo, row.model) in self._photos
            or (_own_id(self._collection, row.photo), row.model) in self._photos
            or (row.person, row.digest, row.model) in self._files
        )
        self._note(row)
        return not known

    def ids(self, photos: Iterable[str], kept: Callable[[Sequence[str]], set[str]]) -> dict[str, str]:
        """Under which id each of a file's photos is enrolled; `kept` tells which ids a photo lies under already.

        Mostly its own. Where that is the id of a photo which this collection does not have, it is another one's: under
        an id of this collection's, whoever works with it can neither see that photo nor have it removed.
        """
        ids = {photo: _own_id(self._collection, photo) for photo in photos}
        strange = {photo for photo, own in ids.items() if own in self._own}
        strange |= kept(sorted(ids.keys() - self._own - strange))
        return {photo: own if photo in strange else photo for photo, own in ids.items()}

    def _note(self, row: Template | TemplateIdentity) -> None:
        self._photos.add((row.photo, row.model))
        self._files.add((row.person, row.digest, row.model))


def _own_id(collection: str, photo: str) -> str:
    """The collection's own id for another one's photo: of the same time, and always the same."""
    digest = hashlib.sha256(f"{collection} {photo}".encode()).digest()
    return str(ULID(ULID.from_str(photo).bytes[:6] + digest[:10]))
