"""The people of a collection: who is enrolled, with which photos and on what terms."""

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from typing_extensions import TypedDict

from face_common.contract import Code, photo_key
from face_common.errors import ObjectMissingError, ServiceError
from face_common.ports import Bucket
from face_common.results import stored_result
from face_common.templates import EnrolledPhotoRow, PersonPhotos
from face_web import drawing
from face_web.records import PersonRecord, Records
from face_web.versions import GalleryVersions

_LISTINGS = 8  # collections whose listing is kept: 100,000 people take 40 MB


class PersonGallery(Protocol):
    """Where people are kept."""

    def version(self, collection: str) -> int:
        """The latest version of a collection, 0 when nobody was ever enrolled."""

    def people(self, collection: str) -> Mapping[str, PersonPhotos]:
        """Everyone enrolled, by name, with what photos they have."""

    def photos(self, collection: str, person: str | None = None) -> list[EnrolledPhotoRow]:
        """Enrolled photos, of one person or of all."""

    def rename(self, collection: str, person: str, name: str) -> int:
        """Give all photos of a person to another name; the version where it is so."""


class PersonSummary(TypedDict):
    """A person and how many photos of them are enrolled."""

    person: str
    photos: int
    photo: str
    """Id of the first of them."""


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """Some of a collection's people, by name."""

    people: list[PersonSummary]
    total: int
    """How many there are on all pages."""
    next: str | None
    """The name after which the next page begins; None on the last one."""


@dataclass(frozen=True, slots=True)
class PersonDetails:
    """What is enrolled of a person, and on what terms."""

    photos: Sequence[EnrolledPhotoRow]
    record: PersonRecord


@dataclass(frozen=True, slots=True)
class _Listing:
    """Everyone in a collection at one version, by name."""

    version: int
    names: list[str]
    folded: list[str]
    """The names as they are searched: without regard to case."""
    photos: list[PersonPhotos]

    def has_first(self, person: str, photo: str) -> bool:
        """Whether this is the person's first photo."""
        place = bisect_left(self.names, person)
        return self.names[place : place + 1] == [person] and self.photos[place].first == photo


class People:
    """Lists and renames people. Thread-safe."""

    def __init__(self, *, gallery: PersonGallery, store: Bucket, versions: GalleryVersions, records: Records) -> None:
        self._gallery = gallery
        self._store = store
        self._versions = versions
        self._records = records
        self._listings: OrderedDict[str, _Listing] = OrderedDict()
        self._lock = threading.Lock()

    def page(self, collection: str, *, limit: int, after: str = "", search: str = "") -> PeoplePage:
        """Up to `limit` people behind the name `after`, of those whose name has `search` in it, whatever its case."""
        listing = self._listing(collection)
        if search:
            wanted = search.casefold()
            matching = [place for place, name in enumerate(listing.folded) if wanted in name]
        else:
            matching = list(range(len(listing.names)))
        first = bisect_right(matching, after, key=listing.names.__getitem__) if after else 0
        places = matching[first : first + limit]
        page: list[PersonSummary] = [
            {"person": listing.names[place], "photos": has.photos, "photo": has.first}
            for place, has in ((place, listing.photos[place]) for place in places)
        ]
        more = first + limit < len(matching)
        return PeoplePage(page, len(matching), page[-1]["person"] if more and page else None)

    def find(self, collection: str, person: str) -> PersonDetails:
        """What is known of a person; ServiceError (not-found) when nothing is."""
        photos, record = self._gallery.photos(collection, person), self._records.find(collection, person)
        if not photos and record is None:
            raise ServiceError(Code.NOT_FOUND, f"nobody called {person} is enrolled in {collection}")
        return PersonDetails(photos, record or PersonRecord(person))

    def photo(self, collection: str, person: str, photo: str) -> tuple[EnrolledPhotoRow, bytes]:
        """An enrolled photo; ServiceError (not-found) when the person has none of this id, or it is not kept."""
        for row in self._gallery.photos(collection, person):
            if row.photo == photo:
                return row, self._bytes(photo)
        raise ServiceError(Code.NOT_FOUND, f"{person} has no photo {photo}")

    def require_photo(self, collection: str, person: str, photo: str) -> None:
        """ServiceError (not-found) unless the person has a photo of this id; of first photos nothing is read."""
        if self._listing(collection).has_first(person, photo):
            return
        if photo not in {row.photo for row in self._gallery.photos(collection, person)}:
            raise ServiceError(Code.NOT_FOUND, f"{person} has no photo {photo}")

    def face(self, photo: str, side: int) -> bytes:
        """The face of an enrolled photo as a square JPEG of `side` pixels.

        ServiceError with not-found when the photo is not kept, or as of drawing.
        """
        with drawing.place():
            return drawing.portrait(self._bytes(photo), stored_result(self._store, photo), side)

    def _bytes(self, photo: str) -> bytes:
        try:
            return self._store.get(photo_key(photo))
        except ObjectMissingError as error:
            detail = f"the photo {photo} is enrolled, but is not kept any more"
            raise ServiceError(Code.NOT_FOUND, detail) from error

    def rename(self, collection: str, person: str, name: str) -> int:
        """Give a person another name; the version of the gallery where it is so. Done twice, it is the same.

        ServiceError with not-found when nobody has the first name, or person-exists when somebody has the second.
        """
        if self._has_become(collection, person, name):
            return self._gallery.version(collection)
        taken = self._gallery.photos(collection, name) or self._records.find(collection, name) is not None
        if taken and not self._has_begun_to_become(collection, person, name):
            raise ServiceError(Code.PERSON_EXISTS, f"somebody called {name} is enrolled in {collection} already")
        return self._move(collection, person, name)

    def merge(self, collection: str, person: str, into: str) -> int:
        """Make one person of two: the second one's, with the photos of both; the version where it is so.

        ServiceError (not-found) when either is not known. Done twice, it is the same.
        """
        if self._has_become(collection, person, into):
            return self._gallery.version(collection)
        self.find(collection, into)
        return self._move(collection, person, into)

    def _has_become(self, collection: str, person: str, name: str) -> bool:
        """Whether the person has this name already; ServiceError (not-found) when neither is known."""
        try:
            self.find(collection, person)
        except ServiceError:
            target = self._records.find(collection, name)
            if target is None or person not in {alias.name for alias in target.former_names}:
                raise
            return True
        return person == name

    def _has_begun_to_become(self, collection: str, person: str, name: str) -> bool:
        """Whether a renaming broke off: all that is recorded on the one is on the other, and one has no photos."""
        target = self._records.find(collection, name)
        record = self._records.find(collection, person) or PersonRecord(person)
        if target is None or not target.has_all_of(record):
            return False
        return not (self._gallery.photos(collection, person) and self._gallery.photos(collection, name))

    def _move(self, collection: str, person: str, name: str) -> int:
        # The record first and last: whatever breaks this off, doing it again goes on with it.
        self._records.carry_over(collection, person, name)
        version = self._versions.saw(collection, self._gallery.rename(collection, person, name))
        self._records.remove(collection, person)
        return version

    def _listing(self, collection: str) -> _Listing:
        """Everyone in the collection, now; read only when something has changed."""
        version = self._versions.saw(collection, self._gallery.version(collection))
        with self._lock:  # for all collections: two large listings at a time would take twice the memory
            kept = self._listings.get(collection)
            if kept is None or kept.version < version:
                kept = _listed(version, self._gallery.people(collection))
                self._listings[collection] = kept
            self._listings.move_to_end(collection)
            while len(self._listings) > _LISTINGS:
                self._listings.popitem(last=False)
        return kept


def _listed(version: int, people: Mapping[str, PersonPhotos]) -> _Listing:
    names = sorted(people)
    return _Listing(version, names, [name.casefold() for name in names], [people[name] for name in names])
