"""Which way up a photo is read, in which order its faces come, and what a fault in one photo means for the others."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_app.recognition import (
    Crop,
    Detection,
    Encodings,
    Image,
    PhotoRequest,
    Reading,
    Rectangle,
    read_photo,
    read_photos,
)
from face_common.contract import Code
from face_common.errors import PermanentError


class FakePicture:
    """A photo of 100 x 50 that knows how often it was turned."""

    def __init__(self, body: bytes, quarters: int = 0) -> None:
        self.body = body
        self.quarters = quarters
        self.width, self.height = (100, 50) if quarters % 2 == 0 else (50, 100)

    def at(self, scale: float) -> tuple[Image, float]:
        raise AssertionError("nobody looks at a fake picture")

    def turned(self, quarters: int) -> "FakePicture":
        return FakePicture(self.body, (self.quarters + quarters) % 4)


class FakeEngine:
    """Sees faces of one score for each way that the photo may be turned; a body is its encoding's first number."""

    model = "model"
    profile = "profile"
    upright_score = 0.9

    def __init__(self, *scores: float | None, faces: int = 1) -> None:
        self.scores = scores or (0.95,)
        self.faces = faces
        self.looks: list[tuple[int, bool]] = []
        self.batches: list[int] = []

    def decode(self, body: bytes) -> FakePicture:
        if body == b"broken":
            raise PermanentError(Code.IMAGE_UNREADABLE, "it is broken")
        return FakePicture(body)

    def detect(self, picture: FakePicture, *, glance: bool = False) -> list[Detection]:
        self.looks.append((picture.quarters, glance))
        score = self.scores[picture.quarters] if picture.quarters < len(self.scores) else None
        return [] if score is None else [Detection(Rectangle(0, 0, 10 + n, 10), score) for n in range(self.faces)]

    def cut(self, picture: FakePicture, detections: Sequence[Detection], *, careful: bool) -> list[Crop]:
        return [Crop(((0, 0),) * 5, 50.0, 0.0, float(picture.body)) for _ in detections]

    def encode(self, crops: Sequence[Crop]) -> Encodings:
        self.batches.append(len(crops))
        return np.array([[crop.material] * 128 for crop in crops], dtype=np.float32)


def read(engine: FakeEngine, *bodies: bytes, encode: bool = True) -> list[Reading | Exception]:
    return read_photos(engine, [PhotoRequest(body, 10, encode=encode) for body in bodies])  # type: ignore[arg-type]


def one(engine: FakeEngine) -> Reading:
    return read_photo(engine, PhotoRequest(b"1", 10))  # type: ignore[arg-type]


def test_a_sure_face_needs_no_other_look() -> None:
    engine = FakeEngine(0.9, 0.99)
    assert (one(engine).turned, engine.looks) == (0, [(0, False)])


@pytest.mark.parametrize(
    ("scores", "turned"),
    [
        ((None, 0.8, 0.95, 0.7), 180),  # it lies on its head, and is seen on its side too, less well
        ((0.8, None, None, 0.93), 270),
        ((0.8, 0.82, None, None), 0),  # hardly better
        ((None, None, None, None), 0),
        ((0.85, None, None, None), 0),
    ],
)
def test_a_photo_is_turned_the_way_its_face_is_seen_best(scores: tuple[float | None, ...], turned: int) -> None:
    engine = FakeEngine(*scores)
    reading = one(engine)
    assert reading.turned == turned
    assert (reading.width, reading.height) == ((100, 50) if turned % 180 == 0 else (50, 100))
    assert [look for look in engine.looks if look[1]] == [(1, True), (2, True), (3, True)]


def test_the_faces_of_several_photos_are_encoded_together_and_go_back_to_their_photos() -> None:
    engine = FakeEngine(faces=2)
    readings = read(engine, b"1", b"2", b"3")
    assert engine.batches == [6]
    assert [[face.encoding[0] for face in r.faces] for r in readings if isinstance(r, Reading)] == [
        [1, 1],
        [2, 2],
        [3, 3],
    ]


def test_a_broken_photo_fails_alone() -> None:
    first, second, third = read(FakeEngine(), b"1", b"broken", b"3")
    assert isinstance(second, PermanentError)
    assert isinstance(first, Reading)
    assert isinstance(third, Reading)
    assert third.faces[0].encoding[0] == 3
    with pytest.raises(PermanentError, match="image-unreadable"):
        read_photo(FakeEngine(), PhotoRequest(b"broken", 1))  # type: ignore[arg-type]


def test_places_alone_cost_no_encoding() -> None:
    engine = FakeEngine(faces=3)
    (reading,) = read(engine, b"1", encode=False)
    assert isinstance(reading, Reading)
    assert [face.encoding for face in reading.faces] == [(), (), ()]
    assert engine.batches == []


def test_a_reading_survives_its_way_through_json() -> None:
    reading = one(FakeEngine(faces=2))
    assert Reading.from_fields(reading.to_fields()) == reading


@given(st.integers(0, 90), st.integers(0, 40), st.integers(1, 50))
def test_prominence_is_part_of_the_area(left: int, top: int, side: int) -> None:
    face = Rectangle(left, top, left + side, top + side).clipped(100, 50)
    assert 0 <= face.prominence(100, 50) <= face.area


def test_of_two_equal_faces_the_middle_one_is_more_prominent() -> None:
    middle, edge = Rectangle(45, 20, 55, 30), Rectangle(90, 20, 100, 30)
    assert middle.prominence(100, 50) == pytest.approx(middle.area)
    assert edge.prominence(100, 50) < 0.5 * edge.area
    assert not math.isnan(Rectangle(0, 0, 0, 0).prominence(100, 50))
