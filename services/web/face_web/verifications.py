"""The calls of /v1/verifications: are the main faces of these two photos one person's."""

from flask import Blueprint

from face_common.contract import Operation
from face_web import incoming, questions
from face_web.questions import Question
from face_web.services import Services
from face_web.submit import Order


def blueprint(services: Services) -> Blueprint:
    """The calls over these services."""
    return questions.blueprint(services, Question(Operation.VERIFY, "verification", _order, incoming.pair))


def _order() -> Order:
    return Order(Operation.VERIFY, incoming.collection())
