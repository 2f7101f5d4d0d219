"""The scaling loop: look, plan, act, and write down why."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from face_common.errors import TransientError
from face_web.scaler.breaker import Breaker
from face_web.scaler.decisions import Decision, DecisionLog, decision_line, fleet_status, seen_in, what_if_answer
from face_web.scaler.fleet import FleetError
from face_web.scaler.lease import Lease
from face_web.scaler.model import Memory, Observation, Plan
from face_web.scaler.observe import HostReporter, Observer
from face_web.scaler.overrides import Overrides
from face_web.scaler.plan import plan, predicted_wait
from face_web.scaler.suppositions import Supposition, steady
from face_web.traffic import Traffic

_log = logging.getLogger(__name__)
_NONE_COME = ("daily-hours", "ec2-failing", "paused", "pinned")
"""Causes for which a photo that comes now starts no worker."""
_FAULTS = 5  # failed decisions in a row after which a leader steps back


class Fleet(Protocol):
    """Where instances are changed. Each call returns the ids that it changed, and raises FleetError when none was."""

    def launch(self, count: int, token: str) -> list[str]:
        """Launch instances. The same token never launches twice."""

    def start(self, ids: Sequence[str]) -> list[str]:
        """Start stopped instances."""

    def stop(self, ids: Sequence[str]) -> list[str]:
        """Drain and stop instances."""

    def terminate(self, ids: Sequence[str]) -> list[str]:
        """Drain and terminate instances."""


class Audience(Protocol):
    """Who is told of every tick: the metrics."""

    def decided(self, status: Mapping[str, Any]) -> None:
        """A tick of the leader is over; its outcome as the body of GET /v1/fleet."""

    def follows(self) -> None:
        """Another host leads."""


class Scaler:
    """One web host's part in scaling: it leads, or looks whether it should. Its state is safe to lose."""

    def __init__(
        self,
        *,
        overrides: Overrides,
        observer: Observer,
        fleet: Fleet,
        lease: Lease,
        log: DecisionLog,
        reporter: HostReporter,
        traffic: Traffic,
        starting: Breaker,
        retiring: Breaker,
        audience: Audience,
        run: str,
        now: Callable[[], float],
    ) -> None:
        """The breakers guard the calls that start and that retire workers.

        `run` is unique to this run of this host, in 26 characters; `now` is the wall clock in seconds since the epoch.
        """
        self.overrides = overrides
        self._observer = observer
        self._fleet = fleet
        self._lease = lease
        self._log = log
        self._reporter = reporter
        self._traffic = traffic
        self._starting = starting
        self._retiring = retiring
        self._audience = audience
        self._run = run
        self._now = now
        self._memory = Memory(now())
        self._fence, self._launches = -1, 0
        self._unanswered: tuple[int, str] | None = None
        """Count and token of a launch that nobody knows the outcome of: it is repeated as it was until EC2 answers."""
        self._faults = 0
        self._left = False
        self._status: dict[str, Any] = {}
        self._seen: Observation | None = None  # the last one of this host, while it leads

    def tick(self) -> None:
        """Lead if nobody else does, and then decide and act once. What the bucket refuses is tried again next time."""
        try:
            self._keep_lease()
            if self._lease.leading:
                self._lead()
                self._log.save()
            else:
                self._follow()
        except TransientError as error:
            _log.warning("the bucket cannot be reached", extra={"reason": str(error)})

    def _lead(self) -> None:
        if self._fence != self._lease.fence:  # a new term
            self._fence, self._launches, self._unanswered = self._lease.fence, 0, None
            self._memory = Memory(self._now())
            self._observer.inherit(self._lease.published.get("learned", {}))
        try:
            self._decide()
            self._faults = 0
        except Exception:
            self._faults += 1
            if self._faults >= _FAULTS:  # whatever is wrong here, another host may do better
                self._lease.release()
            raise

    def _follow(self) -> None:
        if self._fence >= 0:  # it led before: what it remembers is not the last any more
            self._fence, self._seen = -1, None
            self._log.flush()
            self._log.forget()
            self._audience.follows()
        self._reporter.step()

    def look(self) -> tuple[Observation, Plan]:
        """What would be decided now, without a history: no arrivals, no quiet period. Changes nothing."""
        self._lease.peek()
        self._observer.inherit(self._lease.published.get("learned", {}))
        now = self._now()
        observation = self._observer.observe(now)
        return observation, plan(observation, self.overrides.policy(now), self._memory, now)

    def what_if(self, supposed: Supposition) -> dict[str, Any]:
        """What would be decided if some numbers were others, and had been for the quiet period. Changes nothing.

        On the leader's last observation; on another host on what that has published of it. Empty before anybody led.
        """
        now, seen = self._now(), self._seen
        if seen is None or not self._lease.leading:
            status = self.status()
            if not status:
                return {}
            seen = seen_in(status, self._lease.news_age, now)
        observation, policy = supposed.observation(seen, now), supposed.policy(self.overrides.usual)
        planned = plan(observation, policy, steady(policy, now), now)
        return what_if_answer(
            observation, policy, planned, predicted_wait(observation, policy, self._expected(planned), now), now
        )

    def leave(self) -> None:
        """Save what is unsaved and let another host lead at once. A tick under way changes nothing any more."""
        self._left = True
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
        """Seconds until a photo that comes now would be begun.

        None when nothing waits before it (whatever a boot takes: only photos that come start workers), and when there
        are no recent numbers.
        """
        status, age = self.status(), self._lease.news_age if not self._lease.leading else 0.0
        if status.get("wait_s") is None or age > self.overrides.usual.stale_seconds:
            return None
        newer = self._traffic.unanswered_since(self._now() - age if age else status["now"])
        if not newer and not status["backlog"]["visible"]:
            return None
        wait: float = status["wait_s"] + newer / status["photos_per_s"]
        return wait

    def _keep_lease(self) -> None:
        if self._lease.due and self._lease.held:
            self._lease.renew({"learned": self._observer.learned.publish(), "status": self._status})
        elif self._lease.due:
            self._lease.look()

    def _decide(self) -> None:
        now = self._now()
        policy, observation = self.overrides.policy(now), self._observer.observe(now)
        self._seen = observation
        wished = plan(observation, policy, self._memory, now)
        self._memory = wished.memory
        done = self._act(wished, now)
        wait = predicted_wait(observation, policy, self._expected(done), now)
        decision = decision_line(observation, done, wait, now) | {"wait_p95_s": self._observer.wait_p95_seconds()}
        decision |= {"leader": self._lease.leader, "fence": self._fence}
        self._status = fleet_status(observation, decision, policy, self._observer.oldest_seconds(now))
        self._log.add(decision)
        self._audience.decided(self._status)
        _log.log(logging.INFO if done.action != "hold" else logging.DEBUG, done.reason, extra={"decision": decision})

    @staticmethod
    def _expected(done: Plan) -> int:
        """How many workers there will be for a photo that comes now: at least one, unless none can be started."""
        return done.desired if done.cause in _NONE_COME else max(done.desired, 1)

    def _act(self, wished: Plan, now: float) -> Plan:
        """Carry the plan out; what was done of it, with what went wrong in its reason."""
        if wished.action == "hold":
            return wished
        breaker = self._starting if wished.action == "start" else self._retiring
        remaining = breaker.remaining(now)
        if remaining:
            why = f"EC2 failed {breaker.failures} times, next try in {remaining:.0f} s ({breaker.reason})"
            return _undone(wished, f"Waiting: {why}. Wanted: {wished.reason}")
        try:
            done = self._start(wished) if wished.action == "start" else self._retire(wished)
        except LeaseLostError:
            return _undone(wished, f"The lease ran out before EC2 was called. Wanted: {wished.reason}")
        except FleetError as error:
            breaker.failed(str(error), now)
            return _undone(wished, f"EC2 failed ({error}). Wanted: {wished.reason}")
        breaker.succeeded()
        return done

    def _start(self, wished: Plan) -> Plan:
        """Start stopped workers, and launch the rest, also in place of those that EC2 refuses to start."""
        started: list[str] = []
        if wished.start:
            self._check_lease()
            try:
                started = self._fleet.start(wished.start)
            except FleetError as error:
                if not error.refused:  # perhaps they start all the same: the next tick will see
                    raise
                _log.warning("launching instead of starting", extra={"reason": str(error)})
        missing = wished.launch + len(wished.start) - len(started)
        launched = self._launch(missing) if missing else 0
        came = len(started) + launched
        short = "" if came == wished.count else f" EC2 had {came} of {wished.count}."
        return replace(
            wished,
            start=tuple(started),
            launch=launched,
            desired=wished.size + came,
            reason=f"{wished.reason}{short}",
        )

    def _launch(self, count: int) -> int:
        """Launch workers; how many came. After a call without an answer first that very call again."""
        self._check_lease()
        token = f"{self._run}-{self._fence}-{self._launches}-{count}"
        self._unanswered = self._unanswered or (count, token)
        try:
            launched = len(self._fleet.launch(*self._unanswered))
        except FleetError as error:
            if error.refused:
                self._unanswered = None
            raise
        self._unanswered, self._launches = None, self._launches + 1
        return launched

    def _retire(self, wished: Plan) -> Plan:
        stopped: list[str] = []
        terminated: list[str] = []
        if wished.stop:
            self._check_lease()
            stopped = self._fleet.stop(wished.stop)
        if wished.terminate:
            self._check_lease()
            terminated = self._fleet.terminate(wished.terminate)
        return replace(wished, stop=tuple(stopped), terminate=tuple(terminated))

    def _check_lease(self) -> None:
        """Looking at the world takes time, in which the lease may have run out."""
        if self._left or not self._lease.leading:
            raise LeaseLostError


class LeaseLostError(Exception):
    """Another host may lead by now."""


def _undone(wished: Plan, reason: str) -> Plan:
    """The plan when nothing of it could be done."""
    return replace(
        wished,
        action="hold",
        cause="ec2-failing",
        reason=reason,
        desired=wished.size,
        launch=0,
        start=(),
        stop=(),
        terminate=(),
    )
