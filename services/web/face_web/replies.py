"""Brings each answer to the request that waits for it."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

from face_common.contract import InvalidMessageError, Result, decode_reply
from face_common.ports import Queue
from face_web.traffic import Traffic

_log = logging.getLogger(__name__)
_BATCH = 10
_WAIT_SECONDS = 20
_NOBODYS = '{"id": ""}'  # an answer that nobody waits for


class ReplyRouter:
    """Receives this host's answers and hands each to the waiting request. Thread-safe.

    An answer that nobody waits for any more is dropped: its result is in S3 all the same.
    """

    def __init__(self, responses: Queue, traffic: Traffic, told: Callable[[str], None] = lambda _: None) -> None:
        """`traffic` is told of every answer, `told` of the id of each."""
        self._told = told
        self._responses = responses
        self._traffic = traffic
        self._waiting: dict[str, Future[Result | None]] = {}
        self._lock = threading.Lock()
        self._dismissed = False

    def expect(self, job_id: str) -> "Future[Result | None]":
        """A future for the job's result, or for None when the result is in S3 only. Call it before the job is sent."""
        future: Future[Result | None] = Future()
        with self._lock:
            if self._dismissed:
                future.set_result(None)
            else:
                self._waiting[job_id] = future
        return future

    def forget(self, job_id: str) -> None:
        """Nobody waits for this job any more."""
        with self._lock:
            self._waiting.pop(job_id, None)

    def waiting(self) -> int:
        """How many requests wait for an answer."""
        return len(self._waiting)

    def dismiss(self) -> None:
        """Nobody waits from here on, as the host is about to end: each is told to look for the result in S3 only."""
        with self._lock:
            self._dismissed = True
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_result(None)

    def wake(self) -> None:
        """End the long poll under way, by a message to itself. TransientError as the queue's.

        One that outlives the process would take the next one's first answers along, and hide them for a while.
        """
        self._responses.send(_NOBODYS)

    def receive(self) -> None:
        """Receive and hand out one batch; the step of a loop."""
        messages = self._responses.receive(_BATCH, _WAIT_SECONDS)
        for message in messages:
            try:
                job_id, result = decode_reply(message.body)
            except InvalidMessageError as error:
                _log.error("not a reply", extra={"reason": str(error)})
                continue
            self._traffic.answered(job_id, result)
            with self._lock:
                future = self._waiting.pop(job_id, None)
            if future is not None:
                future.set_result(result)
            self._told(job_id)
        self._responses.delete([message.receipt for message in messages])
