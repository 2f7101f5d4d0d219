"""The calls of /v1/identifications: who is in this photo."""

import time

from flask import Blueprint, Response, jsonify, url_for

from face_common.contract import Code, Operation, Result
from face_common.errors import ServiceError
from face_web import elasticity, incoming
from face_web.photos import check_photo
from face_web.problems import problem
from face_web.services import Services
from face_web.submit import Order, Submission

_MOST_CANDIDATES = 20
_MOST_FACES = 1000


def blueprint(services: Services) -> Blueprint:
    """The calls over these services."""
    calls = Identifications(services)
    routes = Blueprint("identifications", __name__, url_prefix="/v1/identifications")
    routes.add_url_rule("", view_func=calls.identify, methods=["POST"])
    routes.add_url_rule("/<job_id>", view_func=calls.look_up)
    return routes


class Identifications:
    """The calls."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def identify(self) -> Response:
        """POST: identify everyone in one photo."""
        submitter, settings = self._services.submitter, self._services.settings
        wait = incoming.number("wait", settings.wait_seconds, 0, settings.longest_wait_seconds)
        order = Order(
            operation=Operation.IDENTIFY,
            collection=incoming.collection(),
            top=incoming.whole_number("top", 3, 0, _MOST_CANDIDATES),
            max_faces=incoming.whole_number("max_faces", 100, 1, _MOST_FACES),
        )
        elasticity.admit(self._services)
        deadline = time.monotonic() + wait
        with submitter.waiting_place(required=False) as may_wait:
            with submitter.uploading(patient=may_wait):
                upload = incoming.upload_or_body("image")
                submission = submitter.submit(check_photo(upload.name, upload.body, settings.max_pixels), order)
                del upload  # waiting needs no bytes
            return self._answer(submission, deadline if may_wait else 0.0)

    def look_up(self, job_id: str) -> Response:
        """GET: an identification's result, or that it is still queued."""
        job_id = incoming.job_id(job_id)
        result = self._services.submitter.stored(job_id)
        if result is None and self._services.submitter.is_queued(job_id):
            response = jsonify({"id": job_id, "state": "queued"})
            response.headers["Retry-After"] = "1"
            return response
        if result is None or result["operation"] != Operation.IDENTIFY:
            raise ServiceError(Code.NOT_FOUND, f"there is no identification {job_id}")
        return jsonify(result)

    def _answer(self, submission: Submission, deadline: float) -> Response:
        """200 with the result, a problem when the job failed, or 202 when it is not finished by the deadline."""
        with self._services.metrics.waiting.track_inprogress():
            result = submission.result(deadline)
        if result is None:
            response = jsonify({"id": submission.id, "state": "queued"})
            response.status_code = 202
            response.headers["Location"] = url_for("identifications.look_up", job_id=submission.id)
            return response
        self._services.metrics.observe(result)
        return failure(result) or jsonify(result)


def failure(result: Result) -> Response | None:
    """The problem of a failed job; None for one that went well."""
    if result["error"] is None:
        return None
    return problem(Code(result["error"]["code"]), result["error"]["detail"], result["id"])
