"""Puts a worker together from its settings. Imports the cloud's libraries, so the entry point imports it late."""

from collections.abc import Callable
from dataclasses import dataclass

import prometheus_client

from face_app.children import Nursery
from face_app.deferred import DeferredGallery, EnrolledPeople
from face_app.enrolled import Policy, preparing
from face_app.gallery_cache import GalleryCache
from face_app.handlers import Handlers, Identity, Standards
from face_app.metrics import WorkerMetrics
from face_app.observer import Observer
from face_app.pool import InferencePool
from face_app.population import population
from face_app.quality import EnrolmentLimits
from face_app.reporting import Reporter
from face_app.settings import WorkerSettings
from face_app.worker import Pace, Worker
from face_common.aws import Aws
from face_common.loops import Loop
from face_common.ports import ObjectStore, Queues
from face_common.s3 import S3ObjectStore
from face_common.sqs import SqsQueues


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where photos, jobs and enrolled people are."""

    store: ObjectStore
    queues: Queues
    gallery: EnrolledPeople


def aws_cloud(settings: WorkerSettings) -> Cloud:
    """The deployment's."""
    aws = Aws(settings, connections=settings.capacity() + 4)
    store, queues = S3ObjectStore(aws.s3(), settings.bucket), SqsQueues(aws.sqs())
    return Cloud(store, queues, DeferredGallery(aws.gallery))


@dataclass(frozen=True, slots=True)
class Parts:
    """A worker, and what goes on beside it."""

    worker: Worker
    refresh: Loop
    """Keeps its galleries fresh."""
    observing: Loop
    """Tells operators how their thresholds came about."""
    reporter: Reporter | None
    """Tells the scaling loop of it; None outside a fleet."""


def build(
    settings: WorkerSettings,
    cloud: Cloud,
    nursery: Nursery,
    pool: InferencePool,
    *,
    metrics: WorkerMetrics,
    now: Callable[[], float],
) -> Parts:
    """The worker's parts, ready to run."""
    pace = _pace(settings)
    known = population(nursery.model)
    policy = Policy(settings.false_positive_rate, settings.margin, settings.threshold)
    cache = GalleryCache(cloud.gallery, nursery.model, metrics, preparing(known, policy))
    limits = EnrolmentLimits(settings.enrol_side, settings.enrol_sharpness, settings.enrol_yaw)
    handlers = Handlers(
        store=cloud.store,
        pool=pool,
        gallery=cloud.gallery,
        cache=cache,
        standards=Standards(known, settings.false_match_rate, limits),
        identity=Identity(settings.worker_name, nursery.model, nursery.profile),
        now=now,
        keep_unknown=settings.keep_unknown,
    )
    worker = Worker(
        requests=cloud.queues(settings.request_queue_url),
        queues=cloud.queues,
        store=cloud.store,
        handlers=handlers,
        pace=pace,
        metrics=metrics,
        now=now,
    )
    if settings.metrics_port:
        prometheus_client.start_http_server(settings.metrics_port, settings.metrics_host, metrics.registry)
    refresh = Loop("gallery-refresh", cache.refresh, pause=settings.gallery_poll_seconds)
    observer = Observer(store=cloud.store, cache=cache, model=nursery.model, now=now)
    observing = Loop("observing", observer.step, pause=settings.gallery_poll_seconds)
    return Parts(worker, refresh, observing, _reporter(settings, cloud.store, worker, pace, now))


def _pace(settings: WorkerSettings) -> Pace:
    return Pace(
        capacity=settings.capacity(),
        visibility_seconds=settings.visibility_seconds,
        receive_wait_seconds=settings.receive_wait_seconds,
        slots=settings.slots,
        ahead_seconds=settings.ahead_seconds,
    )


def _reporter(
    settings: WorkerSettings, store: ObjectStore, worker: Worker, pace: Pace, now: Callable[[], float]
) -> Reporter | None:
    if not settings.instance_id:
        return None
    identity = {"instance": settings.instance_id, "name": settings.worker_name}
    return Reporter(store=store, worker=worker, pace=pace, slots=settings.slots, now=now, **identity)
