"""The call of /v1/webhooks: who is told of what has finished."""

from flask import Response, jsonify
from typing_extensions import TypedDict

from face_web.access import Role
from face_web.routes import Routes
from face_web.services import Services
from face_web.webhooks import WebhookState


class WebhooksAnswer(TypedDict):
    """The operator's webhooks."""

    webhooks: list[WebhookState]


def blueprint(services: Services) -> Routes:
    """The call over these services."""
    routes = Routes("webhooks", "/v1/webhooks", tag="Webhooks", about="Who is told of what has finished.")

    def webhooks() -> Response:
        """The webhooks that the operator has set up, and what waits for each."""
        return jsonify({"webhooks": services.webhooks.state()})

    routes.add("GET", "", webhooks, id="list-webhooks", answers={200: WebhooksAnswer}, role=Role.ADMIN, scope="service")
    return routes
