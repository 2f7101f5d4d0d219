"""The scaling loop: look, plan, act, and write down why."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from face_common.errors import TransientError
from face_web.scaler.breaker import Breaker
from face_web.scaler.decisions import Decision, DecisionLog, decision_line, fleet_status
from face_web.scaler.fleet import FleetError
from face_web.scaler.lease import Lease
from face_web.scaler.observe import HostReporter, Observer
from face_web.scaler.plan import Memory, Observation, Plan, Policy, plan, predicted_wait
from face_web.traffic import Traffic

_log = logging.getLogger(__name__)


class Fleet(Protocol):
    """Where instances are changed. Every call raises FleetError when it fails."""

    def launch(self, count: int, token: str) -> list[str]:
        """Launch instances; the ids of those that came. The same token never launches twice."""

    def start(self, ids: Sequence[str]) -> None:
        """Start stopped instances."""

    def stop(self, ids: Sequence[str]) -> None:
        """Drain and stop instances."""

    def terminate(self, ids: Sequence[str]) -> None:
        """Drain and terminate instances."""


class Audience(Protocol):
    """Who is told of every decision: the metrics."""

    def decided(self, status: Mapping[str, Any]) -> None:
        """A tick of the leader is over; its outcome as the body of GET /v1/fleet."""


class Scaler:
    """One web host's part in scaling: it leads, or looks whether it should. Its state is safe to lose."""

    def __init__(
        self,
        *,
        policy: Policy,
        observer: Observer,
        fleet: Fleet,
        lease: Lease,
        log: DecisionLog,
        reporter: HostReporter,
        traffic: Traffic,
        breaker: Breaker,
        audience: Audience,
        run: str,
        now: Callable[[], float],
    ) -> None:
        """`breaker` guards the calls that change the fleet; `run` is unique to this run of this host, in 26 characters.

        `now` is the wall clock in seconds since the epoch.
        """
        self._policy = policy
        self._observer = observer
        self._fleet = fleet
        self._lease = lease
        self._log = log
        self._reporter = reporter
        self._traffic = traffic
        self._breaker = breaker
        self._audience = audience
        self._run = run
        self._now = now
        self._memory = Memory(now())
        self._fence = -1
        self._launches = 0
        self._status: dict[str, Any] = {}

    def tick(self) -> None:
        """Lead if nobody else does, and then decide and act once. What the bucket refuses is tried again next time."""
        try:
            self._keep_lease()
            if self._lease.leading:
                self._lead()
                self._log.save()
            else:
                self._reporter.step()
        except TransientError as error:
            _log.warning("the bucket cannot be reached", extra={"reason": str(error)})

    def _lead(self) -> None:
        if self._fence != self._lease.fence:  # a new term
            self._fence, self._launches = self._lease.fence, 0
            self._memory = Memory(self._now())
            self._observer.inherit(self._lease.published.get("learned", {}))
        self._decide()

    def look(self) -> tuple[Observation, Plan]:
        """What would be decided now; changes nothing."""
        self._lease.peek()
        self._observer.inherit(self._lease.published.get("learned", {}))
        now = self._now()
        observation = self._observer.observe(now)
        return observation, plan(observation, self._policy, self._memory, now)

    def leave(self) -> None:
        """Save what is unsaved and let another host lead at once."""
        try:
            self._log.flush()
        except TransientError as error:
            _log.warning("decisions were not saved", extra={"reason": str(error)})
        self._lease.release()

    @property
    def leading(self) -> bool:
        """Whether this host leads."""
        return self._lease.leading

    @property
    def leader(self) -> str | None:
        """Who leads, as far as this host knows."""
        return self._lease.leader

    def status(self) -> Mapping[str, Any]:
        """The state of the fleet as the leader published it last; empty before anybody led."""
        published: Mapping[str, Any] = self._lease.published.get("status", {})
        return self._status if self._lease.leading else published

    def decisions(self, limit: int) -> list[Decision]:
        """The last decisions, newest first. TransientError as the store's."""
        return self._log.recent(limit, self._now())

    def predicted_wait(self) -> float | None:
        """Seconds until a photo that comes now would be begun; None when there are no recent numbers."""
        status = self.status()
        if status.get("wait_s") is None or self._now() - status["now"] > self._policy.stale_seconds:
            return None
        wait: float = status["wait_s"] + self._traffic.unanswered_since(status["now"]) / status["photos_per_s"]
        return wait

    def _keep_lease(self) -> None:
        if self._lease.due and self._lease.held:
            self._lease.renew({"learned": self._observer.learned.publish(), "status": self._status})
        elif self._lease.due:
            self._lease.look()

    def _decide(self) -> None:
        now = self._now()
        observation = self._observer.observe(now)
        wished = plan(observation, self._policy, self._memory, now)
        self._memory = wished.memory
        done = self._act(wished, now)
        wait = predicted_wait(observation, self._policy, max(done.desired, 1), now)
        decision = decision_line(observation, done, wait, now) | {"leader": self._lease.leader, "fence": self._fence}
        self._status = fleet_status(observation, decision, self._policy, self._observer.oldest_seconds(now))
        self._log.add(decision)
        self._audience.decided(self._status)
        _log.log(logging.INFO if done.action != "hold" else logging.DEBUG, done.reason, extra={"decision": decision})

    def _act(self, wished: Plan, now: float) -> Plan:
        """Carry the plan out; the plan as far as it was carried out, with what went wrong in its reason."""
        if wished.action == "hold":
            return wished
        remaining = self._breaker.remaining(now)
        if remaining:
            why = f"EC2 failed {self._breaker.failures} times, next try in {remaining:.0f} s ({self._breaker.reason})"
            return _undone(wished, f"Waiting: {why}. Wanted: {wished.reason}")
        try:
            self._change(wished)
        except FleetError as error:
            self._breaker.failed(str(error), now)
            return _undone(wished, f"EC2 failed ({error}). Wanted: {wished.reason}")
        self._breaker.succeeded()
        return wished

    def _change(self, wished: Plan) -> None:
        """The calls that the plan consists of, the most urgent first."""
        launch = wished.launch
        if wished.start:
            try:
                self._fleet.start(wished.start)
            except FleetError as error:  # such as no capacity where a stopped one has its place
                _log.warning("launching instead of starting", extra={"reason": str(error)})
                launch += len(wished.start)
        if launch:
            self._fleet.launch(launch, f"{self._run}-{self._fence}-{self._launches}-{launch}")
            self._launches += 1
        if wished.stop:
            self._fleet.stop(wished.stop)
        if wished.terminate:
            self._fleet.terminate(wished.terminate)


def _undone(wished: Plan, reason: str) -> Plan:
    """The plan when nothing of it could be done."""
    started = wished.launch + len(wished.start)
    return replace(
        wished,
        action="hold",
        cause="ec2-failing",
        reason=reason,
        desired=wished.desired - started if wished.action == "start" else wished.desired + wished.count,
        launch=0,
        start=(),
        stop=(),
        terminate=(),
    )
