"""The web tier as one thing: what goes on beside the server, and how all of it ends without breaking a connection."""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from face_common.errors import TransientError
from face_common.loops import Loop
from face_web.batches.runner import Runner
from face_web.replies import ReplyRouter
from face_web.server import Server
from face_web.services import Services

_log = logging.getLogger(__name__)
_ANSWER_SECONDS = 5.0  # for those who waited in vain to be told so
_TICK_SECONDS = 5.0  # for a loop to finish what it is at
_LONGEST_TURN = 120.0  # seconds for a call that the cloud never answers, with its retries


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
    batches: Runner

    def start(self) -> None:
        """Begin with all that goes on beside the server."""
        for loop in (self.receiving, *self.loops, self.scaling):
            if loop is not None:
                loop.start()

    @property
    def is_turning(self) -> bool:
        """Whether answers are still looked for. A cloud that fails does not count: a restart would not mend it."""
        return self.receiving.stuck_seconds() < _LONGEST_TURN

    def leave(self, server: Server, seconds: float) -> None:
        """Answer every request that was accepted, waiting for workers so many seconds, and break no connection.

        Nothing tells new clients where the sockets are held for the next process: they wait for it. Where the socket
        is this process's own, load balancers are told first, and new clients are served while anyone waits.
        """
        deadline = time.monotonic() + seconds
        if not server.handed_over:
            self.leaving.set()
        self.batches.stop(_TICK_SECONDS)
        while not server.handed_over and self.replies.waiting() and time.monotonic() < deadline:
            time.sleep(0.05)
        server.stop_accepting()
        unanswered = server.finish(deadline)
        if unanswered:
            self.replies.dismiss()
            unanswered = server.finish(time.monotonic() + _ANSWER_SECONDS)
        self._stop_receiving()
        self.services.webhooks.stop()
        if self.scaling is not None and self.services.scaler is not None:
            self.scaling.stop(_TICK_SECONDS)
            self.services.scaler.leave()
        _log.info("left", extra={"unanswered": unanswered})

    def abandon(self) -> None:
        """Leave batches and webhooks to other hosts, or to the next run of this one."""
        self.batches.stop(_TICK_SECONDS)
        self.services.webhooks.stop()

    def _stop_receiving(self) -> None:
        self.receiving.stop(0)
        with suppress(TransientError):
            self.replies.wake()
        self.receiving.stop(_TICK_SECONDS)
