"""Answers the jobs that no worker could finish, so that every client is answered, and notes them for an operator."""

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

from face_common.contract import Code, InvalidMessageError, Job, Operation, Result, encode_reply, failed_result
from face_common.errors import QueueMissingError, TransientError
from face_common.ports import Bucket, Message, Queue, Queues
from face_common.results import settle
from face_web.batches.intake import batch_of

PREFIX = "dead-letters/"
_log = logging.getLogger(__name__)
_BATCH = 10
_WAIT_SECONDS = 20
_ASIDE_SECONDS = 12 * 3600  # the longest that SQS hides a message
_DETAIL = "no worker could finish this photo after several tries"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that died, as it is noted: `dead-letters/<id>.json`. It may name a person, and so may its file's name."""

    job: Job
    at: float
    """When it was answered as dead, in seconds since the epoch."""
    code: str
    detail: str
    batch: str = ""
    """Id of the batch or import whose file it is; empty for a job of its own."""
    redriven_at: float | None = None
    """When it was sent anew, in seconds since the epoch; None when it has died since, or never was."""

    def encode(self) -> bytes:
        """As JSON. Id, operation and collection stand where results have them, so that erasures find both alike."""
        job = {name: value for name, value in asdict(self.job).items() if name not in ("id", "operation", "collection")}
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "job"}
        whole = {"id": self.job.id, "operation": self.job.operation, "collection": self.job.collection, "job": job}
        return json.dumps({**whole, **own}).encode()

    @classmethod
    def decode(cls, body: bytes) -> "DeadLetter":
        """From JSON."""
        whole: dict[str, Any] = json.loads(body)
        job = {**whole.pop("job"), "id": whole.pop("id"), "collection": whole.pop("collection")}
        return cls(job=Job(**job, operation=Operation(whole.pop("operation"))), **whole)


def letter_key(job_id: str) -> str:
    """Where the note of a job that died lies in the bucket."""
    return f"{PREFIX}{job_id}.json"


def died(result: Result) -> bool:
    """Whether this is the answer that a dead letter gets."""
    return result["error"] is not None and result["error"]["code"] == Code.NOT_PROCESSED


class DeadLetters:
    """Turns dead letters into failed results. Any web host may do it: the result's conditional write settles a race."""

    def __init__(
        self,
        *,
        dead_letters: Queue,
        queues: Queues,
        store: Bucket,
        now: Callable[[], float],
        count: Callable[[str], None],
    ) -> None:
        """`now` is the wall clock in seconds since the epoch; `count` is told `died` for each."""
        self._dead_letters = dead_letters
        self._queues = queues
        self._store = store
        self._now = now
        self._count = count

    def receive(self) -> None:
        """Receive and answer one batch; the step of a loop."""
        for message in self._dead_letters.receive(_BATCH, _WAIT_SECONDS):
            try:
                self._answer(message)
            except TransientError as error:  # it comes again; the others need not wait for it
                _log.warning("a dead letter is not answered yet", extra={"reason": str(error)})

    def _answer(self, message: Message) -> None:
        try:
            job = Job.decode(message.body)
        except InvalidMessageError as error:
            # Nobody to answer; it stays on the queue, where the alarm on its age shows it to an operator.
            _log.error("a dead letter is not a job", extra={"reason": str(error)})
            self._dead_letters.hold([message.receipt], _ASIDE_SECONDS)
            return
        failed = failed_result(job, Code.NOT_PROCESSED, _DETAIL)
        result = settle(self._store, failed) or failed
        if died(result):
            self._note(job)
        with suppress(QueueMissingError):  # a web host that was removed; the result is in the bucket
            self._queues(job.reply_queue).send(encode_reply(result))
        self._dead_letters.delete([message.receipt])
        _log.error("a job died", extra={"id": job.id, "operation": job.operation.value})

    def _note(self, job: Job) -> None:
        """Write it down, over what was noted when it died before."""
        letter = DeadLetter(job, self._now(), Code.NOT_PROCESSED, _DETAIL, batch_of(self._store, job.id))
        self._store.put(letter_key(job.id), letter.encode(), "application/json")
        self._count("died")
