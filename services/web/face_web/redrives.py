"""Shows the jobs that died, and sends them anew or discards them."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, NotRequired, Protocol

from typing_extensions import TypedDict

from face_common.contract import Code, Job, Operation, other_image_key, result_key
from face_common.errors import ObjectMissingError, ServiceError, TransientError
from face_common.ports import Bucket
from face_common.results import stored_result
from face_web.audit import Audit
from face_web.dead_letters import PREFIX, DeadLetter, died, letter_key
from face_web.erasure import Receipt
from face_web.records import iso
from face_web.traces import side_by_side

_AGAIN_SECONDS = 600.0  # whoever sends a job anew and has not ended by then has died


class DeadLetterView(TypedDict):
    """A job that no worker could finish. Times are ISO 8601, in UTC."""

    id: str
    operation: str
    collection: str
    name: str
    """The photo's file name."""
    at: str
    """When it was given up."""
    code: str
    detail: str
    state: Literal["dead", "redriven", "answered"]
    """`redriven`: it was sent anew and is not answered yet; `answered`: and has another answer now."""
    redriven: NotRequired[str]
    """When it was sent anew."""
    batch: NotRequired[str]
    """Id of the batch or import whose file it is: such a job is not sent anew."""


class Sender(Protocol):
    """Who sends jobs."""

    def resubmit(self, job: Job) -> None:
        """Send a job anew under its id, as if it had just come. TransientError as the queue's."""


class Consents(Protocol):
    """Where it is noted that people agreed to be enrolled."""

    def require_consent(self, collection: str, person: str) -> None:
        """ServiceError (consent-missing) where consent is required and none is recorded for this person."""


class Receipts(Protocol):
    """Where it is noted what was erased."""

    def receipts(self, after: str) -> list[Receipt]:
        """The receipts of the erasures behind this id that have ended."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the dead letters, the newest first."""

    letters: Sequence[DeadLetterView]
    total: int
    next: str | None
    """The id after which the next page begins; None on the last one."""


class Redrives:
    """Thread-safe."""

    def __init__(
        self,
        *,
        store: Bucket,
        sender: Sender,
        consents: Consents,
        erasures: Receipts,
        audit: Audit,
        now: Callable[[], float],
        count: Callable[[str], None],
    ) -> None:
        """`now` is the wall clock in seconds since the epoch; `count` is told `redriven` or `discarded` for each."""
        self._store = store
        self._sender = sender
        self._consents = consents
        self._erasures = erasures
        self._audit = audit
        self._now = now
        self._count = count

    def page(self, limit: int, after: str) -> Page:
        """The dead letters whose ids come before `after`, the newest first."""
        names = [entry.key.removeprefix(PREFIX).removesuffix(".json") for entry in self._store.entries(PREFIX)]
        wanted = [job_id for job_id in reversed(names) if not after or job_id < after]
        with side_by_side() as mapped:
            found = [letter for letter in mapped(self._view, wanted[:limit]) if letter is not None]
        return Page(found, len(names), wanted[limit - 1] if len(wanted) > limit else None)

    def redrive(self, job_id: str) -> DeadLetter:
        """Send the job anew; it has no result from then on until it is answered.

        Of several hosts that do it at the same time one does: the first to mark the letter. Within ten minutes after
        that nothing is sent again, unless the job dies once more, since only whoever has marked the letter may take
        the failed result away. ServiceError with not-found, redrive-refused or consent-missing.
        """
        letter, tag = self._read(job_id)
        if letter.redriven_at is not None and self._now() < letter.redriven_at + _AGAIN_SECONDS:
            return letter
        has_failed = self._check(letter)
        marked = replace(letter, redriven_at=self._now())
        own_tag = self._store.put_over(letter_key(job_id), marked.encode(), "application/json", tag)
        if own_tag is None:  # another one was faster, or it is gone
            return self.redrive(job_id)
        try:
            if has_failed:
                self._store.purge([result_key(job_id)])  # before it is sent: the first result that is written counts
            self._sender.resubmit(letter.job)
        except BaseException:
            with suppress(TransientError):
                self._store.put_over(letter_key(job_id), letter.encode(), "application/json", own_tag)
            raise
        self._count("redriven")
        return marked

    def discard(self, job_id: str) -> DeadLetter:
        """Forget the letter; the failed result stays. ServiceError (not-found) when there is none."""
        letter, _ = self._read(job_id)
        self._store.purge([letter_key(job_id)])
        self._count("discarded")
        return letter

    def _view(self, job_id: str) -> DeadLetterView | None:
        try:
            letter, _ = self._read(job_id)
        except ServiceError as error:  # it has just gone
            if error.code is not Code.NOT_FOUND:
                raise
            return None
        view: DeadLetterView = {
            "id": job_id,
            "operation": letter.job.operation.value,
            "collection": letter.job.collection,
            "name": letter.job.name,
            "at": iso(letter.at),
            "code": letter.code,
            "detail": letter.detail,
            "state": "dead",
        }
        if letter.redriven_at is not None:
            result = stored_result(self._store, job_id)
            view["state"] = "redriven" if result is None or died(result) else "answered"
            view["redriven"] = iso(letter.redriven_at)
        if letter.batch:
            view["batch"] = letter.batch
        return view

    def _read(self, job_id: str) -> tuple[DeadLetter, str]:
        try:
            body, tag = self._store.get_tagged(letter_key(job_id))
        except ObjectMissingError as error:
            raise ServiceError(Code.NOT_FOUND, f"there is no dead letter {job_id}") from error
        return DeadLetter.decode(body), tag

    def _check(self, letter: DeadLetter) -> bool:
        """See that the job may be sent anew; whether the result of its death is there."""
        job, refused = letter.job, Code.REDRIVE_REFUSED
        if letter.batch:
            detail = f"it is a file of {letter.batch}, which has counted it as not-processed: begin another batch of it"
            raise ServiceError(refused, detail)
        result = stored_result(self._store, job.id)
        if result is not None and not died(result):
            raise ServiceError(refused, f"{job.id} has been answered since")
        keys = [job.key, *([other_image_key(job.id)] if job.operation is Operation.VERIFY else [])]
        if not all(map(self._store.exists, keys)):
            raise ServiceError(refused, f"what {job.id} asks about is not kept any more; send it as a new request")
        if job.operation is Operation.ENROL:
            self._check_person(job)
        return result is not None

    def _check_person(self, job: Job) -> None:
        """Whoever was erased since the job was sent is not enrolled by it, nor anybody without the consent needed."""
        subjects = ("", self._audit.subject(job.collection, job.person))  # "": of everybody in the collection
        for receipt in self._erasures.receipts(job.id):
            if receipt["collection"] == job.collection and receipt["subject"] in subjects and _is_of_people(receipt):
                raise ServiceError(Code.REDRIVE_REFUSED, "whom it enrols has been erased since")
        self._consents.require_consent(job.collection, job.person)


def _is_of_people(receipt: Receipt) -> bool:
    return receipt["scope"] != "photo"
