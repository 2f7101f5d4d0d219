"""Reads the size of a HEIC photo from its boxes (ISO/IEC 14496-12 and 23008-12), and nothing else. Pure.

The web tier decodes nothing, and so needs no HEVC decoder with its history of faults: the size lies in a few nested
boxes, each a length, a four-letter kind and a content. `meta` holds the number of the primary item (`pitm`), all
items' properties (`iprp/ipco`, the size `ispe` among them) and which item has which of them (`iprp/ipma`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_MOST_BOXES = 5000  # in one box; a photo of many tiles has some hundred
_MOST_META_BYTES = 2**20


def is_heic(body: bytes) -> bool:
    """Whether the file calls itself HEIC, or can be read as one."""
    if body[4:8] != b"ftyp":
        return False
    brands = body[8 : min(int.from_bytes(body[:4], "big"), 512)]
    return any(brands[at : at + 4] in _BRANDS for at in range(0, len(brands), 4) if at != 4)  # 4: a version's number


def stored_size(body: bytes) -> tuple[int, int]:
    """Width and height of the primary picture before it is cropped and turned; ValueError when no box tells."""
    boxes = _boxes(body, 0, len(body))
    meta = next((box for box in boxes if box.kind == b"meta"), None)
    if meta is None or meta.end - meta.start > _MOST_META_BYTES:
        raise ValueError("there is no box with the picture's properties, or it is far too large")
    parts = {box.kind: box for box in _boxes(body, meta.start + 4, meta.end)}
    primary = _primary(body, *_span(parts, b"pitm"))
    properties = list(_boxes(body, *_span(parts, b"iprp")))
    owned = {
        number
        for box in properties
        if box.kind == b"ipma"
        for number in _properties_of(primary, body, box.start, box.end)
    }
    containers = {box.kind: box for box in properties}
    for number, box in enumerate(_boxes(body, *_span(containers, b"ipco")), start=1):
        if number in owned and box.kind == b"ispe":
            reader = _Reader(body, box.start + 4, box.end)
            return reader.take(4), reader.take(4)
    raise ValueError("the primary picture states no size")


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    start: int
    """Of the content."""
    end: int


def _boxes(body: bytes, start: int, end: int) -> Iterator[_Box]:
    """The boxes between two positions, which they must fill; ValueError when one reaches beyond its parent."""
    for _ in range(_MOST_BOXES):
        if start >= end:
            return
        reader = _Reader(body, start, end)
        length, kind = reader.take(4), reader.take(4).to_bytes(4, "big")
        if length == 1:
            length = reader.take(8)
        stop = end if length == 0 else start + length
        if not reader.position <= stop <= end:
            raise ValueError("a box is longer than what it lies in")
        yield _Box(kind, reader.position, stop)
        start = stop
    raise ValueError("there are too many boxes")


class _Reader:
    """Reads numbers between two positions; ValueError beyond them."""

    def __init__(self, body: bytes, start: int, end: int) -> None:
        self._body = body
        self._end = end
        self.position = start

    def take(self, size: int) -> int:
        """The next unsigned number of so many bytes."""
        stop = self.position + size
        if stop > self._end:
            raise ValueError("the file is cut off")
        number = int.from_bytes(self._body[self.position : stop], "big")
        self.position = stop
        return number


def _span(boxes: dict[bytes, _Box], kind: bytes) -> tuple[int, int]:
    if kind not in boxes:
        raise ValueError(f"there is no box {kind.decode()}")
    return boxes[kind].start, boxes[kind].end


def _primary(body: bytes, start: int, end: int) -> int:
    """The primary item's number."""
    reader = _Reader(body, start, end)
    version = reader.take(4) >> 24
    return reader.take(4 if version else 2)


def _properties_of(item: int, body: bytes, start: int, end: int) -> Iterator[int]:
    """Numbers, from 1, of an item's properties among all."""
    reader = _Reader(body, start, end)
    head = reader.take(4)
    item_bytes, index_bytes = (4 if head >> 24 else 2), (2 if head & 1 else 1)
    for _ in range(reader.take(4)):
        owner = reader.take(item_bytes)
        for _ in range(reader.take(1)):
            index = reader.take(index_bytes) & (0x7FFF if index_bytes == 2 else 0x7F)  # the top bit: essential
            if owner == item:
                yield index
