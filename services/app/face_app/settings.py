"""The worker's settings, each variable prefixed with FACE_."""

import socket
from pathlib import Path
from typing import Literal

from pydantic import Field

from face_app.inference import InferenceSettings
from face_common.settings import CloudSettings


class WorkerSettings(CloudSettings):
    """Everything that may differ between workers."""

    worker_name: str = Field(default_factory=socket.gethostname, description="how results name this worker")
    instance_id: str = Field(
        "", description="EC2 instance of this worker, for the scaling loop; empty: outside a fleet"
    )
    report_seconds: float = Field(5.0, gt=0, description="how often the scaling loop is told news of this worker")
    slots: int = Field(1, ge=1, le=256, description="photos inferred at the same time; one a core")
    batch_photos: int = Field(8, ge=1, le=32, description="photos of which a slot encodes the faces together")
    prefetch: int = Field(32, ge=0, le=64, description="most photos in hand for each slot beside the one that it reads")
    ahead_seconds: float = Field(
        0.3, gt=0, description="work that a slot has in hand: what one worker holds, another cannot take"
    )
    visibility_seconds: int = Field(
        30, ge=3, description="how long a job is hidden after this worker's last sign of life"
    )
    receive_wait_seconds: int = Field(5, ge=0, le=20, description="long poll of the request queue")
    engine: Literal["fast", "reference"] = Field("fast", description="fast or reference")
    profile: Literal["exact", "balanced", "quick"] = Field("balanced", description="exact, balanced or quick")
    max_pixels: int = Field(50_000_000, ge=1, description="largest photo that is decoded; as for the web service")
    cache_dir: Path = Field(Path("~/.cache/elastic-face"), description="folder for converted models")
    false_positive_rate: float = Field(
        0.007, gt=0, lt=0.5, description="share of strangers that may be named; sets each collection's threshold"
    )
    false_match_rate: float = Field(
        0.001, ge=0.0001, le=0.3, description="share of pairs of different people that a verification may call the same"
    )
    threshold: float | None = Field(
        None, gt=0, lt=2, description="a fixed distance up to which faces are named, instead of a calibrated one"
    )
    margin: float = Field(0.01, ge=0, lt=2, description="how much farther the second person must be")
    enrol_side: int = Field(30, ge=0, description="smallest face that is enrolled, in pixels")
    enrol_sharpness: float = Field(5.0, ge=0, description="least sharpness of a face that is enrolled")
    enrol_yaw: float = Field(0.75, ge=0, description="how far a face that is enrolled may look aside; 1 is a profile")
    keep_unknown: bool = Field(
        False, description="keep the encodings of faces that nobody is named for, so that they can be named together"
    )
    gallery_poll_seconds: float = Field(2.0, gt=0, description="how often the gallery's version is looked up")
    inference_timeout_seconds: float = Field(30.0, gt=0, description="a child that takes longer on a photo is replaced")
    child_memory_mib: int = Field(1536, ge=256, description="what a child may allocate beyond the loaded models")
    child_resident_mib: int = Field(1024, ge=128, description="a child that has grown beyond this is replaced")
    child_jobs: int = Field(5000, ge=1, description="a child is replaced after so many photos")
    metrics_host: str = Field("127.0.0.1", description="address of the Prometheus endpoint")
    metrics_port: int = Field(0, ge=0, le=65535, description="port of the Prometheus endpoint; 0 for none")

    def capacity(self) -> int:
        """Jobs that a worker has in hand at the same time."""
        return self.slots * (1 + self.prefetch)

    def inference(self) -> InferenceSettings:
        """The part that the inference processes need."""
        return InferenceSettings(
            engine=self.engine,
            profile=self.profile,
            cache=self.cache_dir.expanduser(),
            memory_bytes=self.child_memory_mib * 2**20,
            max_pixels=self.max_pixels,
            batch_photos=self.batch_photos,
        )
