"""The inference processes of a worker, seen from its parent process: the nursery, and the children that it forks.

Imports little: a worker starts its nursery before it imports anything that takes time.
"""

import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from face_app.inference import RECORD, InferenceSettings

if TYPE_CHECKING:
    from face_app.recognition import PhotoRequest

_log = logging.getLogger(__name__)
_NURSERY_SECONDS = 120.0  # loading models takes one or two; the first conversion on a slow disk far more
# A core a child, and no thread in the nursery: one that holds a lock while a child is forked would hang the child. ONNX
# Runtime's telemetry has a thread from its import on, and has no business in a service that keeps photos to itself.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}


class ChildLostError(Exception):
    """A child has ended, or has been ended."""


class ChildOverdueError(ChildLostError):
    """A child has been silent for longer than it may be."""


class NurseryLostError(Exception):
    """The process that forks children has ended; its own output says why."""


class PhotoInMemory:
    """A photo where children can read it. Close it."""

    def __init__(self, request: "PhotoRequest") -> None:
        self.record = RECORD.pack(len(request.body), request.max_faces, request.careful, request.encode)
        self.memory = os.memfd_create("photo")
        """A descriptor."""
        with os.fdopen(self.memory, "wb", closefd=False) as file:
            file.write(request.body)

    def close(self) -> None:
        """Let go of the memory; a child that has received it keeps it until it is read."""
        os.close(self.memory)


class Child:
    """One forked inference process. One thread may send while another listens."""

    def __init__(self, pid: int, connection: socket.socket, patience: float) -> None:
        """`patience`: seconds between two messages of a child that is at work."""
        self.pid = pid
        self.photos = 0
        """Answered so far."""
        self._patience = patience
        # A descriptor, since the pid of a child that has ended may be another process's by now.
        self._handle = os.pidfd_open(pid)
        limit = struct.pack("@ll", int(patience), int(patience % 1 * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)  # for a message that stops half-way
        self._socket = connection
        self._answers = Connection(os.dup(connection.fileno()), writable=False)
        self._heard_at = time.monotonic()

    def send(self, photo: "PhotoInMemory") -> None:
        """Put a photo into the child's queue; ChildLostError when it has died.

        Never waits for the child, whatever the photo's size: it gets a descriptor of the memory, and the records of all
        photos that a child may have in its queue fit into a socket's buffer.
        """
        try:
            socket.send_fds(self._socket, [photo.record], [photo.memory])
        except OSError as error:
            raise ChildLostError("it has ended") from error

    def begin(self) -> None:
        """From now on the child is expected to say something."""
        self._heard_at = time.monotonic()

    def listen(self, *, at_work: bool) -> dict[str, Any] | None:
        """The child's next message; None when there is none for a while and it is not `at_work` for too long.

        ChildLostError when it has died, ChildOverdueError when it is at work and has been silent for too long.
        """
        try:
            if self._answers.poll(min(self._patience / 4, 0.5)):
                message: dict[str, Any] = json.loads(self._answers.recv_bytes())
                self._heard_at = time.monotonic()
                return message
        except BlockingIOError as error:
            raise ChildOverdueError(f"it stopped in the middle of a message for {self._patience:g} s") from error
        except (EOFError, OSError) as error:
            raise ChildLostError("it died") from error
        if at_work and time.monotonic() - self._heard_at > self._patience:
            raise ChildOverdueError(f"it took longer than {self._patience:g} s")
        return None

    def kill(self) -> None:
        """End the child, whatever state it is in; whoever listens to it hears that it died."""
        with suppress(OSError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def hang_up(self) -> None:
        """End the child and forget it. Call it when nobody sends or listens."""
        self.kill()
        self._socket.close()
        self._answers.close()
        os.close(self._handle)


class Nursery:
    """The parent's handle on the process that forks children; starts it again when it has died."""

    def __init__(self, settings: InferenceSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self.model = ""
        self.profile = ""

    @property
    def pid(self) -> int:
        """Of the process, once started."""
        return self._process.pid

    def start(self) -> None:
        """Begin to load the models; returns at once."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "face_app.nursery", str(theirs.fileno()), self._settings.to_json()]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=os.environ | _ONE_THREAD)
        self._requests = ours
        self._answers = Connection(os.dup(ours.fileno()), writable=False)
        self._ready = False

    def wait_ready(self) -> None:
        """Wait until the models are loaded; NurseryLostError when the process ends instead."""
        with self._lock:
            self._await_ready()

    def fork(self, patience: float) -> Child:
        """A new child (see Child for `patience`); NurseryLostError when even a new nursery does not come up."""
        with self._lock:
            if self._process.poll() is not None:
                _log.warning("the nursery is gone: starting another")
                self.close()
                self.start()
            self._await_ready()
            ours, theirs = socket.socketpair()
            with theirs:
                socket.send_fds(self._requests, [b"+"], [theirs.fileno()])
            return Child(int(self._receive()["pid"]), ours, patience)

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
