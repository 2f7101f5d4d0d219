"""The fast engine is held to face_recognition itself, on every sample photo."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from face_app.engine import load_engine
from face_app.recognition import Engine, PhotoRequest, Reading, read_photo
from face_common.errors import PermanentError

PORTRAITS = (
    "obama.jpg",
    "obama2.jpg",
    "obama3.jpg",
    "obama_partial_face.jpg",
    "obama_partial_face2.jpg",
    "biden.jpg",
    "astronaut.png",
)


@pytest.fixture(scope="module")
def reference(model_cache: Path) -> Engine:
    return load_engine("reference", "exact", model_cache)


@pytest.fixture(scope="module")
def exact(model_cache: Path) -> Engine:
    return load_engine("fast", "exact", model_cache)


@pytest.fixture(scope="module")
def balanced(model_cache: Path) -> Engine:
    return load_engine("fast", "balanced", model_cache)


def read(engine: Engine, body: bytes, max_faces: int) -> Reading:
    return read_photo(engine, PhotoRequest(body, max_faces))


def assert_same_encodings(reference: Engine, fast: Engine, photo: Path) -> int:
    """Detect with the reference, encode the same boxes with both; how many faces there were."""
    picture = reference.decode(photo.read_bytes())
    found = reference.detect(picture)
    if found:
        ours, theirs = (engine.encode(engine.cut(picture, found, careful=False)) for engine in (fast, reference))
        assert ours.shape == theirs.shape == (len(found), 128)
        assert np.abs(ours - theirs).max() <= 1e-5
    return len(found)


@pytest.mark.parametrize("name", PORTRAITS)
def test_encodings_equal_the_reference_at_equal_boxes(
    samples: Path, reference: Engine, exact: Engine, name: str
) -> None:
    assert assert_same_encodings(reference, exact, samples / name) >= 1


def test_encodings_equal_the_reference_for_a_face_larger_than_its_chips_need(
    samples: Path, tmp_path: Path, reference: Engine, exact: Engine
) -> None:
    face = PIL.Image.open(samples / "obama.jpg").crop((200, 150, 700, 750)).resize((1250, 1500))
    face.save(tmp_path / "large.png")
    assert_same_encodings(reference, exact, tmp_path / "large.png")
    (found,) = reference.detect(reference.decode((tmp_path / "large.png").read_bytes()))
    assert found.rectangle.side > 600


def test_encodings_equal_the_reference_on_groups(face_data: Path, reference: Engine, exact: Engine) -> None:
    photos = sorted((face_data / "groups").glob("bbt*.jpg")) + sorted((face_data / "knn_examples/test").glob("*.jpg"))
    assert sum(assert_same_encodings(reference, exact, photo) for photo in photos) >= 25


@pytest.mark.parametrize("name", PORTRAITS)
def test_the_exact_profile_finds_the_reference_s_boxes(
    samples: Path, reference: Engine, exact: Engine, name: str
) -> None:
    image = exact.decode((samples / name).read_bytes())
    assert [found.rectangle for found in exact.detect(image)] == [found.rectangle for found in reference.detect(image)]


@pytest.mark.parametrize("name", PORTRAITS)
def test_the_balanced_profile_finds_the_same_faces(samples: Path, exact: Engine, balanced: Engine, name: str) -> None:
    body = (samples / name).read_bytes()
    (one,), (other,) = read(exact, body, 1).faces, read(balanced, body, 1).faces
    distance = float(np.linalg.norm(np.array(one.encoding) - np.array(other.encoding)))
    assert distance < 0.3, "the same face cut out by another detector must stay near"


def test_strangers_are_farther_apart_than_one_person_s_photos(samples: Path, balanced: Engine) -> None:
    one, same, other = (
        np.array(read(balanced, (samples / name).read_bytes(), 1).faces[0].encoding)
        for name in ("obama.jpg", "obama2.jpg", "astronaut.png")
    )
    assert np.linalg.norm(one - same) < 0.5
    assert np.linalg.norm(one - other) > 0.7


def test_a_photo_without_people_has_no_faces(samples: Path, exact: Engine, balanced: Engine) -> None:
    body = (samples / "chelsea.png").read_bytes()
    assert read(exact, body, 10).faces == read(balanced, body, 10).faces == ()


def test_the_most_prominent_faces_come_first_and_no_more_than_asked(face_data: Path, balanced: Engine) -> None:
    body = (face_data / "groups" / "bbt3.jpg").read_bytes()
    reading = read(balanced, body, 100)
    order = [face.rectangle.prominence(reading.width, reading.height) for face in reading.faces]
    assert len(order) == 5
    assert order == sorted(order, reverse=True)
    assert [face.rectangle for face in read(balanced, body, 2).faces] == [face.rectangle for face in reading.faces[:2]]


def test_a_large_crowd_is_encoded_in_batches_with_the_same_result(samples: Path, exact: Engine) -> None:
    image = exact.decode((samples / "astronaut.png").read_bytes())
    face = exact.detect(image)[0]
    many = exact.encode(exact.cut(image, [face] * 40, careful=False))
    assert len(many) == 40
    assert np.ptp(many, axis=0).max() <= 1e-5


def test_bytes_that_are_no_picture_are_refused(exact: Engine, reference: Engine) -> None:
    for engine in (exact, reference):
        with pytest.raises(PermanentError, match="image-unreadable"):
            engine.decode(b"no picture")


@pytest.mark.parametrize(("name", "profile"), [("reference", "balanced"), ("fast", "none"), ("other", "exact")])
def test_engines_that_do_not_exist(tmp_path: Path, name: str, profile: str) -> None:
    with pytest.raises(ValueError, match="no engine"):
        load_engine(name, profile, tmp_path)
