"""Groups of unknown faces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_common.clusters import THRESHOLD, clustered
from face_common.templates import DIMENSIONS, Encodings
from tests.fakes.inference import encoding


def faces(*values: float) -> Encodings:
    """Encodings whose directions lie on a circle, at these distances from the first of them."""
    return np.array([encoding(value) for value in values], dtype=np.float32).reshape(-1, DIMENSIONS)


def people(sizes: list[int], seed: int) -> tuple[Encodings, list[list[int]]]:
    """So many faces each of people whose directions are random, in random order; and who belongs together."""
    random = np.random.default_rng(seed)
    owners = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = random.normal(size=(len(sizes), DIMENSIONS))
    rows = centres[owners] + 0.1 * random.normal(size=(len(owners), DIMENSIONS))
    groups = [np.flatnonzero(owners == owner).tolist() for owner in range(len(sizes))]
    return rows.astype(np.float32), sorted((group for group in groups if group), key=lambda group: (-len(group), group))


@given(sizes=st.lists(st.integers(1, 6), max_size=8), seed=st.integers(0, 2**32 - 1))
def test_faces_of_one_person_come_together_in_whatever_order(sizes: list[int], seed: int) -> None:
    rows, expected = people(sizes, seed)
    assert clustered(rows) == expected


def test_a_face_between_two_people_does_not_make_them_one() -> None:
    chain = faces(*(step * 0.25 for step in range(7)))
    assert max(np.linalg.norm(np.diff(chain, axis=0), axis=1)) < THRESHOLD, "any link would join them all"
    assert max(len(group) for group in clustered(chain)) <= 3


@pytest.mark.parametrize(("threshold", "groups"), [(0.1, [[0], [1], [2]]), (0.25, [[0, 1], [2]]), (1.5, [[0, 1, 2]])])
def test_the_threshold_is_the_callers(threshold: float, groups: list[list[int]]) -> None:
    assert clustered(faces(0, 0.2, 1.0), threshold) == groups


def test_length_does_not_count_and_what_has_no_direction_is_alone() -> None:
    rows = np.concatenate([faces(0), 3 * faces(0), np.zeros((2, DIMENSIONS), np.float32)])
    assert clustered(rows) == [[0, 1], [2], [3]]


def test_nobody_makes_no_group() -> None:
    assert clustered(faces()) == []
