"""Starts the web service: reads the environment, builds the adapters, serves until SIGTERM."""

import logging
import signal
import sys
import time
import warnings
from types import FrameType

import PIL.Image
import waitress
from pydantic import ValidationError
from ulid import ULID

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
from face_web.services import Services
from face_web.settings import WebSettings
from face_web.submit import Submitter
from face_web.versions import GalleryVersions

_SPARE_THREADS = 32  # for requests that do not wait for a worker, so that health checks are answered under any load
_SILENCE_SECONDS = 60.0  # a long poll takes 20
_CONNECTIONS = 64


def main() -> int:
    """Run the web service; 0 after SIGTERM, 2 when the settings are wrong."""
    try:
        settings = WebSettings()
    except ValidationError as error:
        print(error, file=sys.stderr)
        return 2
    logs.set_up(settings.log_level)
    # Pillow only reads headers here, and the service has a pixel limit of its own.
    warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
    services, loops = build(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    for loop in loops:
        loop.start()
    server = waitress.create_server(
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
    logging.getLogger("face_web").info("ready", extra={"host": settings.host, "port": settings.port})
    server.run()
    return 0


def build(settings: WebSettings) -> tuple[Services, list[Loop]]:
    """The web tier's middle, and the loops that it lives by."""
    aws = Aws(settings, connections=_CONNECTIONS)
    store = S3ObjectStore(aws.s3(), settings.bucket)
    queues = SqsQueues(aws.sqs())
    gallery = aws.gallery()
    versions = GalleryVersions(gallery)
    replies = ReplyRouter(queues(settings.response_queue_url))
    dead_letters = DeadLetters(dead_letters=queues(settings.dead_letter_queue_url), queues=queues, store=store)
    receiving = Loop("replies", replies.receive)
    submitter = Submitter(
        store=store,
        requests=queues(settings.request_queue_url),
        replies=replies,
        versions=versions,
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
        metrics=WebMetrics(),
        is_alive=lambda: receiving.silent_seconds() < _SILENCE_SECONDS,
        is_ready=lambda: _reachable(store),
    )
    return services, [
        receiving,
        Loop("dead-letters", dead_letters.receive),
        Loop("gallery-versions", versions.refresh, pause=settings.gallery_poll_seconds),
    ]


def _reachable(store: S3ObjectStore) -> bool:
    try:
        store.exists("readyz")
    except TransientError:
        return False
    return True


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)  # waitress answers what is under way and returns


if __name__ == "__main__":
    sys.exit(main())
