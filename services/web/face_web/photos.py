"""Checks a photo without decoding it."""

import io
from dataclasses import dataclass

import PIL.Image

from face_common.contract import Code, is_image_name
from face_common.errors import ServiceError
from face_web import heic

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_HEAD_BYTES = 2**20  # cameras put less than a tenth of this before the size
_CONTENT_TYPES = {name: f"image/{name.lower()}" for name in (*_FORMATS, "HEIC")} | {"MPO": "image/jpeg"}
"""MPO is Pillow's name for a JPEG that has another one behind it, as phones write for depth and stereo."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that may be sent to a worker; width and height in pixels, as the header states them."""

    name: str
    body: bytes
    content_type: str
    width: int
    height: int


def check_photo(name: str, body: bytes, max_pixels: int) -> Photo:
    """Check name, type (by content, never by the name or the stated type) and pixel count.

    ServiceError with name-invalid, image-empty, type-unsupported or image-too-large.
    """
    if not is_image_name(name):
        raise ServiceError(
            Code.NAME_INVALID,
            "a photo's file name has 1 to 255 bytes, none of / \\ : \" < > | * ? or control characters, and no '..'",
        )
    if not body:
        raise ServiceError(Code.IMAGE_EMPTY, f"{name} is empty")
    kind, width, height = _header(name, body)
    if width * height > max_pixels:
        raise ServiceError(
            Code.IMAGE_TOO_LARGE, f"{name} has {width} x {height} pixels; at most {max_pixels} pixels are accepted"
        )
    return Photo(name, body, _CONTENT_TYPES[kind], width, height)


def content_type(body: bytes) -> str:
    """A photo's media type, by its first bytes; application/octet-stream for what is none."""
    try:
        return _CONTENT_TYPES[_header("the file", body)[0]]
    except ServiceError:
        return "application/octet-stream"


def _head(body: bytes) -> bytes:
    """As much of the file as its header may take.

    The chunks before a JPEG's or a PNG's size cost Pillow far more memory than they have bytes. Other formats may keep
    their header at the end.
    """
    return body[:_HEAD_BYTES] if body.startswith((b"\xff\xd8", b"\x89PNG")) else body


def _header(name: str, body: bytes) -> tuple[str, int, int]:
    """Format, width and height from the file's first bytes. Pillow's open() reads headers and decodes nothing."""
    try:
        if heic.is_heic(body):
            return "HEIC", *heic.stored_size(body)
        with PIL.Image.open(io.BytesIO(_head(body)), formats=_FORMATS) as picture:
            return picture.format or "", picture.width, picture.height
    except PIL.Image.DecompressionBombError as error:
        raise ServiceError(Code.IMAGE_TOO_LARGE, f"{name} has more pixels than any photo") from error
    # Pillow's plugins raise whatever a broken header leads them to, SyntaxError and struct.error among it.
    except Exception as error:
        raise ServiceError(
            Code.TYPE_UNSUPPORTED, f"{name} is not a readable {', '.join(_FORMATS)} or HEIC file"
        ) from error
