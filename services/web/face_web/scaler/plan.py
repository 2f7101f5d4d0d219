"""What the fleet should do now, and why. Pure: no I/O, no clock, no environment.

docs/scaling.md tells the same as numbered steps. Words: the demand is all photos on the request queue, waiting or held
by a worker; the need is how many workers it calls for; the fleet is every worker that is ready or boots in good time.
"""

import math
from dataclasses import dataclass

from face_web.scaler.model import (
    Backlog,
    Cause,
    Fleet,
    Holding,
    Memory,
    Need,
    Observation,
    Override,
    Plan,
    Policy,
    Starting,
    Worker,
    next_boot,
    seconds_to_ready,
)

_MISSING_SHARE = 4  # one in so many workers may be missing while outdated ones make room for current ones


def plan(observation: Observation, policy: Policy, memory: Memory, now: float) -> Plan:
    """What to do now (seconds since the epoch).

    Out at once, in after a quiet period, and never on numbers that cannot be trusted; while the fleet is paused not at
    all, and while it is pinned to the number that it is pinned to. `memory` is the last plan's.
    """
    fleet, backlog = Fleet.of(observation, policy, now), observation.backlog
    doubt = _doubt(observation, policy, now)
    if doubt or backlog is None:
        return Plan("hold", "stale", f"Holding {_workers(fleet.size)}: {doubt}.", fleet.size, fleet.size, Memory(now))
    need = _need(observation, backlog, fleet, policy, now)
    memory = memory.remember(need.workers, now, policy.quiet_seconds)
    here = _Situation(observation, backlog, policy, fleet, need, memory, now)
    if here.override and here.override.mode == "pause":
        return here.hold("paused", f"paused {here.override.origin}")
    return _grow(here) if len(fleet.current) < here.wanted else _shrink(here)


def _doubt(observation: Observation, policy: Policy, now: float) -> str:
    """Why these numbers are not to be acted on, or nothing."""
    if observation.blind:
        return f"the fleet could not be read ({observation.blind})"
    if observation.backlog is None:
        return "the queue was never counted"
    age = now - observation.backlog.counted_at
    return f"the queue was last {age:.0f} s ago counted" if age > policy.stale_seconds else ""


def predicted_wait(observation: Observation, policy: Policy, desired: int, now: float) -> float | None:
    """Seconds until a photo that came now would be begun, should the fleet become `desired`.

    None when nobody can tell: without recent counts, and when no worker runs or will.
    """
    if observation.backlog is None or now - observation.backlog.counted_at > policy.stale_seconds:
        return None
    fleet = Fleet.of(observation, policy, now)
    missing = max(desired - fleet.size, 0)
    ready = [seconds_to_ready(worker, observation, now) for worker in fleet.running]
    warm = min(missing, len(fleet.stopped))
    ready += [observation.warm_boot_seconds] * warm + [observation.cold_boot_seconds] * (missing - warm)
    rate = observation.slots / observation.service_seconds
    left, at = float(observation.backlog.visible + observation.backlog.in_flight), 0.0
    for working, moment in enumerate(sorted(ready)):
        if working and left <= working * rate * (moment - at):
            return at + left / (working * rate)
        left -= working * rate * (moment - at)
        at = moment
    return at + left / (len(ready) * rate) if ready else None


def _need(observation: Observation, backlog: Backlog, fleet: Fleet, policy: Policy, now: float) -> Need:
    """N_load = ceil(load / utilisation) and N_drain = ceil(load + B' S / (c max(T - b, T/4))).

    load = lambda S / c; N_drain is no more than there are photos to share out. B' is what is left of the backlog, with
    what arrives meanwhile, when a worker that is started now becomes ready. Nothing on the queue and nothing arrived:
    nothing is needed.
    """
    demand = backlog.visible + backlog.in_flight
    current = fleet.current
    reported = sum(worker.busy for worker in current)
    busy = max(reported, min(math.ceil(backlog.in_flight / observation.capacity), len(current)))
    if demand == 0 and observation.arrived == 0:
        return Need(0, 0, busy)
    work = observation.service_seconds / observation.slots  # one worker's seconds for one photo
    load = observation.arrival_rate * work
    boot = next_boot(observation, fleet)
    done = sum(max(boot - seconds_to_ready(worker, observation, now), 0.0) for worker in fleet.running) / work
    left = max(demand + observation.arrival_rate * boot - done, 0.0)
    seconds = max(policy.drain_seconds - boot, policy.drain_seconds / 4)
    return Need(
        load=max(math.ceil(load / policy.utilisation), 1),
        drain=max(min(math.ceil(load + left * work / seconds), round(left / observation.slots)), 1),
        busy=busy,
    )


@dataclass(frozen=True, slots=True)
class _Situation:
    """Trustworthy numbers and what they call for."""

    observation: Observation
    backlog: Backlog
    policy: Policy
    fleet: Fleet
    need: Need
    memory: Memory
    now: float

    @property
    def override(self) -> Override | None:
        """What the operator wants for now, if that has not ended."""
        found = self.policy.override
        return found if found is not None and found.holds(self.now) else None

    @property
    def pin(self) -> int | None:
        """The number of workers that the fleet is pinned to, if it is."""
        pinned = None if self.override is None else self.override.workers
        return None if pinned is None else min(pinned, self.policy.max_workers)

    @property
    def pinned(self) -> str:
        """That the fleet is pinned, and who says so, in words; empty when it is not."""
        pin, override = self.pin, self.override
        return "" if pin is None or override is None else f"pinned to {_workers(pin)} {override.origin}"

    def bounded(self, count: int) -> int:
        """So many workers, within the operator's bounds; when the fleet is pinned, there is but one number."""
        return min(max(count, self.policy.min_workers), self.policy.max_workers) if self.pin is None else self.pin

    @property
    def wanted(self) -> int:
        """What is needed, within the operator's bounds."""
        return self.bounded(self.need.workers)

    @property
    def hours_spent(self) -> bool:
        """Whether the day's instance-hours are used up; whoever pins the fleet has decided to pay for it."""
        return self.pin is None and 0 < self.policy.hours_a_day <= self.observation.hours_today

    @property
    def missing(self) -> int:
        """How many current workers are missing, as far as the day's instance-hours allow for them."""
        wanted = min(self.wanted, self.policy.min_workers) if self.hours_spent else self.wanted
        return max(wanted - len(self.fleet.current), 0)

    @property
    def startable(self) -> int:
        """How many of the missing workers there is room for."""
        return max(min(self.missing, self.policy.max_workers - self.fleet.size - self.fleet.going), 0)

    @property
    def target(self) -> int:
        """Below this the fleet does not shrink: what was needed during the quiet period, within the bounds."""
        most = self.memory.most(self.now, self.policy.quiet_seconds)
        return self.bounded(self.fleet.size if most is None else most)

    def hold(self, cause: Holding, why: str) -> Plan:
        """A plan that changes nothing."""
        reason = f"Holding {_workers(self.fleet.size)}: {why}."
        return Plan("hold", cause, reason, self.fleet.size, self.fleet.size, self.memory, self.need)

    def demand(self) -> str:
        """The load, in words."""
        return (
            f"photos waiting: {self.backlog.visible}, in work: {self.backlog.in_flight}, "
            f"arriving a second: {self.observation.arrival_rate:.2g}"
        )


def _grow(here: _Situation) -> Plan:
    """Start what is missing, as far as the limits allow, and end what is in its way."""
    fleet, number = here.fleet, here.startable
    start = tuple(worker.id for worker in fleet.stopped[:number])
    old = f", {len(fleet.outdated)} of them outdated" if fleet.outdated else ""
    wish = here.pinned or f"{here.demand()}; that needs {_workers(here.need.workers)}"
    why = f"{wish}{_limit(here)}, and there are {fleet.size}{old}"
    if not number:
        return _tidy(here) or _make_room(here) or here.hold(_stuck(here), why)
    how = f" ({len(start)} from stopped)" if start else ""
    return Plan(
        action="start",
        cause=_starting(here),
        reason=f"Starting {number}{how}: {why}.",
        desired=fleet.size + number,
        size=fleet.size,
        memory=here.memory,
        need=here.need,
        launch=number - len(start),
        start=start,
    )


def _make_room(here: _Situation) -> Plan | None:
    """End outdated workers where current ones are missing: few at a time, whatever they are at."""
    fleet = here.fleet
    booting = sum(worker.state == "booting" for worker in fleet.current)
    bearable = max((fleet.size + fleet.going) // _MISSING_SHARE, 1) - fleet.going - booting
    number = max(min(bearable, here.missing), _dispensable_outdated(here))
    return _retire_outdated(here, number, "to make room for current ones")


def _retire_outdated(here: _Situation, number: int, why: str) -> Plan | None:
    """Terminate so many outdated workers: what they are at they finish while they shut down."""
    chosen, size = here.fleet.outdated[:number], here.fleet.size
    if not chosen:
        return None
    return Plan(
        action="retire",
        cause="outdated",
        reason=f"Retiring {len(chosen)} outdated of {size} {why}; {here.demand()}.",
        desired=size - len(chosen),
        size=size,
        memory=here.memory,
        need=here.need,
        terminate=tuple(worker.id for worker in chosen),
    )


def _stuck(here: _Situation) -> Holding:
    """Why nothing is started although something is missing."""
    if here.fleet.size >= here.wanted:
        return "outdated"
    return "daily-hours" if here.hours_spent else "maximum"


def _give_up(here: _Situation) -> Plan:
    """Terminate what does not become ready; what it is needed for is started as soon as it is gone."""
    overdue = tuple(worker.id for worker in here.fleet.overdue)
    reason = f"Giving up {_workers(len(overdue))} that did not become ready; {here.demand()}."
    size = here.fleet.size
    return Plan("retire", "overdue", reason, size, size, here.memory, here.need, terminate=overdue)


def _starting(here: _Situation) -> Starting:
    """What calls for more workers than there are."""
    if here.fleet.size >= here.wanted:
        return "outdated"
    if here.pinned:
        return "pinned"
    if here.need.workers < here.policy.min_workers:
        return "minimum"
    return "backlog" if here.need.drain > here.need.load else "arrivals"


def _limit(here: _Situation) -> str:
    """What keeps the fleet from what is needed, in words."""
    policy, missing = here.policy, here.wanted - len(here.fleet.current)
    if here.hours_spent and here.startable < missing:
        return f" (but the limit of {policy.hours_a_day:g} instance-hours a day is reached)"
    if here.startable < missing:
        return f" (but the maximum is {policy.max_workers} and {here.fleet.going} are going)"
    if here.pinned:
        return ""
    if here.need.workers > policy.max_workers:
        return f" (the maximum is {policy.max_workers})"
    if here.need.workers < policy.min_workers:
        return f" (the minimum is {policy.min_workers})"
    return ""


def _shrink(here: _Situation) -> Plan:
    """Retire what the quiet period had no need of, outdated workers first; end what is of no use any more."""
    replaced = _retire_outdated(here, _dispensable_outdated(here), "that others replace, or that nobody needs")
    return replaced or _retire_surplus(here) or _tidy(here) or _rest(here)


def _retire_surplus(here: _Situation) -> Plan | None:
    """Retire current workers: never a busy one, and stopped rather than terminated."""
    fleet, policy, target = here.fleet, here.policy, here.target
    retired = tuple(worker.id for worker in _dispensable(here)[: max(len(fleet.current) - target, 0)])
    if not retired:
        return None
    places = max(policy.warm_workers - len(fleet.stopped), 0)
    why = here.pinned or f"no more than {target} were needed for {policy.quiet_seconds:g} s"
    return Plan(
        action="retire",
        cause="pinned" if here.pinned else "surplus",
        reason=f"Retiring {len(retired)} of {fleet.size}: {why}; {here.demand()}.",
        desired=fleet.size - len(retired),
        size=fleet.size,
        memory=here.memory,
        need=here.need,
        stop=retired[:places],
        terminate=retired[places:] + _unkept(here),
    )


def _tidy(here: _Situation) -> Plan | None:
    """End what does not come up, and the stopped workers that are not kept."""
    if here.fleet.overdue:
        return _give_up(here)
    unkept, size, useless = _unkept(here), here.fleet.size, len(here.fleet.useless)
    if not unkept:
        return None
    kept = f"no more than {here.policy.warm_workers} are kept"
    why = f"{useless} are outdated, and {kept}" if useless else kept
    cause: Cause = "outdated" if useless else "pool"
    reason = f"Terminating {len(unkept)} stopped: {why}."
    return Plan("retire", cause, reason, size, size, here.memory, here.need, terminate=unkept)


def _rest(here: _Situation) -> Plan:
    """Change nothing, and say why nothing has to be."""
    fleet, policy = here.fleet, here.policy
    if fleet.outdated:
        return here.hold("outdated", f"{len(fleet.outdated)} are outdated and go when others are ready, or none needed")
    if fleet.size > here.target:
        busy = f"{here.pinned}; all are at work" if here.pinned else "all are at work"
        return here.hold("busy", f"{busy}, or photos wait; {here.demand()}")
    if here.pinned:
        return here.hold("pinned", f"{here.pinned}; {here.demand()}")
    if here.need.workers < fleet.size and fleet.size > policy.min_workers:
        quiet = f"{policy.quiet_seconds:g} s"
        return here.hold("quiet", f"{here.need.workers} would do from now on, more were needed within the last {quiet}")
    return here.hold("steady", f"as many as are needed; {here.demand()}")


def _dispensable(here: _Situation) -> list[Worker]:
    """Workers that may be retired, the least useful first: those that boot, then idle ones; none while photos wait."""
    idle = [worker for worker in here.fleet.current if not worker.busy and not here.backlog.visible]
    return sorted(idle, key=lambda worker: (worker.state == "ready", -worker.since))


def _dispensable_outdated(here: _Situation) -> int:
    """How many outdated workers may be retired: those for whom another one is ready, and idle ones while none wait.

    What is left is never less than what was needed during the quiet period, those that boot not counted.
    """
    old = here.fleet.outdated
    ready = sum(worker.state == "ready" for worker in here.fleet.current)
    idle = 0 if here.backlog.visible else sum(not worker.busy for worker in old)
    return max(min(ready + len(old) - here.target, ready + idle), 0)


def _unkept(here: _Situation) -> tuple[str, ...]:
    """Stopped workers that are never started again."""
    return tuple(worker.id for worker in (*here.fleet.useless, *here.fleet.stopped[here.policy.warm_workers :]))


def _workers(count: int) -> str:
    return f"{count} worker" if count == 1 else f"{count} workers"
