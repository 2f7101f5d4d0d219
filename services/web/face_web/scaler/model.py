"""The words in which the scaling loop thinks: what is seen, what is wanted, what is needed, what is done. Pure.

Outdated workers are those of an earlier version of the launch template, which current ones replace.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Action = Literal["start", "retire", "hold"]
Starting = Literal["backlog", "arrivals", "minimum", "outdated", "pinned"]
Holding = Literal["steady", "quiet", "busy", "outdated", "maximum", "daily-hours", "stale", "paused", "pinned"]
Cause = Starting | Holding | Literal["surplus", "pool", "overdue", "ec2-failing"]
"""Why, in one word: the label by which metrics count decisions."""
_OVERDUE = 2.0  # times the usual boot


@dataclass(frozen=True, slots=True)
class Override:
    """What an operator wants for now, whatever the numbers call for."""

    mode: Literal["pin", "pause"]
    """Keep so many workers; or neither start nor retire any."""
    workers: int | None
    """How many, where they are pinned."""
    why: str
    by: str
    """Id of the key that it was set with."""
    at: float
    """When it was set; seconds since the epoch."""
    until: float | None = None
    """When it ends by itself; None: when it is lifted."""

    def holds(self, now: float) -> bool:
        """Whether it has not ended by itself."""
        return self.until is None or now < self.until

    @property
    def origin(self) -> str:
        """Who set it, until when and why, in words."""
        end = "" if self.until is None else f" until {datetime.fromtimestamp(self.until, UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"by key {self.by}{end} ({self.why})"


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
    override: Override | None = None


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
    outdated: bool = False
    """Launched from another version of the launch template than new workers are."""


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
    """At work at this moment; outdated workers are not needed for what a current one can do."""

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
    """Those that may be started again."""
    useless: tuple[Worker, ...]
    """Stopped and outdated."""

    @classmethod
    def of(cls, observation: Observation, policy: Policy, now: float) -> "Fleet":
        """Sort the observation's workers."""
        workers = observation.workers

        def is_overdue(worker: Worker) -> bool:
            limit = max(_OVERDUE * boot_seconds(worker, observation), policy.patience_seconds)
            return worker.state == "booting" and now - worker.since > limit

        overdue = tuple(worker for worker in workers if is_overdue(worker))
        stopped = [worker for worker in workers if worker.state == "stopped"]
        return cls(
            running=tuple(one for one in workers if one.state in ("booting", "ready") and one not in overdue),
            overdue=overdue,
            draining=tuple(worker for worker in workers if worker.state == "draining"),
            stopped=tuple(worker for worker in stopped if not worker.outdated),
            useless=tuple(worker for worker in stopped if worker.outdated),
        )

    @property
    def size(self) -> int:
        """How many can be counted on."""
        return len(self.running)

    @property
    def current(self) -> list[Worker]:
        """Those of the running ones that stay as long as they are needed."""
        return [worker for worker in self.running if not worker.outdated]

    @property
    def outdated(self) -> list[Worker]:
        """Those of the running ones that are to be replaced, the least useful first: idle ones, and those that boot."""
        old = [worker for worker in self.running if worker.outdated]
        return sorted(old, key=lambda worker: (worker.busy, worker.state == "ready", -worker.since))

    @property
    def going(self) -> int:
        """How many still take a place, although they cannot be counted on."""
        return len(self.draining) + len(self.overdue)


def boot_seconds(worker: Worker, observation: Observation) -> float:
    """How long a worker like this one usually boots."""
    return observation.warm_boot_seconds if worker.warm else observation.cold_boot_seconds


def seconds_to_ready(worker: Worker, observation: Observation, now: float) -> float:
    """How long a running worker will still boot, if all goes well."""
    if worker.state == "ready":
        return 0.0
    return max(worker.since + boot_seconds(worker, observation) - now, 0.0)


def next_boot(observation: Observation, fleet: Fleet) -> float:
    """How long a worker that is started now would take."""
    return observation.warm_boot_seconds if fleet.stopped else observation.cold_boot_seconds
