"""The calls of /v1/searches: who is nearest to an encoding that the client has."""

import time

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from face_common import encodings
from face_common.contract import Code, Operation, Result
from face_common.errors import ServiceError
from face_common.templates import DIMENSIONS
from face_web import elasticity, incoming
from face_web.access import Role
from face_web.questions import Answers, AskQuery, JobPath
from face_web.routes import Queued, Routes
from face_web.services import Services
from face_web.submit import Order

_ERRORS = (
    Code.ENCODING_INVALID,
    Code.IMAGE_MISSING,
    Code.MODEL_MISMATCH,
    Code.NOT_PROCESSED,
    Code.OVERLOADED,
    Code.SERVER_BUSY,
)


class SearchBody(BaseModel):
    """An encoding to search for."""

    model_config = ConfigDict(extra="forbid")

    encoding: list[float] = Field(
        description="128 finite numbers, not all of them 0.",
        json_schema_extra={"minItems": DIMENSIONS, "maxItems": DIMENSIONS},
    )
    model: str = Field(
        min_length=1,
        max_length=100,
        pattern="^[!-~]+$",
        description="Id of the model that made it, as results tell it.",
    )
    top: int = Field(3, ge=0, le=20, description="How many candidates to show.")


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    calls = _Searches(services)
    routes = Routes("searches", "/v1/searches", tag="Questions", about="What is in a photo.")
    routes.add("POST", "", calls.ask, id="search", answers={200: Result, 202: Queued}, role=Role.SUBMIT, errors=_ERRORS)
    routes.add(
        "GET",
        "/<job_id>",
        calls.look_up,
        id="get-search",
        answers={200: (Result, Queued)},
        role=Role.SUBMIT,
        errors=(Code.ID_INVALID, Code.NOT_FOUND),
    )
    return routes


class _Searches:
    """The calls."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._answers = Answers(services, Operation.SEARCH, "search")

    def ask(self, query: AskQuery, body: SearchBody) -> Response:
        """Name the person whose encoding this is, as an identification names those in a photo.

        The answer is in `match`. Encodings of different models cannot be compared: `model` has to be the workers'.
        """
        submitter, settings = self._services.submitter, self._services.settings
        encoding = _checked(body.encoding)
        wait = min(settings.wait_seconds if query.wait is None else query.wait, settings.longest_wait_seconds)
        if query.webhook:
            self._services.webhooks.check(query.webhook)
        elasticity.admit(self._services)
        deadline = time.monotonic() + wait
        with submitter.waiting_place(required=False) as may_wait:
            (job_id,) = incoming.ids(self._services, 1, encoding, body.model.encode(), str(body.top).encode())
            order = Order(Operation.SEARCH, query.collection, top=body.top)
            if query.webhook:
                self._services.webhooks.expect(query.webhook, "search", job_id)
            submission = submitter.submit_encoding(encoding, body.model, order, job_id)
            return self._answers.answer(submission, deadline if may_wait else 0.0)

    def look_up(self, path: JobPath) -> Response:
        """An earlier search's result, or that it is still queued."""
        return self._answers.look_up(path)


def _checked(encoding: list[float]) -> bytes:
    try:
        body = encodings.to_bytes(encoding)
        encodings.from_bytes(body)
    except ValueError as error:
        raise ServiceError(Code.ENCODING_INVALID, str(error)) from error
    return body
