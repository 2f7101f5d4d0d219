"""The calls about single faces of identifications: which of them somebody should look at, and whose they are."""

from typing import Any

from flask import Response, jsonify
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from face_common.contract import Box, Candidate, Code, Operation
from face_web import enrolment, incoming
from face_web.access import Role
from face_web.answered import MOST_ANSWERS, AnsweredFace, Kind
from face_web.enrolment import EnrolmentAnswer
from face_web.records import iso
from face_web.routes import CollectionQuery, Routes
from face_web.services import Services
from face_web.submit import Order
from face_web.traces import asked_at


class FacePath(BaseModel):
    """A face of an identification in a path."""

    job_id: incoming.JobId
    face: int = Field(ge=0, le=1000, description="Which of its faces, counted from 0.")


class FacesQuery(CollectionQuery):
    """Which faces."""

    decision: Kind = Field("ambiguous", description="What was decided about them.")
    limit: int = Field(50, ge=1, le=500, description="How many faces, the newest first.")


class NamingQuery(BaseModel):
    """How a face is enrolled."""

    insist: incoming.Flag = Field(
        False, description="Enrol it even if it looks like another person, or unlike this person's others."
    )


class FaceNamingBody(BaseModel):
    """Whose face it is."""

    model_config = ConfigDict(extra="forbid")

    person: incoming.Person


class ReviewedFace(TypedDict):
    """A face of an answer."""

    identification: str
    face: int
    """Which of its faces, counted from 0."""
    name: str
    """The photo's file name."""
    asked_at: str
    """ISO 8601, in UTC."""
    box: Box
    decision: str
    person: str | None
    distance: float | None
    candidates: list[Candidate]


class FacesAnswer(TypedDict):
    """Faces of the newest answers that nobody has named, rejected or dismissed since."""

    collection: str
    answers: int
    """Identifications that were looked through."""
    faces: list[ReviewedFace]


class FaceDismissalAnswer(TypedDict):
    """Which face was dismissed."""

    identification: str
    face: int


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    calls = _FaceCalls(services)
    routes = Routes("faces", "/v1/identifications", tag="Faces", about="Single faces of answers, to be looked at.")
    enrol: dict[str, Any] = {"role": Role.ENROL}
    one, missing = "/<job_id>/faces/<face>", (Code.ID_INVALID, Code.NOT_FOUND)
    routes.add("GET", "", calls.faces, id="list-faces", answers={200: FacesAnswer}, **enrol)
    routes.add(
        "POST",
        f"{one}/naming",
        calls.name,
        id="name-face",
        answers=dict.fromkeys((201, 202, 422), EnrolmentAnswer),
        errors=(*missing, *enrolment.CROP_ERRORS, Code.PERSON_INVALID, Code.CONSENT_MISSING),
        scope="object",
        **enrol,
    )
    routes.add(
        "POST",
        f"{one}/dismissal",
        calls.dismiss,
        id="dismiss-face",
        answers={200: FaceDismissalAnswer},
        errors=missing,
        scope="object",
        **enrol,
    )
    return routes


class _FaceCalls:
    """The calls."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def faces(self, query: FacesQuery) -> Response:
        """Faces of the newest answers that were decided so, and that nobody has named, rejected or dismissed since."""
        answers, found = self._services.answered.newest(query.collection, query.decision, query.limit)
        return jsonify({"collection": query.collection, "answers": answers, "faces": list(map(_shown, found))})

    faces.__doc__ = f"{faces.__doc__}\n\nThe newest {MOST_ANSWERS} answers of the service are looked through."

    def name(self, path: FacePath, query: NamingQuery, body: FaceNamingBody) -> tuple[Response, int]:
        """Enrol a face of an answer as a person's, whether that person is enrolled already or not.

        Only the face is kept of the photo. 201 when it was accepted, 202 when it is still queued, 422 otherwise.
        """
        services, person = self._services, body.person
        found = self._found(path)
        collection = found.result["collection"]
        services.records.require_consent(collection, person)
        (job_id,) = incoming.ids(services, 1, person.encode())
        order = Order(Operation.ENROL, collection, person, insist=query.insist)
        verdict = enrolment.enrol_crop(services, found, found.result["image"]["name"], order, job_id)
        if verdict["verdict"] == "accepted":
            services.strangers.named(collection, path.job_id, path.face)
        facts = {"photo": verdict["photo"], "verdict": verdict["verdict"]}
        self._record("name-face", found, services.audit.subject(collection, person), **facts)
        answer: EnrolmentAnswer = {"person": person, "photos": [verdict]}
        return jsonify(answer), enrolment.status_of([verdict["verdict"]])

    def dismiss(self, path: FacePath) -> Response:
        """Leave a face as it was decided, and list it no more."""
        found = self._found(path)
        self._services.answered.settle(found)
        self._record("dismiss-face", found, "")
        return jsonify({"identification": path.job_id, "face": path.face})

    def _found(self, path: FacePath) -> AnsweredFace:
        found = self._services.answered.face(path.job_id, path.face)
        incoming.caller().require_collection(found.result["collection"])
        return found

    def _record(self, action: str, found: AnsweredFace, subject: str, **facts: Any) -> None:
        self._services.audit.record(
            incoming.caller().key,
            action,
            found.result["collection"],
            subject,
            identification=found.result["id"],
            face=found.index,
            **facts,
        )


def _shown(found: AnsweredFace) -> ReviewedFace:
    face = found.face
    return {
        "identification": found.result["id"],
        "face": found.index,
        "name": found.result["image"]["name"],
        "asked_at": iso(asked_at(found.result["id"])),
        "box": face["box"],
        "decision": face.get("decision", "unknown"),
        "person": face.get("person"),
        "distance": face.get("distance"),
        "candidates": face.get("candidates", []),
    }
