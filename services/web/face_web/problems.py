"""Errors as clients see them: application/problem+json (RFC 9457) with a stable code."""

import json
import logging

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from face_common.contract import Code, Result
from face_common.errors import OverloadedError, ServiceError

_log = logging.getLogger(__name__)

STATUS: dict[Code, tuple[int, str]] = {
    Code.BODY_TOO_LARGE: (413, "The request is too large"),
    Code.COLLECTION_INVALID: (400, "Not a collection's name"),
    Code.FACE_MISSING: (422, "There is no face in the photo"),
    Code.FLEET_UNKNOWN: (503, "The fleet was not seen yet"),
    Code.ID_INVALID: (400, "Not an id"),
    Code.IMAGE_EMPTY: (400, "The photo is empty"),
    Code.IMAGE_MISSING: (400, "The photo is missing"),
    Code.IMAGE_TOO_LARGE: (413, "The photo has too many pixels"),
    Code.IMAGE_UNREADABLE: (422, "The photo cannot be read"),
    Code.INFERENCE_FAILED: (422, "The photo broke the process that read it"),
    Code.INFERENCE_TIMEOUT: (422, "The photo took too long to read"),
    Code.INTERNAL: (500, "An error of the service"),
    Code.METHOD_NOT_ALLOWED: (405, "The method is not allowed here"),
    Code.NAME_INVALID: (400, "Not a photo's file name"),
    Code.NOT_FOUND: (404, "Not found"),
    Code.NOT_PROCESSED: (503, "No worker could finish the photo"),
    Code.OVERLOADED: (429, "Too many photos wait"),
    Code.PARAMETER_INVALID: (400, "A parameter is wrong"),
    Code.PERSON_INVALID: (400, "Not a person's name"),
    Code.REQUEST_INVALID: (400, "The request is malformed"),
    Code.SERVER_BUSY: (503, "The service is busy"),
    Code.STORAGE_UNAVAILABLE: (503, "Storage or queue cannot be reached"),
    Code.TYPE_UNSUPPORTED: (415, "The file type is not supported"),
    Code.WAIT_TIMEOUT: (504, "No answer in time"),
}
"""HTTP status and title of each code."""
_RETRY_SECONDS = 5
_OF_HTTP = {404: Code.NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED, 413: Code.BODY_TOO_LARGE}


def problem(code: Code, detail: str, job_id: str | None = None) -> Response:
    """The error as a response; `job_id` where the client can look the job up later."""
    status, title = STATUS[code]
    body = {
        "type": f"/docs/errors#{code.value}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code.value,
    }
    if job_id is not None:
        body["id"] = job_id
    response = Response(json.dumps(body), status, mimetype="application/problem+json")
    if status in (503, 504):
        response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response


def failure(result: Result) -> Response | None:
    """The problem of a failed job; None for one that went well."""
    if result["error"] is None:
        return None
    return problem(Code(result["error"]["code"]), result["error"]["detail"], result["id"])


def register(app: Flask) -> None:
    """Answer every failure of the application as a problem."""

    @app.errorhandler(ServiceError)
    def service_error(error: ServiceError) -> Response:
        response = problem(error.code, error.detail)
        if isinstance(error, OverloadedError):
            response.headers["Retry-After"] = str(error.retry_after)
        return response

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        code = _OF_HTTP.get(error.code or 500, Code.REQUEST_INVALID)
        response = problem(code, error.description or "the request cannot be served")
        if code is Code.METHOD_NOT_ALLOWED:
            response.headers.extend({key: value for key, value in error.get_headers() if key == "Allow"})
        return response

    @app.errorhandler(Exception)
    def fault(error: Exception) -> Response:
        _log.exception("a request met a fault", exc_info=error)
        return problem(Code.INTERNAL, "the service met a fault, which was logged")
