"""Starts the web service: reads the environment, builds the adapters, serves until SIGTERM."""

import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import PIL.Image
from pydantic import ValidationError
from ulid import ULID

from face_common import logs
from face_common.aws import Aws
from face_common.errors import TransientError
from face_common.loops import Loop
from face_common.s3 import S3ObjectStore
from face_common.service_manager import ServiceManager
from face_common.sqs import SqsQueues
from face_web.application import create_app
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

_log = logging.getLogger("face_web")
_ANSWER_SECONDS = 5.0  # for those who waited in vain to be told so
_TICK_SECONDS = 5.0  # for a loop to finish what it is at
_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_SILENCE_SECONDS = 60.0  # a long poll takes 20
_CONNECTIONS = 64


def main() -> int:
    """Run the web service; 0 after SIGTERM, 1 when the server ended by itself, 2 when the settings are wrong."""
    try:
        settings = WebSettings()
    except ValidationError as error:
        print(error, file=sys.stderr)
        return 2
    logs.set_up(settings.log_level)
    # Pillow only reads headers here, and the service has a pixel limit of its own.
    warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)  # before there are threads, which inherit it
    manager = ServiceManager(os.environ, os.getpid())
    door = build(settings)
    server = Server(create_app(door.services), settings, manager.sockets())
    for loop in (door.receiving, *door.loops, door.scaling):
        if loop is not None:
            loop.start()
    server.start()
    _log.info("ready", extra={"addresses": server.addresses})
    manager.ready()
    while server.is_running:
        if door.services.is_alive():
            manager.alive()
        if signal.sigtimedwait(_STOP_SIGNALS, min(1.0, manager.watchdog_seconds / 2)) is not None:
            manager.stopping()
            door.leave(server, settings.drain_seconds)
            return 0
    return 1


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
    store = S3ObjectStore(aws.s3(), settings.bucket)
    queues = SqsQueues(aws.sqs())
    gallery = aws.gallery()
    versions = GalleryVersions(gallery)
    traffic = Traffic(time.time)
    replies = ReplyRouter(queues(settings.response_queue_url), traffic)
    metrics = WebMetrics()
    scaler = _scaler(settings, traffic, metrics)
    dead_letters = DeadLetters(dead_letters=queues(settings.dead_letter_queue_url), queues=queues, store=store)
    receiving = Loop("replies", replies.receive)
    leaving = threading.Event()
    submitter = Submitter(
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
    services = Services(
        settings=settings,
        submitter=submitter,
        people=People(gallery=gallery, store=store, versions=versions),
        versions=versions,
        metrics=metrics,
        scaler=scaler,
        is_alive=lambda: receiving.silent_seconds() < _SILENCE_SECONDS,
        is_ready=lambda: not leaving.is_set() and _reachable(store),
    )
    polling = Loop("gallery-versions", versions.refresh, pause=settings.gallery_poll_seconds)
    loops = (Loop("dead-letters", dead_letters.receive), polling)
    scaling = Loop("scaling", scaler.tick, pause=settings.tick_seconds) if scaler else None
    return Door(services, replies, receiving, loops, scaling, leaving)


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


if __name__ == "__main__":
    sys.exit(main())
