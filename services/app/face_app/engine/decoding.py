"""Decodes photos: upright, no further than somebody looks, and never more pixels than a worker may hold.

What the engine sees is what a browser shows: EXIF orientation applied, transparency over white. Colour profiles are the
exception: they are left out, as face_recognition leaves them out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import PIL.Image

from face_app.engine import heic, jpeg
from face_app.engine.pixels import opened, orientation_of, to_rgb
from face_app.recognition import Image
from face_common.contract import Code
from face_common.errors import PermanentError

LOOK = 1280
"""Pixels on the longest side that a photo is decoded to at first: the most that a detector looks at.

Most of a reduced JPEG's price is the same at any scale: to decode once for all looks costs less than to do it for each.
"""
WHOLE = 2**31
"""A look that leaves nothing to decode later."""
MAX_PIXELS = 50_000_000
"""As many as the web tier lets through by default."""
_DIVISORS = (8, 4, 2)
_SMALLEST = 64  # pixels: what is shorter than this is not reduced any further
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF tags


@dataclass(frozen=True, slots=True)
class Turn:
    """How a stored photo becomes upright: mirrored left to right or not, then turned clockwise."""

    quarters: int = 0
    mirrored: bool = False

    def then(self, quarters: int) -> "Turn":
        """Turned clockwise by so many quarters more."""
        return Turn((self.quarters + quarters) % 4, self.mirrored)

    def applied(self, image: Image) -> Image:
        """The image itself where there is nothing to turn."""
        if self.mirrored:
            image = cv2.flip(image, 1).astype(np.uint8, copy=False)
        if self.quarters:
            image = cv2.rotate(image, _ROTATIONS[self.quarters]).astype(np.uint8, copy=False)
        return image


_ROTATIONS = {1: cv2.ROTATE_90_CLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_COUNTERCLOCKWISE}
_TURNS = {
    1: Turn(),
    2: Turn(mirrored=True),
    3: Turn(2),
    4: Turn(2, mirrored=True),
    5: Turn(3, mirrored=True),
    6: Turn(1),
    7: Turn(1, mirrored=True),
    8: Turn(3),
}
"""By EXIF orientation."""


class _Levels:
    """A photo as it is stored, at full size and at a half, a quarter and an eighth of it: each made when asked for."""

    def __init__(self, width: int, height: int, read: Callable[[int], Image]) -> None:
        """`read` decodes at one `divisor`-th of the size."""
        self.width = width
        self.height = height
        self._read = read
        self._images: dict[int, Image] = {}

    def divisor(self, scale: float) -> int:
        """The largest one with which the photo is at least as fine as this scale."""
        shortest = min(self.width, self.height)
        return next((d for d in _DIVISORS if d * scale <= 1.0 and shortest >= d * _SMALLEST), 1)

    def image(self, divisor: int) -> Image:
        """The photo at one `divisor`-th of its size: out of what is decoded already, or decoded."""
        if divisor not in self._images:
            is_finer_known = any(known < divisor for known in self._images)
            self._images[divisor] = _halved(self.image(divisor // 2)) if is_finer_known else self._decoded(divisor)
        return self._images[divisor]

    def _decoded(self, divisor: int) -> Image:
        with _refusing():
            return self._read(divisor)


class DecodedPicture:
    """A photo that is decoded as far as it is looked at. See Picture."""

    def __init__(self, levels: _Levels, turn: Turn) -> None:
        self._levels = levels
        self._turn = turn
        self._upright: dict[int, Image] = {}
        sideways = turn.quarters % 2 == 1
        self.width, self.height = (levels.height, levels.width) if sideways else (levels.width, levels.height)

    def at(self, scale: float) -> tuple[Image, float]:
        """See Picture. The scale is 1, 1/2, 1/4 or 1/8."""
        divisor = self._levels.divisor(scale)
        if divisor not in self._upright:
            self._upright[divisor] = self._turn.applied(self._levels.image(divisor))
        return self._upright[divisor], 1 / divisor

    def turned(self, quarters: int) -> "DecodedPicture":
        """See Picture. Nothing is turned before it is looked at, and nothing is decoded twice."""
        return DecodedPicture(self._levels, self._turn.then(quarters))


def decode(body: bytes, *, look: int = LOOK, max_pixels: int = MAX_PIXELS) -> DecodedPicture:
    """The photo, decoded so far that its longest side has `look` pixels (if it has as many).

    PermanentError: image-too-large when the header states more pixels than `max_pixels` (nothing is decoded then),
    image-unreadable when no decoder can read the file, type-unsupported when this machine has none for its format.
    """
    with _refusing():
        levels, turn = _opened(body, max_pixels)
    levels.image(levels.divisor(look / max(levels.width, levels.height)))
    return DecodedPicture(levels, turn)


def _opened(body: bytes, max_pixels: int) -> tuple[_Levels, Turn]:
    header = jpeg.read_header(body)
    if header is not None:
        _check_size(header.width, header.height, max_pixels)
        reader = jpeg.Reader(body, header)
        return _Levels(header.width, header.height, reader.read), _TURNS[header.orientation]
    if heic.is_heic(body):
        image = heic.decode(body, lambda width, height: _check_size(width, height, max_pixels))
        return _whole(image), Turn()
    return _with_pillow(body, max_pixels)


def _with_pillow(body: bytes, max_pixels: int) -> tuple[_Levels, Turn]:
    with opened(body, _FORMATS) as picture:
        _check_size(*picture.size, max_pixels)
        _check_size(*_tile_size(picture), max_pixels)
        picture.load()  # turns TIFFs by itself
        return _whole(to_rgb(picture)), _TURNS[orientation_of(picture)]


def _whole(image: Image) -> _Levels:
    height, width = image.shape[:2]
    return _Levels(width, height, lambda _: image)


def _tile_size(picture: PIL.Image.Image) -> tuple[int, int]:
    """Width and height of a TIFF's tiles, decoded whole however small the photo is; zeros where there are none."""
    tags = getattr(picture, "tag_v2", {})
    return int(tags.get(_TILE_WIDTH, 0)), int(tags.get(_TILE_LENGTH, 0))


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PermanentError(
            Code.IMAGE_TOO_LARGE, f"the photo has {width} x {height} pixels; a worker decodes at most {max_pixels}"
        )


def _halved(image: Image) -> Image:
    """Mean of each square of four pixels; a last odd row or column is left out: the scale is one half exactly."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    even = image[: height * 2, : width * 2]
    half: Image = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    return half


@contextmanager
def _refusing() -> Iterator[None]:
    """Whatever a decoder says of a hostile file becomes a PermanentError; only a lack of memory stays what it is."""
    try:
        yield
    except (MemoryError, PermanentError):
        raise
    except PIL.Image.DecompressionBombError as error:
        raise PermanentError(Code.IMAGE_TOO_LARGE, "the photo has more pixels than any photo") from error
    # Pillow's plugins raise whatever a broken file leads them to, SyntaxError and struct.error among it.
    except Exception as error:
        raise PermanentError(Code.IMAGE_UNREADABLE, "the file is damaged, cut off or not a picture") from error
