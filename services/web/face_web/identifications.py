"""The calls of /v1/identifications: who is in this photo."""

from flask import Blueprint

from face_common.contract import Operation
from face_web import incoming, questions
from face_web.questions import Question
from face_web.services import Services
from face_web.submit import Order

_MOST_CANDIDATES = 20


def blueprint(services: Services) -> Blueprint:
    """The calls over these services."""
    return questions.blueprint(services, Question(Operation.IDENTIFY, "identification", _order, incoming.only_photo))


def _order() -> Order:
    return Order(
        Operation.IDENTIFY,
        incoming.collection(),
        top=incoming.whole_number("top", 3, 0, _MOST_CANDIDATES),
        max_faces=incoming.max_faces(),
    )
