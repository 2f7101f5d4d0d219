"""Puts together what carries batches out."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from ulid import ULID

from face_common.ports import Bucket
from face_web.batches.archive import Limits
from face_web.batches.carrier import Carrier, Consents
from face_web.batches.intake import Intake
from face_web.batches.model import Batch
from face_web.batches.pacing import Pace
from face_web.batches.runner import Parts, Runner
from face_web.batches.sources import EnrolledPhotos, Sources
from face_web.metrics import WebMetrics
from face_web.settings import WebSettings
from face_web.submit import Submitter
from face_web.versions import GalleryVersions
from face_web.webhooks import Webhooks

_LEASE_SECONDS = 15.0  # how long a silent host is waited for, before another one goes on with its batches
_UNPACKED = 4  # times larger than it may be sent, a batch may become


@dataclass(frozen=True, slots=True)
class Batching:
    """The two ends of it: where batches are taken in, and what carries them out."""

    intake: Intake
    runner: Runner


@dataclass(frozen=True, slots=True)
class _Announcer:
    """Tells the webhook that a batch names."""

    webhooks: Webhooks

    def batch_ended(self, batch: Batch) -> None:
        self.webhooks.expect(batch.webhook, batch.kind.value, batch.id)
        self.webhooks.answered(batch.id)


def _limits(settings: WebSettings) -> Limits:
    return Limits(
        entries=settings.max_batch_files,
        entry_bytes=settings.max_body_bytes,
        bytes=_UNPACKED * settings.max_batch_bytes,
    )


def build(
    settings: WebSettings,
    *,
    store: Bucket,
    gallery: EnrolledPhotos,
    submitter: Submitter,
    versions: GalleryVersions,
    consents: Consents,
    webhooks: Webhooks,
    metrics: WebMetrics,
    predicted_wait: Callable[[], float | None],
) -> Batching:
    """What one web host does about batches; nothing is begun yet."""
    limits = _limits(settings)
    sources = Sources(store, gallery, limits, import_prefix=settings.import_prefix)
    carrier = Carrier(
        store=store,
        submitter=submitter,
        sources=sources,
        consents=consents,
        versions=versions,
        observe=metrics.observe,
        max_pixels=settings.max_pixels,
    )
    parts = Parts(
        store=store,
        sources=sources,
        carrier=carrier,
        pace=Pace(settings.batch_ahead, settings.batch_wait_seconds),
        announcer=_Announcer(webhooks),
        audience=metrics,
        predicted_wait=predicted_wait,
        now=time.time,
        clock=time.monotonic,
    )
    holder = f"{socket.gethostname()}-{ULID()}"
    runner = Runner(parts, holder, lease_seconds=_LEASE_SECONDS, at_once=settings.batches_at_once)
    return Batching(Intake(store, limits, import_prefix=settings.import_prefix, prompt=runner.prompt), runner)
