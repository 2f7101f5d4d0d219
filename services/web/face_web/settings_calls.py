"""The call about how the service is set up. Changing that is a matter of its environment, not of a call."""

from flask import Response, jsonify
from typing_extensions import TypedDict

from face_web.access import Role
from face_web.routes import Routes
from face_web.services import Services
from face_web.settings import WebSettings

_SHOWN = (
    "access",
    "key_rate",
    "consent_required",
    "keep_probes_days",
    "keep_results_days",
    "keep_unknown_days",
    "keep_photos_days",
    "erasure_settle_seconds",
    "import_prefix",
    "max_body_bytes",
    "max_pixels",
    "max_photos",
    "max_batch_bytes",
    "max_batch_files",
    "waiting_limit",
    "uploads_limit",
    "longest_queue_seconds",
    "wait_seconds",
    "longest_wait_seconds",
    "classic_wait_seconds",
)
"""Each is named here: what is not, such as hashes, secrets and addresses, is never told."""


class SettingAnswer(TypedDict):
    """A setting."""

    name: str
    """The variable of the environment that sets it."""
    value: bool | float | str
    description: str


class SettingsAnswer(TypedDict):
    """How this web host is set up."""

    version: str
    """Of the service."""
    webhooks: list[str]
    """Names of those who may be told what has finished."""
    settings: list[SettingAnswer]


def blueprint(services: Services) -> Routes:
    """The call over these services."""
    routes = Routes("settings", "/v1", tag="Settings", about="How the service is set up.")

    def settings() -> Response:
        """How this web host is set up, without anything secret. It is changed in its environment alone."""
        found = services.settings
        shown: SettingsAnswer = {
            "version": services.version,
            "webhooks": sorted(found.webhooks),
            "settings": [_setting(found, name) for name in _SHOWN],
        }
        return jsonify(shown)

    routes.add(
        "GET",
        "/settings",
        settings,
        id="get-settings",
        answers={200: SettingsAnswer},
        role=Role.ADMIN,
        scope="service",
    )
    return routes


def _setting(settings: WebSettings, name: str) -> SettingAnswer:
    return {
        "name": f"FACE_{name.upper()}",
        "value": getattr(settings, name),
        "description": WebSettings.model_fields[name].description or "",
    }
