"""Puts the web tier together from its settings."""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

from ulid import ULID

from face_common.aws import Aws
from face_common.errors import TransientError
from face_common.loops import Loop
from face_common.s3 import S3ObjectStore
from face_common.sqs import SqsQueues
from face_web.dead_letters import DeadLetters
from face_web.metrics import WebMetrics
from face_web.people import People
from face_web.replies import ReplyRouter
from face_web.scaler.assembly import build as build_scaler
from face_web.scaler.loop import Scaler
from face_web.server import Server
from face_web.services import Services
from face_web.settings import WebSettings
from face_web.submit import Submitter
from face_web.traffic import Traffic
from face_web.versions import GalleryVersions

_log = logging.getLogger(__name__)
_ANSWER_SECONDS = 5.0  # for those who waited in vain to be told so
_TICK_SECONDS = 5.0  # for a loop to finish what it is at
_LONGEST_TURN = 120.0  # seconds for a call that the cloud never answers, with its retries
_SILENCE_SECONDS = 60.0  # a long poll takes 20
_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Door:
    """The web tier put together."""

    services: Services
    replies: ReplyRouter
    receiving: Loop
    """Hands out the answers."""
    loops: Sequence[Loop]
    """What else goes on."""
    scaling: Loop | None
    leaving: threading.Event

    def start(self) -> None:
        """Begin with all that goes on beside the server."""
        for loop in (self.receiving, *self.loops, self.scaling):
            if loop is not None:
                loop.start()

    @property
    def is_turning(self) -> bool:
        """Whether answers are still looked for. A cloud that fails does not count: a restart would not mend it."""
        return self.receiving.stuck_seconds() < _LONGEST_TURN

    def leave(self, server: Server, seconds: float) -> None:
        """Answer every request that was accepted, waiting for workers so many seconds, and break no connection.

        Nothing tells new clients where the sockets are held for the next process: they wait for it. Where the socket
        is this process's own, load balancers are told first, and new clients are served while anyone waits.
        """
        deadline = time.monotonic() + seconds
        if not server.handed_over:
            self.leaving.set()
            while self.replies.waiting() and time.monotonic() < deadline:
                time.sleep(0.05)
        server.stop_accepting()
        unanswered = server.finish(deadline)
        if unanswered:
            self.replies.dismiss()
            unanswered = server.finish(time.monotonic() + _ANSWER_SECONDS)
        self._stop_receiving()
        if self.scaling is not None and self.services.scaler is not None:
            self.scaling.stop(_TICK_SECONDS)
            self.services.scaler.leave()
        _log.info("left", extra={"unanswered": unanswered})

    def _stop_receiving(self) -> None:
        self.receiving.stop(0)
        with suppress(TransientError):
            self.replies.wake()
        self.receiving.stop(_TICK_SECONDS)


def build(settings: WebSettings) -> Door:
    """The web tier's parts, not yet started."""
    aws = Aws(settings, connections=_CONNECTIONS)
    store, queues, gallery = S3ObjectStore(aws.s3(), settings.bucket), SqsQueues(aws.sqs()), aws.gallery()
    versions, traffic, metrics = GalleryVersions(gallery), Traffic(time.time), WebMetrics()
    replies = ReplyRouter(queues(settings.response_queue_url), traffic)
    receiving = Loop("replies", replies.receive)
    leaving = threading.Event()
    scaler = _scaler(settings, traffic, metrics)
    services = Services(
        version=metadata.version("elastic-face-web"),
        settings=settings,
        submitter=_submitter(settings, store, queues, replies=replies, versions=versions, traffic=traffic),
        people=People(gallery=gallery, store=store, versions=versions),
        versions=versions,
        metrics=metrics,
        scaler=scaler,
        is_alive=lambda: receiving.silent_seconds() < _SILENCE_SECONDS,
        is_ready=lambda: not leaving.is_set() and _reachable(store),
    )
    dead_letters = DeadLetters(dead_letters=queues(settings.dead_letter_queue_url), queues=queues, store=store)
    polling = Loop("gallery-versions", versions.refresh, pause=settings.gallery_poll_seconds)
    return Door(
        services=services,
        replies=replies,
        receiving=receiving,
        loops=(Loop("dead-letters", dead_letters.receive), polling),
        scaling=Loop("scaling", scaler.tick, pause=settings.tick_seconds) if scaler else None,
        leaving=leaving,
    )


def _submitter(
    settings: WebSettings,
    store: S3ObjectStore,
    queues: SqsQueues,
    *,
    replies: ReplyRouter,
    versions: GalleryVersions,
    traffic: Traffic,
) -> Submitter:
    return Submitter(
        store=store,
        requests=queues(settings.request_queue_url),
        replies=replies,
        versions=versions,
        traffic=traffic,
        response_queue_url=settings.response_queue_url,
        waiting_limit=settings.waiting_limit,
        uploads_limit=settings.uploads_limit,
        new_id=lambda: str(ULID()),
        now=time.time,
    )


def _scaler(settings: WebSettings, traffic: Traffic, metrics: WebMetrics) -> Scaler | None:
    """The scaling loop of this host, where there is a fleet to scale."""
    if not settings.launch_template:
        return None
    return build_scaler(settings, traffic=traffic, audience=metrics)


def _reachable(store: S3ObjectStore) -> bool:
    try:
        store.exists("readyz")
    except TransientError:
        return False
    return True
