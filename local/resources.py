"""The bucket and the queues, made through the API: what terraform/ makes, in a second instead of a minute."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

REGION = "us-east-1"
_MAX_RECEIVES = "4"
_VISIBILITY_SECONDS = "30"
_RETENTION_SECONDS = str(4 * 24 * 3600)


@dataclass(frozen=True, slots=True)
class Resources:
    """One deployment's names, as the services' environment variables want them."""

    endpoint: str
    bucket: str
    request_queue_url: str
    response_queue_url: str
    dead_letter_queue_url: str

    def environment(self) -> dict[str, str]:
        """The settings that both tiers and the web tier read."""
        return {
            "FACE_REGION": REGION,
            "FACE_ENDPOINT_URL": self.endpoint,
            "FACE_BUCKET": self.bucket,
            "FACE_REQUEST_QUEUE_URL": self.request_queue_url,
            "FACE_RESPONSE_QUEUE_URL": self.response_queue_url,
            "FACE_DEAD_LETTER_QUEUE_URL": self.dead_letter_queue_url,
        }


def s3_client(endpoint: str) -> "S3Client":
    """A client of LocalStack's S3."""
    return _session().client("s3", endpoint_url=endpoint)


def sqs_client(endpoint: str) -> "SQSClient":
    """A client of LocalStack's SQS."""
    return _session().client("sqs", endpoint_url=endpoint)


def make_resources(endpoint: str, prefix: str = "face") -> Resources:
    """Make bucket and queues; those that exist already stay as they are."""
    s3, sqs = s3_client(endpoint), sqs_client(endpoint)
    bucket = f"{prefix}-photos"
    s3.create_bucket(Bucket=bucket)
    dead_letters = _make_queue(sqs, f"{prefix}-dead-letters", {})
    arn = sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": _MAX_RECEIVES})
    return Resources(
        endpoint=endpoint,
        bucket=bucket,
        request_queue_url=_make_queue(sqs, f"{prefix}-requests", {"RedrivePolicy": redrive}),
        response_queue_url=_make_queue(sqs, f"{prefix}-responses-1", {}),
        dead_letter_queue_url=dead_letters,
    )


def _make_queue(sqs: "SQSClient", name: str, attributes: dict[str, str]) -> str:
    usual = {"VisibilityTimeout": _VISIBILITY_SECONDS, "MessageRetentionPeriod": _RETENTION_SECONDS}
    return sqs.create_queue(QueueName=name, Attributes={**usual, **attributes})["QueueUrl"]  # type: ignore[dict-item]


def _session() -> "boto3.session.Session":
    return boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)  # noqa: S106
