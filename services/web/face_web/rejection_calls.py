"""The calls of /v1/rejections: faces of answers that are not the person who was named."""

from typing import Any

from flask import Response, jsonify
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from face_common.contract import Code, Operation, Verdict, distractor
from face_common.errors import ServiceError
from face_web import enrolment, incoming
from face_web.access import Role
from face_web.answered import AnsweredFace
from face_web.erasure import Receipt
from face_web.people_calls import EraseQuery, outcome
from face_web.records import iso
from face_web.rejections import Rejection, file_name
from face_web.routes import BINARY, CollectionQuery, Routes
from face_web.services import Services
from face_web.submit import Order


class RejectionPath(BaseModel):
    """A rejection in a path."""

    rejection: incoming.JobId


class RejectionBody(BaseModel):
    """Which face is somebody else's."""

    model_config = ConfigDict(extra="forbid")

    identification: incoming.JobId
    face: incoming.Whole = Field(ge=0, le=1000, description="Which of its faces, counted from 0.")


class RejectionsQuery(CollectionQuery):
    """Which rejections."""

    limit: int = Field(100, ge=1, le=1000)
    after: str = Field("", max_length=26, description="The last id of the page before.")


class MadeRejection(TypedDict):
    """What became of a rejection."""

    rejection: str
    identification: str
    face: int
    person: str | None
    """Whom it is not; of an ambiguous face, the nearest."""
    verdict: Verdict
    detail: str


class KeptRejection(TypedDict):
    """A rejected face."""

    rejection: str
    identification: str | None
    face: int | None
    person: str | None
    """Whom it is not; null once the answer is not kept any more."""
    rejected_at: str
    """ISO 8601, in UTC."""


class RejectionsAnswer(TypedDict):
    """A page of the reject list, the newest first."""

    collection: str
    rejections: list[KeptRejection]
    total: int
    """How many there are on all pages."""
    next: str | None
    """What `after` must be for the next page; null on the last one."""


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    calls = _RejectionCalls(services)
    routes = Routes("rejections", "/v1/rejections", tag="Rejections", about="Faces that are not whom they were named.")
    enrol: dict[str, Any] = {"role": Role.ENROL}
    one, missing = "/<rejection>", (Code.ID_INVALID, Code.NOT_FOUND)
    routes.add("GET", "", calls.all, id="list-rejections", answers={200: RejectionsAnswer}, **enrol)
    routes.add(
        "POST",
        "",
        calls.reject,
        id="reject-face",
        answers=dict.fromkeys((201, 202, 422), MadeRejection),
        errors=(*missing, *enrolment.CROP_ERRORS, Code.FACE_UNNAMED, Code.CONSENT_MISSING),
        **enrol,
    )
    routes.add(
        "GET",
        f"{one}/image",
        calls.image,
        id="get-rejection-image",
        answers={200: {"image/jpeg": BINARY}},
        errors=missing,
        **enrol,
    )
    routes.add(
        "DELETE",
        one,
        calls.undo,
        id="undo-rejection",
        answers={200: Receipt, 202: Receipt},
        errors=(*missing, Code.ERASURE_FAILED),
        **enrol,
    )
    return routes


class _RejectionCalls:
    """The calls."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def all(self, query: RejectionsQuery) -> Response:
        """The reject list, the newest first."""
        page = self._services.rejections.page(query.collection, limit=query.limit, after=query.after)
        shown = [_shown(rejection) for rejection in page.rejections]
        return jsonify({"collection": query.collection, "rejections": shown, "total": page.total, "next": page.next})

    def reject(self, query: CollectionQuery, body: RejectionBody) -> tuple[Response, int]:
        """Say that a face is not the person that it was named: neither it nor others like it are named so from now on.

        201 when it is on the reject list, 202 when it is still queued, 422 when no face was found in what was cut out.
        """
        services, collection = self._services, query.collection
        found = services.answered.face(body.identification, body.face)
        if found.result["collection"] != collection:
            raise ServiceError(Code.NOT_FOUND, f"{body.identification} was not asked of {collection}")
        if found.likeliest is None:
            detail = f"face {body.face} of {body.identification} was named nobody: there is nothing to reject"
            raise ServiceError(Code.FACE_UNNAMED, detail)
        (job_id,) = incoming.ids(services, 1, f"{body.identification} {body.face}".encode())
        services.records.require_consent(collection, distractor(job_id))
        order = Order(Operation.ENROL, collection, distractor(job_id), insist=True)
        verdict = enrolment.enrol_crop(services, found, file_name(found), order, job_id)
        self._record(found, job_id, verdict["verdict"])
        made: MadeRejection = {
            "rejection": job_id,
            "identification": body.identification,
            "face": body.face,
            "person": found.likeliest,
            "verdict": verdict["verdict"],
            "detail": verdict["detail"],
        }
        return jsonify(made), enrolment.status_of([verdict["verdict"]])

    def image(self, path: RejectionPath, query: CollectionQuery) -> Response:
        """A rejected face."""
        body = self._services.rejections.image(query.collection, path.rejection)
        response = Response(body, mimetype="image/jpeg")
        response.headers["Cache-Control"] = "private, no-store"
        return response

    def undo(self, path: RejectionPath, query: EraseQuery) -> tuple[Response, int]:
        """Take a rejection back: the face and its template are erased, and may be named again."""
        caller, row = incoming.caller(), self._services.rejections.row(query.collection, path.rejection)
        erasure = self._services.erasures.begin(
            query.collection, row.person, row.photo, who=caller.key, action="undo-rejection", bound=caller.is_bound
        )
        self._services.rejections.reopen(query.collection, row)
        return outcome(self._services, erasure, query)

    def _record(self, found: AnsweredFace, rejection: str, verdict: Verdict) -> None:
        audit, collection = self._services.audit, found.result["collection"]
        subject = audit.subject(collection, found.likeliest or "")
        facts = {"identification": found.result["id"], "face": found.index, "verdict": verdict}
        audit.record(incoming.caller().key, "reject-face", collection, subject, rejection=rejection, **facts)


def _shown(rejection: Rejection) -> KeptRejection:
    return {
        "rejection": rejection.row.photo,
        "identification": rejection.identification,
        "face": rejection.face,
        "person": rejection.person,
        "rejected_at": iso(rejection.row.enrolled_at),
    }
