"""An inference pool that answers at once."""

import math
import threading
from collections.abc import Callable, Sequence

from face_app.handlers import ReleasedError
from face_app.recognition import FaceReading, PhotoRequest, Reading, Rectangle
from face_common.templates import DIMENSIONS

Read = Callable[[bytes, int], Reading]


class FakePool:
    """A pool of one slot, whose answers a function makes up."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._lock = threading.Lock()

    def read(self, request: PhotoRequest, draining: threading.Event) -> Reading:
        with self._lock:
            if draining.is_set():
                raise ReleasedError
            return self._read(request.body, request.max_faces)

    def read_all(self, requests: Sequence[PhotoRequest], draining: threading.Event) -> list[Reading]:
        return [self.read(request, draining) for request in requests]


def encoding(value: float) -> tuple[float, ...]:
    """An encoding of unit length at this distance (0 to 2) from encoding(0)."""
    angle = 2 * math.asin(value / 2)
    return (math.cos(angle), math.sin(angle), *(0.0,) * (DIMENSIONS - 2))


def face(value: float = 0.0, side: int = 100) -> FaceReading:
    """A face with this encoding and box."""
    return FaceReading(Rectangle(10, 20, 10 + side, 20 + side), 0.9, ((30, 40),) * 5, 120.0, 0.0, encoding(value))


def reading(*faces: FaceReading) -> Reading:
    """A photo of 640 x 480 with these faces."""
    return Reading(640, 480, 0, faces, decode_ms=1.0, detect_ms=2.0, encode_ms=3.0)
