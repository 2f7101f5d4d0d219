"""Gathers what a plan depends on: the queue's counts, EC2's instances, the workers' and web hosts' reports."""

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from face_common.contract import InvalidMessageError
from face_common.errors import ObjectMissingError, TransientError
from face_common.ports import ObjectStore, Queue
from face_common.report_writer import ReportWriter
from face_common.reports import ALIVE_SECONDS, REPORTS, WEB_REPORTS, WORKER_REPORTS, WebReport, WorkerReport
from face_web.scaler.breaker import Breaker
from face_web.scaler.fleet import FleetError, Instance
from face_web.scaler.model import Backlog, Observation, Worker
from face_web.scaler.rates import ArrivalRate, Measured
from face_web.traffic import Traffic

_log = logging.getLogger(__name__)
_SILENT_SECONDS = 3 * ALIVE_SECONDS  # a worker whose report has not changed for so long is not ready
_LONGEST_BOOT = 1800.0
_LONGEST_DRAIN = 900.0  # after which a worker that says it drains is treated as one that hangs
_FORGOTTEN_SECONDS = 300.0  # after which reports of the dead are removed
_REFRESH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What holds until it is measured. Times in seconds."""

    service_seconds: float
    slots: int
    capacity: int
    cold_boot_seconds: float
    warm_boot_seconds: float


class Instances(Protocol):
    """Where instances are seen."""

    def instances(self) -> list[Instance]:
        """Every instance of the deployment; FleetError when they cannot be seen."""


@dataclass
class Learned:
    """What leaders have measured, and hand on to the next."""

    cold_boots: Measured
    warm_boots: Measured
    service: Measured
    day: str = ""
    hours: float = 0.0
    """Instance-hours of the day."""

    @classmethod
    def of(cls, published: Mapping[str, Any], assumed: Assumptions) -> "Learned":
        """What the last leader published, if there was one."""
        return cls(
            cold_boots=Measured(assumed.cold_boot_seconds, published.get("cold_boots", ())),
            warm_boots=Measured(assumed.warm_boot_seconds, published.get("warm_boots", ())),
            service=Measured(assumed.service_seconds, published.get("service", ()), keep=1),
            day=published.get("day", ""),
            hours=published.get("hours", 0.0),
        )

    def boots(self, *, warm: bool) -> Measured:
        """Boots from stopped, or of new instances."""
        return self.warm_boots if warm else self.cold_boots

    def publish(self) -> dict[str, Any]:
        """What `of` reads."""
        return {
            "cold_boots": [round(seconds, 1) for seconds in self.cold_boots.values],
            "warm_boots": [round(seconds, 1) for seconds in self.warm_boots.values],
            "service": [round(seconds, 4) for seconds in self.service.values],
            "day": self.day,
            "hours": round(self.hours, 4),
        }

    def spend(self, running: int, seconds: float, now: float) -> None:
        """Count instance-hours; with a new day (UTC) they begin anew."""
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        if day != self.day:
            self.day, self.hours = day, 0.0
        self.hours += running * seconds / 3600


class Reports:
    """The reports in the bucket, read again only where they have changed."""

    def __init__(self, store: ObjectStore, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._store = store
        self._clock = clock
        self._tags: dict[str, str] = {}
        self._read_at = -math.inf
        self.workers: dict[str, WorkerReport] = {}
        """By instance."""
        self.hosts: dict[str, WebReport] = {}
        """By host."""
        self._news_at: dict[str, float] = {}

    def refresh(self) -> None:
        """Read what has changed. TransientError as the store's; whoever could not report meanwhile is not blamed."""
        tags = self._store.tags(REPORTS)
        now = self._clock()
        for key in [key for key, tag in tags.items() if self._tags.get(key) != tag]:
            self._read(key)
            self._tags[key], self._news_at[key] = tags[key], now
        for key in self._tags.keys() - tags.keys():
            self._forget(key)
        if self.age > ALIVE_SECONDS:
            self._news_at = dict.fromkeys(self._news_at, now)
        self._read_at = now

    @property
    def age(self) -> float:
        """Seconds since all of them were read; infinite when that was never possible."""
        return self._clock() - self._read_at

    def silent_seconds(self, report: WorkerReport | WebReport) -> float:
        """For how long there has been no news of somebody."""
        return self._clock() - self._news_at.get(report.key, 0.0)

    def remove(self, report: WorkerReport | WebReport) -> None:
        """Remove the report of somebody who is gone."""
        self._store.delete([report.key])

    def _read(self, key: str) -> None:
        try:
            body = self._store.get(key)
            if key.startswith(WORKER_REPORTS):
                worker = WorkerReport.decode(body)
                self.workers[worker.instance] = worker
            elif key.startswith(WEB_REPORTS):
                host = WebReport.decode(body)
                self.hosts[host.host] = host
        except ObjectMissingError:
            self._forget(key)
        except InvalidMessageError as error:
            _log.error("not a report", extra={"key": key, "reason": str(error)})

    def _forget(self, key: str) -> None:
        self.workers = {name: report for name, report in self.workers.items() if report.key != key}
        self.hosts = {name: report for name, report in self.hosts.items() if report.key != key}
        self._news_at.pop(key, None)
        self._tags.pop(key, None)


class Observer:
    """Looks at everything once a tick."""

    def __init__(
        self,
        *,
        requests: Queue,
        instances: Instances,
        reports: Reports,
        traffic: Traffic,
        assumed: Assumptions,
        breaker: Breaker,
        stale_seconds: float,
    ) -> None:
        """`breaker` guards the calls that see instances; reports older than `stale_seconds` say nothing of workers."""
        self._requests = requests
        self._instances = instances
        self._reports = reports
        self._traffic = traffic
        self._assumed = assumed
        self._breaker = breaker
        self._stale_seconds = stale_seconds
        self.inherit({})

    def inherit(self, published: Mapping[str, Any]) -> None:
        """Begin anew with what the last leader learned, and nothing that this host may have seen in an earlier term."""
        self.learned = Learned.of(published, self._assumed)
        self._rate = ArrivalRate()
        self._backlog: Backlog | None = None
        self._arrived: dict[str, int] = {}
        self._workers: list[Worker] = []
        self._booting: set[str] = set()
        self._alive_at: dict[str, float] = {}
        """When a worker was ready last, or seen first although it should have been ready long before."""
        self._draining_since: dict[str, float] = {}
        self._observed_at: float | None = None

    def observe(self, now: float) -> Observation:
        """The state of the service now (seconds since the epoch); what cannot be read is None or as old as it says."""
        self._refresh()
        arrived = self._arrivals()
        self._rate.add(arrived, now)
        blind = self._see_workers(now)
        learned = self.learned
        reports = [self._reports.workers[one.id] for one in self._workers if one.state == "ready"]
        if self._observed_at is not None:
            running = sum(worker.state != "stopped" for worker in self._workers)
            learned.spend(running, now - self._observed_at, now)
        self._observed_at = now
        return Observation(
            backlog=self._count(now),
            workers=self._workers,
            arrived=arrived,
            arrival_rate=self._rate.at(now),
            service_seconds=self._service_seconds(),
            slots=min((report.slots for report in reports), default=self._assumed.slots),
            capacity=max((report.capacity for report in reports), default=self._assumed.capacity),
            cold_boot_seconds=learned.cold_boots.p90(),
            warm_boot_seconds=learned.warm_boots.p90(),
            hours_today=learned.hours,
            blind=blind,
        )

    def oldest_seconds(self, now: float) -> float | None:
        """For how long the oldest photo has been waiting; None when none does, or nobody knows of any."""
        reported = [report.oldest_at for report in self._living_hosts()]
        known = [at for at in (self._traffic.oldest_at(), *reported) if at is not None]
        demand = self._backlog is not None and self._backlog.visible + self._backlog.in_flight
        return max(now - min(known), 0.0) if known and demand else None

    def wait_p95_seconds(self) -> float | None:
        """How long one in twenty of the last minutes' photos waited at least; of several hosts the longest.

        None when none was answered.
        """
        measured = (self._traffic.wait_p95_seconds(), *(report.wait_p95_seconds for report in self._living_hosts()))
        known = [seconds for seconds in measured if seconds is not None]
        return round(max(known), 2) if known else None

    def _refresh(self) -> None:
        if self._reports.age < _REFRESH_SECONDS:
            return
        try:
            self._reports.refresh()
        except TransientError as error:
            _log.warning("reports cannot be read", extra={"reason": str(error)})

    def _count(self, now: float) -> Backlog | None:
        try:
            counts = self._requests.counts()
        except TransientError as error:
            _log.warning("the queue cannot be counted", extra={"reason": str(error)})
            return self._backlog
        self._backlog = Backlog(counts.visible, counts.in_flight, now)
        if counts.visible + counts.in_flight == 0:
            self._traffic.queue_is_empty()
        return self._backlog

    def _arrivals(self) -> int:
        """Photos that came to any web host since the last look; a host's first report is where its count begins."""
        totals = {name: report.arrived for name, report in self._reports.hosts.items()} | {"": self._traffic.arrived}
        arrived = sum(max(total - self._arrived.get(name, total), 0) for name, total in totals.items())
        self._arrived = totals
        return arrived

    def _service_seconds(self) -> float:
        reported = [report.service_seconds for report in self._living_hosts()]
        known = [seconds for seconds in (self._traffic.service_seconds(), *reported) if seconds]
        if known:
            self.learned.service.add(sum(known) / len(known))
        return self.learned.service.mean()

    def _living_hosts(self) -> list[WebReport]:
        reports = self._reports
        return [report for report in reports.hosts.values() if reports.silent_seconds(report) < _SILENT_SECONDS]

    def _see_workers(self, now: float) -> str:
        """Look at the fleet; why that was not possible, or nothing."""
        remaining = self._breaker.remaining(now)
        if remaining:
            return f"{self._breaker.reason}; next try in {remaining:.0f} s"
        try:
            instances = self._instances.instances()
        except FleetError as error:
            self._breaker.failed(str(error), now)
            return str(error)
        self._breaker.succeeded()
        if self._reports.age > self._stale_seconds:
            return "the workers' reports cannot be read"
        self._forget({instance.id for instance in instances})
        self._workers = [self._worker(instance, now) for instance in instances]
        return ""

    def _worker(self, instance: Instance, now: float) -> Worker:
        report = self._reports.workers.get(instance.id)
        if report is not None and self._reports.silent_seconds(report) > _SILENT_SECONDS:
            report = None
        state = self._state(instance, report, now)
        since = max(instance.since, self._alive_at.get(instance.id, 0.0))
        busy = report is not None and report.held > 0
        return Worker(instance.id, state, since, instance.warm, busy, instance.outdated)

    def _state(
        self, instance: Instance, report: WorkerReport | None, now: float
    ) -> Literal["booting", "ready", "draining", "stopped"]:
        if instance.state == "stopped" and report is None:  # a mocked EC2 says stopped while the worker still drains
            self._alive_at.pop(instance.id, None)
            return "stopped"
        if instance.state != "running":
            return "draining"
        if report is None or report.ready_at < instance.since:
            self._watch_boot(instance, now)
            return "booting"
        if report.draining:
            since = self._draining_since.setdefault(instance.id, now)
            return "draining" if now - since < _LONGEST_DRAIN else "booting"
        self._learn(instance, report)
        self._draining_since.pop(instance.id, None)
        self._alive_at[instance.id] = now
        return "ready"

    def _watch_boot(self, instance: Instance, now: float) -> None:
        """Note that it boots; one that should have been ready when it was first seen gets as long as a new one."""
        if instance.id in self._booting or instance.id in self._alive_at:
            return
        if now - instance.since > self.learned.boots(warm=instance.warm).p90():
            self._alive_at[instance.id] = now
        else:
            self._booting.add(instance.id)

    def _learn(self, instance: Instance, report: WorkerReport) -> None:
        """Note how long a boot took that was watched from its beginning."""
        if instance.id in self._booting:
            seconds = min(report.ready_at - instance.since, _LONGEST_BOOT)
            self.learned.boots(warm=instance.warm).add(seconds)
        self._booting.discard(instance.id)

    def _forget(self, instances: set[str]) -> None:
        """Forget the workers that are gone, and tidy up after those who could not do it themselves."""
        self._booting &= instances
        for remembered in (self._alive_at, self._draining_since):
            for one in remembered.keys() - instances:
                del remembered[one]
        workers = self._reports.workers.values()
        gone: list[WorkerReport | WebReport] = [report for report in workers if report.instance not in instances]
        for report in [*gone, *self._reports.hosts.values()]:
            if self._reports.silent_seconds(report) > _FORGOTTEN_SECONDS:
                with suppress(TransientError):
                    self._reports.remove(report)


class HostReporter:
    """Tells the leader what this host has seen of the load, while another one leads."""

    def __init__(self, store: ObjectStore, traffic: Traffic, host: str, now: Callable[[], float]) -> None:
        """`host` names this run of this host; `now` is the wall clock in seconds since the epoch."""
        self._traffic = traffic
        self._writer = ReportWriter(store, WebReport(host, 0.0, arrived=0, oldest_at=None, service_seconds=None), now)

    def step(self) -> None:
        """Write the report when there is news, and as a sign of life. TransientError as the store's."""
        if self._writer.age <= _REFRESH_SECONDS:
            return
        traffic = self._traffic
        news = replace(
            self._writer.last,
            arrived=traffic.arrived,
            oldest_at=traffic.oldest_at(),
            service_seconds=traffic.service_seconds(),
            wait_p95_seconds=traffic.wait_p95_seconds(),
        )
        self._writer.tell(news)
