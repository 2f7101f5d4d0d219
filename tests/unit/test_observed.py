"""What workers measure of a collection, and when they tell it."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose

from face_app.enrolled import Enrolled, Policy, preparing
from face_app.gallery_cache import GalleryCache
from face_app.matching import genuine_distances
from face_app.metrics import WorkerMetrics
from face_app.observed import curve, histogram, observe, point
from face_app.observer import Observer
from face_common.calibrations import BINS, MOST_POINTS, Calibration, calibration_key
from face_common.contract import Code, distractor
from face_common.errors import TransientError
from tests.fakes.cloud import MemoryGallery, MemoryObjectStore
from tests.fakes.inference import encoding
from tests.fakes.population import POPULATION
from tests.unit.test_contract import ULID
from tests.unit.test_enrolled import crowd
from tests.unit.test_matching import PEOPLE, SEEDS, drawn, naive, plain, template

KEY = calibration_key("default")


def floats(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(values, dtype=np.float32)


@settings(deadline=None)
@given(people=PEOPLE, seed=SEEDS)
def test_a_genuine_distance_is_that_to_the_same_persons_other_templates(people: list[str], seed: int) -> None:
    index, whose, whitening, _ = drawn(people, seed)
    expected = [
        naive(whitening, row, [other for other in rows if other is not row])
        for rows in whose.values()
        for row in rows
        if len(rows) > 1
    ]
    assert_allclose(sorted(genuine_distances(index, 100, seed=1)), sorted(expected), atol=1e-3)


def test_genuine_distances_are_a_sample_that_the_seed_decides() -> None:
    people = [f"person-{number % 40}" for number in range(100)]
    index, *_ = drawn(people, seed=3)
    once, again, other = (genuine_distances(index, 20, seed).tolist() for seed in (1, 1, 2))
    assert len(once) == 20
    assert once == again != other
    many, *_ = drawn(["Ada"] * 40 + ["Bob"] * 35 + ["Cem"], seed=4)  # beyond the layers of a snapshot
    assert len(genuine_distances(many, 1000, 1)) == 75


def test_whoever_has_one_template_has_no_genuine_distance() -> None:
    assert len(genuine_distances(plain(), 10, 1)) == 0
    assert len(genuine_distances(plain(template("a", "1", encoding(0)), template("b", "2", encoding(1))), 10, 1)) == 0
    rejected = [template(distractor(ULID), str(number), encoding(number)) for number in range(2)]
    assert len(genuine_distances(plain(*rejected), 10, 1)) == 0


def test_a_histogram_counts_every_distance_once() -> None:
    found = histogram(floats(0, 0.01, 1.0, 1.999, 2.0, 2.0001))
    assert (len(found["counts"]), sum(found["counts"]), found["total"]) == (BINS, 6, 6)
    assert (found["counts"][0], found["counts"][30], found["counts"][-1]) == (2, 1, 3)
    assert histogram(floats()) == {"counts": [0] * BINS, "total": 0}


def test_a_point_tells_the_shares_at_a_threshold() -> None:
    assert point(0.5, floats(0.2, 0.5, 0.7), floats(0.4, 0.8)) == {
        "threshold": 0.5, "true_match_rate": 0.666667, "false_match_rate": 0.5,
    }  # fmt: skip
    assert point(0.5, floats(), floats(0.4)) == {
        "threshold": 0.5, "true_match_rate": None, "false_match_rate": 1.0,
    }  # fmt: skip


def test_a_curve_rises_from_little_to_all_in_so_many_points() -> None:
    random = np.random.default_rng(1)
    genuine, impostors = (random.normal(mean, 0.1, 2000).astype(np.float32) for mean in (0.5, 1.0))
    points = curve(genuine, impostors)
    assert 50 < len(points) <= MOST_POINTS
    for name in ("threshold", "true_match_rate", "false_match_rate"):
        values = [row[name] for row in points]  # type: ignore[literal-required]
        assert values == sorted(values)
    assert (points[-1]["true_match_rate"], points[-1]["false_match_rate"]) == (1.0, 1.0)
    rare = [row for row in points if 0 < (row["false_match_rate"] or 0) < 0.01]
    assert len(rare) > 10, "it is fine where it matters"
    assert curve(floats(), floats(1)) == curve(floats(1), floats()) == []


def test_what_is_told_of_a_collection() -> None:
    people = crowd(50, 3)
    told = observe(people, "default", "model", at=0.0)
    assert (told["collection"], told["gallery_version"], told["model"]) == ("default", 3, "model")
    assert told["at"] == "1970-01-01T00:00:00.000+00:00"
    assert (told["people"], told["templates"]) == (50, 150)
    assert told["threshold"] == pytest.approx(people.rule.threshold, abs=1e-6)
    assert told["expected_false_match_rate"] == pytest.approx(0.01, abs=1e-6)
    assert (told["margin"], told["fixed_threshold"], told["wanted_false_match_rate"]) == (0.01, None, 0.01)
    assert told["own_weight"] == pytest.approx(50 / 75, abs=1e-6)
    assert (told["genuine"]["total"], told["impostors"]["total"]) == (150, 150)
    assert told["at_threshold"]["threshold"] == told["threshold"]
    assert told["at_threshold"]["true_match_rate"] == 1.0
    text = json.dumps(told)
    assert len(text) < 16_000
    assert not any(name in text for name in people.index.people)


def test_a_fixed_threshold_and_a_sample_are_told_as_such() -> None:
    told = observe(crowd(1500, 2, threshold=0.3), "default", "model", at=0.0)
    assert (told["fixed_threshold"], told["threshold"]) == (0.3, 0.3)
    assert (told["genuine"]["total"], told["impostors"]["total"], told["templates"]) == (2000, 2000, 3000)


class Watched:
    """An observer over a gallery in memory, and a clock."""

    def __init__(self) -> None:
        self.store, self.gallery, self.at = MemoryObjectStore(), MemoryGallery(), 100.0
        self.cache = self.new_cache()
        self.observer = self.another()

    def new_cache(self, threshold: float | None = None) -> GalleryCache[Enrolled]:
        prepare = preparing(POPULATION, Policy(0.01, 0.02, threshold))
        return GalleryCache(self.gallery, "model", WorkerMetrics(), prepare)

    def another(self, cache: GalleryCache[Enrolled] | None = None) -> Observer:
        return Observer(store=self.store, cache=cache or self.cache, model="model", now=lambda: self.at)

    def enrol(self, *people: str) -> None:
        for person in people:
            photo = f"{ULID[:-2]}{self.gallery.version('default'):02d}"
            row = template(person, photo, encoding(len(person) / 4))
            self.cache.at_least("default", self.gallery.add("default", [row]))

    def told(self) -> Calibration | None:
        body = self.store.objects.get(KEY)
        return None if body is None else json.loads(body)

    def version(self) -> int | None:
        told = self.told()
        return told["gallery_version"] if told else None


def test_a_collection_is_measured_when_it_has_changed_and_not_too_often() -> None:
    watched = Watched()
    watched.enrol("Ada")
    watched.observer.step()
    assert watched.told() is None, "there is nobody to tell apart"
    watched.enrol("Bobby")
    watched.observer.step()
    assert watched.told() is None
    watched.at += 30
    watched.observer.step()
    assert watched.version() == 2
    watched.store.objects.clear()
    watched.at += 30
    watched.observer.step()
    assert watched.told() is None, "nothing has changed"


def test_what_another_worker_has_measured_is_not_measured_again() -> None:
    watched = Watched()
    watched.enrol("Ada", "Bobby")
    watched.observer.step()
    first = watched.store.objects[KEY]
    watched.at += 100
    watched.another().step()
    assert watched.store.objects[KEY] is first
    stricter = watched.new_cache(threshold=0.2)
    stricter.at_least("default", 0)
    watched.another(stricter).step()
    told = watched.told()
    assert told is not None
    assert told["fixed_threshold"] == 0.2, "with another setting it is"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"gallery_version": null}'])
def test_what_is_no_measurement_is_written_over(body: bytes) -> None:
    watched = Watched()
    watched.enrol("Ada", "Bobby")
    watched.store.objects[KEY] = body
    watched.observer.step()
    assert watched.version() == 2


def test_a_bucket_that_is_away_is_tried_again_and_breaks_nothing() -> None:
    watched = Watched()
    watched.enrol("Ada", "Bobby")
    watched.store.fault = TransientError(Code.STORAGE_UNAVAILABLE, "away")
    watched.observer.step()
    watched.store.fault = None
    watched.observer.step()
    assert watched.told() is None
    watched.at += 30
    watched.observer.step()
    assert watched.version() == 2
