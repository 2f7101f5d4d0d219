"""Where the files of a batch come from: an archive, a folder of the bucket, or the photos that are enrolled."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

from face_common.contract import Code, is_image_name, is_person
from face_common.errors import ObjectMissingError, ServiceError
from face_common.ports import Bucket
from face_common.templates import EnrolledPhotoRow
from face_web.batches import archive
from face_web.batches.archive import Limits, Member, ReadAt
from face_web.batches.model import Batch, Item, Kind, SourceKind

_NO_NAME = "a photo's file name has 1 to 255 bytes, none of : \" < > | * ? or control characters, and no '..'"
_NO_FOLDER = "a photo lies in a folder that is named after its person: <person>/<photo>"
_NO_PERSON = (
    "the folder's name cannot be a person's: 1 to 128 bytes, none of : \" < > | * ? or control characters, no '..', no "
    "space at either end, and neither 'unknown' nor 'no-face'"
)


class SourceGoneError(Exception):
    """The source as a whole is gone, so that the batch can never go on."""


class EnrolledPhotos(Protocol):
    """Where enrolled photos are listed."""

    def photos(self, collection: str) -> list[EnrolledPhotoRow]:
        """The enrolled photos of a collection."""


class Sources:
    """Lists and reads the files of batches. Thread-safe."""

    def __init__(self, store: Bucket, gallery: EnrolledPhotos, limits: Limits, *, import_prefix: str) -> None:
        """`import_prefix` is the folder that everything lies under that is taken by prefix; it names nobody."""
        self._store = store
        self._import_prefix = import_prefix
        self._gallery = gallery
        self.limits = limits

    def items(self, batch: Batch) -> Iterator[Item]:
        """The files of a batch whose listing is not written yet."""
        if batch.source is SourceKind.ENROLLED:
            for row in self._gallery.photos(batch.collection):
                yield Item(path=row.name, name=row.name, person=row.person, photo=row.photo)
            return
        for entry in self._store.entries(batch.prefix):
            if not entry.key.endswith("/") and not archive.is_litter(entry.key):
                yield self._object_item(batch.kind, entry.key, entry.size)

    def read(self, batch: Batch, item: Item) -> bytes:
        """A file's bytes.

        ServiceError when this one cannot be read, SourceGoneError when none can, TransientError as the store's.
        """
        if batch.source is SourceKind.PREFIX:
            try:
                return self._store.get(item.path)
            except ObjectMissingError as error:
                raise ServiceError(Code.NOT_FOUND, "the file is gone since it was listed") from error
        member = Member(item.path, item.at, item.packed, item.size, item.crc, item.method)
        try:
            return archive.unpack(self._archive(batch), member)
        except ObjectMissingError as error:
            raise SourceGoneError("the archive is gone") from error
        except ValueError as error:
            raise ServiceError(Code.IMAGE_UNREADABLE, f"the file is damaged in the archive: {error}") from error

    def _archive(self, batch: Batch) -> ReadAt:
        key = batch.key("archive.zip")
        return lambda start, length: self._store.get_range(key, start, length)

    def _object_item(self, kind: Kind, key: str, size: int) -> Item:
        item = named(kind, Item(path=key, name="", size=size), key.removeprefix(self._import_prefix))
        if not item.code and size > self.limits.entry_bytes:
            return _refuse(
                item, Code.BODY_TOO_LARGE, f"it has {size} bytes; at most {self.limits.entry_bytes} are read"
            )
        return item


def archive_items(kind: Kind, members: Iterable[Member], limits: Limits) -> Iterator[Item]:
    """The files of an archive, each with the reason why it will not be read where there is one."""
    for member in members:
        item = Item(
            path=member.path,
            name="",
            at=member.offset,
            packed=member.packed,
            size=member.size,
            crc=member.crc,
            method=member.method,
        )
        item = named(kind, item, item.path)
        reason = archive.fault(member, limits)
        yield _refuse(item, Code.BODY_TOO_LARGE, reason) if reason and not item.code else item


def named(kind: Kind, item: Item, path: str) -> Item:
    """With the name and, in an import, the person that a path gives it. No path is ever used as one."""
    folder, _, name = path.rpartition("/")
    item = replace(item, name=name)
    if kind is Kind.IMPORT:
        person = folder.rpartition("/")[2]
        item = replace(item, person=person)
        if not is_person(person):
            return _refuse(item, Code.PERSON_INVALID, _NO_PERSON if person else _NO_FOLDER)
    return item if is_image_name(name) else _refuse(item, Code.NAME_INVALID, _NO_NAME)


def _refuse(item: Item, code: Code, detail: str) -> Item:
    return replace(item, code=code.value, detail=detail)
