"""The model behind `make simulate`, and what the comparison promises."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.simulation.__main__ import policies, row, verdict
from bench.simulation.model import Cloud, World
from bench.simulation.policies import Clairvoyant, Fixed, Ours
from bench.simulation.traces import Trace, replayed, traces

WORLD = World()
CALM = World(call_failures=0, never_ready=0, boot_spread=0, service_spread=0, flicker=0)
SHORT = [trace for trace in traces(1, Path("none")) if trace.name in ("burst of 100", "burst of 1,000", "trickle")]


def steady(rate: float, seconds: float) -> Trace:
    arrivals = np.arange(0, seconds, 1 / rate)
    return Trace("steady", arrivals, seconds + 300, peaks=1)


def test_every_photo_is_begun_once_and_never_before_it_came() -> None:
    for trace in SHORT:
        for policy in policies(WORLD):
            outcome = Cloud(WORLD, trace).run(policy)
            assert len(outcome.waits) == len(trace.arrivals)
            assert min(outcome.waits) >= 0
            assert outcome.largest <= WORLD.max_workers


def test_the_same_seed_gives_the_same_outcome() -> None:
    first, second = (Cloud(WORLD, SHORT[0]).run(policies(WORLD)[0]) for _ in range(2))
    assert first == second


def test_a_burst_on_a_fixed_fleet_is_what_arithmetic_says() -> None:
    outcome = Cloud(CALM, SHORT[0]).run(Fixed(CALM.max_workers))
    assert max(outcome.waits) == pytest.approx(
        100 // 15 - 0.5, abs=0.6
    )  # the seventh round, of photos that took a second to come
    assert outcome.billed_seconds == pytest.approx(15 * SHORT[0].end)


def test_who_starts_from_zero_waits_for_the_boot() -> None:
    outcome = Cloud(CALM, SHORT[0]).run(Clairvoyant(CALM.max_workers))
    assert min(outcome.waits) == pytest.approx(CALM.boot_seconds, abs=1.0)


def test_too_little_capacity_makes_a_queue_that_grows() -> None:
    outcome = Cloud(CALM, steady(2.0, 600)).run(Fixed(1))
    assert outcome.waits[-1] > 250


@pytest.mark.parametrize("trace", SHORT, ids=lambda trace: trace.name)
def test_ours_is_on_the_front(trace: Trace) -> None:
    rows = [row(trace, policy.name, Cloud(WORLD, trace).run(policy)) for policy in policies(WORLD)]
    good, sentence = verdict(trace, rows)
    assert good, sentence


def test_ours_holds_a_steady_load_without_turning() -> None:
    outcome = Cloud(WORLD, steady(5.0, 3600)).run(policies(WORLD)[0])
    assert isinstance(policies(WORLD)[0], Ours)
    assert outcome.turns == 2  # what waited for the first boot is gone; the end
    assert np.percentile(outcome.waits[600:], 95) < 1


def test_a_decision_log_is_a_trace(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [{"now": now, "observed": {"arrived": arrived}} for now, arrived in ((100.0, 0), (101.0, 3), (160.5, 2))]
    log.write_text("\n".join(json.dumps(line) for line in lines))
    arrivals = replayed(log, np.random.default_rng(1))
    assert len(arrivals) == 5
    assert sum(arrivals <= 1) == 3
    assert sum(arrivals >= 57.5) == 2
    assert max(arrivals) <= 60.5
