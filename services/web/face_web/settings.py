"""The web service's settings, each variable prefixed with FACE_."""

from pydantic import Field

from face_web.scaler.settings import ScalerSettings


class WebSettings(ScalerSettings):
    """Everything that may differ between web hosts."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    response_queue_url: str = Field(description="this host's own queue of answers")
    dead_letter_queue_url: str = Field(description="queue of jobs that no worker could finish")
    max_body_bytes: int = Field(20 * 2**20, ge=1024, description="largest request")
    max_pixels: int = Field(50_000_000, ge=1, description="largest photo, as its header states it")
    max_photos: int = Field(20, ge=1, description="photos in one enrolment")
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
