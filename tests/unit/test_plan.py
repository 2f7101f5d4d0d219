"""The scaling rules, by name and by property."""

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from face_web.scaler.model import Backlog, Memory, Observation, Override, Plan, Policy, Worker
from face_web.scaler.plan import plan, predicted_wait

NOW = 1_000_000.0
LONG_AGO = NOW - 10_000
POLICY = Policy()
EMPTY = Memory(NOW)


def watched(*needs: int) -> Memory:
    """A memory that has seen these needs, one a second until now, and nothing for long before."""
    memory = Memory(LONG_AGO)
    for ago, need in zip(range(len(needs), 0, -1), needs, strict=True):
        memory = memory.remember(need, NOW - ago, POLICY.quiet_seconds)
    return memory


def fleet(ready: int = 0, busy: int = 0, booting: int = 0, stopped: int = 0, draining: int = 0) -> list[Worker]:
    """Workers by state; the busy ones are ready as well."""
    return [
        *(Worker(f"ready-{number}", "ready", LONG_AGO + number) for number in range(ready)),
        *(Worker(f"busy-{number}", "ready", LONG_AGO, busy=True) for number in range(busy)),
        *(Worker(f"booting-{number}", "booting", NOW - 1) for number in range(booting)),
        *(Worker(f"stopped-{number}", "stopped", LONG_AGO) for number in range(stopped)),
        *(Worker(f"draining-{number}", "draining", LONG_AGO) for number in range(draining)),
    ]


def seen(visible: int = 0, in_flight: int = 0, workers: list[Worker] | None = None, **others: Any) -> Observation:
    usual = Observation(
        backlog=Backlog(visible, in_flight, NOW),
        workers=workers if workers is not None else [],
        arrived=0,
        arrival_rate=0.0,
        service_seconds=1.0,
        slots=1,
        capacity=3,
        cold_boot_seconds=40.0,
        warm_boot_seconds=20.0,
    )
    return replace(usual, **others)


def decided(observation: Observation, policy: Policy = POLICY, memory: Memory = EMPTY) -> Plan:
    return plan(observation, policy, memory, NOW)


def test_an_empty_service_holds_at_zero() -> None:
    assert (decided(seen()).action, decided(seen()).cause, decided(seen()).desired) == ("hold", "steady", 0)


def test_a_single_photo_starts_one_worker() -> None:
    decision = decided(seen(visible=1, arrived=1))
    assert (decision.action, decision.cause, decision.launch, decision.desired) == ("start", "arrivals", 1, 1)
    assert decision.reason.startswith("Starting 1: photos waiting: 1, in work: 0")


def test_a_burst_starts_what_ends_it_in_time() -> None:
    decision = decided(seen(visible=30, arrived=30))
    assert decision.launch == math.ceil(30 / 7.5)
    assert decision.cause == "backlog"


def test_a_large_burst_starts_the_maximum_and_says_so() -> None:
    decision = decided(seen(visible=1000, arrived=1000))
    assert decision.launch == 15
    assert "the maximum is 15" in decision.reason


def test_steady_load_keeps_room_for_chance() -> None:
    decision = decided(seen(in_flight=6, workers=fleet(ready=4, busy=6), arrival_rate=9.0, arrived=9))
    assert (decision.desired, decision.cause) == (math.ceil(9.0 / 0.8), "arrivals")


def test_slots_and_service_time_count() -> None:
    one = decided(seen(visible=60, service_seconds=0.5, slots=2))
    assert one.launch == math.ceil(60 * 0.5 / 2 / 7.5)


def test_booting_workers_count_so_that_nothing_is_started_twice() -> None:
    first = decided(seen(visible=30))
    again = decided(seen(visible=30, workers=fleet(booting=first.launch)))
    assert (again.action, again.cause) == ("hold", "steady")


def test_stopped_workers_are_started_before_new_ones_are_launched() -> None:
    decision = decided(seen(visible=75, workers=fleet(stopped=3)))
    assert decision.start == ("stopped-0", "stopped-1", "stopped-2")
    assert decision.launch == math.ceil(75 / 10) - 3
    assert "(3 from stopped)" in decision.reason


def test_draining_workers_count_against_the_maximum() -> None:
    decision = decided(seen(visible=1000, workers=fleet(draining=4)))
    assert decision.launch == 11
    assert "the maximum is 15 and 4 are going" in decision.reason
    full = decided(seen(visible=1000, workers=fleet(draining=15)))
    assert (full.action, full.cause) == ("hold", "maximum")


def test_a_worker_that_does_not_come_up_is_replaced() -> None:
    stuck = Worker("stuck", "booting", NOW - 81)
    decision = decided(seen(visible=1, workers=[stuck]))
    assert (decision.action, decision.launch, decision.terminate) == ("start", 1, ())
    replaced = decided(seen(visible=1, workers=[stuck, *fleet(booting=1)]))
    assert (replaced.action, replaced.cause, replaced.terminate) == ("retire", "overdue", ("stuck",))
    assert "Giving up 1 worker that did not become ready" in replaced.reason
    assert decided(seen(visible=1, workers=[replace(stuck, since=NOW - 79)])).action == "hold"
    warm = replace(stuck, warm=True, since=NOW - 61)  # twice 20 s is less than everybody's minute
    assert decided(seen(visible=1, workers=[warm])).action == "start"


def test_when_all_places_are_taken_a_stuck_worker_goes_first() -> None:
    policy = replace(POLICY, max_workers=1)
    stuck = Worker("stuck", "booting", NOW - 81)
    assert decided(seen(visible=1, workers=[stuck]), policy).terminate == ("stuck",)
    assert decided(seen(visible=1, workers=fleet(draining=1)), policy).cause == "maximum"
    assert decided(seen(visible=1), policy).launch == 1


def test_a_stuck_worker_does_not_keep_the_others_from_being_retired() -> None:
    workers = [Worker("stuck", "booting", NOW - 1000), *fleet(ready=3)]
    decision = decided(seen(workers=workers), memory=watched(0))
    assert len(decision.stop) == 3


def test_a_stuck_worker_that_nobody_needs_is_only_terminated() -> None:
    decision = decided(seen(workers=[Worker("stuck", "booting", NOW - 1000)]))
    assert (decision.action, decision.cause, decision.count, decision.terminate) == ("retire", "overdue", 1, ("stuck",))


def test_the_minimum_is_kept() -> None:
    decision = decided(seen(), replace(POLICY, min_workers=2))
    assert (decision.launch, decision.cause) == (2, "minimum")


def test_the_quiet_period_holds_the_fleet() -> None:
    decision = decided(seen(workers=fleet(ready=3)), memory=watched(3))
    assert (decision.action, decision.cause, decision.desired) == ("hold", "quiet", 3)


def test_after_the_quiet_period_the_surplus_is_stopped() -> None:
    decision = decided(seen(in_flight=1, arrived=1, workers=fleet(ready=3)), memory=watched(2, 0))
    assert (decision.action, decision.cause, decision.desired) == ("retire", "surplus", 2)
    assert (decision.stop, decision.terminate) == (("ready-2",), ())


def test_it_goes_to_zero_only_after_everything_was_empty_long_enough() -> None:
    workers = fleet(ready=2)
    assert decided(seen(workers=workers), memory=watched(*[0] * 100)).desired == 0
    assert decided(seen(workers=workers), memory=watched(1, *[0] * 100)).desired == 1
    assert decided(seen(workers=workers), memory=Memory(NOW - 119)).desired == 2


def test_what_does_not_fit_into_the_pool_is_terminated() -> None:
    policy = replace(POLICY, warm_workers=2)
    decision = decided(seen(workers=fleet(ready=3, stopped=1)), policy, watched(0))
    assert (decision.stop, decision.terminate) == (("ready-2",), ("ready-1", "ready-0"))
    assert decided(seen(workers=fleet(stopped=3)), policy, watched(0)).terminate == ("stopped-2",)


def test_busy_workers_are_never_retired() -> None:
    decision = decided(seen(in_flight=1, workers=fleet(ready=1, busy=3)), memory=watched(1))
    assert decision.stop == ("ready-0",)
    lagging = decided(seen(in_flight=10, arrived=1, workers=fleet(ready=6)), memory=watched(1))
    assert lagging.desired == 4  # no fewer can hold ten photos, although none has reported it yet
    over = decided(seen(in_flight=4, workers=fleet(busy=4)), replace(POLICY, max_workers=2), watched(1))
    assert (over.action, over.cause) == ("hold", "busy")


def test_nobody_is_retired_while_photos_wait() -> None:
    decision = decided(seen(visible=1, arrived=1, workers=fleet(ready=1, booting=3)), memory=watched(1))
    assert (decision.action, decision.cause, decision.desired) == ("hold", "busy", 4)
    assert decided(seen(workers=fleet(booting=3)), memory=watched(0)).desired == 0


def test_after_a_day_of_too_many_hours_only_the_minimum_is_started() -> None:
    policy = replace(POLICY, min_workers=1, hours_a_day=24)
    decision = decided(seen(visible=100, hours_today=24.0), policy)
    assert decision.launch == 1
    held = decided(seen(visible=100, hours_today=24.0, workers=fleet(ready=1)), policy)
    assert (held.action, held.cause) == ("hold", "daily-hours")
    assert "24 instance-hours a day" in held.reason


@pytest.mark.parametrize("backlog", [None, Backlog(1000, 0, NOW - 16)])
def test_old_or_missing_counts_hold(backlog: Backlog | None) -> None:
    decision = decided(seen(backlog=backlog, workers=fleet(ready=3)), memory=watched(0))
    assert (decision.action, decision.cause, decision.desired) == ("hold", "stale", 3)
    assert decision.memory.most(NOW, POLICY.quiet_seconds) is None


def test_an_unreadable_fleet_holds() -> None:
    decision = decided(seen(visible=1000, workers=fleet(ready=2), blind="Unavailable: try later"))
    assert (decision.action, decision.cause, decision.desired) == ("hold", "stale", 2)
    assert "Unavailable: try later" in decision.reason


def test_flickering_counts_do_not_make_the_fleet_flap() -> None:
    memory, size, actions = Memory(NOW), 0, []
    for second in range(600):
        now = NOW + second
        counts = Backlog(0 if second % 3 else 40, 0, now)
        decision = plan(seen(backlog=counts, workers=fleet(ready=size), service_seconds=0.4), POLICY, memory, now)
        memory, size = decision.memory, decision.desired
        actions += [decision.action] if decision.action != "hold" else []
    assert actions == ["start", "retire"]  # what booted for the first forty is more than they need once it is there


workers_of_all_kinds = st.lists(
    st.builds(
        Worker,
        id=st.uuids().map(str),
        state=st.sampled_from(["booting", "ready", "draining", "stopped"]),
        since=st.floats(NOW - 300, NOW),
        warm=st.booleans(),
        busy=st.booleans(),
    ),
    max_size=25,
)
observations = st.builds(
    Observation,
    backlog=st.builds(Backlog, st.integers(0, 5000), st.integers(0, 100), st.floats(NOW - 10, NOW)),
    workers=workers_of_all_kinds,
    arrived=st.integers(0, 100),
    arrival_rate=st.floats(0, 50),
    service_seconds=st.floats(0.01, 10),
    slots=st.integers(1, 8),
    capacity=st.integers(1, 10),
    cold_boot_seconds=st.floats(1, 200),
    warm_boot_seconds=st.floats(1, 60),
    hours_today=st.floats(0, 400),
)
policies = st.builds(
    Policy,
    min_workers=st.integers(0, 3),
    max_workers=st.integers(3, 20),
    warm_workers=st.integers(0, 20),
    hours_a_day=st.sampled_from([0.0, 24.0]),
)
memories = st.builds(
    lambda began, needs: watched(*needs) if began else Memory(NOW - 1),
    st.booleans(),
    st.lists(st.integers(0, 20), max_size=10),
)


@given(observations, policies, memories)
def test_every_plan_keeps_within_bounds(observation: Observation, policy: Policy, memory: Memory) -> None:
    decision = plan(observation, policy, memory, NOW)
    by_id = {worker.id: worker for worker in observation.workers}
    running = [worker for worker in observation.workers if worker.state in ("booting", "ready")]
    started = decision.launch + len(decision.start)
    alive = len(running) + sum(worker.state == "draining" for worker in observation.workers)
    assert started == 0 or started + alive <= policy.max_workers
    assert {by_id[one].state for one in decision.start} <= {"stopped"}
    assert not any(by_id[one].busy and by_id[one].state == "ready" for one in (*decision.stop, *decision.terminate))
    assert len({*decision.start, *decision.stop, *decision.terminate}) == len(
        (*decision.start, *decision.stop, *decision.terminate)
    )
    if policy.hours_a_day and observation.hours_today >= policy.hours_a_day:
        assert started <= policy.min_workers
    assert decision.reason.endswith(".")
    assert (decision.count > 0) == (decision.action != "hold")


@given(observations, policies, memories, st.integers(0, 5000))
def test_the_fleet_grows_with_the_backlog(observation: Observation, policy: Policy, memory: Memory, more: int) -> None:
    assert observation.backlog is not None
    backlog = replace(observation.backlog, visible=observation.backlog.visible + more)
    before, after = (
        plan(seen, policy, memory, NOW).desired for seen in (observation, replace(observation, backlog=backlog))
    )
    assert after >= before


@given(observations, policies)
def test_untrustworthy_numbers_change_nothing(observation: Observation, policy: Policy) -> None:
    for blind in (replace(observation, backlog=None), replace(observation, blind="no answer")):
        assert plan(blind, policy, watched(0), NOW).count == 0


@given(observations, policies)
def test_a_second_look_starts_nothing_more(observation: Observation, policy: Policy) -> None:
    """What was started counts as capacity: the same numbers a moment later need nothing else.

    With one boot time for all: once the stopped workers are used up, the next one takes longer, which is news.
    """
    observation = replace(observation, warm_boot_seconds=observation.cold_boot_seconds)
    first = plan(observation, policy, EMPTY, NOW)
    assume(first.cause != "overdue")  # what is given up makes room for what was wanted
    gone = {*first.terminate, *first.stop}
    workers = [
        Worker(one.id, "booting", NOW, warm=True) if one.id in first.start else one
        for one in observation.workers
        if one.id not in gone
    ]
    workers += [Worker(f"new-{number}", "booting", NOW) for number in range(first.launch)]
    second = plan(replace(observation, workers=workers), policy, first.memory, NOW)
    assert second.action != "start"


def test_a_predicted_wait_adds_boot_and_queue() -> None:
    def wait(desired: int, **observed: Any) -> float | None:
        return predicted_wait(seen(**observed), POLICY, desired, NOW)

    assert wait(0) is None
    assert wait(1) == pytest.approx(40)
    assert wait(1, workers=fleet(ready=1)) == pytest.approx(0)
    assert wait(1, visible=8, in_flight=2, workers=fleet(ready=1)) == pytest.approx(10)
    assert wait(10, visible=100) == pytest.approx(40 + 10)
    assert wait(2, visible=60, workers=fleet(ready=1)) == pytest.approx(40 + 20 / 2)
    assert wait(1, backlog=None) is None
    assert wait(2, visible=60, workers=fleet(ready=1, stopped=1)) == pytest.approx(20 + 40 / 2)
    assert wait(2, visible=60, workers=fleet(stopped=1)) == pytest.approx(40 + 40 / 2)  # one of them is launched
    assert wait(1, backlog=Backlog(1000, 0, NOW - 16)) is None


def old(**counts: int) -> list[Worker]:
    """Outdated workers by state."""
    return [replace(worker, id=f"old-{worker.id}", outdated=True) for worker in fleet(**counts)]


STEADY: dict[str, Any] = {"arrival_rate": 4.0, "arrived": 4}  # needs five


def test_current_workers_are_started_before_outdated_ones_go() -> None:
    decision = decided(seen(**STEADY, workers=old(busy=5)), memory=watched(5))
    assert (decision.action, decision.cause, decision.launch, decision.terminate) == ("start", "outdated", 5, ())
    assert "that needs 5 workers, and there are 5, 5 of them outdated" in decision.reason
    booting = decided(seen(**STEADY, workers=[*old(busy=5), *fleet(booting=5)]), memory=watched(5))
    assert (booting.action, booting.cause) == ("hold", "outdated")


def test_outdated_workers_go_one_for_one_as_current_ones_are_ready_even_if_busy() -> None:
    decision = decided(seen(**STEADY, workers=[*old(busy=5), *fleet(booting=3, ready=2)]), memory=watched(5))
    assert (decision.action, decision.cause, len(decision.terminate), decision.stop) == ("retire", "outdated", 2, ())
    last = decided(seen(**STEADY, workers=[*old(busy=3), *fleet(busy=5)]), memory=watched(5))
    assert (len(last.terminate), last.desired) == (3, 5)


def test_idle_outdated_workers_go_first() -> None:
    workers = [*old(busy=2, ready=1, booting=1), *fleet(ready=2)]
    assert decided(seen(arrival_rate=1.6, workers=workers), memory=watched(4)).terminate == (
        "old-booting-0",
        "old-ready-0",
    )


def test_at_the_maximum_a_quarter_of_the_outdated_workers_makes_room() -> None:
    full = seen(visible=1000, arrived=1, workers=old(busy=15))
    decision = decided(full, memory=watched(15))
    assert (decision.action, decision.cause, len(decision.terminate)) == ("retire", "outdated", 3)
    assert "to make room" in decision.reason
    draining = decided(replace(full, workers=[*old(busy=12), *fleet(draining=3)]), memory=watched(15))
    assert (draining.action, draining.cause) == ("hold", "maximum")
    gone = decided(replace(full, workers=old(busy=12)), memory=watched(15))
    assert (gone.action, gone.launch) == ("start", 3)
    booting = decided(replace(full, workers=[*old(busy=12), *fleet(booting=3)]), memory=watched(15))
    assert (booting.action, booting.cause) == ("hold", "outdated")
    ready = decided(replace(full, workers=[*old(busy=12), *fleet(busy=3)]), memory=watched(15))
    assert len(ready.terminate) == 3
    single = replace(POLICY, min_workers=1, max_workers=1)
    assert decided(seen(workers=old(ready=1)), single).terminate == ("old-ready-0",)


def test_outdated_workers_that_nobody_needs_are_terminated_after_the_quiet_period() -> None:
    assert decided(seen(workers=old(ready=2)), memory=watched(2)).cause == "outdated"
    assert decided(seen(workers=old(ready=2)), memory=watched(2)).count == 0
    decision = decided(seen(workers=old(ready=2)), memory=watched(0))
    assert (decision.stop, len(decision.terminate), decision.desired) == ((), 2, 0)


def test_outdated_workers_finish_a_burst_that_is_nearly_done() -> None:
    decision = decided(seen(in_flight=10, arrived=1, workers=old(busy=10)), memory=watched(10))
    assert decision.launch == 1
    after = decided(seen(in_flight=10, arrived=1, workers=[*old(busy=10), *fleet(ready=1)]), memory=watched(10))
    assert len(after.terminate) == 1


def test_outdated_stopped_workers_are_never_started_and_are_terminated() -> None:
    workers = [*old(stopped=3), *fleet(stopped=1)]
    decision = decided(seen(visible=75, workers=workers))
    assert (decision.start, decision.launch) == (("stopped-0",), 7)
    tidied = decided(seen(workers=workers))
    assert (tidied.cause, len(tidied.terminate)) == ("outdated", 3)
    assert tidied.reason == "Terminating 3 stopped: 3 are outdated, and no more than 15 are kept."


def test_when_the_hours_are_used_up_no_more_than_the_minimum_is_replaced() -> None:
    spent = replace(POLICY, min_workers=1, hours_a_day=24)
    assert decided(seen(**STEADY, hours_today=24.0, workers=old(busy=5)), spent, watched(5)).launch == 1
    assert decided(seen(**STEADY, hours_today=24.0, workers=old(busy=5)), replace(spent, min_workers=0)).count == 0


mixed_workers = st.lists(
    st.builds(
        Worker,
        id=st.uuids().map(str),
        state=st.sampled_from(["booting", "ready", "draining", "stopped"]),
        since=st.floats(NOW - 300, NOW),
        warm=st.booleans(),
        busy=st.booleans(),
        outdated=st.booleans(),
    ),
    max_size=25,
)


@given(observations, mixed_workers, policies, memories)
def test_with_outdated_workers_every_plan_keeps_within_bounds(
    observation: Observation, workers: list[Worker], policy: Policy, memory: Memory
) -> None:
    decision = plan(replace(observation, workers=workers), policy, memory, NOW)
    by_id = {worker.id: worker for worker in workers}
    started = decision.launch + len(decision.start)
    alive = sum(worker.state != "stopped" for worker in workers)
    assert started == 0 or started + alive <= policy.max_workers
    assert not any(by_id[one].outdated for one in (*decision.start, *decision.stop))
    assert {by_id[one].state for one in decision.start} <= {"stopped"}
    ended = [by_id[one] for one in (*decision.stop, *decision.terminate)]
    assert not any(one.busy and one.state == "ready" and not one.outdated for one in ended)
    assert len(ended) == len({one.id for one in ended})
    most = decision.memory.most(NOW, policy.quiet_seconds)
    if decision.cause == "outdated" and decision.action == "retire" and most is not None:
        running = sum(one.state in ("booting", "ready") and one.outdated for one in workers)
        ready = sum(one.state == "ready" and not one.outdated for one in workers)
        left = ready + running - min(max(most, policy.min_workers), policy.max_workers)
        assert sum(one.state != "stopped" for one in ended) <= max(alive // 4, 1, left)
    assert decision.reason.endswith(".")
    assert (decision.count > 0) == (decision.action != "hold")


class Rollout:
    """A fleet under a load that does not change, while its plans are carried out; ten seconds a step."""

    def __init__(self, workers: list[Worker], policy: Policy, rate: float, busy: Callable[[], bool]) -> None:
        self.workers = workers
        self.policy = policy
        self.rate = rate
        self.busy = busy
        self.now = NOW
        self.memory = Memory(NOW)
        self.started = self.retired_current = self.most = 0
        self.fewest = len(workers)
        self.needed = 0

    def step(self) -> None:
        self.now += 10
        self.workers = [self._next(worker) for worker in self.workers if not self._gone(worker)]
        ready = [worker for worker in self.workers if worker.state == "ready"]
        in_flight = sum(worker.busy for worker in ready)
        observed = seen(in_flight=in_flight, arrived=int(self.rate > 0), workers=self.workers, arrival_rate=self.rate)
        counted = replace(observed, backlog=Backlog(0, in_flight, self.now))
        decision = plan(counted, self.policy, self.memory, self.now)
        self.memory = decision.memory
        assert decision.need is not None
        self.needed = max(self.needed, decision.need.load, decision.need.drain)
        self._carry_out(decision)
        alive = [worker for worker in self.workers if worker.state != "stopped"]
        self.most = max(self.most, len(alive))
        self.fewest = min(self.fewest, sum(worker.state == "ready" for worker in alive))

    def _carry_out(self, decision: Plan) -> None:
        ended = {*decision.stop, *decision.terminate}
        self.retired_current += sum(one.id in ended and not one.outdated for one in self.workers)
        self.started += decision.launch + len(decision.start)
        going = [one for one in self.workers if one.id in ended and one.state != "stopped"]
        kept = [one for one in self.workers if one.id not in {*ended, *decision.start}]
        drained = [replace(one, state="draining", since=self.now) for one in going]
        new = [Worker(f"new-{self.now}-{number}", "booting", self.now) for number in range(decision.count)]
        self.workers = [*kept, *drained, *(new if decision.action == "start" else [])]

    def _gone(self, worker: Worker) -> bool:
        return worker.state == "draining" and self.now - worker.since > 20

    def _next(self, worker: Worker) -> Worker:
        ready = worker.state == "ready" or (worker.state == "booting" and self.now - worker.since > 30)
        return replace(worker, state="ready", busy=self.busy()) if ready else worker


@given(st.integers(0, 15), st.integers(1, 15), st.integers(0, 3), st.integers(0, 15), st.randoms())
@settings(deadline=None)
def test_a_fleet_is_replaced_once_whatever_its_workers_are_at(
    size: int, most: int, least: int, needed: int, chance: Random
) -> None:
    """From as many outdated workers as are needed: never too few, never too many, none twice, none for nothing."""
    policy = replace(POLICY, max_workers=most, min_workers=min(least, most))
    needed = min(needed, most)
    size = min(max(size, needed, policy.min_workers), most)
    rollout = Rollout(old(ready=size), policy, 0.8 * needed, lambda: needed > 0 and chance.random() < 0.8)
    for _ in range(200):
        rollout.step()
    left = [worker for worker in rollout.workers if worker.state != "stopped"]
    wanted = min(max(rollout.needed, policy.min_workers), most)
    assert not any(worker.outdated for worker in rollout.workers)
    assert {worker.state for worker in left} <= {"ready"}
    assert rollout.most <= most
    assert rollout.started <= wanted
    assert rollout.retired_current == 0 or rollout.needed > needed
    assert rollout.fewest >= min(needed, size) - max(size // 4, 1)
    if most >= 2 * size:
        assert rollout.fewest >= min(needed, size)


class Broken(Rollout):
    """A fleet whose new workers never become ready."""

    def _next(self, worker: Worker) -> Worker:
        return super()._next(worker) if worker.outdated else worker


@pytest.mark.parametrize("most", [1, 4, 8, 15])
def test_a_template_that_does_not_work_costs_no_more_than_a_quarter_of_the_fleet(most: int) -> None:
    rollout = Broken(old(ready=most), replace(POLICY, max_workers=most), 0.8 * most, lambda: True)
    for _ in range(200):
        rollout.step()
    assert rollout.fewest == most - max(most // 4, 1)
    assert rollout.most <= most


def wish(workers: int | None = None, until: float | None = None, **policy: Any) -> Policy:
    """A policy with a fleet that is pinned, or without a number paused."""
    override = Override("pause" if workers is None else "pin", workers, "load test", "admin", NOW - 5, until)
    return replace(POLICY, override=override, **policy)


def test_a_paused_fleet_is_held_as_it_is_and_says_who_wants_that() -> None:
    for observation in (seen(visible=1000, workers=fleet(ready=3)), seen(workers=fleet(ready=3, stopped=20))):
        decision = decided(observation, wish(), watched(0))
        assert (decision.action, decision.cause, decision.desired) == ("hold", "paused", 3)
        assert decision.reason == "Holding 3 workers: paused by key admin (load test)."
    ends = decided(seen(workers=fleet(ready=1)), wish(until=NOW + 60))
    assert ends.reason == "Holding 1 worker: paused by key admin until 1970-01-12 13:47:40 UTC (load test)."


def test_what_was_needed_while_the_fleet_was_paused_is_remembered() -> None:
    held = decided(seen(visible=30, arrived=1, workers=fleet(ready=5)), wish())
    assert held.need is not None
    assert held.memory.peaks[-1] == (NOW, held.need.workers)


def test_an_override_that_has_ended_is_none() -> None:
    burst = seen(visible=30, arrived=30)
    for policy in (wish(until=NOW), wish(1, until=NOW - 1)):
        assert decided(burst, policy) == decided(burst)


def test_a_pinned_fleet_grows_to_its_number_whatever_the_load() -> None:
    decision = decided(seen(workers=fleet(ready=1, stopped=1)), wish(4))
    assert (decision.action, decision.cause, decision.start, decision.launch) == ("start", "pinned", ("stopped-0",), 2)
    assert decision.reason == (
        "Starting 3 (1 from stopped): pinned to 4 workers by key admin (load test), and there are 1."
    )
    kept = decided(seen(visible=1000, arrived=9, workers=fleet(busy=4)), wish(4))
    assert (kept.action, kept.cause, kept.desired) == ("hold", "pinned", 4)


def test_a_pinned_fleet_shrinks_to_its_number_at_once_but_ends_nobody_at_work() -> None:
    decision = decided(seen(workers=fleet(ready=5)), wish(2), watched(5))
    assert (decision.action, decision.cause, len(decision.stop), decision.desired) == ("retire", "pinned", 3, 2)
    assert decision.reason.startswith(
        "Retiring 3 of 5: pinned to 2 workers by key admin (load test); photos waiting: 0"
    )
    busy = decided(seen(in_flight=5, workers=fleet(busy=5)), wish(0), watched(5))
    assert (busy.action, busy.cause) == ("hold", "busy")
    assert "pinned to 0 workers" in busy.reason
    assert decided(seen(workers=fleet(ready=1)), wish(0), watched(1)).desired == 0


def test_a_pin_is_never_beyond_the_maximum_and_counts_those_that_go() -> None:
    assert decided(seen(), wish(40)).launch == 15
    full = decided(seen(workers=fleet(draining=14)), wish(4))
    assert full.launch == 1
    assert "but the maximum is 15 and 14 are going" in full.reason
    spent = decided(seen(hours_today=25.0), wish(2, hours_a_day=24))
    assert spent.launch == 2  # whoever pins has decided to pay


def test_a_pinned_fleet_is_replaced_and_rid_of_what_does_not_come_up_all_the_same() -> None:
    assert decided(seen(workers=old(ready=2)), wish(2)).launch == 2
    stuck = Worker("stuck", "booting", NOW - 1000)
    assert decided(seen(workers=[stuck, *fleet(ready=2)]), wish(2)).terminate == ("stuck",)


@given(observations, policies, memories, st.sampled_from([None, 0, 2, 40]))
def test_an_override_keeps_within_bounds_and_trusts_no_old_numbers(
    observation: Observation, policy: Policy, memory: Memory, workers: int | None
) -> None:
    policy = replace(policy, override=wish(workers).override)
    decision = plan(observation, policy, memory, NOW)
    running = sum(worker.state in ("booting", "ready", "draining") for worker in observation.workers)
    started = decision.launch + len(decision.start)
    assert started == 0 or started + running <= policy.max_workers
    assert workers is not None or decision.action == "hold"
    busy = {worker.id for worker in observation.workers if worker.busy and worker.state == "ready"}
    assert not busy & {*decision.stop, *decision.terminate}
    for blind in (replace(observation, backlog=None), replace(observation, blind="no answer")):
        assert plan(blind, policy, memory, NOW).cause == "stale"
