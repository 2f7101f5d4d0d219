"""What a web host tells Prometheus."""

import math
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from face_common.contract import Result

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class FleetMetrics:
    """What the host that scales the fleet shows of it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.workers = Gauge("face_fleet_workers", "Workers by state", ["state"], registry=registry)
        self.desired = Gauge("face_fleet_desired", "Workers that should run", registry=registry)
        self.backlog = Gauge("face_fleet_backlog", "Photos on the queue", ["state"], registry=registry)
        self.oldest = Gauge("face_fleet_oldest_seconds", "Age of the oldest photo", registry=registry)
        self.wait = Gauge("face_fleet_wait_seconds", "Predicted wait of a new photo", registry=registry)
        self.hours = Gauge("face_fleet_hours_today", "Instance-hours since midnight", registry=registry)
        self.boot = Gauge("face_fleet_boot_seconds", "Boot time, p90", ["kind"], registry=registry)
        self.service = Gauge("face_fleet_service_seconds", "Time a photo takes", registry=registry)
        self.arrivals = Gauge("face_fleet_arrival_rate", "Photos a second", registry=registry)
        self.leading = Gauge("face_fleet_leading", "Whether this host leads", registry=registry)
        self.decisions = Counter(
            "face_fleet_decisions", "Decisions of this host", ["action", "cause"], registry=registry
        )

    def follows(self) -> None:
        """Another host leads, and shows the fleet."""
        for labelled in (self.workers, self.backlog, self.boot):
            labelled.clear()
        for plain in (
            self.desired,
            self.oldest,
            self.wait,
            self.hours,
            self.service,
            self.arrivals,
        ):
            plain.set(math.nan)

    def decided(self, status: Mapping[str, Any]) -> None:
        """Show what the leader has decided: the body of GET /v1/fleet."""
        for state, count in status["workers"].items():
            self.workers.labels(state).set(count)
        self.desired.set(status["desired"])
        for state in ("visible", "in_flight"):
            self.backlog.labels(state).set(status["backlog"][state] or 0)
        self.oldest.set(status["backlog"]["oldest_s"] or 0)
        self.wait.set(math.nan if status["wait_s"] is None else status["wait_s"])
        measured = status["measured"]
        self.hours.set(measured["hours_today"])
        self.boot.labels("cold").set(measured["cold_boot_s"])
        self.boot.labels("warm").set(measured["warm_boot_s"])
        self.service.set(measured["service_s"])
        self.arrivals.set(measured["arrival_rate"])
        self.decisions.labels(status["decision"]["action"], status["decision"]["cause"]).inc()


class WebMetrics:
    """The web service's metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("face_web_requests", "HTTP requests", ["endpoint", "status"], registry=self.registry)
        self.request_seconds = Histogram(
            "face_web_request_seconds", "Time to answer", ["endpoint"], buckets=_SECONDS, registry=self.registry
        )
        self.waiting = Gauge("face_web_waiting", "Requests that wait for a worker", registry=self.registry)
        self.jobs = Counter(
            "face_web_jobs", "Jobs answered while their client waited", ["operation", "state"], registry=self.registry
        )
        self.faces = Counter("face_web_faces", "Identified faces by decision", ["decision"], registry=self.registry)
        self.verifications = Counter(
            "face_web_verifications", "Verifications by decision", ["decision"], registry=self.registry
        )
        self.job_seconds = Histogram(
            "face_web_job_seconds", "From submission to result", ["operation"], buckets=_SECONDS, registry=self.registry
        )

        self.refused_keys = Counter(
            "face_web_refused_keys", "Requests refused for their key", ["reason"], registry=self.registry
        )
        self.overloaded = Counter(
            "face_web_refused", "Photos refused because they would wait too long", registry=self.registry
        )
        self.batch_files = Counter(
            "face_web_batch_files",
            "Files of batches by what became of them",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self.open_batches = Gauge("face_web_open_batches", "Batches that are not finished", registry=self.registry)
        self.dead_letters = Counter(
            "face_web_dead_letters", "Jobs that no worker could finish", ["event"], registry=self.registry
        )
        self.webhooks = Counter(
            "face_web_webhooks", "Attempts to deliver", ["webhook", "outcome"], registry=self.registry
        )
        self.fleet = FleetMetrics(self.registry)

    def refused(self, reason: str) -> None:
        """See Refusals. Counted and not logged: wrong keys may come by the thousand."""
        self.refused_keys.labels(reason).inc()

    def batch_file(self, kind: str, outcome: str) -> None:
        """A file of a batch has its verdict."""
        self.batch_files.labels(kind, outcome).inc()

    def batches_open(self, count: int) -> None:
        """So many batches are not finished."""
        self.open_batches.set(count)

    def dead_letter(self, event: str) -> None:
        """A job has died, or was redriven or discarded."""
        self.dead_letters.labels(event).inc()

    def webhook(self, name: str, outcome: str) -> None:
        """There was an attempt to deliver: delivered, failed or dead."""
        self.webhooks.labels(name, outcome).inc()

    def observe(self, result: Result) -> None:
        """Count one job's result."""
        self.jobs.labels(result["operation"], result["state"]).inc()
        for face in result.get("faces", ()):
            if "decision" in face:
                self.faces.labels(face["decision"]).inc()
        if "verification" in result:
            self.verifications.labels(result["verification"]["decision"]).inc()
        if "timing" in result and "total_ms" in result["timing"]:
            self.job_seconds.labels(result["operation"]).observe(result["timing"]["total_ms"] / 1000)
