"""The enrolled people of each collection: a LanceDB table a collection, in the bucket or in a folder.

Every write commits a new table version with a conditional put, so concurrent writers lose nothing, and the
version number tells a reader whether it has seen a write. No write names a person in its condition: LanceDB keeps
conditions in the table's history, where they would outlast the person.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import lancedb

from face_common import gallery_history, gallery_rows
from face_common.contract import Code
from face_common.errors import ServiceError, TransientError
from face_common.gallery_rows import (
    DISTRACTORS,
    PEOPLE,
    SCHEMA,
    OvertakenError,
    any_of,
    attempt,
    equals,
    map_large_buffers,
    of_templates,
    patiently,
    photos_by_person,
    snapshot,
    templates,
)
from face_common.templates import (
    EnrolledPhotoRow,
    GalleryExport,
    GallerySnapshot,
    GalleryVersion,
    PersonPhotos,
    PurgeReport,
    Restoration,
    Template,
    TemplateIdentity,
)

_log = logging.getLogger(__name__)
_ATTEMPTS = 8
_YOUNG = 4  # versions in which another writer may still be making the table
_SETTLE_SECONDS = 0.1
_COMPACTED = 32  # versions from one compaction to the next: each append leaves a file that every load has to open


class Gallery:
    """All collections under one LanceDB URI. Thread-safe: each call opens the table at its latest version.

    Every call raises TransientError while the store cannot be reached or others keep writing.
    """

    def __init__(self, uri: str, storage_options: dict[str, str] | None = None) -> None:
        """`uri` is `s3://bucket/gallery` or a folder; storage_options as LanceDB takes them."""
        map_large_buffers()
        self._uri = uri
        self._storage_options = storage_options
        self._connection = lancedb.connect(uri, storage_options=storage_options)

    def collections(self) -> list[str]:
        """Every collection that somebody was ever enrolled in, by name."""
        found: list[str] = []
        token = None
        while True:
            page = attempt(partial(self._connection.list_tables, page_token=token))
            found += page.tables
            token = page.page_token
            if not token:
                return sorted(found)

    def version(self, collection: str) -> int:
        """The collection's latest version; 0 when nothing was ever enrolled in it."""
        table = self._open(collection)
        return 0 if table is None else int(table.version)

    @patiently
    def load(self, collection: str, model: str) -> GallerySnapshot:
        """Everything enrolled in the collection with this model, at its latest version, laid out for searching."""
        table = self._open(collection)
        if table is None:
            return GallerySnapshot.of(0, ())
        version = int(table.version)
        attempt(lambda: table.checkout(version))  # a commit after the look must not slip in under the older number
        return snapshot(table, version, model)

    @patiently
    def people(self, collection: str) -> dict[str, PersonPhotos]:
        """Everyone enrolled, by name, with what photos they have."""
        table = self._open(collection)
        return {} if table is None else photos_by_person(table)

    @patiently
    def photos(self, collection: str, person: str | None = None) -> list[EnrolledPhotoRow]:
        """Enrolled photos, of one person or of all, sorted by person and photo. Rejected faces are among all."""
        return self._photos(collection, None if person is None else equals("person", person))

    @patiently
    def distractors(self, collection: str) -> list[EnrolledPhotoRow]:
        """What is kept of rejected faces, sorted by photo."""
        return sorted(self._photos(collection, DISTRACTORS), key=lambda row: row.photo)

    def _photos(self, collection: str, condition: str | None) -> list[EnrolledPhotoRow]:
        table = self._open(collection)
        if table is None:
            return []
        columns = ["person", "photo", "name", "enrolled_at"]
        query = table.search().select(columns).limit(None)
        if condition is not None:
            query = query.where(condition)
        # The first of a photo's templates tells its age: it is the last one here, and stays.
        found = sorted(attempt(query.to_arrow).to_pylist(), key=lambda row: -row["enrolled_at"])
        rows = {row["photo"]: EnrolledPhotoRow(**row) for row in found}
        return sorted(rows.values(), key=lambda row: (row.person, row.photo))

    def templates(self, collection: str, person: str | None = None) -> Iterator[Template]:
        """Everything enrolled, of one person or of all, under every model, as it was when the iteration began."""
        table = self._open(collection)
        if table is not None:
            version = int(table.version)
            attempt(lambda: table.checkout(version))
            yield from templates(table, None if person is None else equals("person", person))

    @patiently
    def export(self, collection: str) -> GalleryExport:
        """Everything enrolled, at the version of now however long it takes to read."""
        table = self._open(collection)
        if table is None:
            return GalleryExport(0, {}, iter(()))
        version = int(table.version)
        attempt(lambda: table.checkout(version))
        return GalleryExport(version, gallery_rows.models(table), templates(table))

    @patiently
    def models(self, collection: str) -> dict[str, int]:
        """How many templates of people each model made, by the model's id."""
        table = self._open(collection)
        return {} if table is None else gallery_rows.models(table, PEOPLE)

    @patiently
    def identities(self, collection: str) -> list[TemplateIdentity]:
        """What tells the collection's templates apart."""
        table = self._open(collection)
        return [] if table is None else list(gallery_rows.identities(table))

    def add(self, collection: str, templates: Sequence[Template]) -> int:
        """Append templates; the version that holds them.

        Appends never hurt each other, but while a table is new another writer may be making it too, and LanceDB then
        refuses or overwrites what was appended between the two: a young table is looked at again.
        """
        rows = of_templates(templates)
        for _ in range(_ATTEMPTS):
            try:
                table = self._open(collection)
                table = self._make(collection) if table is None else table
                attempt(partial(table.add, rows))
            except OvertakenError:
                continue
            version = int(table.version)
            if version > _YOUNG or self._holds(collection, templates):
                if version % _COMPACTED == 0:  # each version has one writer, so one of them sees to it
                    _compact(table)
                return version
        raise TransientError(Code.STORAGE_UNAVAILABLE, "others keep changing the gallery; try again")

    @patiently
    def remove(self, collection: str, person: str, photo: str | None = None) -> int:
        """Remove a person, or one photo of theirs; the version without them. Removing what is not there is no error.

        Earlier versions still hold what was removed: see purge_history.
        """
        photos = [row.photo for row in self.photos(collection, person) if photo in (None, row.photo)]
        return self._change(collection, lambda table: [table.delete(named) for named in any_of(photos)])

    @patiently
    def clear(self, collection: str) -> int:
        """Remove everybody; the version without them. The collection goes on counting its versions."""
        return self._change(collection, lambda table: table.delete("true"))

    @patiently
    def rename(self, collection: str, person: str, name: str) -> int:
        """Give all photos of a person to another name, whether somebody has it or not; the version where it is so."""
        version = self.version(collection)
        for _ in range(_ATTEMPTS if person != name else 0):  # again for what was enrolled meanwhile
            photos = [row.photo for row in self.photos(collection, person)]
            if not photos:
                break
            version = self._change(collection, partial(gallery_history.give, photos=photos, person=name))
        return version

    @patiently
    def versions(self, collection: str) -> list[GalleryVersion]:
        """The versions that can be restored, the present one first."""
        from face_common.gallery_purge import whole_versions  # Lance is not installed on workers

        return [] if self._open(collection) is None else whole_versions(*self._location(collection))

    @patiently
    def restore(self, collection: str, version: int) -> Restoration:
        """Undo what has happened since a version; ServiceError (version-unknown) when it is not kept.

        It is a write like others: a photo that somebody enrols meanwhile stays enrolled.
        """
        if version not in {kept.version for kept in self.versions(collection)}:
            raise ServiceError(Code.VERSION_UNKNOWN, f"version {version} of gallery {collection} is not kept")
        old = self._open(collection)
        attempt(lambda: old.checkout(version))
        return gallery_history.restore(self._open(collection), old)

    @patiently
    def purge_history(self, collection: str) -> PurgeReport:
        """Leave no file that holds a row which had been removed before the call.

        Of the earlier versions only those can be gone back to of which everything is enrolled still. Appends may go on
        meanwhile; readers of an older version begin again with the present one.
        """
        from face_common.gallery_purge import purge

        return PurgeReport(0, 0, 0) if self._open(collection) is None else purge(*self._location(collection))

    def _location(self, collection: str) -> tuple[str, dict[str, str] | None]:
        """The table as Lance opens it, for what LanceDB has no call for."""
        return f"{self._uri}/{collection}.lance", self._storage_options

    def _make(self, collection: str) -> Any:
        return attempt(partial(self._connection.create_table, collection, schema=SCHEMA, exist_ok=True))

    def _change(self, collection: str, change: Callable[[Any], Any]) -> int:
        table = self._open(collection)
        if table is None:
            return 0
        attempt(lambda: change(table))
        return int(table.version)

    def _holds(self, collection: str, templates: Sequence[Template]) -> bool:
        """Whether the templates are there still, once whoever was making the table has made it."""
        time.sleep(_SETTLE_SECONDS)
        there = {row.photo for row in self.photos(collection)}
        return all(template.photo in there for template in templates)

    def _open(self, collection: str) -> Any:
        try:
            return self._connection.open_table(collection)
        except (FileNotFoundError, ValueError) as error:
            if "not found" in str(error).lower():
                return None
            raise TransientError(Code.STORAGE_UNAVAILABLE, f"the gallery cannot be opened: {error}") from error
        except (RuntimeError, OSError) as error:
            raise TransientError(Code.STORAGE_UNAVAILABLE, f"the gallery cannot be reached: {error}") from error


def _compact(table: Any) -> None:
    """Write the rows of many appends into one file. Readers notice nothing; whoever comes later may do it as well."""
    try:
        table.optimize()
    except (RuntimeError, OSError) as error:  # others wrote meanwhile, or the bucket allows no removal of old files
        _log.warning("the gallery was not compacted", extra={"reason": str(error)})
