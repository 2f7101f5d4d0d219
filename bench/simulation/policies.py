"""The scaling policies that are compared: ours, and others from their public formulas (docs/scaling.md names them)."""

import math
from collections import deque

import numpy as np

from bench.simulation.model import Cloud, Instance
from face_web.scaler.model import Backlog, Memory, Observation, Policy, Worker
from face_web.scaler.plan import plan
from face_web.scaler.rates import ArrivalRate, Measured

_GRACE_SECONDS = 300.0  # after which others replace an instance that does not become ready
_MINUTE = 60.0
_REPORT_SECONDS = 5  # a worker tells so often that it is ready, and whether it is busy


class Ours:
    """The service's own plan(), observed as the service observes: through SQS's counts and the workers' reports."""

    every = 1.0
    nudged = False

    def __init__(
        self, name: str, policy: Policy, *, boot_seconds: float, warm_boot_seconds: float, service_seconds: float
    ) -> None:
        """Boot and service times are what an operator assumes before anything was measured."""
        self.name = name
        self._policy = policy
        self._memory = Memory(0.0)
        self._rate = ArrivalRate()
        self._cold, self._warm = Measured(boot_seconds), Measured(warm_boot_seconds)
        self._service = Measured(service_seconds, keep=200)
        self._seen = [0, 0, 0]  # arrivals, boots, answers
        self._reported: dict[str, bool] = {}
        """Ready workers as they reported last, and whether they were busy."""
        self._reported_at = -1

    def decide(self, cloud: Cloud) -> None:
        """See Policy."""
        observation = self._observe(cloud)
        decision = plan(observation, self._policy, self._memory, cloud.now)
        self._memory = decision.memory
        given_up = [one for one in decision.terminate if cloud.instances[one].state == "booting"]
        cloud.give_up(given_up)
        cloud.retire([one for one in decision.terminate if one not in given_up])
        cloud.retire(decision.stop, stop=True)
        cloud.start(decision.start)
        cloud.launch(decision.launch)

    def _observe(self, cloud: Cloud) -> Observation:
        arrived = cloud.arrived - self._seen[0]
        for seconds in cloud.served[self._seen[2] :]:
            self._service.add(seconds)
        self._seen[0], self._seen[2] = cloud.arrived, len(cloud.served)
        self._rate.add(arrived, cloud.now)
        if int(cloud.now) // _REPORT_SECONDS != self._reported_at:
            self._read_reports(cloud)
        visible, in_flight = cloud.counts()
        return Observation(
            backlog=Backlog(visible, in_flight, cloud.now),
            workers=[self._worker(one) for one in cloud.instances.values() if one.state != "gone"],
            arrived=arrived,
            arrival_rate=self._rate.at(cloud.now),
            service_seconds=self._service.mean(),
            slots=1,
            capacity=1,
            cold_boot_seconds=self._cold.p90(),
            warm_boot_seconds=self._warm.p90(),
        )

    def _read_reports(self, cloud: Cloud) -> None:
        """What the workers have told by now."""
        self._reported_at = int(cloud.now) // _REPORT_SECONDS
        self._reported = {one.id: one.busy for one in cloud.instances.values() if one.state == "ready"}
        for warm, seconds in cloud.boots[self._seen[1] :]:
            (self._warm if warm else self._cold).add(seconds)
        self._seen[1] = len(cloud.boots)

    def _worker(self, one: Instance) -> Worker:
        assert one.state != "gone"
        state = "booting" if one.state == "ready" and one.id not in self._reported else one.state
        return Worker(one.id, state, one.since, one.warm, self._reported.get(one.id, False))


class _Group:
    """What every Auto Scaling group does: keep a desired number, and replace what never becomes ready."""

    nudged = False

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self.desired = 0

    def _set(self, cloud: Cloud, desired: int) -> None:
        self.desired = min(max(desired, 0), self._largest)
        dead = [one.id for one in cloud.running if one.state == "booting" and cloud.now - one.since > _GRACE_SECONDS]
        cloud.give_up(dead)
        running = cloud.running
        if len(running) < self.desired:
            cloud.launch(self.desired - len(running))
        elif len(running) > self.desired:
            # Generous: idle ones first, although a group does not know who is idle.
            order = sorted(running, key=lambda one: (one.busy, one.since))
            cloud.retire([one.id for one in order[: len(running) - self.desired]])

    def _backlog(self, cloud: Cloud) -> int:
        """CloudWatch's ApproximateNumberOfMessagesVisible: one value a minute."""
        past = cloud.outcome.seconds
        return past[min(int(cloud.now // _MINUTE * _MINUTE), len(past) - 1)][0] if past else 0


class TargetTracking(_Group):
    """AWS target tracking on backlog per instance: three high minutes to grow, fifteen low ones to shrink."""

    name = "AWS target tracking"
    every = _MINUTE

    def __init__(self, largest: int, acceptable_backlog: float) -> None:
        super().__init__(largest)
        self._target = acceptable_backlog
        self._high: deque[float] = deque(maxlen=3)
        self._low: deque[float] = deque(maxlen=15)

    def decide(self, cloud: Cloud) -> None:
        """See Policy. With no instance the metric is the backlog itself, so that the group can leave zero."""
        backlog = self._backlog(cloud)
        metric = backlog / max(self.desired, 1)
        self._high.append(metric)
        self._low.append(metric)
        desired = self.desired
        start_from_zero = self.desired == 0 and backlog > 0
        if (len(self._high) == 3 and min(self._high) > self._target) or start_from_zero:
            desired = math.ceil(max(self.desired, 1) * metric / self._target)
        elif len(self._low) == 15 and max(self._low) < 0.9 * self._target:
            desired = math.ceil(self.desired * max(self._low) / self._target)
        self._set(cloud, desired)


class StepScaling(_Group):
    """AWS step scaling on the visible backlog, one-minute alarms: the steps of the usual SQS walk-through."""

    name = "AWS step scaling"
    every = _MINUTE
    _STEPS = ((1000, 10), (300, 5), (100, 3), (10, 2), (1, 1))
    _WARM_UP = 2
    _EMPTY_MINUTES = 5

    def __init__(self, largest: int) -> None:
        super().__init__(largest)
        self._empty = 0
        self._since_step = self._WARM_UP

    def decide(self, cloud: Cloud) -> None:
        """See Policy."""
        backlog = self._backlog(cloud)
        self._since_step += 1
        self._empty = 0 if backlog else self._empty + 1
        desired = self.desired
        if backlog and self._since_step >= self._WARM_UP:
            desired += next(add for least, add in self._STEPS if backlog >= least)
            self._since_step = 0
        elif self._empty >= self._EMPTY_MINUTES and self._since_step >= self._WARM_UP:
            desired -= 1
            self._since_step = 0
        self._set(cloud, desired)


class KedaHpa(_Group):
    """KEDA's SQS scaler feeding a Kubernetes HPA, a node a pod: ceil(messages / 5), down after five minutes."""

    name = "KEDA + HPA"
    every = 15.0
    _QUEUE_LENGTH = 5.0
    _WINDOW = 300.0

    def __init__(self, largest: int) -> None:
        super().__init__(largest)
        self._polled_at = -np.inf
        self._messages = 0
        self._active_at = -np.inf
        self._recommended: deque[tuple[float, int]] = deque()

    def decide(self, cloud: Cloud) -> None:
        """See Policy."""
        if self.desired or cloud.now - self._polled_at >= 30.0:  # from zero KEDA itself polls, every 30 s
            self._messages, self._polled_at = sum(cloud.counts()), cloud.now
        if self._messages:
            self._active_at = cloud.now
        wanted = min(math.ceil(self._messages / self._QUEUE_LENGTH), self._largest)
        if self.desired and abs(self._messages / self._QUEUE_LENGTH / self.desired - 1) <= 0.1:
            wanted = self.desired
        if self.desired:
            wanted = min(wanted, self.desired + max(self.desired, 4))
        self._recommended.append((cloud.now, wanted))
        while cloud.now - self._recommended[0][0] > self._WINDOW:
            self._recommended.popleft()
        floor = 0 if cloud.now - self._active_at > self._WINDOW else 1
        self._set(cloud, max(wanted, min(self.desired, max(past for _, past in self._recommended)), floor))


class Buildkite(_Group):
    """Buildkite's agent scaler: every 10 s as many as jobs wait and run; each ends itself after ten idle minutes."""

    name = "Buildkite agent scaler"
    every = 10.0
    _IDLE_SECONDS = 600.0

    def decide(self, cloud: Cloud) -> None:
        """See Policy."""
        idle = [
            one.id
            for one in cloud.running
            if one.state == "ready" and not one.busy and cloud.now - one.idle_since > self._IDLE_SECONDS
        ]
        cloud.retire(idle)
        self._set(cloud, max(len(cloud.running), min(sum(cloud.counts()), self._largest)))


class Fixed(_Group):
    """As many as there may be, always."""

    name = "fixed fleet"
    every = 10.0

    def decide(self, cloud: Cloud) -> None:
        """See Policy."""
        self._set(cloud, self._largest)


class Clairvoyant(_Group):
    """Starts the whole fleet with the first photo and keeps it until the last: nobody who starts from zero waits less.

    A bound, not a policy: it knows when the last photo has come.
    """

    name = "clairvoyant"
    every = 1.0
    nudged = True

    def decide(self, cloud: Cloud) -> None:
        """See Policy."""
        over = cloud.arrived == len(cloud.trace.arrivals) and not cloud.waiting + cloud.working
        self._set(cloud, self._largest if cloud.arrived and not over else 0)
