"""Starts the web service: reads the environment, builds the adapters, serves until SIGTERM."""

import logging
import signal
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import PIL.Image
import waitress
from pydantic import ValidationError
from ulid import ULID
from waitress.server import WSGIServer

from face_common import logs
from face_common.aws import Aws
from face_common.errors import TransientError
from face_common.loops import Loop
from face_common.s3 import S3ObjectStore
from face_common.sqs import SqsQueues
from face_web.application import create_app
from face_web.dead_letters import DeadLetters
from face_web.metrics import WebMetrics
from face_web.people import People
from face_web.replies import ReplyRouter
from face_web.scaler.assembly import build as build_scaler
from face_web.scaler.loop import Scaler
from face_web.services import Services
from face_web.settings import WebSettings
from face_web.submit import Submitter
from face_web.traffic import Traffic
from face_web.versions import GalleryVersions

_log = logging.getLogger("face_web")
_SPARE_THREADS = 32  # for requests that do not wait for a worker, so that health checks are answered under any load
_FLUSH_SECONDS = 0.5  # for the last answers to leave the server's buffers
_TICK_SECONDS = 10.0  # for the scaling loop to finish what it is at
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
    door = build(settings)
    for loop in (*door.loops, door.scaling):
        if loop is not None:
            loop.start()
    serving = threading.Thread(target=_server(door.services).run, daemon=True)
    serving.start()
    _log.info("ready", extra={"host": settings.host, "port": settings.port})
    while serving.is_alive():
        if signal.sigtimedwait(_STOP_SIGNALS, 1.0) is not None:
            door.leave(settings.drain_seconds)
            return 0
    return 1


@dataclass(frozen=True, slots=True)
class Door:
    """The web tier put together."""

    services: Services
    replies: ReplyRouter
    loops: Sequence[Loop]
    scaling: Loop | None
    leaving: threading.Event

    def leave(self, seconds: float) -> None:
        """Let load balancers know, and let requests that wait for a worker have their answers, for so many seconds."""
        self.leaving.set()
        deadline = time.monotonic() + seconds
        while self.replies.waiting() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(_FLUSH_SECONDS)
        if self.scaling is not None and self.services.scaler is not None:
            self.scaling.stop(_TICK_SECONDS)
            self.services.scaler.leave()
        _log.info("left", extra={"unanswered": self.replies.waiting()})


def _server(services: Services) -> WSGIServer:
    settings = services.settings
    server: WSGIServer = waitress.create_server(
        create_app(services),
        host=settings.host,
        port=settings.port,
        threads=settings.waiting_limit + _SPARE_THREADS,
        connection_limit=2000,
        backlog=1024,
        inbuf_overflow=64 * 2**10,  # larger bodies go to disk: many may be waiting at the same time
        asyncore_use_poll=True,  # select() knows no descriptor above 1023
        max_request_body_size=4 * settings.max_body_bytes,  # beyond Flask's limit, whose answer has a code
        ident="face",
    )
    return server


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
    loops = (receiving, Loop("dead-letters", dead_letters.receive), polling)
    scaling = Loop("scaling", scaler.tick, pause=settings.tick_seconds) if scaler else None
    return Door(services, replies, loops, scaling, leaving)


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
