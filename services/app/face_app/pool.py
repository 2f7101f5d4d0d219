"""The inference children of a worker, seen from its parent process."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from face_app.metrics import WorkerMetrics
from face_app.recognition import Reading
from face_app.settings import InferenceSettings
from face_common.contract import Code
from face_common.errors import PermanentError

_log = logging.getLogger(__name__)
_ATTEMPTS = 2
_NURSERY_SECONDS = 120.0  # loading models takes one or two; the first conversion on a slow disk far more
# A core a child, and no thread in the nursery: one that holds a lock while a child is forked would hang the child. ONNX
# Runtime's telemetry has a thread from its import on, and has no business in a service that keeps photos to itself.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}


class ChildLostError(Exception):
    """A child died, or was killed because it took too long, while it had a photo in hand."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NurseryLostError(Exception):
    """The process that forks children has ended; its own output says why."""


@dataclass
class Child:
    """One forked inference process."""

    pid: int
    connection: Connection
    jobs: int = 0
    resident_bytes: int = 0
    killed: bool = False

    def __post_init__(self) -> None:
        # A descriptor, since the pid of a child that has ended may be another process's by now.
        self._process = os.pidfd_open(self.pid)

    def ask(self, max_faces: int, body: bytes, timeout: float) -> dict[str, Any]:
        """The child's answer to one photo; ChildLostError when it dies or needs longer than `timeout` seconds."""
        # A timer, not a poll: a child that does not even read its photo blocks the sending of it.
        overdue = threading.Timer(timeout, self._kill)
        overdue.start()
        try:
            self.connection.send_bytes(json.dumps({"max_faces": max_faces}).encode())
            self.connection.send_bytes(body)
            answer: dict[str, Any] = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError) as error:
            if self.killed:
                detail = f"reading the photo took longer than {timeout:g} s"
                raise ChildLostError(Code.INFERENCE_TIMEOUT, detail) from error
            raise ChildLostError(Code.INFERENCE_FAILED, "the process that read the photo died") from error
        finally:
            overdue.cancel()
            overdue.join()  # a kill under way must not meet a descriptor that is closed and used again
        self.jobs += 1
        self.resident_bytes = answer["resident_bytes"]
        return answer

    def is_gone(self) -> bool:
        """Whether the idle child has died: an idle child says nothing, so anything to read is the end of the stream."""
        try:
            return self.connection.poll(0)
        except OSError:
            return True

    def hang_up(self) -> None:
        """Close the connection and end the child, whatever state it is in."""
        self.connection.close()
        self._kill()
        os.close(self._process)

    def _kill(self) -> None:
        self.killed = True
        with suppress(OSError):  # it has ended, or it was hung up meanwhile
            signal.pidfd_send_signal(self._process, signal.SIGKILL)


class Nursery:
    """The parent's handle on the process that forks children; starts it again when it has died."""

    def __init__(self, settings: InferenceSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self.model = ""
        self.profile = ""

    def start(self) -> None:
        """Begin to load the models; returns at once."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "face_app.nursery", str(theirs.fileno()), self._settings.model_dump_json()]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=os.environ | _ONE_THREAD)
        self._requests = ours
        self._answers = Connection(os.dup(ours.fileno()), writable=False)
        self._ready = False

    def wait_ready(self) -> None:
        """Wait until the models are loaded; NurseryLostError when the process ends instead."""
        with self._lock:
            self._await_ready()

    def fork(self) -> Child:
        """A new child; NurseryLostError when even a new nursery does not come up."""
        with self._lock:
            if self._process.poll() is not None:
                _log.warning("the nursery is gone: starting another")
                self.close()
                self.start()
            self._await_ready()
            ours, theirs = socket.socketpair()
            with theirs:
                socket.send_fds(self._requests, [b"+"], [theirs.fileno()])
            return Child(int(self._receive()["pid"]), Connection(ours.detach()))

    def close(self) -> None:
        """Hang up: the nursery ends by itself."""
        self._requests.close()
        self._answers.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)

    def _await_ready(self) -> None:
        if not self._ready:
            answer = self._receive()
            self.model, self.profile = answer["model"], answer["profile"]
            self._ready = True

    def _receive(self) -> dict[str, Any]:
        try:
            if not self._answers.poll(_NURSERY_SECONDS):
                self._process.kill()  # a late answer would be taken for that to the next question
                self._process.wait()
                raise NurseryLostError(f"no word from the nursery in {_NURSERY_SECONDS:g} s")
            answer: dict[str, Any] = json.loads(self._answers.recv_bytes())
        except (EOFError, OSError) as error:
            raise NurseryLostError("the nursery ended") from error
        return answer


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """When a slot's child is replaced."""

    seconds: float
    """On one photo."""
    jobs: int
    resident_bytes: int


class Slot:
    """The right to infer one photo at a time, with a child that is replaced when it dies, hangs or grows too large."""

    def __init__(self, nursery: Nursery, limits: SlotLimits, metrics: WorkerMetrics) -> None:
        self._nursery = nursery
        self._limits = limits
        self._metrics = metrics
        self._child: Child | None = None  # forked when needed: a fork that fails costs the job that asked, not the slot

    def warm(self) -> Child:
        """The slot's child, alive as far as can be told; forked if there is none."""
        if self._child is not None and self._child.is_gone():
            self._replace("died-idle")
        if self._child is None:
            self._child = self._nursery.fork()
        return self._child

    def read(self, body: bytes, max_faces: int) -> Reading:
        """Read a photo.

        A photo whose child is lost gets a second child to itself; PermanentError when that is lost too, or when the
        photo cannot be read.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._read_once(body, max_faces)
            except ChildLostError as error:
                self._replace(error.code)
                _log.warning("a child was lost", extra={"reason": str(error), "attempt": attempt})
                if attempt == _ATTEMPTS:
                    raise PermanentError(error.code, f"{error}, {_ATTEMPTS} times") from error
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.hang_up()

    def _read_once(self, body: bytes, max_faces: int) -> Reading:
        child = self.warm()
        with self._metrics.inferring():
            answer = child.ask(max_faces, body, self._limits.seconds)
        if child.jobs >= self._limits.jobs:
            self._replace("jobs")
        elif child.resident_bytes > self._limits.resident_bytes:
            self._replace("resident-size")
        if "error" in answer:
            raise PermanentError(Code(answer["error"]["code"]), answer["error"]["detail"])
        return Reading.from_fields(answer["reading"])

    def _replace(self, reason: str) -> None:
        self._metrics.children_replaced.labels(reason).inc()
        if self._child is not None:
            self._child.hang_up()
            self._child = None


class InferencePool:
    """A worker's slots."""

    def __init__(self, nursery: Nursery, slots: int, limits: SlotLimits, metrics: WorkerMetrics) -> None:
        self._slots = [Slot(nursery, limits, metrics) for _ in range(slots)]
        self._idle: SimpleQueue[Slot] = SimpleQueue()
        for slot in self._slots:
            self._idle.put(slot)

    def warm(self) -> None:
        """Fork all children now, so that no photo waits for it. Call it before the first slot is taken."""
        for slot in self._slots:
            slot.warm()

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """Wait for a slot and hold it."""
        slot = self._idle.get()
        try:
            yield slot
        finally:
            self._idle.put(slot)

    def close(self) -> None:
        """End all children. Call it when no slot is held."""
        for slot in self._slots:
            slot.close()
