"""Builds the AWS adapters that both tiers use. Called by the entry points only."""

import os
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from face_common.settings import CloudSettings

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

    from face_common.gallery import Gallery

_LONGEST_POLL = 20  # seconds; SQS allows no more


class Aws:
    """Clients and the gallery of one deployment."""

    def __init__(self, settings: CloudSettings, connections: int, patience: float | None = None) -> None:
        """`connections` to a service are kept open; calls beyond them open connections of their own.

        `patience`: seconds to wait for an answer, with one retry, instead of the usual minute with four.
        """
        self._settings = settings
        self._hurried = patience is not None
        self._session = boto3.session.Session(region_name=settings.region)
        self._config = Config(
            max_pool_connections=connections,
            retries={"mode": "standard", "max_attempts": 2 if patience else 5},
            connect_timeout=patience or 5,
            read_timeout=patience or 60,
        )

    def s3(self) -> "S3Client":
        """A client of S3."""
        return self._session.client("s3", endpoint_url=self._settings.endpoint_url, config=self._config)

    def sqs(self) -> "SQSClient":
        """A client of SQS. A call ends within two minutes even when nothing answers: watchdogs count on it."""
        config = self._config
        if not self._hurried:
            retries = {"mode": "standard", "total_max_attempts": 3}
            config = config.merge(Config(retries=retries, read_timeout=_LONGEST_POLL + 10))  # type: ignore[arg-type]
        return self._session.client("sqs", endpoint_url=self._settings.endpoint_url, config=config)

    def ec2(self, endpoint_url: str | None) -> "EC2Client":
        """A client of EC2 that tries once and does not wait long: the scaling loop tries again by itself.

        `endpoint_url` where EC2 has another endpoint than the other services.
        """
        config = self._config.merge(Config(retries={"total_max_attempts": 1}, read_timeout=5))
        return self._session.client("ec2", endpoint_url=endpoint_url or self._settings.endpoint_url, config=config)

    def gallery(self) -> "Gallery":
        """The gallery in the deployment's bucket. On AWS LanceDB finds the host's role by itself."""
        from face_common.gallery import Gallery  # LanceDB takes seconds to import

        options = {"region": self._settings.region}
        if self._settings.endpoint_url:
            options |= {"endpoint": self._settings.endpoint_url, "allow_http": "true"}
            options |= {
                "aws_access_key_id": os.environ.get("AWS_ACCESS_KEY_ID", ""),
                "aws_secret_access_key": os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
            }
        return Gallery(f"s3://{self._settings.bucket}/gallery", options)
