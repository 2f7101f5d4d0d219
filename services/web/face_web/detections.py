"""The calls of /v1/detections: where faces are in this photo, and how good they are."""

from face_common.contract import Operation
from face_web import incoming, questions
from face_web.questions import AskQuery, Question
from face_web.routes import Routes
from face_web.services import Services
from face_web.submit import Order

_ABOUT = """Find the faces in a photo: boxes, landmarks and quality, the most prominent face first."""


class DetectQuery(AskQuery):
    """What a detection may ask for."""

    name: incoming.PhotoName = "image"
    max_faces: int = incoming.MAX_FACES


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    question = Question(
        Operation.DETECT, "detection", _ABOUT, DetectQuery, _order, incoming.only_photo, incoming.ONE_PHOTO
    )
    return questions.routes(services, question)


def _order(query: DetectQuery) -> Order:
    return Order(Operation.DETECT, query.collection, max_faces=query.max_faces)
