"""The Flask application."""

import time

from flask import Flask, Response, g, request

from face_web import classic, detections, elasticity, enrolment, identifications, operations, problems, verifications
from face_web.services import Services


def create_app(services: Services) -> Flask:
    """The application over these services. Makes no threads and reads no environment."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]  # results read best in the contract's order
    problems.register(app)
    for module in (classic, identifications, verifications, detections, enrolment, elasticity, operations):
        app.register_blueprint(module.blueprint(services))
    _measure(app, services)
    return app


def _measure(app: Flask, services: Services) -> None:
    """Count and time every request by its endpoint."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        endpoint = request.endpoint or "none"
        services.metrics.requests.labels(endpoint, str(response.status_code)).inc()
        services.metrics.request_seconds.labels(endpoint).observe(time.perf_counter() - g.began)
        return response
