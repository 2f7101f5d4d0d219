"""What Terraform makes on LocalStack: settled, the same as local mode's, and gone when destroyed."""

import json
from typing import Any

from deployment.removal import Removal
from local.resources import make_resources
from tests.cloud.conftest import NAME, Cloud

_PLACES = ("QueueArn", "CreatedTimestamp", "LastModifiedTimestamp", "Policy", "RedriveAllowPolicy")
"""What differs between queues, or what only AWS needs: a queue on this machine has no one to keep out."""


def test_a_second_plan_changes_nothing(cloud: Cloud) -> None:
    assert not cloud.terraform.plan()


def test_local_mode_makes_the_same_queues(cloud: Cloud) -> None:
    local, sqs = make_resources(cloud.endpoint, prefix="local"), cloud.client("sqs")
    made = cloud.made["web"][0]["environment"]
    pairs = {
        local.request_queue_url: made["FACE_REQUEST_QUEUE_URL"],
        local.response_queue_urls[0]: made["FACE_RESPONSE_QUEUE_URL"],
        local.dead_letter_queue_url: made["FACE_DEAD_LETTER_QUEUE_URL"],
    }
    for ours, theirs in pairs.items():
        assert _attributes(sqs, ours) == _attributes(sqs, theirs)


def test_local_mode_gives_the_web_service_the_same_settings(cloud: Cloud) -> None:
    local = make_resources(cloud.endpoint, prefix="local").environment()
    assert local.keys() - {"FACE_ENDPOINT_URL"} <= cloud.made["web"][0]["environment"].keys()


def test_photos_are_private_encrypted_and_forgotten(cloud: Cloud) -> None:
    s3, bucket = cloud.client("s3"), cloud.made["bucket"]
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"][0]
    assert (policy["Effect"], policy["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    expiring = {rule["Filter"]["Prefix"]: rule["Expiration"] for rule in lifecycle if rule["ID"].startswith("expire")}
    assert {prefix: expiration["Days"] for prefix, expiration in expiring.items()} == {
        "images/": 30, "results/": 30, "dead-letters/": 30, "batches/": 30, "unknown/": 30, "webhooks/": 30,
        "idempotency/": 1, "erasures/": 1095, "fleet/decisions/": 90, "i-": 1,
    }  # fmt: skip
    forgetting = {rule["Filter"]["Prefix"] for rule in lifecycle if rule["ID"].startswith("forget")}
    assert {"images/", "photos/", "results/", "people/", "gallery/", "erasures/", "unknown/"} <= forgetting


def test_local_mode_makes_the_same_bucket(cloud: Cloud) -> None:
    local = make_resources(cloud.endpoint, prefix="local")
    assert _bucket(cloud.client("s3"), local.bucket) == _bucket(cloud.client("s3"), cloud.made["bucket"])


def test_workers_are_closed(cloud: Cloud) -> None:
    ec2, template = cloud.client("ec2"), cloud.made["launch_template"]
    found = ec2.describe_launch_template_versions(LaunchTemplateName=template, Versions=["$Default"])
    data = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["IamInstanceProfile"] == {"Name": f"{NAME}-worker"}
    groups = ec2.describe_security_groups(GroupIds=data["SecurityGroupIds"])["SecurityGroups"]
    assert groups[0]["IpPermissions"] == []
    subnets = cloud.made["web"][0]["environment"]["FACE_WORKER_SUBNETS"].split(",")
    for subnet in ec2.describe_subnets(SubnetIds=subnets)["Subnets"]:
        assert not subnet["MapPublicIpOnLaunch"]


def _attributes(sqs: Any, url: str) -> dict[str, Any]:
    """A queue's attributes without those of its place; of its redrive policy the number."""
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    kept: dict[str, Any] = {
        name: value for name, value in found.items() if name not in _PLACES and not name.startswith("Approximate")
    }
    if "RedrivePolicy" in kept:
        kept["RedrivePolicy"] = json.loads(kept["RedrivePolicy"])["maxReceiveCount"]
    return {name: str(value) for name, value in kept.items()}


def _bucket(s3: Any, name: str) -> dict[str, Any]:
    """What a bucket does with objects; not its lifecycle and policy: LocalStack expires nothing and refuses nobody."""
    return {
        "versioning": s3.get_bucket_versioning(Bucket=name)["Status"],
        "encryption": s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"],
        "public": s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"],
        "ownership": s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"],
    }


def test_destroying_leaves_nothing(
    cloud: Cloud,
) -> None:  # the last one of this folder: see pytest_collection_modifyitems
    cloud.client("s3").put_object(Bucket=cloud.made["bucket"], Key="images/1", Body=b"photo")
    removal, buckets = Removal(cloud.options), cloud.terraform.made("aws_s3_bucket", "bucket")
    queues = cloud.terraform.made("aws_sqs_queue", "url")
    assert len(removal.left(buckets, queues)) >= 9  # a host, four security groups, a network, a bucket, three queues
    removal.hosts()
    removal.images()
    removal.objects(buckets[0])
    cloud.terraform.destroy()
    assert removal.left(buckets, queues) == []
    assert cloud.terraform.resources() == []
