"""What if: an observation and a policy with some of their numbers replaced by others. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from face_web.scaler.model import Backlog, Memory, Observation, Policy, Worker


@dataclass(frozen=True, slots=True)
class Supposition:
    """Numbers to suppose in place of the present ones; None: as they are. Times in seconds."""

    arrival_rate: float | None = None
    visible: int | None = None
    in_flight: int | None = None
    service_s: float | None = None
    boot_s: float | None = None
    """Of launches and of starts from stopped alike."""
    ready: int | None = None
    """Ready workers in place of those that are ready or boot."""
    min: int | None = None
    max: int | None = None
    drain_s: float | None = None
    utilisation: float | None = None

    def observation(self, seen: Observation, now: float) -> Observation:
        """What would be seen."""
        boot = self.boot_s
        rate = seen.arrival_rate if self.arrival_rate is None else self.arrival_rate
        return replace(
            seen,
            backlog=self._backlog(seen.backlog, now),
            workers=self._workers(seen.workers, now),
            arrived=seen.arrived if self.arrival_rate is None else int(rate > 0),
            arrival_rate=rate,
            service_seconds=_or(self.service_s, seen.service_seconds),
            cold_boot_seconds=_or(boot, seen.cold_boot_seconds),
            warm_boot_seconds=_or(boot, seen.warm_boot_seconds),
        )

    def policy(self, policy: Policy) -> Policy:
        """What would be wanted, the operator's override left aside."""
        return replace(
            policy,
            min_workers=policy.min_workers if self.min is None else self.min,
            max_workers=policy.max_workers if self.max is None else self.max,
            drain_seconds=_or(self.drain_s, policy.drain_seconds),
            utilisation=_or(self.utilisation, policy.utilisation),
            override=None,
        )

    def _backlog(self, seen: Backlog | None, now: float) -> Backlog | None:
        if self.visible is None and self.in_flight is None:
            return seen
        visible, in_flight = (seen.visible, seen.in_flight) if seen else (0, 0)
        return Backlog(
            visible if self.visible is None else self.visible,
            in_flight if self.in_flight is None else self.in_flight,
            now,
        )

    def _workers(self, seen: Sequence[Worker], now: float) -> Sequence[Worker]:
        if self.ready is None:
            return seen
        others = [worker for worker in seen if worker.state in ("draining", "stopped")]
        return [*others, *(Worker(f"ready-{number}", "ready", now) for number in range(self.ready))]


def steady(policy: Policy, now: float) -> Memory:
    """A memory of a quiet period that is over: as if it had been for long as it is supposed to be."""
    return Memory(now - policy.quiet_seconds)


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
