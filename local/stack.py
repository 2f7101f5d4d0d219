"""Starts, watches and stops the whole service on this machine."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from face_common.loops import Loop
from local import localstack
from local.localstack import DockerLocalStack, HostLocalStack, LocalStack, free_port, is_free
from local.mirror import GALLERY, Mirror
from local.processes import Part, StartError, service_environment
from local.resources import Resources, make_resources, s3_client, sqs_client

if TYPE_CHECKING:
    from types_boto3_sqs.literals import QueueAttributeNameType

ROOT = Path(__file__).resolve().parent.parent
USUAL_PORT = 8080
_START_SECONDS = 90.0  # the first start converts the model and fills Python's caches
_DRAIN_SECONDS = 45.0  # a photo in hand, the rest of a long poll
_QUEUE_SECONDS = 30.0  # for jobs that nobody waits for any more
_SAVE_EVERY_SECONDS = 60.0
_FRAGILE_SECONDS = 10.0  # a worker that lives no longer than this did not start
_FRAGILE_RESTARTS = 3

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What may differ between runs on one machine."""

    port: int = USUAL_PORT
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    state: Path = ROOT / ".local"
    localstack_python: Path = ROOT / ".venv-localstack" / "bin" / "python"
    docker: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    """FACE_ variables for web and workers; addresses, ports and names are the stack's own."""


class Stack:
    """The service on one machine: LocalStack, one web service, a number of workers."""

    def __init__(self, options: Options, tell: Tell) -> None:
        """`tell` is called with each line of progress."""
        self._options = options
        self._tell = tell
        self._localstack: LocalStack | None = None
        self._mirror: Mirror | None = None
        self._saving: Loop | None = None
        self.resources: Resources | None = None
        self.web: Part | None = None
        self.workers: list[Part] = []
        self.worker_metrics: list[str] = []
        """URLs of the workers' Prometheus endpoints."""

    @property
    def url(self) -> str:
        """Where the web service listens."""
        return f"http://127.0.0.1:{self._options.port}"

    def start(self) -> None:
        """Start everything and wait until it serves; StartError when a part does not come up."""
        if not is_free(self._options.port):
            raise StartError(f"port {self._options.port} is taken; choose another one: make run PORT=8081")
        began = time.monotonic()
        self._start_localstack()
        self._tell(f"LocalStack  {self.resources.endpoint if self.resources else ''}  {_since(began)}")
        began = time.monotonic()
        self.web = self._part("web", "face_web", {"FACE_PORT": str(self._options.port)})
        self.workers = [self._worker(number) for number in range(1, self._options.workers + 1)]
        for part in (self.web, *self.workers):
            part.start()
        self.web.wait_until(self._is_ready, _START_SECONDS)
        self._tell(f"web         {self.url}  {_since(began)}")
        for worker in self.workers:
            worker.wait_until(partial(worker.has_logged, '"message": "ready"'), _START_SECONDS)
        self._tell(f"workers     {len(self.workers)}  {_since(began)}")

    def watch(self) -> None:
        """Start dead workers again. StartError when a part has died that the rest cannot do without."""
        if self._localstack is not None and self._localstack.ended() is not None:
            raise StartError("LocalStack died: its queues and objects are gone")
        if self.web is not None and self.web.ended() is not None:
            raise StartError(f"the web service died:\n{self.web.log_tail()}")
        for worker in self.workers:
            if worker.ended() is not None:
                self._restart(worker)

    def stop(self) -> None:
        """Stop everything in the order that loses nothing. Safe whatever has been started so far.

        Whatever goes wrong on the way, the steps after it are taken all the same.
        """
        with ExitStack() as steps:  # taken from the last to the first
            if self._localstack is not None:
                steps.callback(self._localstack.stop)
            if self._saving is not None:
                steps.callback(self._save)
                steps.callback(self._saving.stop)
            steps.callback(_stop_all, self.workers)
            steps.callback(self._finish_queue)
            if self.web is not None:
                steps.callback(self.web.stop, _DRAIN_SECONDS)

    def _finish_queue(self) -> None:
        """Let the workers finish what is queued: LocalStack forgets its queues."""
        deadline = time.monotonic() + _QUEUE_SECONDS
        while self._is_serving() and time.monotonic() < deadline and self._queued():
            time.sleep(0.2)

    def _is_serving(self) -> bool:
        alive = [worker for worker in self.workers if worker.ended() is None and worker.pid]
        return bool(alive) and self._localstack is not None and self._localstack.ended() is None

    def _queued(self) -> int:
        """Jobs on the request queue, visible or in flight."""
        assert self.resources is not None  # workers are started after they are made
        names: list[QueueAttributeNameType] = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
        ]
        sqs = sqs_client(self.resources.endpoint)
        answer = sqs.get_queue_attributes(QueueUrl=self.resources.request_queue_url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def _start_localstack(self) -> None:
        if self._options.docker:
            self._localstack = DockerLocalStack(ROOT / "docker-compose.localstack.yml")
        else:
            port = free_port(localstack.USUAL_PORT)
            self._localstack = HostLocalStack(self._options.localstack_python, self._options.state, port)
        self._localstack.start()
        self.resources = make_resources(self._localstack.endpoint)
        s3 = s3_client(self._localstack.endpoint)
        self._mirror = Mirror(s3, self.resources.bucket, self._options.state / "bucket")
        restored = self._mirror.restore(gallery=True)
        if restored:
            self._tell(f"gallery     restored from {self._options.state / 'bucket'}")
        self._saving = Loop("bucket-mirror", self._mirror_step, pause=_SAVE_EVERY_SECONDS).start()

    def _mirror_step(self) -> None:
        """Bring photos and results back while the service already serves, once; then save what has changed.

        Galleries are saved in any case, the rest while the queue is empty: LocalStack is slow enough under load.
        """
        assert self._mirror is not None  # the loop starts after it is made
        self._mirror.restore(gallery=False)
        self._mirror.save(GALLERY)
        if not self._queued():
            self._mirror.save()

    def _save(self) -> None:
        if self._mirror is not None and self._localstack is not None and self._localstack.ended() is None:
            self._tell(f"saved       {self._mirror.save()} objects in {self._options.state / 'bucket'}")

    def _worker(self, number: int) -> Part:
        name = f"worker-{number}"
        port = free_port()
        self.worker_metrics.append(f"http://127.0.0.1:{port}/metrics")
        return self._part(name, "face_app", {"FACE_WORKER_NAME": name, "FACE_METRICS_PORT": str(port)})

    def _part(self, name: str, module: str, settings: dict[str, str]) -> Part:
        assert self.resources is not None  # LocalStack is started first
        chosen = {"FACE_CACHE_DIR": str(self._options.state / "cache"), **self._options.settings}
        environment = service_environment({**chosen, **self.resources.environment(), **settings})
        return Part(name, [sys.executable, "-m", module], environment, self._options.state / "logs" / f"{name}.log")

    def _restart(self, worker: Part) -> None:
        fragile = time.monotonic() - worker.started_at < _FRAGILE_SECONDS
        worker.restarts = worker.restarts + 1 if fragile else 1
        if worker.restarts > _FRAGILE_RESTARTS:
            raise StartError(f"{worker.name} dies again and again:\n{worker.log_tail()}")
        self._tell(f"{worker.name} ended ({worker.ended()}): started again")
        worker.start()

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False


def _stop_all(workers: Sequence[Part]) -> None:
    """Drain the workers at the same time."""
    with ThreadPoolExecutor(max(len(workers), 1)) as threads:
        list(threads.map(lambda worker: worker.stop(_DRAIN_SECONDS), workers))


def _since(began: float) -> str:
    return f"ready in {time.monotonic() - began:.1f} s"
