"""The decision log: one JSON line a tick, in memory for the API and in the bucket for good."""

import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from face_common.errors import ObjectMissingError
from face_common.ports import ObjectStore
from face_web.scaler.model import Backlog, Observation, Override, Plan, Policy, Worker

PREFIX = "fleet/decisions/"
_REMEMBERED = 2000
_UNSAVED_SECONDS = 10.0
_KEPT = 300

Decision = dict[str, Any]
"""One line of the log; docs/scaling.md lists its fields."""


def moment(now: float) -> str:
    """The moment as the API writes it."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")


def decision_line(observation: Observation, done: Plan, wait: float | None, now: float) -> Decision:
    """One line of the log, but for who decided: what was seen, what was done about it, and why."""
    backlog = observation.backlog
    states = Counter(worker.state for worker in observation.workers)
    return {
        "at": moment(now),
        "now": round(now, 3),
        "action": done.action,
        "cause": done.cause,
        "count": done.count,
        "desired": done.desired,
        "reason": done.reason,
        "observed": {
            "visible": backlog.visible if backlog else None,
            "in_flight": backlog.in_flight if backlog else None,
            "count_age_s": round(now - backlog.counted_at, 1) if backlog else None,
            "arrived": observation.arrived,
            "arrival_rate": round(observation.arrival_rate, 3),
            "service_s": round(observation.service_seconds, 4),
            "slots": observation.slots,
            "cold_boot_s": round(observation.cold_boot_seconds, 1),
            "warm_boot_s": round(observation.warm_boot_seconds, 1),
            "hours_today": round(observation.hours_today, 3),
            **{state: states[state] for state in ("booting", "ready", "draining", "stopped")},
            "outdated": sum(worker.outdated and worker.state != "draining" for worker in observation.workers),
        },
        "need": asdict(done.need) if done.need else None,
        "wait_s": None if wait is None else round(wait, 1),
        "launch": done.launch,
        "start": list(done.start),
        "stop": list(done.stop),
        "terminate": list(done.terminate),
        "ticks": 1,
    }


def shown(override: Override | None) -> dict[str, Any] | None:
    """The override as the API answers it."""
    if override is None:
        return None
    until = None if override.until is None else moment(override.until)
    return asdict(override) | {"at": moment(override.at), "until": until}


def fleet_status(
    observation: Observation, decision: Decision, policy: Policy, oldest_seconds: float | None
) -> dict[str, Any]:
    """The body of GET /v1/fleet, and what hosts that do not lead need to know."""
    observed = decision["observed"]
    states = {"booting": "booting", "running": "ready", "draining": "draining", "stopped": "stopped"}
    measured = ("arrival_rate", "service_s", "slots", "cold_boot_s", "warm_boot_s", "hours_today")
    return {
        "at": decision["at"],
        "now": decision["now"],
        "backlog": {
            "visible": observed["visible"],
            "in_flight": observed["in_flight"],
            "oldest_s": None if oldest_seconds is None else round(oldest_seconds, 1),
        },
        "workers": {name: observed[state] for name, state in states.items()} | {"outdated": observed["outdated"]},
        "desired": decision["desired"],
        "leader": decision["leader"],
        "decision": {key: decision[key] for key in ("at", "action", "cause", "count", "reason")},
        "override": shown(policy.override),
        "wait_s": decision["wait_s"],
        "wait_p95_s": decision["wait_p95_s"],
        "photos_per_s": round(max(decision["desired"], 1) * observation.slots / observation.service_seconds, 2),
        "limits": {"min": policy.min_workers, "max": policy.max_workers, "warm": policy.warm_workers},
        "measured": {name: observed[name] for name in measured},
        "instances": [
            {
                "id": worker.id,
                "state": worker.state,
                "since": moment(worker.since),
                "busy": worker.busy,
                "outdated": worker.outdated,
            }
            for worker in observation.workers
        ],
    }


def seen_in(status: Mapping[str, Any], age: float, now: float) -> Observation:
    """The observation that a status tells of, as far as it does; `age` in seconds, by this host's own clock."""
    backlog, measured = status["backlog"], status["measured"]
    counted = backlog["visible"] is not None
    return Observation(
        backlog=Backlog(backlog["visible"], backlog["in_flight"], now - age) if counted else None,
        workers=[
            Worker(
                one["id"],
                one["state"],
                datetime.fromisoformat(one["since"]).timestamp(),
                busy=one["busy"],
                outdated=one["outdated"],
            )
            for one in status["instances"]
        ],
        arrived=int(measured["arrival_rate"] > 0),
        arrival_rate=measured["arrival_rate"],
        service_seconds=measured["service_s"],
        slots=measured["slots"],
        capacity=measured["slots"],
        cold_boot_seconds=measured["cold_boot_s"],
        warm_boot_seconds=measured["warm_boot_s"],
        hours_today=measured["hours_today"],
    )


def what_if_answer(
    observation: Observation, policy: Policy, planned: Plan, wait: float | None, now: float
) -> dict[str, Any]:
    """The body of GET /v1/fleet/what-if."""
    line = decision_line(observation, planned, wait, now)
    return {
        "observed": line["observed"],
        "policy": {
            "min": policy.min_workers,
            "max": policy.max_workers,
            "warm": policy.warm_workers,
            "drain_s": policy.drain_seconds,
            "utilisation": policy.utilisation,
            "quiet_s": policy.quiet_seconds,
        },
        "plan": {key: line[key] for key in ("action", "cause", "count", "desired", "need", "reason")},
        "wait_s": line["wait_s"],
    }


class DecisionLog:
    """Decisions of this host while it leads, and those of others from the bucket. Thread-safe.

    A tick that changes nothing while nothing happens is not another line: the last one counts it in `ticks`.
    """

    def __init__(self, store: ObjectStore, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._recent: deque[Decision] = deque(maxlen=_REMEMBERED)
        self._unsaved: list[Decision] = []
        self._read: dict[str, list[Decision]] = {}
        """What was read from the bucket, by key: what is written there never changes, and is asked for often."""
        self._saved_at = clock()

    def add(self, decision: Decision) -> None:
        """Note a decision."""
        with self._lock:
            last = self._recent[-1] if self._recent else None
            if last is not None and _is_idle(last) and _is_idle(decision) and last["reason"] == decision["reason"]:
                last["ticks"] += 1
                last["until"] = decision["at"]
                return
            if last is not None and last["ticks"] > 1 and last not in self._unsaved:
                self._unsaved.append(last)  # again, now that it is known how long the stretch was
            self._recent.append(decision)
            self._unsaved.append(decision)

    def forget(self) -> None:
        """Another host leads: what it decides is in the bucket only."""
        with self._lock:
            self._recent.clear()

    def save(self) -> None:
        """Write what is new to the bucket: what changed the fleet at once, the rest every few seconds.

        TransientError as the store's: then later.
        """
        with self._lock:
            changed = any(line["action"] != "hold" for line in self._unsaved)
        if changed or self._clock() - self._saved_at >= _UNSAVED_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is new to the bucket now."""
        with self._lock:
            lines, self._saved_at = list(self._unsaved), self._clock()
        if not lines:
            return
        at = lines[-1]["at"]
        key = f"{PREFIX}{at[:10]}/{at}-{lines[-1]['fence']}.jsonl"
        self._store.put(key, b"".join(json.dumps(line).encode() + b"\n" for line in lines), "application/jsonl")
        with self._lock:
            del self._unsaved[: len(lines)]

    def recent(self, limit: int, now: float) -> list[Decision]:
        """The last decisions of today and yesterday, newest first: this host's own, and those that were saved."""
        with self._lock:
            found = {(line["now"], line["fence"]): dict(line) for line in self._recent}
        for day in (now, now - 24 * 3600):
            keys = reversed(self._store.tags(f"{PREFIX}{moment(day)[:10]}/")) if len(found) < limit else ()
            for key in keys:
                for line in reversed(self._lines(key)):
                    found.setdefault((line["now"], line["fence"]), line)  # what was written later counts
                if len(found) >= limit:
                    break
        return [found[which] for which in sorted(found, reverse=True)][:limit]

    def _lines(self, key: str) -> list[Decision]:
        with self._lock:
            known = self._read.get(key)
        if known is not None:
            return known
        try:
            lines = [json.loads(line) for line in self._store.get(key).splitlines()]
        except ObjectMissingError:  # its time was over
            return []
        with self._lock:
            self._read[key] = lines
            while len(self._read) > _KEPT:
                del self._read[next(iter(self._read))]
        return lines


def _is_idle(decision: Decision) -> bool:
    observed = decision["observed"]
    quiet = not any(observed[name] for name in ("visible", "in_flight", "arrived", "booting", "ready", "draining"))
    return decision["action"] == "hold" and quiet
