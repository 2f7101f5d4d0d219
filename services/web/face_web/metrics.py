"""What a web host tells Prometheus."""

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
        self.faces = Counter("face_web_faces", "Faces by decision", ["decision"], registry=self.registry)
        self.job_seconds = Histogram(
            "face_web_job_seconds", "From submission to result", ["operation"], buckets=_SECONDS, registry=self.registry
        )

    def observe(self, result: Result) -> None:
        """Count one job's result."""
        self.jobs.labels(result["operation"], result["state"]).inc()
        for face in result.get("faces", ()):
            self.faces.labels(face["decision"]).inc()
        if "timing" in result and "total_ms" in result["timing"]:
            self.job_seconds.labels(result["operation"]).observe(result["timing"]["total_ms"] / 1000)
