"""Where the line is drawn between the enrolled and strangers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_app.calibration import strangers, threshold
from face_app.population import population
from tests.fakes.population import POPULATION

rates = st.floats(1e-4, 0.3)


def impostors(mean: float, spread: float, count: int = 4000) -> np.ndarray:
    return np.random.default_rng(3).normal(mean, spread, count).astype(np.float32)


@given(st.sampled_from([0.001, 0.003, 0.01, 0.03]))
def test_a_large_collection_is_judged_by_its_own_people(rate: float) -> None:
    found = strangers(POPULATION, 100_000, impostors(0.5, 0.05))
    others = impostors(0.5, 0.05, 200_000)
    named = float((others <= threshold(found, rate)).mean())
    assert rate / 1.5 < named < rate * 1.5


def test_nobody_and_one_person_are_judged_by_the_population() -> None:
    for people in (0, 1):
        assert strangers(POPULATION, people, np.empty(0, np.float32)).mean == POPULATION.nearest_mean[0]


def test_a_small_collection_is_in_between() -> None:
    found = strangers(POPULATION, 25, impostors(0.5, 0.05))
    expected = POPULATION.nearest(25)
    assert 0.5 < found.mean < expected.mean
    assert found.stdev > 0.05, "that they disagree makes it less certain"


@given(rates, rates)
def test_a_stricter_rate_never_has_a_larger_threshold(one: float, other: float) -> None:
    found = strangers(POPULATION, 50, impostors(0.8, 0.05))
    assert threshold(found, min(one, other)) <= threshold(found, max(one, other))


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_more_people_bring_strangers_nearer(one: int, other: int) -> None:
    few, many = sorted((one, other))
    assert POPULATION.nearest(many).mean <= POPULATION.nearest(few).mean


def test_identical_people_do_not_make_a_threshold_of_infinity() -> None:
    same = np.zeros(10, dtype=np.float32)
    assert threshold(strangers(POPULATION, 10**6, same), 1e-4) == 0.0


@given(rates)
def test_pair_thresholds_and_rates_are_inverse(rate: float) -> None:
    inside = min(max(rate, 1e-4), 1e-1)
    assert POPULATION.pair_rate(POPULATION.pair_threshold(inside)) == pytest.approx(inside)


@pytest.mark.parametrize("model", ["dlib-resnet29-v1", "dlib-resnet29-v1-mirrored"])
def test_what_ships_is_sound(model: str) -> None:
    learned = population(model)
    assert learned.whitening.shape == (128, 128)
    assert np.allclose(learned.whitening, learned.whitening.T, atol=1e-4)
    assert np.linalg.eigvalsh(learned.whitening.astype(np.float64)).min() > 0
    for ascending in (learned.people, learned.pair_rates, learned.pair_distances, -learned.nearest_mean):
        assert (np.diff(ascending) > 0).all()


def test_an_unknown_model_has_no_population() -> None:
    with pytest.raises(FileNotFoundError):
        population("somebody-else's")
