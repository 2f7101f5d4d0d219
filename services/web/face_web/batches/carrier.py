"""Carries one file of a batch from its source to its verdict."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from face_common.contract import Code, Result, photo_key
from face_common.errors import ServiceError, TransientError
from face_common.ports import Bucket
from face_common.results import settle
from face_web.batches.model import Batch, Item, Kind, SourceKind, outcome_of, refused
from face_web.batches.sources import SourceGoneError, Sources
from face_web.faults import told
from face_web.photos import check_photo
from face_web.submit import Order, Submission, Submitter
from face_web.versions import GalleryVersions

_log = logging.getLogger(__name__)
_TURN_SECONDS = 1.0
_LOOK_SECONDS = 30.0  # an answer that takes longer may have been lost: the bucket is asked for it, too
_LOST_SECONDS = 900.0  # a job that takes longer is sent again; whichever of the two is finished first counts
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds
_IN_MEMORY = 8  # photos of all batches at the same time


class Consents(Protocol):
    """Where it is noted that people agreed to be enrolled."""

    def require_consent(self, collection: str, person: str) -> None:
        """ServiceError (consent-missing) where consent is required and none is recorded for this person."""

    def record_consent(self, collection: str, person: str, reference: str, *, by: str, batch: str) -> object:
        """Note that the person has agreed; `batch` is the id of the import that says so."""


@dataclass(slots=True)
class Journey:
    """A batch under way, as far as its files need to know."""

    batch: Batch
    stopping: threading.Event
    """Set when this host is not to go on with it."""
    cancelled: threading.Event
    """Set when nothing more of it is to be begun."""
    consented: set[str] = field(default_factory=set)
    """The people whose consent is recorded or was found already."""


class Carrier:
    """Carries files. Thread-safe."""

    def __init__(
        self,
        *,
        store: Bucket,
        submitter: Submitter,
        sources: Sources,
        consents: Consents,
        versions: GalleryVersions,
        observe: Callable[[Result], None],
        max_pixels: int,
    ) -> None:
        """`observe` is told of every result."""
        self._store = store
        self._submitter = submitter
        self._sources = sources
        self._consents = consents
        self._versions = versions
        self._observe = observe
        self._max_pixels = max_pixels
        self._in_memory = threading.BoundedSemaphore(_IN_MEMORY)

    def carry(self, journey: Journey, index: int, read: Callable[[], Item], *, begun: bool) -> str | None:
        """The outcome of file number `index`; None when the journey stopped before there was one.

        `read` says what the file is: it is asked as late as can be, since an erasure may blank the file meanwhile.
        `begun`: whether it may have been begun before, so that it may have a result already. What storage refuses is
        tried again until it works. SourceGoneError or ObjectMissingError when the whole batch cannot go on.
        """
        pause = _FIRST_PAUSE
        while not journey.stopping.is_set():
            try:
                result = self._submitter.stored(journey.batch.job_id(index)) if begun else None
                result = result or self._result(journey, index, read())
                return None if result is None else self._finish(journey.batch, result)
            except TransientError as error:
                _log.warning("a file waits", extra={"batch": journey.batch.id, "index": index, **told(error)})
            begun = True
            journey.stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return None

    def _result(self, journey: Journey, index: int, item: Item) -> Result | None:
        """The file's result, stored already; None when the journey stopped. TransientError as the cloud's."""
        try:
            if journey.cancelled.is_set():
                raise ServiceError(Code.BATCH_CANCELLED, "the batch was cancelled before this file was begun")
            return self._await(journey, self._begin(journey, index, item))
        except (TransientError, SourceGoneError):
            raise
        except ServiceError as error:
            failed = refused(journey.batch, index, item, error.code, error.detail)
        except Exception as error:  # whatever is wrong with one file must not hold up the others
            _log.error("a file met a fault", extra={"batch": journey.batch.id, "index": index, **told(error)})
            failed = refused(journey.batch, index, item, Code.INTERNAL, "the service met a fault, which was logged")
        return settle(self._store, failed) or failed

    def _begin(self, journey: Journey, index: int, item: Item) -> Submission:
        """Send the file's job. ServiceError when it cannot be one."""
        batch = journey.batch
        if item.code:
            raise ServiceError(Code(item.code), item.detail)
        if batch.kind is Kind.IMPORT and item.person not in journey.consented:
            self._see_to_consent(batch, item.person)
            journey.consented.add(item.person)
        order = Order(
            batch.operation,
            batch.collection,
            item.person,
            top=batch.top,
            max_faces=batch.max_faces,
            insist=batch.insist or batch.kind is Kind.REENCODING,
        )
        if batch.source is SourceKind.ENROLLED:
            return self._submitter.submit_enrolled(item.photo, item.name, order, batch.job_id(index))
        with self._in_memory:
            photo = check_photo(item.name, self._sources.read(batch, item), self._max_pixels)
            return self._submitter.submit([photo], order, batch.job_id(index))

    def _see_to_consent(self, batch: Batch, person: str) -> None:
        if batch.consent:
            by = batch.created_by
            self._consents.record_consent(batch.collection, person, batch.consent, by=by, batch=batch.id)
        else:
            self._consents.require_consent(batch.collection, person)

    def _await(self, journey: Journey, submission: Submission) -> Result | None:
        """The worker's result, however long it takes. TransientError when its job was lost, as far as one can tell."""
        sent_at = looked_at = time.monotonic()
        try:
            while not journey.stopping.is_set():
                answered = submission.answered(_TURN_SECONDS)
                now = time.monotonic()
                if not answered and now - looked_at < _LOOK_SECONDS:
                    continue
                looked_at = now
                result = submission.result(0.0) if answered else self._submitter.stored(submission.id)
                if result is not None:
                    return result
                if answered or now - sent_at > _LOST_SECONDS:
                    raise TransientError(Code.NOT_PROCESSED, "no answer came, and there is no result")
            return None
        finally:
            self._submitter.forget(submission.id)

    def _finish(self, batch: Batch, result: Result) -> str:
        """Take note of a result. A photo that was not accepted is not kept."""
        self._observe(result)
        if "gallery_version" in result:
            self._versions.saw(batch.collection, result["gallery_version"])
        outcome = outcome_of(batch.kind, result)
        if batch.kind is Kind.IMPORT and outcome != "accepted":
            self._store.purge([photo_key(result["id"])])
        return outcome
