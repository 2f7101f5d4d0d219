"""From photos' bytes to readings of their faces. What an engine must offer; free of any imaging library."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""RGB, upright, shape (height, width, 3)."""
Encodings = NDArray[np.float32]
"""Shape (faces, 128)."""
Point = tuple[float, float]
"""x and y in the photo's pixels."""

_LEAD = 0.03  # by how much a face must score better in a turned photo


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A face's place in pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """In square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    @property
    def side(self) -> int:
        """The shorter one."""
        return min(self.right - self.left, self.bottom - self.top)

    def clipped(self, width: int, height: int) -> "Rectangle":
        """The part inside an image of this size."""
        return Rectangle(max(self.left, 0), max(self.top, 0), min(self.right, width), min(self.bottom, height))

    def prominence(self, width: int, height: int) -> float:
        """Area, falling to nothing towards the photo's corners: the subject of a photo is large and near its middle."""
        x, y = (self.left + self.right) / width - 1, (self.top + self.bottom) / height - 1
        return self.area * (1 - math.hypot(x, y) / math.sqrt(2))


@dataclass(frozen=True, slots=True)
class Detection:
    """Where a detector saw a face, and how sure it was in its own scale."""

    rectangle: Rectangle
    """As dlib's own detector would have drawn it; in the photo's pixels and inside the photo."""
    score: float
    points: tuple[Point, ...] = ()
    """Eyes, nose tip and corners of the mouth, where the detector tells them."""


@dataclass(frozen=True, slots=True)
class Crop:
    """One face, cut out and ready for the encoder."""

    landmarks: tuple[tuple[int, int], ...]
    """dlib's five: outer and inner corner of either eye, base of the nose."""
    sharpness: float
    yaw: float
    material: Any
    """What the engine's `encode` wants; nobody else looks inside."""


class Picture(Protocol):
    """A photo, decoded only as far as somebody looks at it."""

    width: int
    height: int
    """Of the upright photo at its full size."""

    def at(self, scale: float) -> tuple[Image, float]:
        """The photo at this scale (1 is full size) or a finer one, and the scale it really has."""

    def turned(self, quarters: int) -> "Picture":
        """The photo turned clockwise by so many quarters."""


class Engine(Protocol):
    """Decodes, detects and encodes. One engine serves one thread."""

    model: str
    """Id of the encoding: encodings of different ids are never compared."""
    profile: str
    """Id of the detector's settings."""

    def decode(self, body: bytes) -> Picture:
        """The upright photo; PermanentError (image-unreadable) when the bytes are no picture that can be read."""

    upright_score: float
    """A face that scores this much stands upright; one that does not is seen as well, but less surely."""

    def detect(self, picture: Picture, *, glance: bool = False) -> list[Detection]:
        """All faces found, in any order, clipped to the photo; for a `glance` the cheapest look is enough."""

    def cut(self, picture: Picture, detections: Sequence[Detection], *, careful: bool) -> list[Crop]:
        """One crop for each detection, in their order; `careful` for a better encoding at a higher price."""

    def encode(self, crops: Sequence[Crop]) -> Encodings:
        """One encoding for each crop, in their order; the crops of several photos together cost less."""


@dataclass(frozen=True, slots=True)
class PhotoRequest:
    """A photo to read."""

    body: bytes = field(repr=False)
    max_faces: int
    careful: bool = False
    """For photos that many others will be compared with: encoded at a higher price."""
    encode: bool = True
    """False when only places are asked for: encodings are then empty."""


@dataclass(frozen=True, slots=True)
class FaceReading:
    """One face as read from the photo."""

    rectangle: Rectangle
    score: float
    landmarks: tuple[tuple[int, int], ...]
    sharpness: float
    """Variance of the Laplacian over the aligned 150x150 grey chip: near 0 when blurred."""
    yaw: float
    """How far the face looks aside: 0 is straight ahead, about 1 (or -1) a profile to the photo's right (or left)."""
    encoding: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A photo's faces, the most prominent first, and the milliseconds each stage took."""

    width: int
    height: int
    turned: int
    """Degrees, clockwise, by which the photo had to be turned for its faces to be found; the rest is in that frame."""
    faces: tuple[FaceReading, ...]
    decode_ms: float
    detect_ms: float
    encode_ms: float

    def to_fields(self) -> dict[str, Any]:
        """As JSON holds it: a child answers in JSON, not pickle, since it has handled hostile bytes."""
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Reading":
        """The inverse of to_fields."""
        faces = tuple(_face_from_fields(face) for face in fields["faces"])
        return cls(**{**fields, "faces": faces})


def _face_from_fields(fields: dict[str, Any]) -> FaceReading:
    return FaceReading(
        rectangle=Rectangle(**fields["rectangle"]),
        score=fields["score"],
        landmarks=tuple((x, y) for x, y in fields["landmarks"]),
        sharpness=fields["sharpness"],
        yaw=fields["yaw"],
        encoding=tuple(fields["encoding"]),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """A photo whose faces are cut out and not yet encoded."""

    picture: Picture
    turned: int
    found: Sequence[Detection]
    crops: Sequence[Crop]
    decode_ms: float
    detect_ms: float
    cut_ms: float


def read_photos(engine: Engine, requests: Sequence[PhotoRequest]) -> list[Reading | Exception]:
    """Read photos, with the faces of all of them encoded together; for each its reading or what went wrong with it."""
    seen = [_attempt(engine, request) for request in requests]
    wanted = [
        photo.crops if isinstance(photo, _Seen) and request.encode else ()
        for request, photo in zip(requests, seen, strict=True)
    ]
    crops = [crop for crops in wanted for crop in crops]
    began = time.perf_counter()
    encodings = iter(engine.encode(crops).tolist() if crops else [])
    each_ms = milliseconds(began, time.perf_counter()) / max(len(crops), 1)
    return [
        photo if isinstance(photo, Exception) else _reading(photo, [next(encodings) for _ in crops], each_ms)
        for photo, crops in zip(seen, wanted, strict=True)
    ]


def _attempt(engine: Engine, request: PhotoRequest) -> _Seen | Exception:
    try:
        return _see(engine, request)
    except Exception as error:
        return error


def _see(engine: Engine, request: PhotoRequest) -> _Seen:
    began = time.perf_counter()
    picture = engine.decode(request.body)
    decoded = time.perf_counter()
    upright, turned, found = _detect(engine, picture)
    most = sorted(found, key=lambda one: -one.rectangle.prominence(upright.width, upright.height))[: request.max_faces]
    detected = time.perf_counter()
    crops = engine.cut(upright, most, careful=request.careful)
    cut = time.perf_counter()
    times = (milliseconds(began, decoded), milliseconds(decoded, detected), milliseconds(detected, cut))
    return _Seen(upright, turned, most, crops, *times)


def _detect(engine: Engine, picture: Picture) -> tuple[Picture, int, list[Detection]]:
    """The faces, in the photo turned by quarters if they are seen better so; and by how many degrees it was turned."""
    found = engine.detect(picture)
    best = _best_score(found)
    if best >= engine.upright_score:
        return picture, 0, found
    scores = {quarters: _best_score(engine.detect(picture.turned(quarters), glance=True)) for quarters in (1, 2, 3)}
    quarters = max(scores, key=lambda quarters: scores[quarters])
    if scores[quarters] < best + _LEAD or scores[quarters] == -math.inf:
        return picture, 0, found
    turned = picture.turned(quarters)
    return turned, quarters * 90, engine.detect(turned)


def _best_score(found: Sequence[Detection]) -> float:
    return max((detection.score for detection in found), default=-math.inf)


def _reading(photo: _Seen, encodings: Sequence[Sequence[float]], each_ms: float) -> Reading:
    encode_ms = photo.cut_ms + each_ms * len(encodings)
    if not encodings:  # places alone were asked for
        encodings = [()] * len(photo.crops)
    faces = tuple(
        FaceReading(
            rectangle=detection.rectangle,
            score=detection.score,
            landmarks=crop.landmarks,
            sharpness=crop.sharpness,
            yaw=crop.yaw,
            encoding=tuple(encoding),
        )
        for detection, crop, encoding in zip(photo.found, photo.crops, encodings, strict=True)
    )
    return Reading(
        width=photo.picture.width,
        height=photo.picture.height,
        turned=photo.turned,
        faces=faces,
        decode_ms=photo.decode_ms,
        detect_ms=photo.detect_ms,
        encode_ms=round(encode_ms, 2),
    )


def read_photo(engine: Engine, request: PhotoRequest) -> Reading:
    """Read one photo; PermanentError when it cannot be read."""
    (reading,) = read_photos(engine, [request])
    if isinstance(reading, Exception):
        raise reading
    return reading


def milliseconds(began: float, ended: float) -> float:
    """Between two readings of one clock in seconds, to a hundredth."""
    return round((ended - began) * 1000, 2)
