"""The calls of /v1/verifications: are the main faces of these two photos one person's."""

from face_common.contract import Code, Operation
from face_web import incoming, questions
from face_web.questions import AskQuery, Question
from face_web.routes import Routes
from face_web.services import Services
from face_web.submit import Order

_ABOUT = """Tell whether the main faces of two photos are one person's. Nobody needs to be enrolled."""


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    question = Question(
        Operation.VERIFY,
        "verification",
        _ABOUT,
        AskQuery,
        _order,
        incoming.pair,
        incoming.TWO_PHOTOS,
        errors=(Code.FACE_MISSING,),
    )
    return questions.routes(services, question)


def _order(query: AskQuery) -> Order:
    return Order(Operation.VERIFY, query.collection)
