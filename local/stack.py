"""Starts, watches and stops the whole service on this machine."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from face_common.loops import Loop
from face_common.s3 import S3ObjectStore
from face_common.sqs import SqsQueue
from local import localstack
from local.hosts import Hosts
from local.localstack import DockerLocalStack, HostLocalStack, LocalStack, free_port, is_free
from local.mirror import GALLERY, Mirror
from local.processes import Part, StartError, service_environment
from local.resources import Resources, ec2_client, make_resources, s3_client, sqs_client

ROOT = Path(__file__).resolve().parent.parent
USUAL_PORT = 8080
_START_SECONDS = 90.0  # the first start converts the model and fills Python's caches
_DRAIN_SECONDS = 45.0  # a photo in hand, the rest of a long poll
_QUEUE_SECONDS = 30.0  # for jobs that nobody waits for any more
_SAVE_EVERY_SECONDS = 60.0
_NOTE_EVERY_SECONDS = 1.0  # an erasure takes longer: it waits for the workers to have seen it
_HOSTS_EVERY_SECONDS = 0.3
_START_TAKES = 5.0  # seconds that a worker needs from exec to ready, until it was measured
_USUAL = {
    "FACE_ACCESS": "open",  # to this machine alone
    "FACE_DRAIN_TARGET_SECONDS": "0.5",  # a fleet on one machine costs nothing and is there to be watched
    "FACE_QUIET_SECONDS": "30",
    "FACE_PATIENCE_SECONDS": "120",  # many workers that start at once on few cores
}

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What may differ between runs on one machine."""

    port: int = USUAL_PORT
    min_workers: int = 1
    max_workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    boot_seconds: float = 0.0
    """Pretended time from launch to the start of a worker."""
    warm_boot_seconds: float = 0.0
    """The same for a worker that was stopped before."""
    webs: int = 1
    """Web services; the first listens on `port`."""
    state: Path = ROOT / ".local"
    localstack_python: Path = ROOT / ".venv-localstack" / "bin" / "python"
    docker: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    """FACE_ variables for web and workers; addresses, ports and names are the stack's own."""


class Stack:
    """The service on one machine: LocalStack, web services, and as many workers as their scaling loop wants."""

    def __init__(self, options: Options, tell: Tell) -> None:
        """`tell` is called with each line of progress."""
        self._options = options
        self._tell = tell
        self._localstack: LocalStack | None = None
        self._mirror: Mirror | None = None
        self._saving: Loop | None = None
        self._noting: Loop | None = None
        self._hosting: Loop | None = None
        self._metrics: dict[str, str] = {}
        self.resources: Resources | None = None
        self.hosts: Hosts[Part] | None = None
        self.urls = [f"http://127.0.0.1:{options.port}"]
        """Where the web services listen."""
        self.webs: list[Part] = []

    @property
    def url(self) -> str:
        """Where the first web service listens."""
        return self.urls[0]

    @property
    def workers(self) -> list[Part]:
        """The workers that run now, oldest first."""
        return self.hosts.workers if self.hosts is not None else []

    @property
    def worker_metrics(self) -> list[str]:
        """URLs of the running workers' Prometheus endpoints."""
        return [self._metrics[worker.name] for worker in self.workers]

    def start(self) -> None:
        """Start everything and wait until it serves; StartError when a part does not come up."""
        if not is_free(self._options.port):
            raise StartError(f"port {self._options.port} is taken; choose another one: make run PORT=8081")
        began = time.monotonic()
        self._start_localstack()
        self._tell(f"LocalStack  {self._resources.endpoint}  {_since(began)}")
        began = time.monotonic()
        self._start_hosts()
        self.urls += [f"http://127.0.0.1:{free_port()}" for _ in range(self._options.webs - 1)]
        self.webs = [self._web(number, url) for number, url in enumerate(self.urls)]
        for web in self.webs:
            web.start()
        for web, url in zip(self.webs, self.urls, strict=True):
            web.wait_until(partial(_is_ready, url), _START_SECONDS)
            self._tell(f"web         {url}  {_since(began)}")
        self._wait_for_workers(self._options.min_workers)
        most = f"{self._options.min_workers} to {self._options.max_workers}, as the load wants"
        self._tell(f"workers     {most}  {_since(began)}")

    def watch(self) -> None:
        """StartError when a part has died that the rest cannot do without."""
        if self._localstack is not None and self._localstack.ended() is not None:
            raise StartError("LocalStack died: its queues and objects are gone")
        for web in self.webs:
            if web.ended() is not None:
                raise StartError(f"the web service died:\n{web.log_tail()}")
        if self.hosts is not None and self.hosts.fault:
            raise StartError(self.hosts.fault)

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
            if self._noting is not None:
                steps.callback(self._noting.stop)
            if self.hosts is not None and self._hosting is not None:
                steps.callback(self.hosts.stop)
                steps.callback(self._hosting.stop)
            steps.callback(self._finish_queue)
            for web in self.webs:
                steps.callback(web.stop, _DRAIN_SECONDS)

    @property
    def _resources(self) -> Resources:
        assert self.resources is not None  # made as soon as LocalStack runs
        return self.resources

    def _finish_queue(self) -> None:
        """Let the workers finish what is queued: LocalStack forgets its queues."""
        deadline = time.monotonic() + _QUEUE_SECONDS
        while self._is_serving() and time.monotonic() < deadline and self.queued():
            time.sleep(0.2)

    def _is_serving(self) -> bool:
        busy = self.hosts is not None and not self.hosts.idle
        return busy and self._localstack is not None and self._localstack.ended() is None

    def queued(self) -> int:
        """Jobs on the request queue, visible or in flight."""
        counts = SqsQueue(sqs_client(self._resources.endpoint), self._resources.request_queue_url).counts()
        return counts.visible + counts.in_flight

    def _start_hosts(self) -> None:
        options = self._options
        self.hosts = Hosts(
            ec2_client(self._resources.endpoint),
            lambda instance: self._worker(instance["InstanceId"]),
            boot_seconds=options.boot_seconds,
            warm_boot_seconds=options.warm_boot_seconds,
            grace_seconds=_DRAIN_SECONDS,
            tell=self._tell,
        )
        # A thread of its own, and the same one for all: workers are tied to the thread that starts them.
        self._hosting = Loop("hosts", self.hosts.step, pause=_HOSTS_EVERY_SECONDS).start()

    def _wait_for_workers(self, count: int) -> None:
        deadline = time.monotonic() + _START_SECONDS + self._options.boot_seconds
        while sum(worker.has_logged('"message": "ready"') for worker in self.workers) < count:
            self.watch()
            if time.monotonic() > deadline:
                logs = "\n".join(part.log_tail() for part in (*self.webs, *self.workers[:1]))
                raise StartError(f"{count} workers were not ready after {_START_SECONDS:g} s:\n{logs}")
            time.sleep(0.1)

    def _start_localstack(self) -> None:
        if self._options.docker:
            self._localstack = DockerLocalStack(ROOT / "docker-compose.localstack.yml")
        else:
            port = free_port(localstack.USUAL_PORT)
            self._localstack = HostLocalStack(self._options.localstack_python, self._options.state, port)
        self._localstack.start()
        self.resources = make_resources(self._localstack.endpoint, webs=self._options.webs)
        s3 = s3_client(self._localstack.endpoint)
        self._mirror = Mirror(s3, self.resources.bucket, self._options.state / "bucket")
        if restored := self._mirror.restore():
            self._tell(f"bucket      {restored} objects restored from {self._options.state / 'bucket'}")
        self._saving = Loop("bucket-mirror", self._mirror_step, pause=_SAVE_EVERY_SECONDS).start()
        self._noting = Loop("erasures", self._note_erasures, pause=_NOTE_EVERY_SECONDS).start()

    def _mirror_step(self) -> None:
        """Save what has changed: galleries in any case, the rest while the queue is empty: LocalStack is slow enough.

        What the loops of the web services overwrite every second is not kept here in all its versions.
        """
        assert self._mirror is not None  # the loop starts after it is made
        self._mirror.save(GALLERY)
        if not self.queued():
            self._mirror.save()
        S3ObjectStore(s3_client(self._resources.endpoint), self._resources.bucket).purge_older("fleet/")

    def _note_erasures(self) -> None:
        """See that who was erased is not in the folder any more."""
        assert self._mirror is not None  # the loop starts after it is made
        if self._mirror.note_erasures():
            self._mirror.save()

    def _save(self) -> None:
        if self._mirror is not None and self._localstack is not None and self._localstack.ended() is None:
            self._tell(f"saved       {self._mirror.save()} objects in {self._options.state / 'bucket'}")

    def _web(self, number: int, url: str) -> Part:
        options = self._options
        limits = {
            "FACE_PORT": url.rsplit(":", 1)[1],
            "FACE_MIN_WORKERS": str(options.min_workers),
            "FACE_MAX_WORKERS": str(options.max_workers),
        }
        assumed = {
            "FACE_ASSUMED_BOOT_SECONDS": str(options.boot_seconds + _START_TAKES),
            "FACE_ASSUMED_WARM_BOOT_SECONDS": str(options.warm_boot_seconds + _START_TAKES),
        }
        usual = {**_USUAL, **assumed, "FACE_WARM_WORKERS": str(options.max_workers)}
        name = "web" if number == 0 else f"web-{number + 1}"
        return self._part(name, "face_web", usual, self._resources.environment(number) | limits)

    def _worker(self, instance: str) -> Part:
        port = free_port()
        self._metrics[instance] = f"http://127.0.0.1:{port}/metrics"
        own = {"FACE_WORKER_NAME": instance, "FACE_INSTANCE_ID": instance, "FACE_METRICS_PORT": str(port)}
        return self._part(instance, "face_app", {}, self._resources.environment() | own)

    def _part(self, name: str, module: str, usual: dict[str, str], own: dict[str, str]) -> Part:
        """A process: `usual` settings may be overridden by the options, `own` ones may not."""
        usual = {"FACE_CACHE_DIR": str(self._options.state / "cache"), **usual}
        environment = service_environment({**usual, **self._options.settings, **own})
        return Part(name, [sys.executable, "-m", module], environment, self._options.state / "logs" / f"{name}.log")


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _since(began: float) -> str:
    return f"ready in {time.monotonic() - began:.1f} s"
