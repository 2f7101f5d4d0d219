"""JPEG files: the header, and the pixels at full size or reduced.

libjpeg-turbo (by simplejpeg) reads them: at full size the same pixels as Pillow's in half the time and memory, and at a
half, a quarter or an eighth of the size out of fewer frequencies, without the full photo ever being there. Pillow reads
what it objects to: CMYK, and files that are odd without being damaged.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import simplejpeg

from face_app.engine.pixels import opened, to_rgb
from face_app.recognition import Image
from face_common.contract import Code
from face_common.errors import PermanentError

_START = b"\xff\xd8"
_SCAN, _END, _APP1 = 0xDA, 0xD9, 0xE1
_ONE_PASS_FRAMES = {0xC0, 0xC1}  # baseline and extended sequential
_MOST_SEGMENTS = 256  # before the pixels; cameras write about ten, with EXIF among the first two
_MOST_SCANS = 200
"""Passes over a progressive photo: encoders write about ten, a bomb as many as fit, each costing time by the pixel."""
_ORIENTATION, _SHORT = 0x0112, 3


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a JPEG before its pixels are read; width and height as they are stored."""

    width: int
    height: int
    is_cmyk: bool
    orientation: int
    """EXIF's, 1 to 8."""


def read_header(body: bytes) -> Header | None:
    """None when this is no JPEG, or one whose header libjpeg-turbo cannot read."""
    if not body.startswith(_START):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(body, strict=False)
    except ValueError:
        return None
    return Header(width, height, colours in {"CMYK", "YCCK"}, _inspect(body))


def _inspect(body: bytes) -> int:
    """EXIF orientation; PermanentError when the photo is stored in far too many passes."""
    orientation = components = 0
    is_one_pass = False
    for marker, start, end in _segments(body):
        if marker == _APP1 and not orientation and body.startswith(b"Exif\0\0", start):
            orientation = exif_orientation(body[start + 6 : end])
        elif marker in _ONE_PASS_FRAMES:
            components = body[start + 5]
        elif marker == _SCAN:
            is_one_pass = 0 < components == body[start]
    if not is_one_pass and body.count(b"\xff\xda") > _MOST_SCANS:
        raise PermanentError(Code.IMAGE_UNREADABLE, f"the photo is stored in more than {_MOST_SCANS} passes")
    return orientation or 1


def _segments(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of what is stored before the pixels, and the head of these. Stray bytes are passed over."""
    position = len(_START)
    for _ in range(_MOST_SEGMENTS):
        position = body.find(b"\xff", position)
        if position < 0 or position + 10 > len(body) or body[position + 1] == _END:
            return
        marker = body[position + 1]
        if marker in {0x00, 0xFF}:  # no segment: padding
            position += 1
            continue
        end = position + 2 + int.from_bytes(body[position + 2 : position + 4], "big")
        yield marker, position + 4, end
        if marker == _SCAN:
            return
        position = end


def exif_orientation(exif: bytes) -> int:
    """Orientation, 1 to 8, in a block of EXIF; 1 when it states none that means anything."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is not None:
            (directory,) = struct.unpack_from(f"{order}I", exif, 4)
            (entries,) = struct.unpack_from(f"{order}H", exif, directory)
            for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
                tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
                if tag == _ORIENTATION and kind == _SHORT:
                    return value if 1 <= value <= 8 else 1
    except struct.error:
        pass  # cut off or misled: as good as none
    return 1


class Reader:
    """Reads one JPEG, as often as another scale is asked for."""

    def __init__(self, body: bytes, header: Header) -> None:
        self._body = body
        self._header = header
        self._is_odd = header.is_cmyk

    def read(self, divisor: int) -> Image:
        """RGB at one `divisor`-th (1, 2, 4 or 8) of the size, rounded up. Raises whatever Pillow raises."""
        if not self._is_odd:
            try:
                return self._fast(divisor)
            except ValueError:  # damaged, or merely odd: Pillow tells
                self._is_odd = True
        return self._with_pillow(divisor)

    def _fast(self, divisor: int) -> Image:
        image: Image = simplejpeg.decode_jpeg(
            self._body,
            min_width=-(-self._header.width // divisor),
            min_height=-(-self._header.height // divisor),
            min_factor=divisor,
        )
        return image

    def _with_pillow(self, divisor: int) -> Image:
        with opened(self._body, ("JPEG",)) as jpeg:
            if divisor > 1:
                jpeg.draft(None, (jpeg.width // divisor, jpeg.height // divisor))
            return to_rgb(jpeg)
