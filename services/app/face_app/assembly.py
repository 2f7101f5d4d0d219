"""Puts a worker together from its settings. Imports the cloud's libraries, so the entry point imports it late."""

from collections.abc import Callable
from dataclasses import dataclass

import prometheus_client

from face_app.children import Nursery
from face_app.decision import DecisionRule
from face_app.gallery_cache import GalleryCache
from face_app.handlers import Handlers, Identity
from face_app.metrics import WorkerMetrics
from face_app.pool import InferencePool
from face_app.reporting import Reporter
from face_app.settings import WorkerSettings
from face_app.worker import Pace, Worker
from face_common.aws import Aws
from face_common.loops import Loop
from face_common.ports import ObjectStore
from face_common.s3 import S3ObjectStore
from face_common.sqs import SqsQueues


@dataclass(frozen=True, slots=True)
class Parts:
    """A worker, and what goes on beside it."""

    worker: Worker
    refresh: Loop
    """Keeps its galleries fresh."""
    reporter: Reporter | None
    """Tells the scaling loop of it; None outside a fleet."""


def build(
    settings: WorkerSettings,
    nursery: Nursery,
    pool: InferencePool,
    metrics: WorkerMetrics,
    now: Callable[[], float],
) -> Parts:
    """The worker's parts, ready to run."""
    capacity = settings.slots * (1 + settings.prefetch)
    pace = Pace(capacity, settings.visibility_seconds, settings.receive_wait_seconds)
    aws = Aws(settings, connections=pace.capacity + 4)
    store = S3ObjectStore(aws.s3(), settings.bucket)
    queues = SqsQueues(aws.sqs())
    gallery = aws.gallery()
    cache = GalleryCache(gallery, nursery.model, metrics)
    handlers = Handlers(
        store=store,
        pool=pool,
        gallery=gallery,
        cache=cache,
        rule=DecisionRule(settings.threshold, settings.margin),
        identity=Identity(settings.worker_name, nursery.model, nursery.profile),
        now=now,
    )
    worker = Worker(
        requests=queues(settings.request_queue_url),
        queues=queues,
        store=store,
        handlers=handlers,
        pace=pace,
        metrics=metrics,
        now=now,
    )
    if settings.metrics_port:
        prometheus_client.start_http_server(settings.metrics_port, settings.metrics_host, metrics.registry)
    refresh = Loop("gallery-refresh", cache.refresh, pause=settings.gallery_poll_seconds)
    return Parts(worker, refresh, _reporter(settings, store, worker, pace, now))


def _reporter(
    settings: WorkerSettings, store: ObjectStore, worker: Worker, pace: Pace, now: Callable[[], float]
) -> Reporter | None:
    if not settings.instance_id:
        return None
    identity = {"instance": settings.instance_id, "name": settings.worker_name}
    return Reporter(store=store, worker=worker, pace=pace, slots=settings.slots, now=now, **identity)
