"""Processes that are started, watched and stopped by their own pid, and that never outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Literal

_TIED = Path(__file__).with_name("tied.py")


class StartError(Exception):
    """A part of the service did not come up; the message says what to do."""


class Part:
    """One process of the service, with its log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        orphan_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """`orphan_signal` reaches the process when this one dies without stopping it."""
        self.name = name
        self.log = log
        tie = [sys.executable, "-S", "-E", str(_TIED), str(os.getpid()), str(int(orphan_signal))]
        self._command = [*tie, *command]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self.started_at = 0.0

    def start(self) -> None:
        """Start it. Call from the main thread: Linux ties the orphan signal to the thread that started the child."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the parent, which stops the parts in order
            )
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int:
        """Its process id; 0 before it was started."""
        return self._process.pid if self._process else 0

    def ended(self) -> int | None:
        """The exit status if it has ended (negative: the signal that killed it), else None."""
        return self._process.poll() if self._process else None

    def ending(self) -> Literal["crashed"]:
        """How it ended when nobody had asked it to: a process of the service does not end by itself."""
        return "crashed"

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait for `ready()`; StartError with the end of the log when the process ends or the time is over first."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.ended() is not None:
                raise StartError(f"{self.name} ended with {self.ended()}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} was not ready after {seconds:g} s:\n{self.log_tail()}")
            time.sleep(0.05)

    def has_logged(self, text: str) -> bool:
        """Whether the text appears in what the process has logged since its start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return text.encode() in log.read()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) + f"\n(more in {self.log})"

    def terminate(self) -> None:
        """SIGTERM, if it has been started."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL, if it has been started."""
        if self._process is not None:
            self._process.kill()

    def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL when it has not ended after `grace` seconds."""
        if self._process is None:
            return
        self.terminate()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()


def service_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process without anything that would lead a part to a real cloud, plus `extra`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "FACE_"))}
    local = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
    }
    return {**kept, **local, **extra}


def on_stop_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Handle SIGINT, SIGTERM and SIGHUP in the same way."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """A handler that ends the work under way, as Ctrl-C does."""
    raise KeyboardInterrupt
