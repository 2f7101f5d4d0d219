"""What the HTTP handlers work with."""

from collections.abc import Callable
from dataclasses import dataclass

from face_web.metrics import WebMetrics
from face_web.people import People
from face_web.scaler.loop import Scaler
from face_web.settings import WebSettings
from face_web.submit import Submitter
from face_web.versions import GalleryVersions


@dataclass(frozen=True, slots=True)
class Services:
    """The middle of the web tier, handed to every blueprint."""

    version: str
    """Of the installed distribution, so that a deployment can see what runs."""
    settings: WebSettings
    submitter: Submitter
    people: People
    versions: GalleryVersions
    metrics: WebMetrics
    scaler: Scaler | None
    """This host's part in scaling; None where the fleet is fixed."""
    is_alive: Callable[[], bool]
    """Whether answers still come in from the response queue."""
    is_ready: Callable[[], bool]
    """Whether storage can be reached."""
