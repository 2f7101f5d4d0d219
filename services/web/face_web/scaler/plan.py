"""What the fleet should do now, and why. Pure: no I/O, no clock, no environment.

docs/scaling.md tells the same as numbered steps. Words: the demand is all photos on the request queue, waiting or held
by a worker; the need is how many workers it calls for; the fleet is every worker that is ready or boots in good time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Action = Literal["start", "retire", "hold"]
Starting = Literal["backlog", "arrivals", "minimum"]
Holding = Literal["steady", "quiet", "busy", "maximum", "daily-hours", "stale"]
Cause = Starting | Holding | Literal["surplus", "pool", "overdue", "ec2-failing"]
"""Why, in one word: the label by which metrics count decisions."""
_OVERDUE = 2.0  # times the usual boot


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator wants. Times in seconds."""

    min_workers: int = 0
    max_workers: int = 15
    warm_workers: int = 15
    """Stopped workers to keep: they start faster than new ones."""
    drain_seconds: float = 30.0
    """Time in which a backlog should be gone, boot included; at least a quarter of it is allowed for work."""
    utilisation: float = 0.8
    """Share of its time that a worker may be busy under steady load; the rest absorbs chance."""
    quiet_seconds: float = 120.0
    """The fleet never shrinks below the most that was needed at any time during the last so many seconds."""
    stale_seconds: float = 15.0
    """Counts older than this are not acted on."""
    patience_seconds: float = 60.0
    """Every worker may boot this long, however fast the others were."""
    hours_a_day: float = 0.0
    """Instance-hours of a day (UTC) after which nothing beyond the minimum is started; 0: no such limit."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One EC2 instance of this deployment."""

    id: str
    state: Literal["booting", "ready", "draining", "stopped"]
    since: float
    """When it was launched, or started from stopped; seconds since the epoch."""
    warm: bool = False
    """Started from stopped."""
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Backlog:
    """The request queue's counts, and when they were read (seconds since the epoch)."""

    visible: int
    in_flight: int
    counted_at: float


@dataclass(frozen=True, slots=True)
class Observation:
    """All that a plan depends on."""

    backlog: Backlog | None
    """None: never counted yet."""
    workers: Sequence[Worker]
    arrived: int
    """Photos that came in since the last observation."""
    arrival_rate: float
    """Photos a second."""
    service_seconds: float
    """Time for which one photo keeps a slot busy."""
    slots: int
    """Photos that a worker reads at the same time."""
    capacity: int
    """Photos that a worker has in hand at most, those fetched ahead included."""
    cold_boot_seconds: float
    """From launch to ready, 90th percentile."""
    warm_boot_seconds: float
    """From the start of a stopped worker to ready, 90th percentile."""
    hours_today: float = 0.0
    """Instance-hours since midnight UTC."""
    blind: str = ""
    """Why the workers could not be read; they are as they were seen last."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The needs of the last quiet period, without those that a later one equals or exceeds.

    Safe to lose: without it the quiet period begins anew.
    """

    began: float
    peaks: tuple[tuple[float, int], ...] = ()
    """(time, need), needs falling."""

    def remember(self, need: int, now: float, quiet_seconds: float) -> "Memory":
        """The memory with one need more, and without those older than the quiet period."""
        kept = [(at, past) for at, past in self.peaks if past > need and now - at <= quiet_seconds]
        return Memory(self.began, (*kept, (now, need)))

    def most(self, now: float, quiet_seconds: float) -> int | None:
        """The greatest need of the quiet period; None when it has not been watched for so long."""
        return self.peaks[0][1] if self.peaks and now - self.began >= quiet_seconds else None


@dataclass(frozen=True, slots=True)
class Need:
    """How many workers are called for, and by what."""

    load: int
    """To serve what arrives."""
    drain: int
    """To end the backlog in time as well."""
    busy: int
    """At work at this moment."""

    @property
    def workers(self) -> int:
        """How many there should be at least."""
        return max(self.load, self.drain, self.busy)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, and the sentence that explains it."""

    action: Action
    cause: Cause
    reason: str
    desired: int
    """Workers that should be ready or booting after this."""
    size: int
    """Workers that can be counted on now."""
    memory: Memory
    need: Need | None = None
    launch: int = 0
    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    terminate: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many workers are started, or retired."""
        return self.launch + len(self.start) if self.action == "start" else len(self.stop) + len(self.terminate)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workers of an observation by what may be expected of them."""

    running: tuple[Worker, ...]
    """Ready, or booting in good time."""
    overdue: tuple[Worker, ...]
    """Booting for longer than is plausible."""
    draining: tuple[Worker, ...]
    stopped: tuple[Worker, ...]

    @classmethod
    def of(cls, observation: Observation, policy: Policy, now: float) -> "Fleet":
        """Sort the observation's workers."""
        workers = observation.workers

        def is_overdue(worker: Worker) -> bool:
            limit = max(_OVERDUE * _boot_seconds(worker, observation), policy.patience_seconds)
            return worker.state == "booting" and now - worker.since > limit

        overdue = tuple(worker for worker in workers if is_overdue(worker))
        return cls(
            running=tuple(one for one in workers if one.state in ("booting", "ready") and one not in overdue),
            overdue=overdue,
            draining=tuple(worker for worker in workers if worker.state == "draining"),
            stopped=tuple(worker for worker in workers if worker.state == "stopped"),
        )

    @property
    def size(self) -> int:
        """How many can be counted on."""
        return len(self.running)


def plan(observation: Observation, policy: Policy, memory: Memory, now: float) -> Plan:
    """What to do now (seconds since the epoch).

    Out at once, in after a quiet period, and never on numbers that cannot be trusted. `memory` is the last plan's.
    """
    fleet, backlog = Fleet.of(observation, policy, now), observation.backlog
    doubt = _doubt(observation, policy, now)
    if doubt or backlog is None:
        return Plan("hold", "stale", f"Holding {_workers(fleet.size)}: {doubt}.", fleet.size, fleet.size, Memory(now))
    need = _need(observation, backlog, fleet, policy, now)
    memory = memory.remember(need.workers, now, policy.quiet_seconds)
    here = _Situation(observation, backlog, policy, fleet, need, memory, now)
    return _grow(here) if fleet.size < here.wanted else _shrink(here)


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
    ready = [_seconds_to_ready(worker, observation, now) for worker in fleet.running]
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
    reported = sum(worker.busy for worker in fleet.running)
    busy = max(reported, min(math.ceil(backlog.in_flight / observation.capacity), fleet.size))
    if demand == 0 and observation.arrived == 0:
        return Need(0, 0, busy)
    work = observation.service_seconds / observation.slots  # one worker's seconds for one photo
    load = observation.arrival_rate * work
    boot = _next_boot(observation, fleet)
    done = sum(max(boot - _seconds_to_ready(worker, observation, now), 0.0) for worker in fleet.running) / work
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
    def wanted(self) -> int:
        """What is needed, within the operator's bounds."""
        return min(max(self.need.workers, self.policy.min_workers), self.policy.max_workers)

    @property
    def hours_spent(self) -> bool:
        """Whether the day's instance-hours are used up."""
        return 0 < self.policy.hours_a_day <= self.observation.hours_today

    @property
    def startable(self) -> int:
        """How many of the missing workers the limits allow to be started."""
        fleet = self.fleet
        room = self.policy.max_workers - fleet.size - len(fleet.draining) - len(fleet.overdue)
        wanted = min(self.wanted, self.policy.min_workers) if self.hours_spent else self.wanted
        return max(min(wanted - fleet.size, room), 0)

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
    """Start what is missing, as far as the limits allow, and give up what does not become ready."""
    fleet, number = here.fleet, here.startable
    start = tuple(worker.id for worker in fleet.stopped[:number])
    why = f"{here.demand()}; that needs {_workers(here.need.workers)}{_limit(here)}, and there are {fleet.size}"
    if not number:
        return _give_up(here) if fleet.overdue else here.hold("daily-hours" if here.hours_spent else "maximum", why)
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


def _give_up(here: _Situation) -> Plan:
    """Terminate what does not become ready; what it is needed for is started as soon as it is gone."""
    overdue = tuple(worker.id for worker in here.fleet.overdue)
    reason = f"Giving up {_workers(len(overdue))} that did not become ready; {here.demand()}."
    size = here.fleet.size
    return Plan("retire", "overdue", reason, size, size, here.memory, here.need, terminate=overdue)


def _starting(here: _Situation) -> Starting:
    """What calls for more workers than there are."""
    if here.need.workers < here.policy.min_workers:
        return "minimum"
    return "backlog" if here.need.drain > here.need.load else "arrivals"


def _limit(here: _Situation) -> str:
    """What keeps the fleet from what is needed, in words."""
    policy, fleet, missing = here.policy, here.fleet, here.wanted - here.fleet.size
    if here.hours_spent and here.startable < missing:
        return f" (but the limit of {policy.hours_a_day:g} instance-hours a day is reached)"
    if here.startable < missing:
        return f" (but the maximum is {policy.max_workers} and {len(fleet.draining) + len(fleet.overdue)} are going)"
    if here.need.workers > policy.max_workers:
        return f" (the maximum is {policy.max_workers})"
    if here.need.workers < policy.min_workers:
        return f" (the minimum is {policy.min_workers})"
    return ""


def _shrink(here: _Situation) -> Plan:
    """Retire what the quiet period had no need of: never a busy worker, and stopped rather than terminated."""
    fleet, policy = here.fleet, here.policy
    most = here.memory.most(here.now, policy.quiet_seconds)
    target = min(max(fleet.size if most is None else most, policy.min_workers), policy.max_workers)
    retired = tuple(worker.id for worker in _dispensable(here)[: max(fleet.size - target, 0)])
    extra = tuple(worker.id for worker in fleet.stopped[policy.warm_workers :])
    if retired:
        places = max(policy.warm_workers - len(fleet.stopped), 0)
        why = f"no more than {target} were needed for {policy.quiet_seconds:g} s; {here.demand()}"
        return Plan(
            action="retire",
            cause="surplus",
            reason=f"Retiring {len(retired)} of {fleet.size}: {why}.",
            desired=fleet.size - len(retired),
            size=fleet.size,
            memory=here.memory,
            need=here.need,
            stop=retired[:places],
            terminate=retired[places:] + extra,
        )
    if fleet.overdue:
        return _give_up(here)
    if extra:
        why = f"Terminating {len(extra)} stopped: no more than {policy.warm_workers} are kept."
        return Plan("retire", "pool", why, fleet.size, fleet.size, here.memory, here.need, terminate=extra)
    if fleet.size > target:
        return here.hold("busy", f"all are at work, or photos wait; {here.demand()}")
    if here.need.workers < fleet.size and fleet.size > policy.min_workers:
        quiet = f"{policy.quiet_seconds:g} s"
        return here.hold("quiet", f"{here.need.workers} would do from now on, more were needed within the last {quiet}")
    return here.hold("steady", f"as many as are needed; {here.demand()}")


def _dispensable(here: _Situation) -> list[Worker]:
    """Workers that may be retired, the least useful first: those that boot, then idle ones; none while photos wait."""
    idle = [worker for worker in here.fleet.running if not worker.busy and not here.backlog.visible]
    return sorted(idle, key=lambda worker: (worker.state == "ready", -worker.since))


def _boot_seconds(worker: Worker, observation: Observation) -> float:
    return observation.warm_boot_seconds if worker.warm else observation.cold_boot_seconds


def _seconds_to_ready(worker: Worker, observation: Observation, now: float) -> float:
    if worker.state == "ready":
        return 0.0
    return max(worker.since + _boot_seconds(worker, observation) - now, 0.0)


def _next_boot(observation: Observation, fleet: Fleet) -> float:
    """How long a worker that is started now would take."""
    return observation.warm_boot_seconds if fleet.stopped else observation.cold_boot_seconds


def _workers(count: int) -> str:
    return f"{count} worker" if count == 1 else f"{count} workers"
