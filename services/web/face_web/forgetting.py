"""What an erasure removes, place by place."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import Any, Protocol

import numpy as np

from face_common import encodings
from face_common.calibrations import calibration_key, decoded
from face_common.contract import InvalidMessageError, Operation, image_key, other_image_key, photo_key, result_key
from face_common.errors import ObjectMissingError
from face_common.ports import Bucket, Entry
from face_common.templates import DIMENSIONS, Encodings, EnrolledPhotoRow, PurgeReport, Template
from face_common.unknown import UnknownFaces
from face_web import batch_traces
from face_web.batches.model import OPEN as OPEN_BATCHES
from face_web.dead_letters import PREFIX as DEAD_LETTERS
from face_web.erasure import SKEW_SECONDS, Erasure, Note
from face_web.records import PREFIX as RECORDS
from face_web.records import PersonRecord, Records
from face_web.traces import Alias, Names, any_near, asked_at, documents, in_batches, side_by_side, stacked
from face_web.versions import GalleryVersions

_RESULTS, _PROBES, _PHOTOS, _UNKNOWN = "results/", "images/", "photos/", "unknown/"
_DELETED = ("photos/", "images/", "results/", "batches/", "webhooks/", "unknown/", "people/", DEAD_LETTERS)
"""Where objects are deleted in other ways, so that earlier versions may be left of them."""
_ENCODING_BYTES = 4 * DIMENSIONS
_KEYS = 50  # removed in one go


class Enrolled(Protocol):
    """Who is enrolled."""

    def collections(self) -> list[str]:
        """Every collection."""

    def photos(self, collection: str, person: str | None = None) -> list[EnrolledPhotoRow]:
        """Enrolled photos, of one person or of all."""


class ForgettingGallery(Enrolled, Protocol):
    """A gallery that keeps nothing of what was removed."""

    def templates(self, collection: str, person: str | None = None) -> Iterator[Template]:
        """Everything enrolled, of one person or of all."""

    def distractors(self, collection: str) -> list[EnrolledPhotoRow]:
        """What is kept of rejected faces."""

    def remove(self, collection: str, person: str, photo: str | None = None) -> int:
        """Remove a person, or one photo of theirs; the version without them."""

    def clear(self, collection: str) -> int:
        """Remove everybody; the version without them."""

    def version(self, collection: str) -> int:
        """The latest version."""

    def purge_history(self, collection: str) -> PurgeReport:
        """Remove every earlier version with all that only it holds."""


class Forgetting:
    """The steps of an erasure. Each may be done again, and finds nothing more then. Thread-safe."""

    def __init__(
        self, *, store: Bucket, gallery: ForgettingGallery, records: Records, versions: GalleryVersions, inbox: str
    ) -> None:
        """`inbox`: the prefix from which operators import photos; empty where they do not."""
        self._store = store
        self._gallery = gallery
        self._records = records
        self._versions = versions
        self._inbox = inbox

    def gather(self, erasure: Erasure, *, late: bool) -> None:
        """See Removal."""
        collection, photos = erasure.collection, set(erasure.photos)
        found = 0
        for row in self._due(erasure, late=late):
            if row.photo in photos:
                continue
            found += 1
            erasure.photos.append(row.photo)
            if not erasure.is_whole:  # everybody's unknown faces go, whomever they look like
                erasure.encodings.append(encodings.to_text(row.encoding))
        erasure.templates += found
        erasure.photos = sorted(set(erasure.photos))
        erasure.tags = sorted({*erasure.tags, *self._tags(erasure, set(erasure.photos) - photos)})
        if not late:
            erasure.gallery_version = self._gallery.version(collection)

    def _due(self, erasure: Erasure, *, late: bool) -> Iterator[Template]:
        """The templates that are to go: of late ones those that were sent before the erasure and enrolled after it.

        Whoever has got the name since by a renaming is somebody else.
        """
        rows = self._gallery.templates(erasure.collection, erasure.person or None)
        wanted = (row for row in rows if erasure.photo in ("", row.photo))
        if not late:
            return wanted if erasure.photo or erasure.is_whole else self._with_rejected(erasure, list(wanted))
        under_way = [row for row in wanted if is_late(row, erasure.id, erasure.began_at)]
        return iter([] if under_way and self._has_passed_on(erasure) else under_way)

    def _with_rejected(self, erasure: Erasure, own: Sequence[Template]) -> Iterator[Template]:
        """A person's templates, and the rejected faces that may be the person's after all."""
        yield from own
        theirs = np.array([row.encoding for row in own], dtype=np.float32).reshape(-1, DIMENSIONS)
        for rejected in self._gallery.distractors(erasure.collection) if own else ():
            for row in self._gallery.templates(erasure.collection, rejected.person):
                if any_near(np.array([row.encoding], dtype=np.float32), theirs):
                    yield row

    def _has_passed_on(self, erasure: Erasure) -> bool:
        """Whether somebody else has got the name by a renaming since the erasure began."""
        record = self._records.find(erasure.collection, erasure.person) if erasure.person else None
        return record is not None and any((alias.until or 0.0) >= erasure.began_at for alias in record.former_names)

    def _tags(self, erasure: Erasure, photos: set[str]) -> set[str]:
        """The tags of these photos' files."""
        keys = {photo_key(photo) for photo in photos}
        if erasure.is_whole:
            return {entry.tag for entry in self._store.entries("photos/") if entry.key in keys}
        with side_by_side() as mapped:
            entries = chain.from_iterable(mapped(lambda key: list(self._store.entries(key)), sorted(keys)))
            return {entry.tag for entry in entries if entry.key in keys}

    def withdraw(self, erasure: Erasure) -> None:
        """See Removal."""
        self._withdraw_templates(erasure)
        if not (erasure.off_record or erasure.photo or erasure.is_whole):
            if not self._has_passed_on(erasure):
                erasure.versions += self._records.remove(erasure.collection, erasure.person)
            erasure.off_record = True

    def _withdraw_templates(self, erasure: Erasure) -> None:
        collection, photos = erasure.collection, set(erasure.photos)
        if not photos:
            return
        rows = self._gallery.photos(collection)  # under whatever name: a renaming may have come in between
        doomed = [row for row in rows if row.photo in photos]
        if not doomed:
            return
        if erasure.is_whole and len(doomed) == len(rows):
            version = self._gallery.clear(collection)
        else:
            version = self._remove(erasure, doomed, Counter(row.person for row in rows))
        erasure.gallery_version = version
        self._versions.saw(collection, version)

    def _remove(self, erasure: Erasure, doomed: Sequence[EnrolledPhotoRow], photos: Mapping[str, int]) -> int:
        """Take these photos out of the gallery; `photos`: how many everybody has. The version without them."""
        version = 0
        for person, rows in groupby(doomed, lambda row: row.person):  # they are sorted by person
            theirs = [row.photo for row in rows]
            if len(theirs) < photos[person]:
                version = max(self._gallery.remove(erasure.collection, person, photo) for photo in theirs)
                continue
            version = self._gallery.remove(erasure.collection, person)
            if person != erasure.person and not (erasure.is_whole or erasure.photo):
                erasure.names.append(Alias(person))  # they were just renamed: answers may have either name
                erasure.versions += self._records.remove(erasure.collection, person)
        return version

    def waits(self, erasure: Erasure) -> bool:
        """See Removal."""
        return any(self._store.exists(f"{OPEN_BATCHES}{batch_id}") for batch_id in erasure.waits_for)

    def steps(self) -> Sequence[Callable[[Erasure, Note, Note], None]]:
        """See Removal."""
        return (
            self._forget_batches,  # first: what a batch that has ended by now has left is found by all the others
            self._forget_photos,
            self._forget_record,
            self._forget_results,
            self._forget_dead_letters,
            self._forget_probes,
            self._forget_unknown,
            self._forget_inbox,
            self._forget_calibration,
            self._forget_history,
        )

    def _forget_photos(self, erasure: Erasure, save: Note, go_on: Note) -> None:
        """The enrolled photos and the answers about them; either may belong to another collection's people, too."""
        self._purge(erasure, self._unused(map(photo_key, erasure.photos)), go_on)
        for photos in in_batches(erasure.photos, 1000):
            here = self._asked_here(erasure, photos)
            results = [result_key(photo) for photo in photos if here[photo]]
            self._forget(erasure.results, results, erasure, save, go_on)
            go_on()

    def _forget_record(self, erasure: Erasure, _: Note, go_on: Note) -> None:
        """What is recorded after the erasure began is about somebody new, unless an older import recorded it."""
        if erasure.photo:
            return
        if not erasure.looks and erasure.is_whole:
            entries = self._store.entries(f"{RECORDS}{erasure.collection}/")
            self._purge(erasure, [entry.key for entry in entries], go_on)
        elif erasure.is_whole:
            for record in self._records.all(erasure.collection):
                self._forget_late_record(erasure, record)
        elif (late := self._records.find(erasure.collection, erasure.person)) is not None:
            self._forget_late_record(erasure, late)

    def _forget_late_record(self, erasure: Erasure, record: PersonRecord) -> None:
        """Remove what an import that was begun before the erasure has recorded since, if nobody was enrolled anew."""
        if "" < record.batch < erasure.id and not self._gallery.photos(erasure.collection, record.person):
            erasure.versions += self._records.remove(erasure.collection, record.person)

    def _forget_results(self, erasure: Erasure, save: Note, go_on: Note) -> None:
        """Answers that name the person, with the photos that they are about."""
        if erasure.photo:
            return
        for batch in documents(self._store, _RESULTS, _since(erasure)):
            found = [entry.key for entry, result in batch if self._concerns(erasure, result)]
            ids = [key.removeprefix(_RESULTS).removesuffix(".json") for key in found]
            probes = [key(job_id) for job_id in ids for key in (image_key, other_image_key, photo_key)]
            self._forget(erasure.probes, self._unused(self._existing(probes)), erasure, save, go_on)
            self._forget(erasure.results, found, erasure, save, go_on)  # last: they lead to the probes

    def _forget_dead_letters(self, erasure: Erasure, save: Note, go_on: Note) -> None:
        """Jobs that died: those that name the person, with what they ask about, and those to encode their photos.

        Where one was sent anew, nothing else than its note leads to its photo.
        """
        photos = set(erasure.photos)
        for batch in documents(self._store, DEAD_LETTERS, _since(erasure)):
            named = [entry.key for entry, note in batch if not erasure.photo and self._concerns(erasure, note)]
            ids = [key.removeprefix(DEAD_LETTERS).removesuffix(".json") for key in named]
            probes = [key(job_id) for job_id in ids for key in (image_key, other_image_key, photo_key)]
            self._forget(erasure.probes, self._unused(self._existing(probes)), erasure, save, go_on)
            about = [entry.key for entry, note in batch if note["job"]["photo"] in photos]
            self._purge(erasure, sorted({*named, *about}), go_on)

    def _unused(self, keys: Iterable[str]) -> list[str]:
        """These keys without photos that are enrolled, for others or in other collections."""
        wanted = list(keys)
        if not any(key.startswith(_PHOTOS) for key in wanted):
            return wanted
        return not_enrolled(self._gallery, wanted)

    def _asked_here(self, erasure: Erasure, job_ids: Sequence[str]) -> dict[str, bool | None]:
        """By id, whether what was asked was asked of the erasure's collection; None where there is no answer."""

        def look(job_id: str) -> bool | None:
            try:
                result = json.loads(self._store.get(result_key(job_id)))
            except (ObjectMissingError, ValueError):
                return None
            return isinstance(result, Mapping) and result.get("collection") == erasure.collection

        with side_by_side() as mapped:
            return dict(zip(job_ids, mapped(look, job_ids), strict=True))

    def _existing(self, keys: Sequence[str]) -> list[str]:
        with side_by_side() as mapped:
            return [key for key, exists in zip(keys, mapped(self._store.exists, keys), strict=True) if exists]

    def _concerns(self, erasure: Erasure, result: Any) -> bool:
        """Whether a stored answer is to go."""
        if not isinstance(result, Mapping) or result.get("collection") != erasure.collection:
            return False
        at = asked_at(str(result.get("id", "")))
        if erasure.is_whole:
            return at <= erasure.began_at
        again = result.get("operation") == Operation.ENROL and at > erasure.began_at
        return not again and Names(erasure.names).occur(result, at)

    def _forget_batches(self, erasure: Erasure, save: Note, go_on: Note) -> None:
        """Files of batches; an open one is waited for, as it still needs its archive."""
        if erasure.photo:
            return
        names = None if erasure.is_whole else Names(erasure.names)
        traces = batch_traces.forget(self._store, erasure.collection, names, erasure.id)
        erasure.versions += traces.versions
        known = sorted({*erasure.waits_for, *traces.unfinished})
        erasure.waits_for = [batch_id for batch_id in known if self._store.exists(f"{OPEN_BATCHES}{batch_id}")]
        save()
        go_on()

    def _forget_probes(self, erasure: Erasure, save: Note, go_on: Note) -> None:
        """Photos that are the same files as enrolled ones, and encodings that were searched for.

        What was asked of another collection is that collection's.
        """
        tags, templates = set(erasure.tags), stacked(erasure.encodings)

        def shows(entry: Entry) -> bool:
            searched = entry.size == _ENCODING_BYTES and any_near(_encoding(self._store.get(entry.key)), templates)
            return entry.tag in tags or searched

        if not (tags or len(templates)):
            return
        for batch in in_batches(self._fresh(_PROBES, erasure), 1000):
            keys = [entry.key for entry in batch if shows(entry)]
            ids = {key: key.removeprefix(_PROBES).removesuffix("-other") for key in keys}
            here = self._asked_here(erasure, list(ids.values()))
            found = [key for key, job_id in ids.items() if here[job_id] is not False]
            answers = [result_key(job_id) for job_id, is_here in here.items() if is_here]
            self._forget(erasure.results, answers, erasure, save, go_on)
            self._forget(erasure.probes, found, erasure, save, go_on)  # last: they lead to the results

    def _forget_unknown(self, erasure: Erasure, save: Note, go_on: Note) -> None:
        """Faces that were seen and not named, and may be the person's."""
        prefix, templates = f"{_UNKNOWN}{erasure.collection}/", stacked(erasure.encodings)
        if erasure.is_whole:
            self._purge(erasure, [entry.key for entry in self._store.entries(prefix)], go_on)
            return
        for batch in documents(self._store, prefix, _since(erasure)) if len(templates) else ():
            found = [entry.key for entry, document in batch if any_near(_encodings(document), templates)]
            self._purge(erasure, found, go_on)
            save()

    def _forget_inbox(self, erasure: Erasure, _: Note, go_on: Note) -> None:
        """What lies ready to be imported: files that would be imported for the person, and the enrolled files.

        Whoever is bound to collections reaches no further than the folder of this one.
        """
        if not self._inbox:
            return
        inbox = f"{self._inbox}{erasure.collection}/" if erasure.bound else self._inbox
        tags, names = set(erasure.tags), {alias.name for alias in erasure.names if not erasure.photo}
        for batch in in_batches(self._store.entries(inbox), 1000):
            folders = [entry.key.removeprefix(inbox).rpartition("/")[0].rpartition("/")[2] for entry in batch]
            inside = zip(batch, folders, strict=True)
            found = [entry.key for entry, folder in inside if entry.tag in tags or folder in names]
            self._purge(erasure, found, go_on)

    def _forget_calibration(self, erasure: Erasure, _: Note, go_on: Note) -> None:
        """What was measured of the collection's people; what was measured since without the erased stays."""
        key = calibration_key(erasure.collection)
        try:
            version = decoded(self._store.get(key))["gallery_version"]
        except ObjectMissingError:
            return
        except InvalidMessageError:
            version = 0
        if erasure.is_whole or version < erasure.gallery_version:
            self._purge(erasure, [key], go_on)

    def _forget_history(self, erasure: Erasure, _: Note, go_on: Note) -> None:
        """Every earlier version of the gallery, Lance's as well as the bucket's, and of what was deleted before."""
        collection = erasure.collection
        if erasure.templates or not erasure.photo:
            go_on()
            erasure.pending = self._gallery.purge_history(collection).pending
            self._versions.saw(collection, self._gallery.version(collection))
        prefixes = [
            f"gallery/{collection}.lance/",
            calibration_key(collection),
            *_DELETED,
            *([self._inbox] if self._inbox else []),
        ]
        with side_by_side() as mapped:
            for versions in mapped(self._store.purge_older, prefixes):
                erasure.versions += versions
                go_on()

    def _fresh(self, prefix: str, erasure: Erasure) -> Iterator[Entry]:
        since = _since(erasure)
        return (entry for entry in self._store.entries(prefix) if entry.modified_at >= since)

    def _forget(self, noted: list[str], keys: Iterable[str], erasure: Erasure, save: Note, go_on: Note) -> None:
        """Note keys, for good, and purge them then: so each is counted once, whatever comes in between."""
        found = sorted(set(keys))
        if found:
            noted.extend(sorted(set(found) - set(noted)))
            save()
            self._purge(erasure, found, go_on)

    def _purge(self, erasure: Erasure, keys: Sequence[str], go_on: Note) -> None:
        with side_by_side() as mapped:
            for versions in mapped(self._store.purge, in_batches(keys, _KEYS)):
                erasure.versions += versions
                go_on()


def not_enrolled(gallery: Enrolled, keys: Iterable[str]) -> list[str]:
    """The keys without those of photos that are enrolled by now, in whichever collection."""
    enrolled = {photo_key(row.photo) for name in gallery.collections() for row in gallery.photos(name)}
    return [key for key in keys if key not in enrolled]


def is_late(row: Template | EnrolledPhotoRow, erasure: str, began_at: float) -> bool:
    """Whether a photo was sent before the erasure of this id and enrolled after it began, as far as clocks agree.

    What was enrolled long before has come by a renaming or an import since.
    """
    return row.photo < erasure and row.enrolled_at >= began_at - SKEW_SECONDS


def _since(erasure: Erasure) -> float:
    """From when on objects are looked at: a second look needs no more than what was written since the first began."""
    return erasure.began_at - SKEW_SECONDS if erasure.looks else 0.0


def _encoding(body: bytes) -> Encodings:
    """The encoding, (1, 128), that was searched for; (0, 128) when it is none."""
    try:
        found = [encodings.from_bytes(body)]
    except ValueError:
        found = []
    return np.array(found, dtype=np.float32).reshape(-1, DIMENSIONS)


def _encodings(document: Any) -> Encodings:
    """The encodings, (n, 128), in a note of unknown faces."""
    try:
        faces = UnknownFaces.from_json(json.dumps(document).encode()).faces
    except InvalidMessageError:
        return np.empty((0, DIMENSIONS), dtype=np.float32)
    return np.array([face.encoding for face in faces], dtype=np.float32).reshape(-1, DIMENSIONS)
