"""What the HTTP handlers work with."""

from collections.abc import Callable
from dataclasses import dataclass

from face_web.access import Access
from face_web.answered import Answered
from face_web.audit import Audit
from face_web.batches.intake import Intake
from face_web.erasure import Erasures
from face_web.exports import Exports
from face_web.galleries import Galleries
from face_web.idempotency import Idempotency
from face_web.keys import Keys
from face_web.metrics import WebMetrics
from face_web.people import People
from face_web.records import Records
from face_web.redrives import Redrives
from face_web.rejections import Rejections
from face_web.scaler.loop import Scaler
from face_web.sessions import Sessions
from face_web.settings import WebSettings
from face_web.strangers import Strangers
from face_web.submit import Submitter
from face_web.versions import GalleryVersions
from face_web.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Services:
    """The middle of the web tier, handed to every blueprint."""

    version: str
    """Of the installed distribution, so that a deployment can see what runs."""
    settings: WebSettings
    access: Access
    keys: Keys
    sessions: Sessions
    answered: Answered
    audit: Audit
    idempotency: Idempotency
    submitter: Submitter
    batches: Intake
    webhooks: Webhooks
    redrives: Redrives
    people: People
    records: Records
    rejections: Rejections
    erasures: Erasures
    exports: Exports
    galleries: Galleries
    strangers: Strangers
    versions: GalleryVersions
    metrics: WebMetrics
    scaler: Scaler | None
    """This host's part in scaling; None where the fleet is fixed."""
    is_alive: Callable[[], bool]
    """Whether answers still come in from the response queue."""
    is_ready: Callable[[], bool]
    """Whether storage can be reached."""
