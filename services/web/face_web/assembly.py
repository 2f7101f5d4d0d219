"""Puts the web tier together from its settings."""

import threading
import time
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING

from ulid import ULID

from face_common.aws import Aws
from face_common.errors import TransientError
from face_common.loops import Loop
from face_common.s3 import S3ObjectStore
from face_common.sqs import SqsQueues
from face_web.access import Access
from face_web.answered import Answered
from face_web.audit import Audit
from face_web.batches.assembly import Batching
from face_web.batches.assembly import build as build_batching
from face_web.batches.intake import ended
from face_web.dead_letters import DeadLetters
from face_web.destinations import HttpPost
from face_web.door import Door
from face_web.galleries import Galleries
from face_web.idempotency import Idempotency
from face_web.keys import Keys
from face_web.metrics import WebMetrics
from face_web.redrives import Redrives
from face_web.rejections import Rejections
from face_web.replies import ReplyRouter
from face_web.rights import Rights
from face_web.rights import build as build_rights
from face_web.scaler.assembly import build as build_scaler
from face_web.scaler.loop import Scaler
from face_web.services import Services
from face_web.sessions import Sessions
from face_web.settings import WebSettings
from face_web.strangers import Strangers
from face_web.submit import Submitter
from face_web.traffic import Traffic
from face_web.versions import GalleryVersions
from face_web.webhooks import Webhooks

if TYPE_CHECKING:
    from face_common.gallery import Gallery  # LanceDB takes seconds to import

_SILENCE_SECONDS = 60.0  # a long poll takes 20
_CONNECTIONS = 64
_RETENTION_SECONDS = 60.0
_SESSIONS_SECONDS = 10.0  # after so long everybody is signed out on every host
_WEBHOOKS_SECONDS = 5.0  # what other hosts have written down is looked for as often


def build(settings: WebSettings) -> Door:
    """The web tier's parts, not yet started."""
    return _Assembly(settings).door()


class _Assembly:
    """Every part once, made when another one asks for it."""

    def __init__(self, settings: WebSettings) -> None:
        self.settings = settings
        self.leaving = threading.Event()
        self.metrics = WebMetrics()
        self.traffic = Traffic(time.time)

    def door(self) -> Door:
        """All of it."""
        scaler = self.scaler
        return Door(
            services=self.services(),
            replies=self.replies,
            receiving=self.receiving,
            loops=(
                Loop("dead-letters", self.dead_letters.receive),
                Loop("gallery-versions", self.versions.refresh, pause=self.settings.gallery_poll_seconds),
                Loop("keys", self.keys.refresh, pause=self.settings.keys_poll_seconds),
                Loop("sessions", self.sessions.refresh, pause=_SESSIONS_SECONDS),
                Loop("batches", self.batching.runner.step),
                Loop("erasures", self.rights.erasures.work),
                Loop("retention", self.rights.retention.step, pause=_RETENTION_SECONDS),
                Loop("webhooks", self.deliver),
            ),
            scaling=Loop("scaling", scaler.tick, pause=self.settings.tick_seconds) if scaler else None,
            leaving=self.leaving,
            batches=self.batching.runner,
        )

    def services(self) -> Services:
        """What the HTTP handlers work with."""
        return Services(
            version=metadata.version("elastic-face-web"),
            settings=self.settings,
            access=self.access,
            keys=self.keys,
            sessions=self.sessions,
            answered=self.answered,
            audit=self.audit,
            idempotency=Idempotency(self.store, new_id),
            submitter=self.submitter,
            batches=self.batching.intake,
            webhooks=self.webhooks,
            redrives=self.redrives,
            people=self.rights.people,
            records=self.rights.records,
            rejections=Rejections(gallery=self.gallery, store=self.store, answered=self.answered),
            erasures=self.rights.erasures,
            exports=self.rights.exports,
            galleries=self.galleries,
            strangers=Strangers(store=self.store, gallery=self.gallery, versions=self.versions),
            versions=self.versions,
            metrics=self.metrics,
            scaler=self.scaler,
            is_alive=lambda: self.receiving.silent_seconds() < _SILENCE_SECONDS,
            is_ready=lambda: not self.leaving.is_set() and _reachable(self.store),
        )

    @cached_property
    def aws(self) -> Aws:
        return Aws(self.settings, connections=_CONNECTIONS)

    @cached_property
    def store(self) -> S3ObjectStore:
        return S3ObjectStore(self.aws.s3(), self.settings.bucket)

    @cached_property
    def queues(self) -> SqsQueues:
        return SqsQueues(self.aws.sqs())

    @cached_property
    def gallery(self) -> "Gallery":
        return self.aws.gallery()

    @cached_property
    def versions(self) -> GalleryVersions:
        return GalleryVersions(self.gallery)

    @cached_property
    def replies(self) -> ReplyRouter:
        return ReplyRouter(self.queues(self.settings.response_queue_url), self.traffic, self.webhooks.answered)

    @cached_property
    def receiving(self) -> Loop:
        return Loop("replies", self.replies.receive)

    @cached_property
    def keys(self) -> Keys:
        return Keys(self.store, self.settings.admin_key_hash, time.time)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self.store, time.time)

    @cached_property
    def access(self) -> Access:
        return Access(
            keys=self.keys,
            refusals=self.metrics,
            rate=self.settings.key_rate,
            is_open=self.settings.access == "open",
            now=time.time,
        )

    @cached_property
    def answered(self) -> Answered:
        return Answered(self.store, time.time)

    @cached_property
    def audit(self) -> Audit:
        return Audit(self.store, new_id, time.time)

    @cached_property
    def rights(self) -> Rights:
        return build_rights(
            self.settings,
            store=self.store,
            gallery=self.gallery,
            versions=self.versions,
            audit=self.audit,
            new_id=new_id,
        )

    @cached_property
    def galleries(self) -> Galleries:
        return Galleries(gallery=self.gallery, store=self.store, versions=self.versions, consents=self.rights.records)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        letters = self.queues(self.settings.dead_letter_queue_url)
        return DeadLetters(
            dead_letters=letters,
            queues=self.queues,
            store=self.store,
            now=time.time,
            count=self.metrics.dead_letter,
        )

    @cached_property
    def redrives(self) -> Redrives:
        return Redrives(
            store=self.store,
            sender=self.submitter,
            consents=self.rights.records,
            erasures=self.rights.erasures,
            audit=self.audit,
            now=time.time,
            count=self.metrics.dead_letter,
        )

    @cached_property
    def submitter(self) -> Submitter:
        return Submitter(
            store=self.store,
            requests=self.queues(self.settings.request_queue_url),
            replies=self.replies,
            versions=self.versions,
            traffic=self.traffic,
            response_queue_url=self.settings.response_queue_url,
            waiting_limit=self.settings.waiting_limit,
            uploads_limit=self.settings.uploads_limit,
            now=time.time,
        )

    @cached_property
    def batching(self) -> Batching:
        return build_batching(
            self.settings,
            store=self.store,
            gallery=self.gallery,
            submitter=self.submitter,
            versions=self.versions,
            consents=self.rights.records,
            webhooks=self.webhooks,
            metrics=self.metrics,
            predicted_wait=lambda: self.scaler.predicted_wait() if self.scaler else None,
        )

    @cached_property
    def webhooks(self) -> Webhooks:
        destinations = {name: entry.destination() for name, entry in self.settings.webhooks.items()}
        return Webhooks(
            store=self.store,
            destinations=destinations,
            post=HttpPost(),
            ended=lambda kind, found: ended(self.store, kind, found),
            now=time.time,
            count=self.metrics.webhook,
        )

    def deliver(self) -> None:
        """Tell what has finished; the step of a loop."""
        self.webhooks.wait(_WEBHOOKS_SECONDS)
        self.webhooks.step()

    @cached_property
    def scaler(self) -> Scaler | None:
        """The scaling loop of this host, where there is a fleet to scale."""
        if not self.settings.launch_template:
            return None
        return build_scaler(self.settings, traffic=self.traffic, audience=self.metrics.fleet)


def new_id() -> str:
    """A new ULID."""
    return str(ULID())


def _reachable(store: S3ObjectStore) -> bool:
    try:
        store.exists("readyz")
    except TransientError:
        return False
    return True
