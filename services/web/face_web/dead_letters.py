"""Answers the jobs that no worker could finish, so that every client is answered."""

import logging
from contextlib import suppress

from face_common.contract import Code, InvalidMessageError, Job, encode_reply, failed_result
from face_common.errors import QueueMissingError, TransientError
from face_common.ports import Message, ObjectStore, Queue, Queues
from face_common.results import settle

_log = logging.getLogger(__name__)
_BATCH = 10
_WAIT_SECONDS = 20
_ASIDE_SECONDS = 12 * 3600  # the longest that SQS hides a message


class DeadLetters:
    """Turns dead letters into failed results. Any web host may do it: the result's conditional write settles a race."""

    def __init__(self, *, dead_letters: Queue, queues: Queues, store: ObjectStore) -> None:
        self._dead_letters = dead_letters
        self._queues = queues
        self._store = store

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
        failed = failed_result(job, Code.NOT_PROCESSED, "no worker could finish this photo after several tries")
        result = settle(self._store, failed) or failed
        with suppress(QueueMissingError):  # a web host that was removed; the result is in the bucket
            self._queues(job.reply_queue).send(encode_reply(result))
        self._dead_letters.delete([message.receipt])
        _log.error("a job died", extra={"id": job.id, "operation": job.operation.value})
