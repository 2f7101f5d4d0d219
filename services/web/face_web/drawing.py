"""Photos with what was seen in them drawn on."""

import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import PIL.Image
import PIL.ImageDraw
import PIL.ImageOps

from face_common.contract import Code, Face, Result
from face_common.errors import ServiceError

_LONGEST_SIDE = 1600
_CROP_SIDE = 320
_MARGIN = 0.3  # of the box, around a face that is cut out
_LIKELY = (0.5, 0.25)
"""Where a face most likely is, if nobody knows: of a tall photo, rather above the middle."""
_QUALITY = 85
_COLOURS: Final = {"match": "#1b8a3e", "ambiguous": "#b26a00", "unknown": "#5b6472"}
_TURNS: Final = {
    90: PIL.Image.Transpose.ROTATE_270,  # Pillow turns against the clock
    180: PIL.Image.Transpose.ROTATE_180,
    270: PIL.Image.Transpose.ROTATE_90,
}
_places = threading.Semaphore(2)  # a decoded photo may take 150 MB
_PATIENCE = 10.0


@contextmanager
def place() -> Iterator[None]:
    """A place to draw in, which there are few of; to be had before the photo is loaded. ServiceError (server-busy)."""
    if not _places.acquire(timeout=_PATIENCE):
        raise ServiceError(Code.SERVER_BUSY, "too many photos are being drawn at the same time; try again")
    try:
        yield
    finally:
        _places.release()


def drawn(body: bytes, result: Result, *, boxes: bool = True) -> bytes:
    """The photo as JPEG, upright, at most 1600 pixels long, with a box and a name for each face unless told otherwise.

    ServiceError (type-unsupported) when it cannot be shown here, as is so with HEIC.
    """
    picture = _upright(body, result)
    scale = min(1.0, _LONGEST_SIDE / max(picture.size))
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    for face in result.get("faces", []) if boxes else ():
        _mark(PIL.ImageDraw.Draw(picture), face, scale)
    return _jpeg(picture)


def cut_out(body: bytes, result: Result, face: Face) -> bytes:
    """One face of the photo as JPEG, with a margin. ServiceError as of `drawn`."""
    picture = _upright(body, result)
    left, top, right, bottom = _corners(face, 1.0)
    across, down = (right - left) * _MARGIN, (bottom - top) * _MARGIN
    box = (max(0, left - across), max(0, top - down), right + across, bottom + down)
    crop = picture.crop(tuple(map(round, box)))  # type: ignore[arg-type]  # four of them
    crop.thumbnail((_CROP_SIDE, _CROP_SIDE))
    return _jpeg(crop)


def portrait(body: bytes, result: Result | None, side: int) -> bytes:
    """The main face of a photo as a square JPEG of `side` pixels; where no result tells it, as much of the photo.

    ServiceError as of `drawn`.
    """
    box = result["faces"][0]["box"] if result is not None and result.get("faces") else None
    reduction = box["width"] / side if box else 1.0  # a large photo need not be decoded whole
    picture = _upright(body, result, reduction)
    if box is None or result is None:
        return _jpeg(PIL.ImageOps.fit(picture, (side, side), centering=_LIKELY))
    scale = picture.width / result["image"]["width"]
    left, top, right, bottom = (corner * scale for corner in _corners(result["faces"][0], 1.0))
    reach = min(max(right - left, bottom - top) * (0.5 + _MARGIN), min(picture.size) / 2)
    across = min(max((left + right) / 2, reach), picture.width - reach)
    down = min(max((top + bottom) / 2, reach), picture.height - reach)
    around = (across - reach, down - reach, across + reach, down + reach)
    return _jpeg(picture.resize((side, side), PIL.Image.Resampling.LANCZOS, box=around))


def _upright(body: bytes, result: Result | None, reduction: float = 1.0) -> PIL.Image.Image:
    """The photo in the frame that its boxes are in, or smaller than that, where it is a JPEG, up to this many times."""
    try:
        file = PIL.Image.open(io.BytesIO(body))
        file.draft(None, (int(file.width / reduction), int(file.height / reduction)))
        picture = PIL.ImageOps.exif_transpose(file).convert("RGB")
    except Exception as error:  # Pillow raises whatever a damaged file leads it to
        raise ServiceError(Code.TYPE_UNSUPPORTED, "this photo cannot be shown, although it was read") from error
    turned = result["image"].get("turned", 0) if result else 0
    return picture.transpose(_TURNS[turned]) if turned in _TURNS else picture


def _mark(draw: PIL.ImageDraw.ImageDraw, face: Face, scale: float) -> None:
    corners = _corners(face, scale)
    decision = face.get("decision", "unknown")
    colour, name = _COLOURS[decision], face.get("person") or decision
    draw.rectangle(corners, outline=colour, width=max(2, round((corners[2] - corners[0]) / 40)))
    size = max(12.0, (corners[2] - corners[0]) / 7)
    place = (corners[0], corners[3])
    label: Sequence[float] = draw.textbbox(place, name, font_size=size)
    draw.rectangle((label[0], label[1], label[2] + 6, label[3] + 4), fill=colour)
    draw.text((place[0] + 3, place[1]), name, fill="white", font_size=size)


def _corners(face: Face, scale: float) -> tuple[float, float, float, float]:
    box = face["box"]
    left, top = box["left"] * scale, box["top"] * scale
    return left, top, left + box["width"] * scale, top + box["height"] * scale


def _jpeg(picture: PIL.Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
