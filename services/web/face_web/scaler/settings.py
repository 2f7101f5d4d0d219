"""The scaling loop's settings, each variable prefixed with FACE_."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from face_common.settings import CloudSettings
from face_web.scaler.model import Policy
from face_web.scaler.observe import Assumptions

_USUAL = Policy()
_USUAL_PREFETCH = 2


class ScalerSettings(CloudSettings):
    """What the fleet is, and what the operator wants of it."""

    deployment: str = Field(
        "face", min_length=1, description="value of the tag face:deployment of the fleet's instances"
    )
    launch_template: str = Field("", description="EC2 launch template of workers; empty: no scaling")
    worker_subnets: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="subnets of workers, separated by commas; empty: the launch template's own"
    )
    ec2_endpoint_url: str | None = Field(None, description="another endpoint for EC2 alone")
    min_workers: int = Field(_USUAL.min_workers, ge=0, description="workers that always run")
    max_workers: int = Field(_USUAL.max_workers, ge=1, description="workers that may run at the same time")
    warm_workers: int = Field(_USUAL.warm_workers, ge=0, description="stopped workers to keep: they start faster")
    drain_target_seconds: float = Field(
        _USUAL.drain_seconds, gt=0, description="time in which a backlog should be gone, boot included"
    )
    utilisation: float = Field(_USUAL.utilisation, gt=0, le=1, description="how busy a worker may be under steady load")
    quiet_seconds: float = Field(
        _USUAL.quiet_seconds, ge=0, description="the fleet keeps what was needed at any time during the last so many"
    )
    hours_a_day: float = Field(
        _USUAL.hours_a_day, ge=0, description="instance-hours a day (UTC) beyond which only the minimum runs; 0: any"
    )
    tick_seconds: float = Field(1.0, gt=0, description="how often the fleet is looked at")
    lease_seconds: float = Field(8.0, gt=0, description="how long a silent leader is waited for")
    stale_seconds: float = Field(_USUAL.stale_seconds, gt=0, description="counts older than this are not acted on")
    patience_seconds: float = Field(
        _USUAL.patience_seconds, ge=0, description="every worker may boot this long, or twice the usual if that is more"
    )
    assumed_service_seconds: float = Field(1.0, gt=0, description="time a photo takes, until it was measured")
    assumed_boot_seconds: float = Field(40.0, ge=0, description="time a launch takes, until it was measured")
    assumed_warm_boot_seconds: float = Field(30.0, ge=0, description="the same from stopped")
    assumed_slots: int = Field(1, ge=1, description="photos a worker reads at the same time, until one has reported")

    @field_validator("worker_subnets", mode="before")
    @classmethod
    def _separated(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _bounds_fit(self) -> "ScalerSettings":
        if self.min_workers > self.max_workers:
            raise ValueError("FACE_MIN_WORKERS is more than FACE_MAX_WORKERS")
        return self

    def policy(self) -> Policy:
        """The part that plans depend on."""
        return Policy(
            min_workers=self.min_workers,
            max_workers=self.max_workers,
            warm_workers=self.warm_workers,
            drain_seconds=self.drain_target_seconds,
            utilisation=self.utilisation,
            quiet_seconds=self.quiet_seconds,
            stale_seconds=self.stale_seconds,
            patience_seconds=self.patience_seconds,
            hours_a_day=self.hours_a_day,
        )

    def assumptions(self) -> Assumptions:
        """What holds until it is measured."""
        return Assumptions(
            service_seconds=self.assumed_service_seconds,
            slots=self.assumed_slots,
            capacity=self.assumed_slots + _USUAL_PREFETCH,
            cold_boot_seconds=self.assumed_boot_seconds,
            warm_boot_seconds=self.assumed_warm_boot_seconds,
        )
