"""The Flask application."""

import time

from flask import Response, g, request
from flask_openapi3 import Info, OpenAPI

from face_web import (
    admission,
    classic,
    clusters,
    dead_letter_calls,
    detections,
    documentation,
    elasticity,
    enrolment,
    face_calls,
    gallery_calls,
    identifications,
    key_calls,
    operations,
    people_calls,
    problems,
    rejection_calls,
    searches,
    settings_calls,
    verifications,
    webhook_calls,
)
from face_web.access import Requirement
from face_web.batches import calls as batch_calls
from face_web.pages import blueprint as pages
from face_web.routes import SECURITY, Routes
from face_web.services import Services

_CALLS = (
    classic,
    identifications,
    verifications,
    detections,
    searches,
    enrolment,
    people_calls,
    clusters,
    face_calls,
    rejection_calls,
    gallery_calls,
    batch_calls,
    key_calls,
    elasticity,
    webhook_calls,
    dead_letter_calls,
    settings_calls,
    operations,
)
_ABOUT = "A photo goes in, the people in it come back."
_BEARER = {"type": "http", "scheme": "bearer", "description": "A key of this service: face_<id>_<secret>."}


def create_app(services: Services) -> OpenAPI:
    """The application over these services. Makes no threads and reads no environment."""
    app = OpenAPI(
        __name__,
        info=Info(title="Elastic Face Recognition", version=services.version, description=_ABOUT),
        security_schemes={SECURITY: _BEARER},
        validation_error_status=400,
        validation_error_model=problems.Problem,
        validation_error_callback=problems.invalid,
        doc_ui=False,
        static_folder=None,
    )
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]  # results read best in the contract's order
    problems.register(app)
    requirements: dict[str, Requirement] = {}
    for module in _CALLS:
        routes = module.blueprint(services)
        _keep_documented(app, routes)
        app.register_api(routes.blueprint)
        app.components_schemas |= routes.schemas
        requirements |= routes.requirements
    app.register_blueprint(documentation.blueprint(app))
    site, asked = pages.blueprint(app, services)
    app.register_blueprint(site)
    requirements |= asked
    _measure(app, services)
    _guard(app, services, requirements)
    return app


def _keep_documented(app: OpenAPI, routes: Routes) -> None:
    """Let the document keep what other modules have declared of the same paths: registering replaces a whole path."""
    for path, calls in routes.blueprint.paths.items():
        for method, call in app.paths.get(path, ()):
            if call is not None and getattr(calls, method) is None:
                setattr(calls, method, call)


def _guard(app: OpenAPI, services: Services, requirements: dict[str, Requirement]) -> None:
    """Let only those in who may make the call; before anything of the request is looked at."""

    @app.before_request
    def admit() -> None:
        requirement = requirements.get(request.endpoint or "")
        if requirement is None:
            return
        g.caller = admission.caller(services)
        g.caller.require(requirement)
        if requirement.scope == "collection" or (requirement.scope == "object" and "collection" in request.args):
            g.caller.require_collection(request.args.get("collection", "default"))


def _measure(app: OpenAPI, services: Services) -> None:
    """Count and time every request by its endpoint."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        if response.is_json:
            response.headers.setdefault("Cache-Control", "private, no-store")  # a browser's session may have asked
        endpoint = request.endpoint or "none"
        services.metrics.requests.labels(endpoint, str(response.status_code)).inc()
        services.metrics.request_seconds.labels(endpoint).observe(time.perf_counter() - g.began)
        return response
