"""Queue, workers and EC2 as a discrete-event model. Deterministic by seed; times in seconds."""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Literal, Protocol

import numpy as np

from bench.simulation.traces import Trace

_BILLED_AT_LEAST = 60.0  # EC2 bills Linux by the second, a minute at least


@dataclass(frozen=True, slots=True)
class World:
    """What the model assumes. docs/scaling.md names the sources."""

    boot_seconds: float = 40.0
    """Median from launch to ready; the times are log-normal."""
    warm_boot_seconds: float = 30.0
    """Median from the start of a stopped instance to ready."""
    boot_spread: float = 0.15
    """Standard deviation of the logarithm."""
    service_seconds: float = 1.0
    """Mean time that a photo keeps a slot busy; log-normal."""
    service_spread: float = 0.5
    call_failures: float = 0.02
    """Share of launch calls that EC2 refuses."""
    never_ready: float = 0.01
    """Share of instances that never become ready."""
    count_lag: float = 2.0
    """Mean age of SQS's approximate counts; exponential, at most 15 s."""
    flicker: float = 0.1
    """Share of reads that miss up to half of the messages."""
    max_workers: int = 15
    seed: int = 1


@dataclass(slots=True)
class Instance:
    """One EC2 instance."""

    id: str
    state: Literal["booting", "ready", "draining", "stopped", "gone"]
    since: float
    ready_at: float = 0.0
    warm: bool = False
    busy: bool = False
    idle_since: float = 0.0
    stop_when_done: bool = False


@dataclass(slots=True)
class Outcome:
    """What a policy made of a trace."""

    waits: list[float] = field(default_factory=list)
    """Seconds from arrival until a worker begins with the photo."""
    billed_seconds: float = 0.0
    launches: int = 0
    turns: int = 0
    """How often the fleet turned from growing to shrinking."""
    last_done: float = 0.0
    largest: int = 0
    seconds: list[tuple[int, int, int]] = field(default_factory=list)
    """(waiting, ready, booting) at each whole second."""


class Policy(Protocol):
    """Something that scales."""

    name: str
    every: float
    """Seconds between two decisions."""
    nudged: bool
    """Whether it also decides when a photo arrives and nothing runs."""

    def decide(self, cloud: "Cloud") -> None:
        """Look at the cloud and act on it."""


class Cloud:
    """The model while it runs, as policies see it."""

    def __init__(self, world: World, trace: Trace) -> None:
        self.world = world
        self.trace = trace
        self.now = 0.0
        self.arrived = 0
        self.instances: dict[str, Instance] = {}
        self.served: list[float] = []
        """Service times of finished photos, in order."""
        self.boots: list[tuple[bool, float]] = []
        """(warm, seconds) of each boot that ended, in order."""
        self.outcome = Outcome()
        service, self._boots, self._calls, self._reads, self._choices = (
            np.random.default_rng((world.seed, stream)) for stream in range(5)
        )  # one stream each, so that the tenth boot takes equally long under every policy
        self._service = service.lognormal(
            np.log(world.service_seconds) - world.service_spread**2 / 2, world.service_spread, len(trace.arrivals)
        )
        self._waiting: deque[int] = deque()
        self._idle: list[Instance] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._working = 0
        self._growing = False

    @property
    def running(self) -> list[Instance]:
        """Ready or booting."""
        return [one for one in self.instances.values() if one.state in ("booting", "ready")]

    @property
    def waiting(self) -> int:
        """Photos that no worker has begun."""
        return len(self._waiting)

    @property
    def working(self) -> int:
        """Photos that a worker has begun."""
        return self._working

    def counts(self) -> tuple[int, int]:
        """Visible and in flight as SQS tells them: somewhat old, and sometimes too few."""
        lag = min(self._reads.exponential(self.world.count_lag), 15.0)
        past = self.outcome.seconds[max(int(self.now - lag), 0)] if self.outcome.seconds else (0, 0, 0)
        working = self._working
        if self._reads.random() < self.world.flicker:
            seen = 1 - self._reads.uniform(0, 0.5)
            return int(past[0] * seen), int(working * seen)
        return past[0], working

    def launch(self, number: int) -> bool:
        """Launch instances; False when EC2 refuses the call."""
        if number <= 0:
            return True
        if self._calls.random() < self.world.call_failures:
            return False
        self._grew(number)
        for _ in range(number):
            instance = Instance(f"i-{self.outcome.launches:05d}", "booting", self.now)
            self.outcome.launches += 1
            self.instances[instance.id] = instance
            self._boot(instance, self.world.boot_seconds)
        return True

    def start(self, ids: Sequence[str]) -> bool:
        """Start stopped instances; False when EC2 refuses the call."""
        if not ids:
            return True
        if self._calls.random() < self.world.call_failures:
            return False
        self._grew(len(ids))
        for one in ids:
            instance = self.instances[one]
            instance.state, instance.since, instance.warm = "booting", self.now, True
            self._boot(instance, self.world.warm_boot_seconds)
        return True

    def retire(self, ids: Sequence[str], *, stop: bool = False) -> None:
        """Drain instances, then stop or terminate them."""
        if ids:
            self.outcome.turns += self._growing
            self._growing = False
        for one in ids:
            instance = self.instances[one]
            instance.stop_when_done = stop
            if instance.state == "stopped":
                del self.instances[one]
            elif instance.busy:
                instance.state = "draining"
            else:
                self._end(instance)

    def give_up(self, ids: Sequence[str]) -> None:
        """Terminate instances that do not become ready; others take their place, so this is no turn."""
        for one in ids:
            self._bill(self.instances.pop(one))

    def at(self, moment: float, call: Callable[[], None]) -> None:
        """Call something at a moment."""
        heapq.heappush(self._events, (moment, next(self._order), call))

    def run(self, policy: Policy) -> Outcome:
        """Let the policy scale through the whole trace."""
        self.at(0.0, self._second)
        self.at(0.0, partial(self._decide, policy))
        arrivals = self.trace.arrivals
        while True:
            following = arrivals[self.arrived] if self.arrived < len(arrivals) else np.inf
            if min(following, self._events[0][0]) > self.trace.end:
                break
            if following <= self._events[0][0]:
                self.now = float(following)
                self._arrive(policy)
            else:
                self.now, _, call = heapq.heappop(self._events)
                call()
        self.now = self.trace.end
        for instance in self.running:
            self._bill(instance)
        self.outcome.waits += [self.now - float(arrivals[photo]) for photo in self._waiting]
        return self.outcome

    def _arrive(self, policy: Policy) -> None:
        self._waiting.append(self.arrived)
        self.arrived += 1
        self._serve()
        if policy.nudged and not self.running:
            policy.decide(self)

    def _decide(self, policy: Policy) -> None:
        policy.decide(self)
        self.outcome.largest = max(self.outcome.largest, len(self.running))
        self.at(self.now + policy.every, partial(self._decide, policy))

    def _second(self) -> None:
        states = [one.state for one in self.instances.values()]
        self.outcome.seconds.append((len(self._waiting), states.count("ready"), states.count("booting")))
        self.at(self.now + 1.0, self._second)

    def _grew(self, number: int) -> None:
        self._growing = self._growing or number > 0

    def _boot(self, instance: Instance, median: float) -> None:
        seconds = float(median * self._boots.lognormal(0, self.world.boot_spread))
        fails = self._boots.random() < self.world.never_ready
        instance.ready_at = np.inf if fails else self.now + seconds
        if not fails:
            self.at(instance.ready_at, partial(self._ready, instance, instance.since))

    def _ready(self, instance: Instance, since: float) -> None:
        if instance.state != "booting" or instance.since != since:
            return  # it was given up meanwhile
        instance.state, instance.idle_since = "ready", self.now
        self.boots.append((instance.warm, self.now - since))
        self._idle.append(instance)
        self._serve()

    def _serve(self) -> None:
        """Give waiting photos to idle workers, any of them: SQS knows no order among those who ask."""
        while self._waiting and self._idle:
            instance = self._idle.pop(int(self._choices.integers(len(self._idle))))
            if instance.state != "ready":
                continue
            photo = self._waiting.popleft()
            self.outcome.waits.append(self.now - float(self.trace.arrivals[photo]))
            instance.busy = True
            self._working += 1
            seconds = float(self._service[photo])
            self.at(self.now + seconds, partial(self._done, instance, seconds))

    def _done(self, instance: Instance, seconds: float) -> None:
        self._working -= 1
        instance.busy, instance.idle_since = False, self.now
        self.served.append(seconds)
        self.outcome.last_done = self.now
        if instance.state == "draining":
            self._end(instance)
        else:
            self._idle.append(instance)
            self._serve()

    def _end(self, instance: Instance) -> None:
        self._bill(instance)
        if instance in self._idle:
            self._idle.remove(instance)
        if instance.stop_when_done:
            instance.state = "stopped"
        else:
            instance.state = "gone"
            del self.instances[instance.id]

    def _bill(self, instance: Instance) -> None:
        self.outcome.billed_seconds += max(self.now - instance.since, _BILLED_AT_LEAST)
