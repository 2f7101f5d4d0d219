"""The web service's settings, each variable prefixed with FACE_."""

from typing import Literal, Self

from pydantic import Field, model_validator

from face_web.access import is_loopback
from face_web.destinations import WebhookName, WebhookSettings
from face_web.scaler.settings import ScalerSettings


class WebSettings(ScalerSettings):
    """Everything that may differ between web hosts."""

    access: Literal["keys", "open"] = Field(
        "keys", description="keys, or open: everybody on this machine may do everything, and nobody else is heard"
    )
    admin_key_hash: str = Field(
        "",
        pattern="^([0-9a-fA-F]{64})?$",
        description="SHA-256 in hex of the secret of the first key, face_admin_<secret>",
    )
    key_rate: float = Field(200.0, gt=0, description="requests a second of one key, on each web host")
    keys_poll_seconds: float = Field(2.0, gt=0, description="how often keys of other web hosts are looked up")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    response_queue_url: str = Field(description="this host's own queue of answers")
    dead_letter_queue_url: str = Field(description="queue of jobs that no worker could finish")
    max_body_bytes: int = Field(20 * 2**20, ge=1024, description="largest request")
    max_pixels: int = Field(50_000_000, ge=1, description="largest photo, as its header states it")
    max_photos: int = Field(20, ge=1, description="photos in one enrolment")
    max_batch_bytes: int = Field(2 * 2**30, ge=2**20, description="largest batch or import as it is sent")
    max_batch_files: int = Field(100_000, ge=1, description="files of one batch or import")
    batch_ahead: int = Field(64, ge=1, le=1000, description="files of one batch that may be on their way to workers")
    batch_wait_seconds: float = Field(
        3.0, gt=0, description="how long a photo that comes in may have to wait for batches; they slow down for it"
    )
    batches_at_once: int = Field(2, ge=1, description="batches that this host carries out at the same time")
    import_prefix: str = Field(
        "", pattern="^(.*/)?$", description="files under it in the bucket may be imported; empty: none"
    )
    webhooks: dict[WebhookName, WebhookSettings] = Field(
        default_factory=dict, description='who may be told what has finished: {"<name>": {"url": ..., "secret": ...}}'
    )
    consent_required: bool = Field(False, description="whether people are enrolled only once their consent is recorded")
    erasure_settle_seconds: float = Field(
        5.0, ge=0, description="how long workers may answer from a gallery read before; an erasure then looks again"
    )
    keep_probes_days: float = Field(
        30.0, ge=0, description="days for which photos that were asked about are kept; 0: for ever"
    )
    keep_results_days: float = Field(30.0, ge=0, description="days for which answers are kept; 0: for ever")
    keep_unknown_days: float = Field(
        30.0, ge=0, description="days for which faces that nobody was named for are kept, if at all; 0: for ever"
    )
    keep_photos_days: float = Field(
        0.0, ge=0, description="days for which enrolled photos are kept, their templates stay; 0: for ever"
    )
    waiting_limit: int = Field(300, ge=1, description="requests that may wait for a worker at the same time")
    uploads_limit: int = Field(16, ge=1, description="photos held in memory on their way to S3 at the same time")
    longest_queue_seconds: float = Field(
        300.0, gt=0, description="a photo that would wait longer before a worker begins with it is refused with 429"
    )
    wait_seconds: float = Field(30.0, ge=0, description="how long a question about photos waits unless it says so")
    longest_wait_seconds: float = Field(60.0, ge=0, description="how long a question about photos may ask to wait")
    classic_wait_seconds: float = Field(300.0, ge=1, description="how long the classic form and an enrolment wait")
    drain_seconds: float = Field(30.0, ge=0, description="how long SIGTERM waits for requests that wait for a worker")
    gallery_poll_seconds: float = Field(1.0, gt=0, description="how often enrolments of other web hosts are looked up")

    @model_validator(mode="after")
    def _open_to_this_machine_alone(self) -> Self:
        if self.access == "open" and not is_loopback(self.host):
            raise ValueError(f"access without keys is for loopback addresses only, not for {self.host or 'all'}")
        return self
