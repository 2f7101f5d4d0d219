"""The calls of /v1/fleet, and the refusal of photos that would wait too long."""

import math

from flask import Blueprint, Response, jsonify

from face_common.contract import Code
from face_common.errors import OverloadedError, ServiceError
from face_web import incoming
from face_web.scaler.loop import Scaler
from face_web.services import Services

_MOST_DECISIONS = 2000


def blueprint(services: Services) -> Blueprint:
    """The calls over these services."""
    routes = Blueprint("fleet", __name__, url_prefix="/v1/fleet")

    @routes.get("")
    def status() -> Response:
        scaler = _scaler(services)
        found = dict(scaler.status())
        if not found:
            raise ServiceError(Code.FLEET_UNKNOWN, "the scaling loop has only just started; try again in some seconds")
        return jsonify(found)

    @routes.get("/decisions")
    def decisions() -> Response:
        limit = incoming.whole_number("limit", 100, 1, _MOST_DECISIONS)
        return jsonify({"decisions": _scaler(services).decisions(limit)})

    return routes


def admit(services: Services) -> None:
    """OverloadedError when a photo that comes now would wait longer than the operator allows."""
    if services.scaler is None:
        return
    wait, limit = services.scaler.predicted_wait(), services.settings.longest_queue_seconds
    if wait is not None and wait > limit:
        services.metrics.refused.inc()
        detail = f"a photo would wait about {wait:.0f} s, more than the {limit:.0f} s that are allowed"
        raise OverloadedError(detail, retry_after=math.ceil(wait - limit))


def _scaler(services: Services) -> Scaler:
    if services.scaler is None:
        raise ServiceError(Code.NOT_FOUND, "this deployment does not scale: FACE_LAUNCH_TEMPLATE is not set")
    return services.scaler
