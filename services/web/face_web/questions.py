"""What all calls that ask something about photos share: submit, wait, answer, look up."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, jsonify, url_for
from pydantic import BaseModel, Field

from face_common.contract import Code, Operation, Result
from face_common.errors import ServiceError
from face_web import elasticity, incoming
from face_web.access import Role
from face_web.incoming import Upload
from face_web.photos import check_photo
from face_web.problems import failure
from face_web.routes import Absent, CollectionQuery, Queued, Routes
from face_web.services import Services
from face_web.submit import Order, Submission

PHOTO_ERRORS = (
    Code.IMAGE_EMPTY,
    Code.IMAGE_MISSING,
    Code.IMAGE_TOO_LARGE,
    Code.IMAGE_UNREADABLE,
    Code.INFERENCE_FAILED,
    Code.INFERENCE_TIMEOUT,
    Code.NAME_INVALID,
    Code.NOT_PROCESSED,
    Code.OVERLOADED,
    Code.PARAMETER_INVALID,
    Code.SERVER_BUSY,
    Code.TYPE_UNSUPPORTED,
    Code.WEBHOOK_UNKNOWN,
)
"""What may be wrong with a photo that is sent, or with the moment."""


class AskQuery(CollectionQuery):
    """What every question may have."""

    wait: incoming.Seconds | Absent = Field(
        None,
        description="Seconds to wait, as far as the service allows; when there is no answer by then, it is 202.",
    )
    webhook: str = Field("", max_length=40, description="Which of the operator's webhooks is told the result.")


class JobPath(BaseModel):
    """An id in a path."""

    job_id: incoming.JobId


@dataclass(frozen=True, slots=True)
class Question:
    """One kind of question."""

    operation: Operation
    noun: str
    """What its answer is called: the calls are those of /v1/<noun>s."""
    about: str
    """What it asks, as a sentence."""
    query: type[AskQuery]
    order: Callable[[Any], Order]
    """What a query asks for."""
    uploads: Callable[[Any], Sequence[Upload]]
    """The photos of the request under way: one, or two of which the second is compared with the first."""
    takes: Mapping[str, Any]
    """Media types of the photos, with their schemas."""
    errors: Sequence[Code] = ()


def routes(services: Services, question: Question) -> Routes:
    """The question's calls over these services."""
    calls = Questions(services, question)
    found = Routes(f"{question.noun}s", f"/v1/{question.noun}s", tag="Questions", about="What is in a photo.")

    def ask(query: AskQuery) -> Response:
        return calls.ask(query)

    ask.__doc__ = question.about
    ask.__annotations__["query"] = question.query  # what the documentation shows
    found.add(
        "POST",
        "",
        ask,
        id=question.operation.value,
        answers={200: Result, 202: Queued},
        role=Role.SUBMIT,
        errors=(*PHOTO_ERRORS, *question.errors),
        takes=question.takes,
    )
    found.add(
        "GET",
        "/<job_id>",
        calls.look_up,
        id=f"get-{question.noun}",
        answers={200: (Result, Queued)},
        role=Role.SUBMIT,
        scope="object",
        errors=(Code.ID_INVALID, Code.NOT_FOUND),
    )
    return found


class Answers:
    """Waits for answers of one kind, and finds them again."""

    def __init__(self, services: Services, operation: Operation, noun: str) -> None:
        """`noun`: as of Question."""
        self._services = services
        self._operation = operation
        self._noun = noun

    def look_up(self, path: JobPath) -> Response:
        """An earlier question's result, or that it is still queued."""
        result = self._services.submitter.stored(path.job_id)
        if result is None and self._services.submitter.is_queued(path.job_id):
            response = elasticity.queued(self._services, path.job_id)
            response.headers["Retry-After"] = "1"
            return response
        if result is None or result["operation"] != self._operation:
            raise ServiceError(Code.NOT_FOUND, f"there is no {self._noun} {path.job_id}")
        incoming.caller().require_collection(result["collection"])
        return jsonify(result)

    def answer(self, submission: Submission, deadline: float) -> Response:
        """200 with the result, a problem when the job failed, or 202 when it is not finished by the deadline."""
        with self._services.metrics.waiting.track_inprogress():
            result = submission.result(deadline)
        if result is None:
            response = elasticity.queued(self._services, submission.id)
            response.status_code = 202
            response.headers["Location"] = url_for(f".get-{self._noun}", job_id=submission.id)
            return response
        self._services.metrics.observe(result)
        return failure(result) or jsonify(result)


class Questions:
    """The calls of one question."""

    def __init__(self, services: Services, question: Question) -> None:
        self._services = services
        self._question = question
        self._answers = Answers(services, question.operation, question.noun)

    def ask(self, query: AskQuery) -> Response:
        """Ask, and wait for the answer as long as the client likes and there is a place to wait."""
        submitter, settings = self._services.submitter, self._services.settings
        wait = min(settings.wait_seconds if query.wait is None else query.wait, settings.longest_wait_seconds)
        order = self._question.order(query)
        if query.webhook:
            self._services.webhooks.check(query.webhook)
        elasticity.admit(self._services)
        deadline = time.monotonic() + wait
        with submitter.waiting_place(required=False) as may_wait:
            with submitter.uploading(patient=may_wait):
                uploads = self._question.uploads(query)
                photos = [check_photo(upload.name, upload.body, settings.max_pixels) for upload in uploads]
                (job_id,) = incoming.ids(self._services, 1, *(photo.body for photo in photos))
                if query.webhook:
                    self._services.webhooks.expect(query.webhook, self._question.noun, job_id)
                submission = submitter.submit(photos, order, job_id)
                del uploads, photos  # waiting needs no bytes
            return self._answers.answer(submission, deadline if may_wait else 0.0)

    def look_up(self, path: JobPath) -> Response:
        """An earlier question's result, or that it is still queued."""
        return self._answers.look_up(path)
