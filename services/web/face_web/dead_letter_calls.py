"""The calls of /v1/dead-letters: jobs that no worker could finish, for operators."""

from typing import Any, Literal

from flask import Response, jsonify
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from face_common.contract import Code
from face_web import incoming
from face_web.access import Role
from face_web.dead_letters import DeadLetter
from face_web.idempotency import Outcome
from face_web.questions import JobPath
from face_web.redrives import DeadLetterView
from face_web.routes import Absent, Routes
from face_web.services import Services


class LettersQuery(BaseModel):
    """Which ones to list."""

    limit: int = Field(50, ge=1, le=200, description="How many, the newest first.")
    after: incoming.JobId | Absent = Field(None, description="The id of the last one of the page before.")


class LettersAnswer(TypedDict):
    """Jobs that no worker could finish, the newest first."""

    dead_letters: list[DeadLetterView]
    total: int
    next: str | None
    """What `after` is to be for the next page; null on the last one."""


class RedriveAnswer(TypedDict):
    """A job that is on its way again."""

    id: str
    state: Literal["queued"]


class DiscardAnswer(TypedDict):
    """A dead letter that is forgotten."""

    id: str


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    calls = _LetterCalls(services)
    routes = Routes("dead-letters", "/v1/dead-letters", tag="Dead letters", about="Jobs that nobody finished.")
    role: dict[str, Any] = {"role": Role.ADMIN, "scope": "service"}
    finding = (Code.ID_INVALID, Code.NOT_FOUND)
    answers: dict[int, Any] = {200: LettersAnswer}
    listing = (Code.ID_INVALID, Code.PARAMETER_INVALID)
    routes.add("GET", "", calls.letters, id="list-dead-letters", answers=answers, errors=listing, **role)
    routes.add(
        "POST",
        "/<job_id>/redrive",
        calls.redrive,
        id="redrive-dead-letter",
        answers={202: RedriveAnswer},
        errors=(*finding, Code.REDRIVE_REFUSED, Code.CONSENT_MISSING, Code.SERVER_BUSY),
        **role,
    )
    answers = {200: DiscardAnswer}
    routes.add("DELETE", "/<job_id>", calls.discard, id="discard-dead-letter", answers=answers, errors=finding, **role)
    return routes


class _LetterCalls:
    """The calls."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def letters(self, query: LettersQuery) -> Response:
        """The jobs that no worker could finish, the newest first."""
        page = self._services.redrives.page(query.limit, query.after or "")
        return jsonify({"dead_letters": page.letters, "total": page.total, "next": page.next})

    def redrive(self, path: JobPath) -> tuple[Response, int]:
        """Send a job anew, under its id: as any other it has no result until a worker has answered it.

        Sent twice within ten minutes it is sent once, unless it dies in between. Files of batches are refused.
        """
        (request_id,) = incoming.ids(self._services, 1)

        def change() -> Outcome:
            letter = self._services.redrives.redrive(path.job_id)
            return {"id": path.job_id, "collection": letter.job.collection, "subject": self._subject(letter)}

        def conclude(sent: Outcome) -> None:
            who, audit = incoming.caller().key, self._services.audit
            audit.record(who, "redrive-dead-letter", sent["collection"], sent["subject"], dead_letter=sent["id"])

        self._services.idempotency.once(request_id, change, conclude)
        return jsonify({"id": path.job_id, "state": "queued"}), 202

    def discard(self, path: JobPath) -> Response:
        """Forget a dead letter. The job's failed result stays as it is."""
        letter = self._services.redrives.discard(path.job_id)
        who, job = incoming.caller().key, letter.job
        self._services.audit.record(
            who, "discard-dead-letter", job.collection, self._subject(letter), dead_letter=job.id
        )
        return jsonify({"id": job.id})

    def _subject(self, letter: DeadLetter) -> str:
        """What stands for the person whom the job enrols; empty for other jobs."""
        job = letter.job
        return self._services.audit.subject(job.collection, job.person) if job.person else ""
