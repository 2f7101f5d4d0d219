"""What all calls that ask something about photos share: submit, wait, answer, look up."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask import Blueprint, Response, jsonify, url_for

from face_common.contract import Code, Operation
from face_common.errors import ServiceError
from face_web import elasticity, incoming
from face_web.incoming import Upload
from face_web.photos import check_photo
from face_web.problems import failure
from face_web.services import Services
from face_web.submit import Order, Submission


@dataclass(frozen=True, slots=True)
class Question:
    """One kind of question."""

    operation: Operation
    noun: str
    """What its answer is called: the calls are those of /v1/<noun>s."""
    order: Callable[[], Order]
    """What the request under way asks for."""
    uploads: Callable[[], Sequence[Upload]]
    """Its photos: one, or two of which the second is compared with the first."""


def blueprint(services: Services, question: Question) -> Blueprint:
    """The question's calls over these services."""
    calls = _Calls(services, question)
    routes = Blueprint(f"{question.noun}s", __name__, url_prefix=f"/v1/{question.noun}s")
    routes.add_url_rule("", question.operation.value, calls.ask, methods=["POST"])
    routes.add_url_rule("/<job_id>", "look_up", calls.look_up)
    return routes


class _Calls:
    """The calls of one question."""

    def __init__(self, services: Services, question: Question) -> None:
        self._services = services
        self._question = question

    def ask(self) -> Response:
        """POST: ask, and wait for the answer as long as the client likes and there is a place to wait."""
        submitter, settings = self._services.submitter, self._services.settings
        wait = incoming.number("wait", settings.wait_seconds, 0, settings.longest_wait_seconds)
        order = self._question.order()
        elasticity.admit(self._services)
        deadline = time.monotonic() + wait
        with submitter.waiting_place(required=False) as may_wait:
            with submitter.uploading(patient=may_wait):
                uploads = self._question.uploads()
                photos = [check_photo(upload.name, upload.body, settings.max_pixels) for upload in uploads]
                submission = submitter.submit(photos, order)
                del uploads, photos  # waiting needs no bytes
            return self._answer(submission, deadline if may_wait else 0.0)

    def look_up(self, job_id: str) -> Response:
        """GET: an earlier question's result, or that it is still queued."""
        job_id = incoming.job_id(job_id)
        result = self._services.submitter.stored(job_id)
        if result is None and self._services.submitter.is_queued(job_id):
            response = _queued(job_id)
            response.headers["Retry-After"] = "1"
            return response
        if result is None or result["operation"] != self._question.operation:
            raise ServiceError(Code.NOT_FOUND, f"there is no {self._question.noun} {job_id}")
        return jsonify(result)

    def _answer(self, submission: Submission, deadline: float) -> Response:
        """200 with the result, a problem when the job failed, or 202 when it is not finished by the deadline."""
        with self._services.metrics.waiting.track_inprogress():
            result = submission.result(deadline)
        if result is None:
            response = _queued(submission.id)
            response.status_code = 202
            response.headers["Location"] = url_for(".look_up", job_id=submission.id)
            return response
        self._services.metrics.observe(result)
        return failure(result) or jsonify(result)


def _queued(job_id: str) -> Response:
    return jsonify({"id": job_id, "state": "queued"})
