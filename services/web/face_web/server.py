"""The HTTP server: waitress, made to leave without breaking a connection that it has accepted."""

import copy
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import waitress
from flask import Flask
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer
from waitress.task import WSGITask
from waitress.wasyncore import dispatcher

from face_web.settings import WebSettings

_SPARE_THREADS = 32  # for requests that do not wait for a worker, so that health checks are answered under any load
_NEW_SECONDS = 2.0  # in which whoever has connected begins to ask
_LARGE = ("/v1/batches", "/v1/imports", "/v1/gallery/imports")
_LOOK_SECONDS = 0.05
_TURN_SECONDS = 5.0  # the server's loop never takes so long for a turn


class _Task(WSGITask):  # type: ignore[misc]  # waitress has no types
    """Answers a request; once the server leaves, with the word that no other will be answered on this connection."""

    def build_response_header(self) -> Any:
        if self.channel.server.leaving:
            self.request.headers["CONNECTION"] = "close"
        return super().build_response_header()


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """Reads a request; the calls that take archives may be sent much more than the others."""

    adj: Any

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.path.rstrip("/") in _LARGE:
            self.adj = self.adj.for_archives


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection."""

    task_class = _Task
    parser_class = _Parser

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked or answered here. A new connection may be about to ask.

        In this order: a request is taken off only when its answer is among the bytes to send.
        """
        asks = bool(self.requests) or self.request is not None
        is_new = self.last_activity == self.creation_time and time.time() - self.creation_time < _NEW_SECONDS
        return not (asks or is_new or self.total_outbufs_len)


class Server:
    """Serves in a thread of its own, on sockets that are held for it, or else on one that it opens itself."""

    def __init__(self, application: Flask, settings: WebSettings, sockets: Sequence[socket.socket] = ()) -> None:
        """OSError when the address is taken. From here on connections are taken in, and answered after `start`."""
        where = {"sockets": list(sockets)} if sockets else {"host": settings.host, "port": settings.port}
        self.handed_over = bool(sockets)
        """Whether connections that this process does not accept wait for the next one."""
        parts: dict[int, Any] = {}
        front = waitress.create_server(
            application,
            map=parts,
            threads=settings.waiting_limit + _SPARE_THREADS,
            connection_limit=2000,
            backlog=1024,
            inbuf_overflow=64 * 2**10,  # larger bodies go to disk: many may be waiting at the same time
            asyncore_use_poll=True,  # select() knows no descriptor above 1023
            max_request_body_size=4 * settings.max_body_bytes,  # beyond Flask's limit, whose answer has a code
            ident="face",
            **where,
        )
        self._listeners = [part for part in parts.values() if isinstance(part, BaseWSGIServer)]
        for listener in self._listeners:
            listener.channel_class, listener.leaving = _Channel, False
            listener.adj.for_archives = copy.copy(listener.adj)
            listener.adj.for_archives.max_request_body_size = settings.max_batch_bytes + settings.max_body_bytes
        self._thread = threading.Thread(target=front.run, name="server", daemon=True)
        self._open = 0

    @property
    def addresses(self) -> list[str]:
        """Where it listens."""
        return [f"{listener.effective_host}:{listener.effective_port}" for listener in self._listeners]

    @property
    def is_running(self) -> bool:
        """Whether it serves, and has not ended by itself."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop_accepting(self) -> None:
        """Take in no more connections: what comes waits on the sockets that are held, or is refused on one's own."""
        self._in_loop(self._close_doors)

    def finish(self, deadline: float) -> int:
        """Close every connection once its request is answered; how many are left at the deadline (time.monotonic).

        For a server that does not accept any more.
        """
        self._in_loop(self._close_idle)
        while self._open and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
            self._in_loop(self._close_idle)
        return self._open

    def _close_doors(self) -> None:
        for listener in self._listeners:
            listener.leaving, listener.accepting = True, False
            if not self.handed_over:
                dispatcher.close(listener)  # not the listener's own close(), which ends the loop's trigger as well

    def _close_idle(self) -> None:
        channels = [channel for listener in self._listeners for channel in listener.active_channels.values()]
        for channel in channels:
            if channel.is_idle:
                channel.will_close = True
        self._open = len(channels)

    def _in_loop(self, step: Callable[[], None]) -> None:
        """Let the server's loop, which everything belongs to, take a step, and wait for that."""
        taken = threading.Event()

        def take() -> None:
            step()
            taken.set()

        self._listeners[0].trigger.pull_trigger(take)
        taken.wait(_TURN_SECONDS)
