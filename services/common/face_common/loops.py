"""Background loops that outlive their own failures and stop when told to."""

import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Loop:
    """Calls `step` again and again in a thread of its own, `pause` seconds apart, until stopped.

    A step that raises is logged and tried again after `pause`, at least a second: one fault never ends the loop.
    """

    def __init__(self, name: str, step: Callable[[], None], pause: float = 0.0) -> None:
        self._step = step
        self._pause = pause
        self._stopping = threading.Event()
        self._last_success = self._last_turn = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> "Loop":
        """Begin; returns itself, so that a loop is made and started in one line."""
        self._thread.start()
        return self

    def stop(self, timeout: float | None = None) -> None:
        """Let the step under way finish, then end; waits for that at most `timeout` seconds."""
        self._stopping.set()
        self._thread.join(timeout)

    def silent_seconds(self) -> float:
        """How long ago the last step ended well: the loop's own heartbeat."""
        return time.monotonic() - self._last_success

    def stuck_seconds(self) -> float:
        """How long ago the last step ended, well or not: one that fails all the time is not stuck."""
        return time.monotonic() - self._last_turn

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause = self._pause
            try:
                self._step()
                self._last_success = time.monotonic()
            except Exception:
                _log.exception("a step failed", extra={"loop": self._thread.name})
                pause = max(pause, 1.0)
            self._last_turn = time.monotonic()
            self._stopping.wait(pause)
