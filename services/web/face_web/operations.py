"""What operators and load balancers look at."""

import prometheus_client
from flask import Response, jsonify
from pydantic import BaseModel

from face_web.routes import Routes
from face_web.services import Services


class Alive(BaseModel):
    """Whether the service lives."""

    status: str
    version: str


class Ready(BaseModel):
    """Whether the service can serve."""

    status: str


def blueprint(services: Services) -> Routes:
    """Liveness, readiness and metrics over these services."""
    routes = Routes("operations", tag="Operations", about="For load balancers and for Prometheus.")

    def healthz() -> tuple[Response, int]:
        """Whether the service lives: answers come in."""
        alive = services.is_alive()
        status = "ok" if alive else "no answers come in"
        return jsonify({"status": status, "version": services.version}), 200 if alive else 503

    def readyz() -> tuple[Response, int]:
        """Whether the service can serve: storage can be reached, and the service is not about to end."""
        ready = services.is_alive() and services.is_ready()
        return jsonify({"status": "ok" if ready else "storage cannot be reached"}), 200 if ready else 503

    def metrics() -> Response:
        """Metrics in the text format of Prometheus."""
        if services.scaler is not None:
            services.metrics.fleet.leading.set(services.scaler.leading)
        text = prometheus_client.generate_latest(services.metrics.registry)
        return Response(text, content_type=prometheus_client.CONTENT_TYPE_LATEST)

    routes.add("GET", "/healthz", healthz, id="healthz", answers={200: Alive, 503: Alive})
    routes.add("GET", "/readyz", readyz, id="readyz", answers={200: Ready, 503: Ready})
    routes.add("GET", "/metrics", metrics, id="metrics", answers={200: {"text/plain": {"type": "string"}}})
    return routes
