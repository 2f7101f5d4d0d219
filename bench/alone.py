"""A worker alone: the real queue loop, handlers, pool and children over a cloud that costs nothing.

What is left is what the worker itself takes. The cloud hands out as many jobs as are wanted, about photos that repeat,
and counts the answers.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from bench.folders import people as people_in
from bench.folders import photos as photos_in
from face_app import assembly
from face_app.children import Nursery
from face_app.metrics import WorkerMetrics
from face_app.pool import InferencePool, SlotLimits
from face_app.settings import WorkerSettings
from face_common.contract import Job, Operation, image_key
from face_common.errors import ObjectMissingError
from face_common.logs import JsonFormatter
from face_common.ports import Counts, Message
from face_common.templates import DIMENSIONS, GallerySnapshot, Template
from local.samples import samples
from local.stack import ROOT

_PEOPLE = 100
_PHOTOS_A_PERSON = 3
_QUEUE = "memory:requests"


class Cloud:
    """A bucket, queues and a gallery at once, none of which keeps anything."""

    def __init__(self, files: Sequence[Path], jobs: int, call_seconds: float) -> None:
        """`call_seconds`: how long each call takes, as it would over a network."""
        self._bodies = [file.read_bytes() for file in files]
        self._jobs = iter(range(jobs))
        self._call_seconds = call_seconds
        self._taking = threading.Lock()
        self.answered = 0

    def __call__(self, url: str) -> "Cloud":
        """See Queues."""
        return self

    def receive(self, limit: int, wait_seconds: int, hide_seconds: int = 30) -> list[Message]:
        """See Queue."""
        time.sleep(self._call_seconds)
        with self._taking:
            numbers = list(islice(self._jobs, limit))
        if not numbers:
            time.sleep(0.05)
        return [Message(_job(number).encode(), str(number), 1) for number in numbers]

    def send(self, body: str) -> None:
        """See Queue."""
        time.sleep(self._call_seconds)
        with self._taking:
            self.answered += 1

    def hold(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """See Queue."""
        return []

    def counts(self) -> Counts:
        """See Queue."""
        return Counts(0, 0)

    def delete(self, keys: Sequence[str]) -> None:
        """See Queue and ObjectStore."""
        time.sleep(self._call_seconds)

    def get(self, key: str) -> bytes:
        """See ObjectStore."""
        time.sleep(self._call_seconds)
        return self._bodies[int(key.rpartition("/")[2]) % len(self._bodies)]

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """See ObjectStore."""
        raise ObjectMissingError(key)

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """See ObjectStore."""

    def put_new(self, key: str, body: bytes, content_type: str) -> bool:
        """See ObjectStore."""
        time.sleep(self._call_seconds)
        return True

    def put_over(self, key: str, body: bytes, content_type: str, tag: str) -> str | None:
        """See ObjectStore."""
        return None

    def exists(self, key: str) -> bool:
        """See ObjectStore."""
        return False

    def tags(self, prefix: str) -> dict[str, str]:
        """See ObjectStore."""
        return {}

    def version(self, collection: str) -> int:
        """See GalleryReader."""
        return 1

    def load(self, collection: str, model: str) -> GallerySnapshot:
        """See GalleryReader. Strangers to all photos: what counts is that somebody must be searched."""
        encodings = np.random.default_rng(1).normal(size=(_PEOPLE, _PHOTOS_A_PERSON, DIMENSIONS)) * 0.12
        templates = [
            Template(f"{person:03d}", f"{person:03d}-{photo}", "photo.jpg", "", model, tuple(encoding), 0.0)
            for person, of_person in enumerate(encodings.astype(np.float32).tolist())
            for photo, encoding in enumerate(of_person)
        ]
        return GallerySnapshot.of(1, templates)

    def add(self, collection: str, templates: Sequence[Template]) -> int:
        """See GalleryWriter."""
        raise NotImplementedError("nobody is enrolled here")


class WorkerAlone:
    """A worker at work, as its measurer sees it."""

    def __init__(self, cloud: Cloud, nursery: Nursery, pool: InferencePool, metrics: WorkerMetrics) -> None:
        self._cloud = cloud
        self._nursery = nursery
        self._pool = pool
        self._metrics = metrics

    @property
    def answered(self) -> int:
        """Jobs so far."""
        return self._cloud.answered

    @property
    def parent(self) -> int:
        """Process id: the measurer's own."""
        return os.getpid()

    @property
    def nursery(self) -> int:
        """Its process id."""
        return self._nursery.pid

    @property
    def children(self) -> list[int]:
        """Their process ids."""
        return self._pool.pids

    def wait_answered(self, count: int) -> None:
        """Wait until so many jobs are answered."""
        while self._cloud.answered < count:
            time.sleep(0.002)

    def metric(self, name: str) -> float:
        """A figure of the worker's own."""
        return self._metrics.registry.get_sample_value(f"face_worker_{name}") or 0.0


@contextmanager
def worker_alone(cloud: Cloud, **settings: str | int | float) -> Iterator[WorkerAlone]:
    """A worker that begins with the cloud's jobs at once, and drains when the context is left."""
    chosen = {"cache_dir": ROOT / ".local" / "cache", "bucket": "memory", "request_queue_url": _QUEUE} | settings
    worker_settings = WorkerSettings.model_validate(chosen)
    _quiet_logs()
    metrics = WorkerMetrics()
    nursery = Nursery(worker_settings.inference())
    nursery.start()
    limits = SlotLimits(60.0, worker_settings.child_jobs, 2**40, worker_settings.batch_photos)
    with closing(nursery):
        nursery.wait_ready()
        pool = InferencePool(nursery, worker_settings.slots, limits, metrics)
        pool.start()
        with closing(pool):
            whole = assembly.Cloud(store=cloud, queues=cloud, gallery=cloud)
            worker = assembly.build(worker_settings, whole, nursery, pool, metrics=metrics, now=time.time).worker
            thread = threading.Thread(target=worker.run, name="worker")
            thread.start()
            try:
                yield WorkerAlone(cloud, nursery, pool, metrics)
            finally:
                worker.drain()
                thread.join()


def usual_photos() -> list[Path]:
    """Portraits of many people from FACE_DATA, or the sample photos."""
    shared = os.environ.get("FACE_DATA")
    if not shared:
        return photos_in(samples())
    people = people_in(Path(shared, "lfw-dev/people")).values()
    return photos_in(Path(shared, "lfw-dev/strangers")) + [photo for photos in people for photo in photos]


def _quiet_logs() -> None:
    """Lines are made, since making them is work of the worker's, and go nowhere."""
    logger = logging.getLogger("face_app")
    if not logger.handlers:
        handler = logging.StreamHandler(Path(os.devnull).open("w"))  # noqa: SIM115 - as long as the measuring goes on
        handler.setFormatter(JsonFormatter())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


def _job(number: int) -> Job:
    name = f"{number:026d}"
    return Job(
        id=name,
        operation=Operation.IDENTIFY,
        key=image_key(name),
        name="photo.jpg",
        collection="default",
        gallery_version=1,
        reply_queue="memory:replies",
        submitted_at=time.time(),
        width=250,
        height=250,
    )
