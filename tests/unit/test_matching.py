"""Distances and neighbours, against the same computed slowly."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from face_app.matching import (
    GalleryIndex,
    distances_to_people,
    impostor_distances,
    nearest_distractors,
    nearest_people,
    own_distances,
)
from face_app.metric import Metric
from face_common.contract import distractor
from face_common.templates import DIMENSIONS, Encodings, GallerySnapshot, Template
from tests.fakes.inference import encoding
from tests.unit.test_contract import ULID

Whose = dict[str, list[Encodings]]
SEEDS = st.integers(0, 2**32 - 1)
PEOPLE = st.lists(st.sampled_from(["Ada", "Bob", "Cem", "Zoë", "Ж", "🙂"]), min_size=1, max_size=12)


def digest(photo: str) -> str:
    return hashlib.sha256(photo.encode()).hexdigest()


def template(person: str, photo: str, values: tuple[float, ...]) -> Template:
    return Template(person, photo, f"{photo}.jpg", digest(photo), "model", values, 0.0)


def plain(*templates: Template) -> GalleryIndex:
    return GalleryIndex.of(GallerySnapshot.of(1, templates), Metric.plain())


def probes_of(*rows: tuple[float, ...]) -> Encodings:
    return np.array(rows, dtype=np.float32)


def drawn(people: list[str], seed: int) -> tuple[GalleryIndex, Whose, Encodings, Encodings]:
    """A random gallery of these people's templates under a random metric W; whose encodings are whose; W; probes."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(len(people), DIMENSIONS)).astype(np.float32)
    whitening = random.normal(size=(DIMENSIONS, DIMENSIONS)).astype(np.float32)
    templates = [
        template(person, str(number), tuple(row.tolist()))
        for number, (person, row) in enumerate(zip(people, rows, strict=True))
    ]
    whose: Whose = {}
    for person, row in zip(people, rows, strict=True):
        whose.setdefault(person, []).append(row)
    probes = random.normal(size=(3, DIMENSIONS)).astype(np.float32) + rows[:1]
    index = GalleryIndex.of(GallerySnapshot.of(1, templates), Metric.whitened("random", whitening))
    return index, whose, whitening, probes


def naive(whitening: Encodings, probe: Encodings, rows: list[Encodings]) -> float:
    """The distance as the metric defines it, in double precision."""
    wide = whitening.astype(np.float64)
    near = wide @ (probe / np.linalg.norm(probe))
    mean = wide @ np.mean([row / np.linalg.norm(row) for row in rows], axis=0)
    return float(np.linalg.norm(near / np.linalg.norm(near) - mean / np.linalg.norm(mean)))


@settings(deadline=None)
@given(people=PEOPLE, seed=SEEDS)
def test_distances_are_those_to_each_persons_mean(people: list[str], seed: int) -> None:
    index, whose, whitening, probes = drawn(people, seed)
    expected = [[naive(whitening, probe, whose[person]) for person in index.people] for probe in probes]
    assert sorted(index.people) == sorted(set(people))
    assert_allclose(distances_to_people(index, probes), expected, atol=1e-3)


@settings(deadline=None)
@given(people=PEOPLE, seed=SEEDS, count=st.integers(1, 8))
def test_neighbours_are_the_nearest_with_both_distances(people: list[str], seed: int, count: int) -> None:
    index, whose, whitening, probes = drawn(people, seed)
    for probe, near in zip(probes, nearest_people(index, probes, count), strict=True):
        expected = sorted((naive(whitening, probe, rows), person) for person, rows in whose.items())[:count]
        assert [entry.person for entry in near] == [person for _, person in expected]
        assert_allclose([entry.distance for entry in near], [distance for distance, _ in expected], atol=1e-4)
        raw = [min(np.linalg.norm(row - probe) for row in whose[entry.person]) for entry in near]
        assert_allclose([entry.l2_distance for entry in near], raw, rtol=1e-5)


@settings(deadline=None)
@given(people=PEOPLE, seed=SEEDS)
def test_an_impostors_distance_is_that_to_the_nearest_other_person(people: list[str], seed: int) -> None:
    index, whose, whitening, _ = drawn(people, seed)
    expected = [
        min(naive(whitening, row, others) for other, others in whose.items() if other != person)
        for person, rows in whose.items()
        for row in rows
        if len(whose) > 1
    ]
    assert_allclose(sorted(impostor_distances(index, 100, seed=1)), sorted(expected), atol=1e-3)


@settings(deadline=None)
@given(people=PEOPLE, seed=SEEDS)
def test_own_distances_are_those_to_one_person(people: list[str], seed: int) -> None:
    index, whose, whitening, probes = drawn(people, seed)
    for person, rows in whose.items():
        expected = [naive(whitening, probe, rows) for probe in probes]
        distances = own_distances(index, probes, person)
        assert distances is not None
        assert_allclose(distances, expected, atol=1e-4)
    assert own_distances(index, probes, "nobody") is None


def test_impostors_are_drawn_by_the_seed_and_no_more_than_asked_for() -> None:
    index, *_ = drawn([f"person-{number % 40}" for number in range(100)], seed=3)
    once, again, other = (impostor_distances(index, 20, seed).tolist() for seed in (1, 1, 2))
    assert len(once) == 20
    assert once == again != other


def test_people_come_nearest_first() -> None:
    index = plain(template("far", "1", encoding(1.5)), template("near", "2", encoding(1)))
    (neighbours,) = nearest_people(index, probes_of(encoding(0)), 5)
    assert [(near.person, near.distance) for near in neighbours] == [("near", 1.0), ("far", 1.5)]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_people_who_are_equally_near_come_by_name(count: int) -> None:
    values = tuple(np.random.default_rng(1).normal(size=DIMENSIONS).tolist())
    index = plain(*(template(person, person, values) for person in "ecadb"), template("far", "far", encoding(0)))
    (neighbours,) = nearest_people(index, probes_of(tuple(-value for value in encoding(0.3))), count)
    (like,) = nearest_people(index, probes_of(values), count)
    assert [near.person for near in like] == list("abcde")[:count]
    assert [near.person for near in neighbours] == list("abcde")[:count]


def test_an_empty_gallery_has_no_neighbours() -> None:
    probes = np.zeros((2, DIMENSIONS), dtype=np.float32)
    assert nearest_people(plain(), probes, 3) == [[], []]
    assert distances_to_people(plain(), probes).shape == (2, 0)
    assert len(impostor_distances(plain(), 10, seed=1)) == 0
    assert own_distances(plain(), probes, "Ada") is None


def test_nobody_is_an_impostor_to_themselves() -> None:
    assert len(impostor_distances(plain(template("a", "1", encoding(0)), template("a", "2", encoding(1))), 9, 1)) == 0


def test_a_photo_without_faces_has_no_rows() -> None:
    index = plain(template("a", "1", encoding(0)))
    assert nearest_people(index, np.zeros((0, DIMENSIONS), dtype=np.float32), 3) == []
    assert distances_to_people(index, np.zeros((0, DIMENSIONS), dtype=np.float32)).shape == (0, 1)


def test_an_identical_template_is_at_distance_zero_despite_rounding() -> None:
    values = tuple(np.random.default_rng(7).normal(size=DIMENSIONS).astype(np.float32).tolist())
    index = plain(template("a", "1", values))
    ((near,),) = nearest_people(index, probes_of(values), 1)
    assert near.distance == pytest.approx(0, abs=1e-5)
    assert near.l2_distance == pytest.approx(0, abs=1e-5)
    assert_allclose(distances_to_people(index, probes_of(values)), [[0.0]], atol=2e-3)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_an_encoding_without_a_direction_is_like_nobody(value: float) -> None:
    nothing = (value,) * DIMENSIONS
    index = plain(template("a", "1", encoding(0.2)), template("nothing", "2", nothing))
    (neighbours, of_nothing) = nearest_people(index, probes_of(encoding(0), nothing), 2)
    assert [near.person for near in neighbours] == ["a", "nothing"]
    assert [near.distance for near in neighbours] == pytest.approx([0.2, 2**0.5], abs=1e-5)
    assert [near.distance for near in of_nothing] == pytest.approx([2**0.5] * 2)


@settings(deadline=None)
@given(people=PEOPLE, rejected=st.integers(1, 3), seed=SEEDS, count=st.integers(0, 8))
def test_rejected_faces_are_measured_like_people_and_are_none(
    people: list[str], rejected: int, seed: int, count: int
) -> None:
    strangers = [distractor(f"{ULID[:-1]}{number}") for number in range(rejected)]
    index, whose, whitening, probes = drawn(people + strangers, seed)
    alone = drawn(people, seed)[0]
    assert index.headcount == len(set(people))
    for probe, near, near_alone, nearest in zip(
        probes,
        nearest_people(index, probes, count),
        nearest_people(alone, probes, count),
        nearest_distractors(index, probes),
        strict=True,
    ):
        assert not set(strangers).intersection(one.person for one in near)
        assert len(near) == min(count, len(set(people)))
        assert len(near) == len(near_alone)
        expected = min(naive(whitening, probe, whose[stranger]) for stranger in strangers)
        assert nearest == pytest.approx(expected, abs=1e-3)
        own = {person: naive(whitening, probe, whose[person]) for person in set(people)}
        assert [one.distance for one in near] == pytest.approx(sorted(own.values())[:count], abs=1e-3)


def test_where_no_face_was_rejected_none_is_near() -> None:
    assert nearest_distractors(plain(template("a", "1", encoding(0))), probes_of(encoding(0))) == [None]


def test_rejected_faces_say_nothing_of_how_near_strangers_come() -> None:
    people = template("a", "1", encoding(0)), template("b", "2", encoding(1))
    rejected = template(distractor(ULID), "3", encoding(0.1))
    assert_allclose(impostor_distances(plain(*people, rejected), 9, 1), impostor_distances(plain(*people), 9, 1))
    assert len(impostor_distances(plain(people[0], rejected), 9, 1)) == 0


def test_many_probes_are_searched_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    index, _, _, probes = drawn(["Ada", "Bob", "Ada"], seed=5)
    together = distances_to_people(index, probes), nearest_people(index, probes, 2), impostor_distances(index, 3, 1)
    monkeypatch.setattr("face_app.matching._PRODUCTS", 3)
    monkeypatch.setattr("face_app.matching._PEOPLE", 1)
    index = GalleryIndex.of(index.snapshot, index.metric)
    assert_allclose(distances_to_people(index, probes), together[0], atol=1e-3)
    assert nearest_people(index, probes, 2) == together[1]
    assert_allclose(impostor_distances(index, 3, 1), together[2], atol=1e-3)
