"""An inference pool that answers at once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from face_app.recognition import FaceReading, Reading, Rectangle
from face_common.templates import DIMENSIONS

Read = Callable[[bytes, int], Reading]


class FakeSlot:
    """A slot whose answers a function makes up."""

    def __init__(self, read: Read) -> None:
        self.read = read


class FakePool:
    """A pool of one slot."""

    def __init__(self, read: Read) -> None:
        self._slot = FakeSlot(read)
        self._lock = threading.Lock()

    @contextmanager
    def slot(self) -> Iterator[FakeSlot]:
        with self._lock:
            yield self._slot


def encoding(value: float) -> tuple[float, ...]:
    """An encoding at this distance from encoding(0)."""
    return (value, *(0.0,) * (DIMENSIONS - 1))


def face(value: float = 0.0, side: int = 100) -> FaceReading:
    """A face with this encoding and box."""
    return FaceReading(Rectangle(10, 20, 10 + side, 20 + side), 0.9, ((30, 40),) * 5, 120.0, 0.0, encoding(value))


def reading(*faces: FaceReading) -> Reading:
    """A photo of 640 x 480 with these faces."""
    return Reading(640, 480, 0, faces, decode_ms=1.0, detect_ms=2.0, encode_ms=3.0)
