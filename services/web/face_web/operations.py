"""What operators and load balancers look at."""

import prometheus_client
from flask import Blueprint, Response, jsonify

from face_web.services import Services


def blueprint(services: Services) -> Blueprint:
    """Liveness, readiness and metrics over these services."""
    routes = Blueprint("operations", __name__)

    @routes.get("/healthz")
    def healthz() -> tuple[Response, int]:
        alive = services.is_alive()
        status = "ok" if alive else "no answers come in"
        return jsonify({"status": status, "version": services.version}), 200 if alive else 503

    @routes.get("/readyz")
    def readyz() -> tuple[Response, int]:
        ready = services.is_alive() and services.is_ready()
        return jsonify({"status": "ok" if ready else "storage cannot be reached"}), 200 if ready else 503

    @routes.get("/metrics")
    def metrics() -> Response:
        if services.scaler is not None:
            services.metrics.fleet_leading.set(services.scaler.leading)
        text = prometheus_client.generate_latest(services.metrics.registry)
        return Response(text, content_type=prometheus_client.CONTENT_TYPE_LATEST)

    return routes
