"""What a web host tells Prometheus."""

import math
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from face_common.contract import Result

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


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

        self.refused = Counter(
            "face_web_refused", "Photos refused because they would wait too long", registry=self.registry
        )
        self.fleet_workers = Gauge("face_fleet_workers", "Workers by state", ["state"], registry=self.registry)
        self.fleet_desired = Gauge("face_fleet_desired", "Workers that should run", registry=self.registry)
        self.fleet_backlog = Gauge("face_fleet_backlog", "Photos on the queue", ["state"], registry=self.registry)
        self.fleet_oldest = Gauge("face_fleet_oldest_seconds", "Age of the oldest photo", registry=self.registry)
        self.fleet_wait = Gauge("face_fleet_wait_seconds", "Predicted wait of a new photo", registry=self.registry)
        self.fleet_hours = Gauge("face_fleet_hours_today", "Instance-hours since midnight", registry=self.registry)
        self.fleet_boot = Gauge("face_fleet_boot_seconds", "Boot time, p90", ["kind"], registry=self.registry)
        self.fleet_service = Gauge("face_fleet_service_seconds", "Time a photo takes", registry=self.registry)
        self.fleet_arrivals = Gauge("face_fleet_arrival_rate", "Photos a second", registry=self.registry)
        self.fleet_leading = Gauge("face_fleet_leading", "Whether this host leads", registry=self.registry)
        self.fleet_decisions = Counter(
            "face_fleet_decisions", "Decisions of this host", ["action", "cause"], registry=self.registry
        )

    def follows(self) -> None:
        """Another host leads, and shows the fleet."""
        for labelled in (self.fleet_workers, self.fleet_backlog, self.fleet_boot):
            labelled.clear()
        for plain in (
            self.fleet_desired,
            self.fleet_oldest,
            self.fleet_wait,
            self.fleet_hours,
            self.fleet_service,
            self.fleet_arrivals,
        ):
            plain.set(math.nan)

    def decided(self, status: Mapping[str, Any]) -> None:
        """Show what the leader has decided: the body of GET /v1/fleet."""
        for state, count in status["workers"].items():
            self.fleet_workers.labels(state).set(count)
        self.fleet_desired.set(status["desired"])
        for state in ("visible", "in_flight"):
            self.fleet_backlog.labels(state).set(status["backlog"][state] or 0)
        self.fleet_oldest.set(status["backlog"]["oldest_s"] or 0)
        self.fleet_wait.set(math.nan if status["wait_s"] is None else status["wait_s"])
        measured = status["measured"]
        self.fleet_hours.set(measured["hours_today"])
        self.fleet_boot.labels("cold").set(measured["cold_boot_s"])
        self.fleet_boot.labels("warm").set(measured["warm_boot_s"])
        self.fleet_service.set(measured["service_s"])
        self.fleet_arrivals.set(measured["arrival_rate"])
        self.fleet_decisions.labels(status["decision"]["action"], status["decision"]["cause"]).inc()

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
