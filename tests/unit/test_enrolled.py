"""A collection's threshold follows from its own people."""

from dataclasses import replace

import numpy as np
import pytest

from face_app.enrolled import Enrolled, Policy, preparing
from face_common.contract import distractor
from face_common.templates import DIMENSIONS, GallerySnapshot, Template
from tests.fakes.population import POPULATION
from tests.unit.test_contract import ULID

# How near the nearest of 1, 10 and 100 random directions is.
RANDOM = replace(POPULATION, nearest_mean=np.array([1.41, 1.27, 1.19]), nearest_spread=np.array([0.09, 0.05, 0.03]))


def crowd(people: int, photos: int, rate: float = 0.01, threshold: float | None = None) -> Enrolled:
    """Random people, whose photos are near each other."""
    random = np.random.default_rng(5)
    centres = random.normal(size=(people, 1, DIMENSIONS))
    encodings = centres + random.normal(scale=0.3, size=(people, photos, DIMENSIONS))
    templates = [
        Template(f"p{person:05d}", f"{person}-{photo}", "a.jpg", f"{person}-{photo}", "model", tuple(values), 0.0)
        for person, rows in enumerate(encodings)
        for photo, values in enumerate(rows)
    ]
    return preparing(RANDOM, Policy(rate, 0.01, threshold))(GallerySnapshot.of(3, templates))


def test_the_promised_share_of_strangers_is_named() -> None:
    people = crowd(400, 3, rate=0.02)
    strangers = np.random.default_rng(6).normal(size=(4000, DIMENSIONS)).astype(np.float32)
    named = np.mean([near[0].distance <= people.rule.threshold for near in people.nearest(strangers, 1)])
    assert people.rule.expected_rate == pytest.approx(0.02)
    assert 0.01 <= named <= 0.04


def test_the_same_rate_is_stricter_in_a_larger_collection() -> None:
    assert crowd(400, 1).rule.threshold < crowd(8, 1).rule.threshold < crowd(1, 1).rule.threshold


def test_a_fixed_threshold_stays_and_its_rate_is_told() -> None:
    people = crowd(100, 1)
    fixed = crowd(100, 1, threshold=people.rule.threshold)
    assert fixed.rule.threshold == people.rule.threshold
    assert fixed.rule.expected_rate == pytest.approx(0.01)
    assert crowd(100, 1, threshold=1.9).rule.expected_rate == pytest.approx(1.0)


def test_an_empty_collection_names_nobody() -> None:
    empty = preparing(POPULATION, Policy(0.01, 0.01))(GallerySnapshot.of(0, []))
    assert empty.nearest(np.ones((1, DIMENSIONS), dtype=np.float32), 2) == [[]]
    assert empty.own_distance(np.ones((1, DIMENSIONS), dtype=np.float32), "Ada") is None
    assert empty.version == 0


def test_a_rejected_face_changes_neither_the_threshold_nor_who_is_near() -> None:
    people = crowd(50, 2)
    snapshot = people.index.snapshot
    rows = [
        Template(snapshot.people[place], f"{place}-{row}", "a.jpg", "", "model", tuple(snapshot.units[row]), 0.0)
        for place in range(len(snapshot.people))
        for row in snapshot.rows_of(place)
    ]
    stranger = np.random.default_rng(9).normal(size=(1, DIMENSIONS)).astype(np.float32)
    rejected = Template(distractor(ULID), ULID, "a.jpg", "", "model", tuple(stranger[0]), 0.0)
    prepare = preparing(RANDOM, Policy(0.01, 0.01))
    before, after = prepare(GallerySnapshot.of(1, rows)), prepare(GallerySnapshot.of(2, [*rows, rejected]))
    assert after.rule.threshold == pytest.approx(before.rule.threshold, abs=1e-3)
    assert after.nearest(stranger, 3) == before.nearest(stranger, 3)
    assert after.rejected(stranger) == [pytest.approx(0, abs=1e-5)]
    assert before.rejected(stranger) == [None]
