"""What a worker tells Prometheus."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class WorkerMetrics:
    """The worker's metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # what the parent itself uses: CPU, memory, descriptors
        self.jobs = Counter(
            "face_worker_jobs", "Jobs by what became of them", ["operation", "outcome"], registry=self.registry
        )
        self.held = Gauge("face_worker_jobs_held", "Jobs received and not yet finished", registry=self.registry)
        self.stage_seconds = Histogram(
            "face_worker_stage_seconds",
            "Time a job spent in a stage",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.inference_seconds = Counter(
            "face_worker_inference_seconds", "Time that children spent on photos", registry=self.registry
        )
        self.inference_cpu_seconds = Counter(
            "face_worker_inference_cpu_seconds", "CPU time that children spent on photos", registry=self.registry
        )
        self.batch_photos = Histogram(
            "face_worker_batch_photos",
            "Photos that a child read together",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=self.registry,
        )
        self.children_replaced = Counter(
            "face_worker_children_replaced", "Inference children replaced", ["reason"], registry=self.registry
        )
        self.gallery_version = Gauge(
            "face_worker_gallery_version", "Gallery version in memory", ["collection"], registry=self.registry
        )
        self.visibility_lost = Counter(
            "face_worker_visibility_lost", "Jobs that another worker may have taken meanwhile", registry=self.registry
        )

    def observe_batch(self, photos: int, seconds: float, cpu_seconds: float) -> None:
        """Count photos that a child has read together, and the time it took over them."""
        self.batch_photos.observe(photos)
        self.inference_seconds.inc(seconds)
        self.inference_cpu_seconds.inc(cpu_seconds)

    def observe_stages(self, timing: Mapping[str, object]) -> None:
        """Count a result's timing; its keys end in _ms."""
        for key, value in timing.items():
            if isinstance(value, int | float):
                self.stage_seconds.labels(key.removesuffix("_ms")).observe(value / 1000)
