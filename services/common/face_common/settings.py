"""Settings that both tiers read from the environment, each variable prefixed with FACE_."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class CloudSettings(BaseSettings):
    """Where the deployment's bucket and queues are. Credentials come from the SDK's usual chain."""

    model_config = SettingsConfigDict(env_prefix="FACE_", frozen=True)

    region: str = Field("us-east-1", description="AWS region")
    endpoint_url: str | None = Field(None, description="another endpoint for every AWS service, such as LocalStack's")
    bucket: str = Field(description="bucket of photos, results and gallery")
    request_queue_url: str = Field(description="queue of jobs")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
