"""The files of a batch in their order: written once, and read from any place on without holding all of it."""

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from face_common.contract import Code
from face_common.errors import ServiceError
from face_common.ports import Bucket
from face_web.batches.model import Item, Listing

_CHUNK = 128 * 2**10


def write_listing(file: BinaryIO, items: Iterable[Item], most: int) -> tuple[int, int]:
    """Write the items as lines; how many there are, and their bytes.

    ServiceError (archive-too-large) when there are more than `most`.
    """
    total = size = 0
    for item in items:
        total += 1
        if total > most:
            raise ServiceError(Code.ARCHIVE_TOO_LARGE, f"a batch has at most {most} files")
        size += file.write(item.encode())
    return total, size


def read_listing(store: Bucket, listing: Listing, offset: int = 0) -> Iterator[tuple[Item, int]]:
    """Each item from this offset on, with the offset of the one behind it. ObjectMissingError when it is gone."""
    buffer, at = b"", offset
    while offset < listing.size:
        line, newline, rest = buffer.partition(b"\n")
        if newline:
            offset, buffer = offset + len(line) + 1, rest
            yield Item.decode(line), offset
            continue
        chunk = store.get_range(listing.key, at, _CHUNK)
        if not chunk:
            return
        buffer, at = buffer + chunk, at + len(chunk)


def read_item(store: Bucket, listing: Listing, start: int, end: int) -> Item:
    """The item between two offsets, as it is by now: an erasure may have blanked it. ObjectMissingError as above."""
    return Item.decode(store.get_range(listing.key, start, end - start))
