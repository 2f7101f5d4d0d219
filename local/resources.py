"""Bucket, queues and launch template, made through the API: what terraform/ makes, in a second instead of a minute."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

REGION = "us-east-1"
_MAX_RECEIVES = "4"
_VISIBILITY_SECONDS = "30"
_MESSAGE_BYTES = str(256 * 2**10)
_RETENTION_SECONDS = str(4 * 24 * 3600)


@dataclass(frozen=True, slots=True)
class Resources:
    """One deployment's names, as the services' environment variables want them."""

    endpoint: str
    bucket: str
    request_queue_url: str
    response_queue_urls: tuple[str, ...]
    """One a web host."""
    dead_letter_queue_url: str
    launch_template: str

    def environment(self, web: int = 0) -> dict[str, str]:
        """The settings that both tiers and the web tier read; `web` numbers the web hosts from 0."""
        return {
            "FACE_REGION": REGION,
            "FACE_ENDPOINT_URL": self.endpoint,
            "FACE_BUCKET": self.bucket,
            "FACE_REQUEST_QUEUE_URL": self.request_queue_url,
            "FACE_RESPONSE_QUEUE_URL": self.response_queue_urls[web],
            "FACE_DEAD_LETTER_QUEUE_URL": self.dead_letter_queue_url,
            "FACE_LAUNCH_TEMPLATE": self.launch_template,
        }


def s3_client(endpoint: str) -> "S3Client":
    """A client of LocalStack's S3."""
    return _session().client("s3", endpoint_url=endpoint)


def sqs_client(endpoint: str) -> "SQSClient":
    """A client of LocalStack's SQS."""
    return _session().client("sqs", endpoint_url=endpoint)


def ec2_client(endpoint: str) -> "EC2Client":
    """A client of LocalStack's EC2."""
    return _session().client("ec2", endpoint_url=endpoint)


def make_resources(endpoint: str, prefix: str = "face", webs: int = 1) -> Resources:
    """Make bucket, queues and launch template; those that exist already stay as they are."""
    s3, sqs = s3_client(endpoint), sqs_client(endpoint)
    bucket = f"{prefix}-photos"
    _make_bucket(s3, bucket)
    dead_letters = _make_queue(sqs, f"{prefix}-dead-letters", {})
    arn = sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": _MAX_RECEIVES})
    return Resources(
        endpoint=endpoint,
        bucket=bucket,
        request_queue_url=_make_queue(sqs, f"{prefix}-requests", {"RedrivePolicy": redrive}),
        response_queue_urls=tuple(_make_queue(sqs, f"{prefix}-responses-{web + 1}", {}) for web in range(webs)),
        dead_letter_queue_url=dead_letters,
        launch_template=_make_template(ec2_client(endpoint), f"{prefix}-worker"),
    )


def _make_bucket(s3: "S3Client", name: str) -> None:
    """A bucket that keeps versions: what is to be gone must be gone with all of them, here as there."""
    s3.create_bucket(Bucket=name, ObjectOwnership="BucketOwnerEnforced")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    closed = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=dict.fromkeys(closed, True))  # type: ignore[arg-type]


def _make_template(ec2: "EC2Client", name: str) -> str:
    """A launch template; LocalStack's instances are records, so the image is one in name only."""
    found = ec2.describe_launch_templates(Filters=[{"Name": "launch-template-name", "Values": [name]}])
    if not found["LaunchTemplates"]:
        ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={"ImageId": "ami-0123456789abcdef0", "InstanceType": "c7i.large"},
        )
    return name


def _make_queue(sqs: "SQSClient", name: str, attributes: dict[str, str]) -> str:
    usual = {
        "VisibilityTimeout": _VISIBILITY_SECONDS,
        "MessageRetentionPeriod": _RETENTION_SECONDS,
        "MaximumMessageSize": _MESSAGE_BYTES,
    }
    return sqs.create_queue(QueueName=name, Attributes={**usual, **attributes})["QueueUrl"]  # type: ignore[dict-item]


def _session() -> "boto3.session.Session":
    return boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)  # noqa: S106
