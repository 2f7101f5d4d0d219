import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from face_app.matching import distances_to_people, nearest_people
from face_common.templates import DIMENSIONS, GallerySnapshot, Template
from tests.fakes.inference import encoding


def template(person: str, photo: str, values: tuple[float, ...]) -> Template:
    return Template(person, photo, f"{photo}.jpg", f"digest-{photo}", "model", values, 0.0)


@given(people=st.lists(st.sampled_from("abcde"), min_size=1, max_size=12), seed=st.integers(0, 2**32 - 1))
def test_distances_are_those_of_the_nearest_template(people: list[str], seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(len(people), DIMENSIONS)).astype(np.float32)
    probes = random.normal(size=(3, DIMENSIONS)).astype(np.float32)
    templates = [
        template(person, str(index), tuple(row)) for index, (person, row) in enumerate(zip(people, rows, strict=True))
    ]
    gallery = GallerySnapshot.of(1, templates)
    expected = [
        [
            min(np.linalg.norm(probe - row) for owner, row in zip(people, rows, strict=True) if owner == person)
            for person in gallery.people
        ]
        for probe in probes
    ]
    assert_allclose(distances_to_people(gallery, probes), expected, rtol=1e-4)


def test_people_come_nearest_first() -> None:
    gallery = GallerySnapshot.of(1, [template("far", "1", encoding(2)), template("near", "2", encoding(1))])
    (neighbours,) = nearest_people(gallery, np.array([encoding(0)], dtype=np.float32), 5)
    assert [(near.person, near.distance) for near in neighbours] == [("near", 1.0), ("far", 2.0)]


def test_an_empty_gallery_has_no_neighbours() -> None:
    assert nearest_people(GallerySnapshot.of(0, []), np.zeros((2, DIMENSIONS), dtype=np.float32), 3) == [[], []]


def test_a_photo_without_faces_has_no_rows() -> None:
    gallery = GallerySnapshot.of(1, [template("a", "1", encoding(0))])
    assert nearest_people(gallery, np.zeros((0, DIMENSIONS), dtype=np.float32), 3) == []


def test_an_identical_template_is_at_distance_zero_despite_rounding() -> None:
    values = tuple(np.random.default_rng(7).normal(size=DIMENSIONS).astype(np.float32) * 10)
    gallery = GallerySnapshot.of(1, [template("a", "1", values)])
    assert_allclose(distances_to_people(gallery, np.array([values], dtype=np.float32)), [[0.0]], atol=0.05)


def test_a_photo_written_twice_counts_once() -> None:
    gallery = GallerySnapshot.of(1, [template("a", "1", encoding(0)), template("a", "1", encoding(0))])
    assert gallery.encodings.shape == (1, DIMENSIONS)
    assert gallery.photo_with("a", "digest-1") == "1"
    assert gallery.photo_with("b", "digest-1") is None
