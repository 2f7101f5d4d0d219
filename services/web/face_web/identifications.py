"""The calls of /v1/identifications: who is in this photo."""

from typing import Annotated

from flask import Response
from pydantic import BaseModel, Field

from face_common.contract import Code, Operation
from face_web import drawing, incoming, questions
from face_web.access import Role
from face_web.answered import face_of
from face_web.questions import AskQuery, JobPath, Question
from face_web.routes import BINARY, Absent, Routes
from face_web.services import Services
from face_web.submit import Order

_MOST_CANDIDATES = 20
_ABOUT = """Name the people in a photo.

Each face is decided for itself: a match with an enrolled person, ambiguous between two, or unknown."""


class IdentifyQuery(AskQuery):
    """What an identification may ask for."""

    name: incoming.PhotoName = "image"
    top: int = Field(3, ge=0, le=_MOST_CANDIDATES, description="How many candidates to show for each face.")
    max_faces: int = incoming.MAX_FACES


class ImageQuery(BaseModel):
    """Which part of the photo."""

    boxes: incoming.Flag = Field(True, description="Whether faces are marked in the photo.")
    face: Annotated[int, Field(ge=0, le=1000)] | Absent = Field(None, description="Only this face, counted from 0.")


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    question = Question(
        Operation.IDENTIFY, "identification", _ABOUT, IdentifyQuery, _order, incoming.only_photo, incoming.ONE_PHOTO
    )
    routes = questions.routes(services, question)

    def image(path: JobPath, query: ImageQuery) -> Response:
        """The photo of an identification with a box and a name for each face, or one face cut out of it."""
        response = Response(_image(services, path.job_id, query), mimetype="image/jpeg")
        response.headers["Cache-Control"] = "private, max-age=600"
        return response

    routes.add(
        "GET",
        "/<job_id>/image",
        image,
        id="get-identification-image",
        answers={200: {"image/jpeg": BINARY}},
        role=Role.SUBMIT,
        scope="object",
        errors=(Code.ID_INVALID, Code.NOT_FOUND, Code.SERVER_BUSY, Code.TYPE_UNSUPPORTED),
    )
    return routes


def _image(services: Services, job_id: str, query: ImageQuery) -> bytes:
    result = services.answered.identification(job_id)
    incoming.caller().require_collection(result["collection"])
    if query.face is not None:
        return services.answered.cut_out(face_of(result, query.face))
    with drawing.place():
        return drawing.drawn(services.submitter.photo(job_id), result, boxes=query.boxes)


def _order(query: IdentifyQuery) -> Order:
    return Order(Operation.IDENTIFY, query.collection, top=query.top, max_faces=query.max_faces)
