"""Errors as clients see them: application/problem+json (RFC 9457) with a stable code."""

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.exceptions import HTTPException

from face_common.contract import Code, Result
from face_common.errors import OverloadedError, RateLimitedError, ServiceError

_log = logging.getLogger(__name__)

STATUS: dict[Code, tuple[int, str]] = {
    Code.ARCHIVE_INVALID: (422, "Not a readable archive"),
    Code.ARCHIVE_TOO_LARGE: (413, "The archive is too large"),
    Code.BATCH_CANCELLED: (409, "The batch was cancelled"),
    Code.BATCH_FINISHED: (409, "The batch has finished"),
    Code.BODY_TOO_LARGE: (413, "The request is too large"),
    Code.COLLECTION_INVALID: (400, "Not a collection's name"),
    Code.CONSENT_MISSING: (409, "Consent is not recorded"),
    Code.ENCODING_INVALID: (422, "Not an encoding"),
    Code.ERASURE_FAILED: (503, "The erasure is not complete"),
    Code.FACE_MISSING: (422, "There is no face in the photo"),
    Code.FACE_UNNAMED: (422, "The face was not named"),
    Code.FLEET_UNKNOWN: (503, "The fleet was not seen yet"),
    Code.FORBIDDEN: (403, "The key may not do this"),
    Code.GALLERY_FILE_INVALID: (422, "Not a gallery file"),
    Code.IDEMPOTENCY_KEY_INVALID: (400, "Not an idempotency key"),
    Code.IDEMPOTENCY_KEY_REUSED: (422, "The idempotency key was used before"),
    Code.ID_INVALID: (400, "Not an id"),
    Code.IMAGE_EMPTY: (400, "The photo is empty"),
    Code.IMAGE_MISSING: (400, "The photo is missing"),
    Code.IMAGE_TOO_LARGE: (413, "The photo has too many pixels"),
    Code.IMAGE_UNREADABLE: (422, "The photo cannot be read"),
    Code.INFERENCE_FAILED: (422, "The photo broke the process that read it"),
    Code.INFERENCE_TIMEOUT: (422, "The photo took too long to read"),
    Code.INTERNAL: (500, "An error of the service"),
    Code.KEY_INVALID: (401, "The key is not valid"),
    Code.KEY_MISSING: (401, "A key is needed"),
    Code.METHOD_NOT_ALLOWED: (405, "The method is not allowed here"),
    Code.MODEL_MISMATCH: (409, "Another model"),
    Code.MOMENT_PAST: (422, "The time has passed"),
    Code.NAME_INVALID: (422, "Not a photo's file name"),
    Code.NOT_FOUND: (404, "Not found"),
    Code.NOT_PROCESSED: (503, "No worker could finish the photo"),
    Code.OVERLOADED: (429, "Too many photos wait"),
    Code.PARAMETER_INVALID: (400, "A parameter is wrong"),
    Code.PERSON_EXISTS: (409, "The name is taken"),
    Code.PERSON_INVALID: (400, "Not a person's name"),
    Code.PIN_TOO_LARGE: (422, "More workers than may run"),
    Code.PREFIX_FORBIDDEN: (403, "Not a prefix to import from"),
    Code.RATE_LIMITED: (429, "Too many requests"),
    Code.REDRIVE_REFUSED: (409, "Not to be sent anew"),
    Code.REQUEST_INVALID: (400, "The request is malformed"),
    Code.SERVER_BUSY: (503, "The service is busy"),
    Code.STORAGE_UNAVAILABLE: (503, "Storage or queue cannot be reached"),
    Code.TYPE_UNSUPPORTED: (415, "The file type is not supported"),
    Code.VERSION_UNKNOWN: (404, "No such version"),
    Code.WAIT_TIMEOUT: (504, "No answer in time"),
    Code.WEBHOOK_UNKNOWN: (422, "Not a webhook"),
}
"""HTTP status and title of each code."""
_RETRY_SECONDS = 5
_OF_FIELD = {"collection": Code.COLLECTION_INVALID}
_OF_HTTP = {404: Code.NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED, 413: Code.BODY_TOO_LARGE}


class Problem(BaseModel):
    """What every refused or failed request is answered with (RFC 9457)."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str
    """Where the code is explained."""
    title: str
    status: int
    detail: str
    """A sentence for people, which may change."""
    code: Code
    """Stable, for programs."""
    id: str | None = Field(None, json_schema_extra={"type": "string"})
    """The job that failed, or that is still queued."""
    predicted_wait_s: float | None = None
    """With 429: how long a photo would wait."""


def problem(code: Code, detail: str, job_id: str | None = None) -> Response:
    """The error as a response; `job_id` where the client can look the job up later."""
    body = described(code, detail)
    if job_id is not None:
        body["id"] = job_id
    return _response(body)


def described(code: Code, detail: str) -> dict[str, Any]:
    """The error as the body of a problem."""
    status, title = STATUS[code]
    return {
        "type": f"/docs/errors#{code.value}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code.value,
    }


def _response(body: Mapping[str, Any]) -> Response:
    response = Response(json.dumps(body), body["status"], mimetype="application/problem+json")
    if body["status"] in (503, 504):
        response.headers["Retry-After"] = str(_RETRY_SECONDS)
    if body["status"] == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="Elastic Face Recognition"'
    return response


def failure(result: Result) -> Response | None:
    """The problem of a failed job; None for one that went well."""
    if result["error"] is None:
        return None
    return problem(Code(result["error"]["code"]), result["error"]["detail"], result["id"])


def invalid(error: ValidationError) -> Response:
    """The problem of a request that does not look as the call wants it."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = ".".join(map(str, fault["loc"])) or "the body"
    code = _OF_FIELD.get(name, Code.REQUEST_INVALID if error.title.endswith("Body") else Code.PARAMETER_INVALID)
    return problem(code, f"{name}: {fault['msg'][0].lower()}{fault['msg'][1:]}")


def of_http(error: HTTPException) -> Response:
    """The problem of a request that Flask itself refuses."""
    code = _OF_HTTP.get(error.code or 500, Code.REQUEST_INVALID)
    response = problem(code, error.description or "the request cannot be served")
    if code is Code.METHOD_NOT_ALLOWED:
        response.headers.extend({key: value for key, value in error.get_headers() if key == "Allow"})
    return response


def register(app: Flask) -> None:
    """Answer every failure of the application as a problem."""

    @app.errorhandler(ServiceError)
    def service_error(error: ServiceError) -> Response:
        response = problem(error.code, error.detail)
        if isinstance(error, OverloadedError):
            shown = json.loads(response.get_data()) | {"predicted_wait_s": round(error.predicted_wait, 1)}
            response.set_data(json.dumps(shown))
        if isinstance(error, OverloadedError | RateLimitedError):
            response.headers["Retry-After"] = str(math.ceil(error.retry_after))
        return response

    app.register_error_handler(HTTPException, of_http)

    @app.errorhandler(RecursionError)
    def too_deep(_: RecursionError) -> Response:
        return problem(Code.REQUEST_INVALID, "the JSON is nested too deeply")

    @app.errorhandler(Exception)
    def fault(error: Exception) -> Response:
        _log.exception("a request met a fault", exc_info=error)
        return problem(Code.INTERNAL, "the service met a fault, which was logged")
