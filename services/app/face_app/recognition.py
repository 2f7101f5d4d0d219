"""From a photo's bytes to readings of its faces. What an engine must offer; free of any imaging library."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""RGB, upright, shape (height, width, 3)."""


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

    def clipped(self, width: int, height: int) -> "Rectangle":
        """The part inside an image of this size."""
        return Rectangle(max(self.left, 0), max(self.top, 0), min(self.right, width), min(self.bottom, height))


@dataclass(frozen=True, slots=True)
class Detection:
    """Where a detector saw a face, and how sure it was in its own scale."""

    rectangle: Rectangle
    score: float


@dataclass(frozen=True, slots=True)
class Description:
    """What the encoder made of one face: five landmarks in pixels, 128 floats, and the aligned chip's sharpness."""

    landmarks: tuple[tuple[int, int], ...]
    encoding: tuple[float, ...]
    sharpness: float


class Engine(Protocol):
    """Decodes, detects and encodes. One engine serves one thread."""

    model: str
    """Id of the encoding: encodings of different ids are never compared."""
    profile: str
    """Id of the detector's settings."""

    def decode(self, body: bytes) -> Image:
        """The upright photo; PermanentError (image-unreadable) when the bytes are no picture that can be read."""

    def detect(self, image: Image) -> list[Detection]:
        """All faces found, in any order, clipped to the image."""

    def describe(self, image: Image, rectangles: Sequence[Rectangle]) -> list[Description]:
        """One description for each rectangle, in their order."""


@dataclass(frozen=True, slots=True)
class FaceReading:
    """One face as read from the photo."""

    rectangle: Rectangle
    score: float
    landmarks: tuple[tuple[int, int], ...]
    sharpness: float
    encoding: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A photo's faces, largest first, and the milliseconds each stage took."""

    width: int
    height: int
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
        encoding=tuple(fields["encoding"]),
    )


def read_faces(engine: Engine, body: bytes, max_faces: int) -> Reading:
    """Decode a photo and read its `max_faces` largest faces; PermanentError when it cannot be read."""
    began = time.perf_counter()
    image = engine.decode(body)
    decoded = time.perf_counter()
    found = sorted(engine.detect(image), key=lambda detection: -detection.rectangle.area)[:max_faces]
    detected = time.perf_counter()
    described = engine.describe(image, [detection.rectangle for detection in found])
    encoded = time.perf_counter()
    return Reading(
        width=image.shape[1],
        height=image.shape[0],
        faces=tuple(
            FaceReading(
                detection.rectangle,
                detection.score,
                description.landmarks,
                description.sharpness,
                description.encoding,
            )
            for detection, description in zip(found, described, strict=True)
        ),
        decode_ms=milliseconds(began, decoded),
        detect_ms=milliseconds(decoded, detected),
        encode_ms=milliseconds(detected, encoded),
    )


def milliseconds(began: float, ended: float) -> float:
    """Between two readings of one clock in seconds, to a hundredth."""
    return round((ended - began) * 1000, 2)
