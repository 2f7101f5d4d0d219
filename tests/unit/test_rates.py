"""The estimates that plans are made from."""

import numpy as np
import pytest

from face_web.scaler.rates import ArrivalRate, Measured


def rate_after(per_second: list[int]) -> float:
    rate = ArrivalRate()
    for second, count in enumerate(per_second):
        rate.add(count, float(second))
    return rate.at(float(len(per_second) - 1))


def test_a_constant_load_is_measured_with_little_noise() -> None:
    random = np.random.default_rng(1)
    counts = list(random.poisson(2.0, 3600))
    rate, seen = ArrivalRate(), []
    for second, count in enumerate(counts):
        rate.add(int(count), float(second))
        if second > 300:
            seen.append(rate.at(float(second)))
    assert np.mean(seen) == pytest.approx(2.0, rel=0.03)
    assert np.std(seen) < 0.15


def test_a_jump_is_seen_within_seconds_and_a_stop_as_well() -> None:
    assert rate_after([1] * 600 + [20] * 10) > 15
    assert rate_after([20] * 600 + [0] * 11) < 0.5


def test_a_single_photo_is_no_load() -> None:
    assert 0 < rate_after([1]) < 0.01
    assert rate_after([]) == 0


def test_what_was_measured_replaces_what_was_assumed() -> None:
    boot = Measured(40.0, keep=10)
    assert (boot.mean(), boot.p90()) == (40.0, 40.0)
    for seconds in (100.0, *range(1, 11)):
        boot.add(float(seconds))
    assert (boot.mean(), boot.p90(), boot.values[0]) == (5.5, 9.0, 1.0)
    assert Measured(1.0, [3.0]).p90() == 3.0
