"""The queue loop: receives jobs, keeps them held, answers, and drains when told to."""

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from face_app.handlers import Handlers, ReleasedError
from face_app.metrics import WorkerMetrics
from face_common.contract import InvalidMessageError, Job, Result, Timing, encode_reply, failed_result
from face_common.errors import PermanentError, QueueMissingError, TransientError
from face_common.loops import Loop
from face_common.ports import Message, ObjectStore, Queue, Queues
from face_common.results import settle, stored_result

_log = logging.getLogger(__name__)
_RECEIVE_LIMIT = 10
_LONGEST_BACKOFF = 60
_FEWEST_AHEAD = 2  # for each slot: one that waits, one that is fetched
_ASSUMED_PHOTO_SECONDS = 0.05  # until photos have been read
_LATEST_SHARE = 0.1  # of the last photo in the running mean
_LONGEST_TURN = 120.0  # of a loop that lives: a long poll, and the waits and retries of a cloud that does not answer


@dataclass(frozen=True, slots=True)
class Pace:
    """How many jobs a worker holds, and for how long it promises to."""

    capacity: int
    """Jobs in hand: those being inferred and those fetched ahead."""
    visibility_seconds: int
    receive_wait_seconds: int
    slots: int = 1
    ahead_seconds: float = math.inf
    """Jobs are fetched ahead for no longer than this: what one worker holds, another cannot take."""

    def room(self, photo_seconds: float) -> int:
        """Jobs in hand while a photo keeps a slot busy for so long."""
        ahead = max(_FEWEST_AHEAD, self.ahead_seconds / max(photo_seconds, 1e-3))
        return self.capacity if ahead == math.inf else min(self.capacity, self.slots * (1 + math.ceil(ahead)))


class Worker:
    """Receives jobs into a fixed number of threads, each of which takes one job from the photo to the answer.

    While one thread's photo is being inferred in a child, the others fetch the next photos and finish the last ones:
    that is the whole prefetch.
    """

    def __init__(
        self,
        *,
        requests: Queue,
        queues: Queues,
        store: ObjectStore,
        handlers: Handlers,
        pace: Pace,
        metrics: WorkerMetrics,
        now: Callable[[], float],
    ) -> None:
        """`now` is the wall clock in seconds since the epoch."""
        self._requests = requests
        self._queues = queues
        self._store = store
        self._handlers = handlers
        self._pace = pace
        self._metrics = metrics
        self._now = now
        self._free = threading.Semaphore(pace.capacity)
        self._held: set[str] = set()
        self._held_lock = threading.Lock()
        self._draining = threading.Event()
        self._turned_at = time.monotonic()
        # It outlives the jobs, so that the last of them stays ours to the end.
        self._heartbeat = Loop("heartbeat", self._keep_held, pause=pace.visibility_seconds / 3)
        self._photo_seconds = _ASSUMED_PHOTO_SECONDS
        self._one_ended = threading.Event()
        self.finished = 0
        """Jobs answered so far; approximate, as several threads count."""

    @property
    def held(self) -> int:
        """Jobs in hand."""
        return len(self._held)

    @property
    def draining(self) -> bool:
        """Whether it has been told to drain."""
        return self._draining.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether both loops turn: one receives or waits for a free place, the other keeps what is held.

        Children that hang are replaced, and a cloud that is away is waited for: neither is a reason to start anew.
        """
        longest_pause = self._pace.visibility_seconds / 3
        turned = time.monotonic() - self._turned_at
        return turned < _LONGEST_TURN and self._heartbeat.stuck_seconds() < _LONGEST_TURN + longest_pause

    def drain(self) -> None:
        """Stop receiving; `run` returns when what is in hand is finished or released. Safe in a signal handler."""
        self._draining.set()

    def run(self) -> None:
        """Work until drained."""
        self._heartbeat.start()
        with ThreadPoolExecutor(self._pace.capacity, thread_name_prefix="job") as threads:
            while not self._draining.is_set():
                self._turned_at = time.monotonic()
                for message in self._receive():
                    threads.submit(self._work, message)
        self._heartbeat.stop(timeout=5)

    def _receive(self) -> list[Message]:
        """As many jobs as there is room for, each with its place reserved; none when draining."""
        reserved = self._reserve()
        messages: list[Message] = []
        try:
            if reserved and not self._draining.is_set():
                messages = self._requests.receive(
                    reserved, self._pace.receive_wait_seconds, self._pace.visibility_seconds
                )
        except TransientError as error:
            _log.warning("cannot receive", extra={"reason": str(error)})
            time.sleep(1.0)  # not a wait for the event: its lock must be free for the signal handler
        with self._held_lock:
            self._held |= {message.receipt for message in messages}
        for _ in range(reserved - len(messages)):
            self._free.release()
        self._metrics.held.set(len(self._held))
        return messages

    def _reserve(self) -> int:
        """Places for jobs, waiting a moment for the first: no more than are worth fetching ahead."""
        room = min(self._pace.room(self._photo_seconds) - len(self._held), _RECEIVE_LIMIT)
        if room <= 0:
            self._one_ended.wait(0.5)
            self._one_ended.clear()
            return 0
        if not self._free.acquire(timeout=0.5):
            return 0
        reserved = 1
        while reserved < room and self._free.acquire(blocking=False):
            reserved += 1
        return reserved

    def _work(self, message: Message) -> None:
        """Take one job from its message to its answer; whatever happens, its place is free again afterwards."""
        try:
            if self._draining.is_set():
                raise ReleasedError
            self._answer(message, Job.decode(message.body))
        except InvalidMessageError as error:
            # Not deleted: after its deliveries it lies among the dead letters for an operator to see.
            _log.error("not a job", extra={"reason": str(error)})
            self._give_back(message, seconds=0)
        except ReleasedError:
            self._give_back(message, seconds=0)
        except Exception as error:
            if not isinstance(error, TransientError):
                _log.exception("a job met a fault")
            backoff = min(2**message.deliveries, _LONGEST_BACKOFF)
            _log.warning("will try again", extra={"reason": str(error), "seconds": backoff})
            self._give_back(message, seconds=backoff)
        finally:
            self._forget(message)
            self._free.release()
            self._one_ended.set()

    def _answer(self, message: Message, job: Job) -> None:
        result, outcome = self._settle(message, job)
        try:
            self._queues(job.reply_queue).send(encode_reply(result))
        except QueueMissingError:  # a web host that was removed; the result is in the bucket
            _log.warning("nobody to answer", extra={"id": job.id, "queue": job.reply_queue})
        self._requests.delete([message.receipt])
        self.finished += 1
        self._metrics.jobs.labels(job.operation.value, outcome).inc()
        self._learn(result.get("timing", {}))
        _log.info("answered", extra={"id": job.id, "operation": job.operation.value, "outcome": outcome})

    def _learn(self, timing: Timing) -> None:
        """Note how long the stages took, and how long the photo kept a slot busy."""
        self._metrics.observe_stages(timing)
        if "decode_ms" in timing:  # a search reads no photo
            seconds = (timing["decode_ms"] + timing["detect_ms"] + timing["encode_ms"]) / 1000
            self._photo_seconds += _LATEST_SHARE * (seconds - self._photo_seconds)

    def _settle(self, message: Message, job: Job) -> tuple[Result, str]:
        """The one stored result of a job, made now unless an earlier delivery made it."""
        if message.deliveries > 1 and (earlier := stored_result(self._store, job.id)):
            return earlier, "repeated"
        try:
            result, outcome = self._handlers.carry_out(job, self._now(), self._draining), "done"
        except PermanentError as error:
            result, outcome = failed_result(job, error.code, error.detail), error.code.value
            result["worker"] = self._handlers.worker
        earlier = settle(self._store, result)
        return (earlier, "repeated") if earlier else (result, outcome)

    def _give_back(self, message: Message, seconds: int) -> None:
        """Let the queue deliver the job again after so many seconds; should that fail, its visibility just runs out."""
        self._forget(message)  # first: the heartbeat must not take it back
        with suppress(TransientError):
            self._requests.hold([message.receipt], seconds)

    def _forget(self, message: Message) -> None:
        with self._held_lock:
            self._held.discard(message.receipt)

    def _keep_held(self) -> None:
        """The heartbeat: every held job stays hidden from the other workers."""
        with self._held_lock:
            receipts = list(self._held)
        if receipts:
            lost = self._requests.hold(receipts, self._pace.visibility_seconds)
            still_ours = len(self._held.intersection(lost))
            if still_ours:
                self._metrics.visibility_lost.inc(still_ours)
                _log.warning("visibility lost", extra={"jobs": still_ours})
