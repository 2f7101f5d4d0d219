"""The calls of /v1/detections: where faces are in this photo, and how good they are."""

from flask import Blueprint

from face_common.contract import Operation
from face_web import incoming, questions
from face_web.questions import Question
from face_web.services import Services
from face_web.submit import Order


def blueprint(services: Services) -> Blueprint:
    """The calls over these services."""
    return questions.blueprint(services, Question(Operation.DETECT, "detection", _order, incoming.only_photo))


def _order() -> Order:
    return Order(Operation.DETECT, incoming.collection(), max_faces=incoming.max_faces())
