"""From a checked photo to its result: store, queue, wait."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures import wait as wait_for
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from face_common.contract import (
    Code,
    InvalidMessageError,
    Job,
    Operation,
    Result,
    image_key,
    other_image_key,
    photo_key,
)
from face_common.errors import ObjectMissingError, ServiceError, TransientError
from face_common.ports import Bucket, Queue
from face_common.results import stored_result
from face_web.photos import Photo
from face_web.replies import ReplyRouter
from face_web.traffic import Traffic
from face_web.versions import GalleryVersions

_PATIENCE_SECONDS = 30.0
_IMPATIENCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a client wants to know about a photo, or about two."""

    operation: Operation
    collection: str
    person: str = ""
    top: int = 3
    max_faces: int = 100
    insist: bool = False


class Submission:
    """A job on its way."""

    def __init__(self, job: Job, reply: "Future[Result | None]", submitter: "Submitter") -> None:
        self.id = job.id
        self.name = job.name
        self._reply = reply
        self._submitter = submitter

    def answered(self, seconds: float) -> bool:
        """Whether there is an answer, waiting for it as long as that; the result is asked for afterwards."""
        return bool(wait_for([self._reply], seconds).done)

    def result(self, deadline: float) -> Result | None:
        """The result, waiting until `deadline` (time.monotonic); None when there is none by then."""
        try:
            result = self._reply.result(timeout=max(deadline - time.monotonic(), 0))
        except FutureTimeoutError:
            result = None
        finally:
            self._submitter.forget(self.id)
        if result is None:
            with suppress(TransientError):  # the reply may have been lost: S3 has the last word, if it can be reached
                result = self._submitter.stored(self.id)
        return result


class Submitter:
    """Stores photos, sends jobs and knows their results. Thread-safe."""

    def __init__(
        self,
        *,
        store: Bucket,
        requests: Queue,
        replies: ReplyRouter,
        versions: GalleryVersions,
        traffic: Traffic,
        response_queue_url: str,
        waiting_limit: int,
        uploads_limit: int,
        now: Callable[[], float],
    ) -> None:
        """`now` is the wall clock in seconds since the epoch; the limits are WebSettings'."""
        self._store = store
        self._requests = requests
        self._replies = replies
        self._versions = versions
        self._traffic = traffic
        self._response_queue_url = response_queue_url
        self._waiting = threading.BoundedSemaphore(waiting_limit)
        self._uploads = threading.BoundedSemaphore(uploads_limit)
        self._now = now

    @contextmanager
    def waiting_place(self, *, required: bool) -> Iterator[bool]:
        """Hold a place among the requests that may wait; whether there was one.

        ServiceError (server-busy) when there is none and one is required.
        """
        held = self._waiting.acquire(blocking=False)
        if required and not held:
            raise ServiceError(Code.SERVER_BUSY, "too many requests wait for a worker; try again in a few seconds")
        try:
            yield held
        finally:
            if held:
                self._waiting.release()

    @contextmanager
    def uploading(self, *, patient: bool) -> Iterator[None]:
        """Hold while a photo's bytes are in memory: it bounds what many large uploads take at once.

        ServiceError (server-busy) when there is no room for a while; for those who hold no waiting place that while is
        short, so that they cannot occupy the threads that everything else needs.
        """
        if not self._uploads.acquire(timeout=_PATIENCE_SECONDS if patient else _IMPATIENCE_SECONDS):
            raise ServiceError(
                Code.SERVER_BUSY, "too many photos are on their way to storage; try again in a few seconds"
            )
        try:
            yield
        finally:
            self._uploads.release()

    def submit(self, photos: Sequence[Photo], order: Order, job_id: str) -> Submission:
        """Put one photo, or the two of a verification, in the bucket and their job on the queue.

        A job that is submitted a second time under its id changes nothing, and is answered with the result that counts.
        ServiceError (name-invalid) when their names are too long for a job, TransientError when the cloud cannot be
        reached.
        """
        return self._send(self._job(photos, order, job_id), photos)

    def submit_enrolled(self, photo: str, name: str, order: Order, job_id: str) -> Submission:
        """Send the job to encode a photo again that is enrolled under this id. Errors as above."""
        job = Job(
            id=job_id,
            operation=order.operation,
            key=photo_key(photo),
            name=name,
            collection=order.collection,
            gallery_version=self._versions.at_least(order.collection),
            reply_queue=self._response_queue_url,
            submitted_at=self._now(),
            width=0,  # the worker sees
            height=0,
            person=order.person,
            insist=order.insist,
            photo=photo,
        )
        return self._send(job, ())

    def submit_encoding(self, encoding: bytes, model: str, order: Order, job_id: str) -> Submission:
        """Put an encoding in the bucket and the job to search for it on the queue. Errors as above."""
        photo = Photo("encoding", encoding, "application/octet-stream", 0, 0)
        return self._send(replace(self._job([photo], order, job_id), model=model), [photo])

    def resubmit(self, job: Job) -> None:
        """Send a job anew under its id, for which nobody waits here. What it asks about lies in the bucket still.

        Errors as above.
        """
        message = _message(
            replace(
                job,
                gallery_version=self._versions.at_least(job.collection),
                reply_queue=self._response_queue_url,
                submitted_at=self._now(),
            )
        )
        self._traffic.submitted(job.id)
        try:
            self._requests.send(message)
        except BaseException:
            self._traffic.answered(job.id, None)
            raise

    def _send(self, job: Job, photos: Sequence[Photo]) -> Submission:
        """Put the photos, and the job on the queue."""
        message = _message(job)  # before anything is stored
        reply = self._replies.expect(job.id)  # before sending: the answer may come at once
        try:
            for key, photo in zip((job.key, other_image_key(job.id)), photos, strict=False):
                self._store.put(key, photo.body, photo.content_type)
            self._traffic.submitted(job.id)
            self._requests.send(message)
        except BaseException:
            self._replies.forget(job.id)
            self._traffic.answered(job.id, None)
            raise
        return Submission(job, reply, self)

    def forget(self, job_id: str) -> None:
        """Nobody waits for this job any more."""
        self._replies.forget(job_id)

    def stored(self, job_id: str) -> Result | None:
        """The job's result in the bucket, if it is finished."""
        return stored_result(self._store, job_id)

    def photo(self, job_id: str) -> bytes:
        """The photo of a job; ServiceError (not-found) when it is not kept any more."""
        try:
            return self._store.get(image_key(job_id))
        except ObjectMissingError as error:
            raise ServiceError(Code.NOT_FOUND, f"the photo of {job_id} is not kept any more") from error

    def discard(self, job_id: str) -> None:
        """Leave nothing of the job's photos; the bucket's lifecycle takes what this cannot."""
        with suppress(TransientError):
            self._store.purge([image_key(job_id), other_image_key(job_id), photo_key(job_id)])

    def is_queued(self, job_id: str) -> bool:
        """Whether a question about a photo was asked under this id."""
        return self._store.exists(image_key(job_id))

    def _job(self, photos: Sequence[Photo], order: Order, job_id: str) -> Job:
        photo, *others = photos
        return Job(
            id=job_id,
            operation=order.operation,
            key=photo_key(job_id) if order.operation is Operation.ENROL else image_key(job_id),
            name=photo.name,
            collection=order.collection,
            gallery_version=self._versions.at_least(order.collection),
            reply_queue=self._response_queue_url,
            submitted_at=self._now(),
            width=photo.width,
            height=photo.height,
            person=order.person,
            top=order.top,
            max_faces=order.max_faces,
            other_name=others[0].name if others else "",
            insist=order.insist,
        )


def _message(job: Job) -> str:
    """The job as it is sent. Only names can make it too long: everything else in it has a bound."""
    try:
        return job.encode()
    except InvalidMessageError as error:
        length = len((job.name + job.other_name).encode())
        detail = f"file names of {length} bytes in all are longer than a job can carry; send shorter ones"
        raise ServiceError(Code.NAME_INVALID, detail) from error
