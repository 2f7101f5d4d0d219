"""The services' real calls, and forbidden ones, against an endpoint that enforces the roles' policies."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from face_client import FaceClient
from face_common.errors import ObjectMissingError
from face_common.s3 import S3ObjectStore
from face_web.scaler.fleet import Ec2Fleet
from local.localstack import free_port
from local.processes import Part, service_environment
from local.stack import ROOT
from tests.cloud.conftest import NAME, Cloud
from tests.cloud.gateway import Gateway
from tests.stacks import wait_until

PYTHON = str(ROOT / ".venv" / "bin" / "python")


@pytest.fixture(scope="module")
def gateway(cloud: Cloud) -> Iterator[Gateway]:
    """LocalStack behind the roles' policies; the access keys are the roles' names."""
    roles = {role: cloud.policies(role) for role in ("web", "worker")}
    with Gateway(cloud.endpoint, roles, cloud.client("ec2")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def image(cloud: Cloud) -> str:
    """An image of workers, as Ansible bakes it, in the launch template's default version."""
    ec2, template = cloud.client("ec2"), cloud.made["launch_template"]
    tags = [{"Key": "face:deployment", "Value": NAME}]
    image: str = ec2.create_image(
        InstanceId=cloud.made["web"][0]["instance"],
        Name="worker",
        TagSpecifications=[{"ResourceType": "image", "Tags": tags}],
    )["ImageId"]
    found = ec2.describe_launch_template_versions(LaunchTemplateName=template, Versions=["$Latest"])
    data = {**found["LaunchTemplateVersions"][0]["LaunchTemplateData"], "ImageId": image}
    made = ec2.create_launch_template_version(LaunchTemplateName=template, LaunchTemplateData=data)
    version = made["LaunchTemplateVersion"]
    ec2.modify_launch_template(
        LaunchTemplateId=version["LaunchTemplateId"], DefaultVersion=str(version["VersionNumber"])
    )
    return image


def client(gateway: Gateway, role: str, service: str) -> Any:
    """A boto3 client with a role's rights and no more."""
    session = boto3.session.Session(aws_access_key_id=role, aws_secret_access_key="x", region_name="us-east-1")
    return session.client(service, endpoint_url=gateway.endpoint)


def test_the_services_may_do_all_that_they_do(
    cloud: Cloud, gateway: Gateway, image: str, samples: Path, tmp_path: Path
) -> None:
    """Enrolment, identification, erasure; launching a worker, stopping it, starting it again."""
    ec2 = cloud.client("ec2")
    with _web(cloud, gateway, tmp_path) as url, FaceClient(url) as face:
        assert face.identify(samples / "obama2.jpg", wait=0)["state"] == "queued"
        wait_until(lambda: _workers(ec2, "running"), 30)
        with _worker(cloud, gateway, _workers(ec2, "running")[0], tmp_path):
            assert face.enrol("Ada", [samples / "obama.jpg"])[0]["verdict"] == "accepted"
            assert face.identify(samples / "obama3.jpg", wait=60)["faces"][0]["person"] == "Ada"
            assert face.erase("Ada")["state"] == "done"
            wait_until(lambda: not _workers(ec2, "running"), 60)
        wait_until(lambda: httpx.get(f"{url}/v1/fleet").json()["workers"]["stopped"], 60)
        face.identify(samples / "obama2.jpg", wait=0)
        wait_until(lambda: _workers(ec2, "running"), 60)
    assert gateway.refused == []
    assert {"web ec2:RunInstances", "web ec2:StopInstances", "web ec2:StartInstances"} <= gateway.allowed
    assert {"web iam:PassRole", "web ec2:CreateTags", "worker s3:PutObject"} <= gateway.allowed


def test_the_fleet_may_be_terminated(cloud: Cloud, gateway: Gateway, image: str) -> None:
    fleet = Ec2Fleet(client(gateway, "web", "ec2"), deployment=NAME, template=cloud.made["launch_template"])
    (one,) = fleet.launch(1, "some-token")
    assert fleet.terminate([one]) == [one]


@contextmanager
def _web(cloud: Cloud, gateway: Gateway, folder: Path) -> Iterator[str]:
    port = free_port()
    settings = {"FACE_PORT": str(port), "FACE_QUIET_SECONDS": "3", "FACE_TICK_SECONDS": "0.5", "FACE_ACCESS": "open"}
    with _part("web", "face_web", cloud.made["web"][0]["environment"] | settings, gateway, folder) as web:
        url = f"http://127.0.0.1:{port}"
        web.wait_until(lambda: _is_ready(url), 60)
        yield url


@contextmanager
def _worker(cloud: Cloud, gateway: Gateway, instance: str, folder: Path) -> Iterator[None]:
    made = cloud.made["web"][0]["environment"]
    settings = {name: made[name] for name in ("FACE_REGION", "FACE_BUCKET", "FACE_REQUEST_QUEUE_URL")}
    settings |= {"FACE_INSTANCE_ID": instance, "FACE_CACHE_DIR": str(ROOT / ".local" / "cache")}
    with _part("worker", "face_app", settings, gateway, folder):
        yield


@contextmanager
def _part(role: str, module: str, settings: dict[str, str], gateway: Gateway, folder: Path) -> Iterator[Part]:
    """One of the services, whose access key is its role's name."""
    environment = settings | {"FACE_ENDPOINT_URL": gateway.endpoint, "AWS_ACCESS_KEY_ID": role}
    part = Part(role, [PYTHON, "-m", module], service_environment(environment), folder / f"{role}.log")
    try:
        part.start()
        yield part
    except BaseException:
        print(part.log_tail(40))
        raise
    finally:
        part.stop(60)


def _workers(ec2: Any, state: str) -> list[str]:
    filters = [{"Name": "tag-key", "Values": ["face:launch"]}, {"Name": "instance-state-name", "Values": [state]}]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=filters)
    return [one["InstanceId"] for page in pages for some in page["Reservations"] for one in some["Instances"]]


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _launch(cloud: Cloud, **changes: Any) -> dict[str, Any]:
    """The arguments of a launch that is allowed, with some of them changed or (None) left out."""
    tags = {"face:deployment": NAME, "face:launch": "token", "face:template": "1"}
    usual: dict[str, Any] = {
        "MinCount": 1,
        "MaxCount": 1,
        "LaunchTemplate": {"LaunchTemplateName": cloud.made["launch_template"], "Version": "$Default"},
        "SubnetId": cloud.made["web"][0]["environment"]["FACE_WORKER_SUBNETS"].split(",")[0],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": _tag_list(tags)}],
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def _tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


Forbidden = Callable[[Cloud, Callable[[str, str], Any]], object]
FORBIDDEN: dict[str, Forbidden] = {
    "web reads another bucket": lambda cloud, as_: as_("web", "s3").get_object(Bucket="other", Key="images/1"),
    "web lists another bucket": lambda cloud, as_: as_("web", "s3").list_objects_v2(Bucket="other"),
    "web writes elsewhere": lambda cloud, as_: as_("web", "s3").put_object(Bucket=cloud.made["bucket"], Key="x/1"),
    "web overwrites an entry of the audit": lambda cloud, as_: as_("web", "s3").put_object(
        Bucket=cloud.made["bucket"], Key="audit/2026-01-01/1.json"
    ),
    "web replaces an entry of the audit that it has read": lambda cloud, as_: as_("web", "s3").put_object(
        Bucket=cloud.made["bucket"], Key="audit/2026-01-01/1.json", IfMatch="etag"
    ),
    "web deletes an entry of the audit": lambda cloud, as_: as_("web", "s3").delete_objects(
        Bucket=cloud.made["bucket"], Delete={"Objects": [{"Key": "audit/2026-01-01/1.json"}]}
    ),
    "web deletes a version of an entry of the audit": lambda cloud, as_: as_("web", "s3").delete_objects(
        Bucket=cloud.made["bucket"], Delete={"Objects": [{"Key": "audit/2026-01-01/1.json", "VersionId": "null"}]}
    ),
    "web erases all traces of a key": lambda cloud, as_: as_("web", "s3").delete_object(
        Bucket=cloud.made["bucket"], Key="access/keys/1.json", VersionId="null"
    ),
    "web recovers what was deleted": lambda cloud, as_: as_("web", "s3").get_object(
        Bucket=cloud.made["bucket"], Key="photos/1", VersionId="null"
    ),
    "web puts photos to be imported": lambda cloud, as_: as_("web", "s3").put_object(
        Bucket=cloud.made["bucket"], Key="inbox/Ada/1.jpg"
    ),
    "web sends to another queue": lambda cloud, as_: as_("web", "sqs").send_message(
        QueueUrl=_queue(cloud, "other"), MessageBody="x"
    ),
    "web takes jobs": lambda cloud, as_: as_("web", "sqs").receive_message(QueueUrl=_queue(cloud, f"{NAME}-requests")),
    "web launches without the template": lambda cloud, as_: as_("web", "ec2").run_instances(
        **_launch(cloud, LaunchTemplate=None, ImageId="ami-760aaa0f")
    ),
    "web launches from another template": lambda cloud, as_: as_("web", "ec2").run_instances(
        **_launch(cloud, LaunchTemplate={"LaunchTemplateName": _other_template(cloud)})
    ),
    "web launches another image": lambda cloud, as_: as_("web", "ec2").run_instances(
        **_launch(cloud, ImageId="ami-760aaa0f")
    ),
    "web launches without tags": lambda cloud, as_: as_("web", "ec2").run_instances(
        **_launch(cloud, TagSpecifications=None)
    ),
    "web launches for another deployment": lambda cloud, as_: as_("web", "ec2").run_instances(
        **_launch(
            cloud,
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": _tag_list({"face:deployment": "other", "face:launch": "1"})}
            ],
        )
    ),
    "web launches into a public subnet": lambda cloud, as_: as_("web", "ec2").run_instances(
        **_launch(cloud, SubnetId=cloud.made["builder"]["subnet"])
    ),
    "web terminates an untagged host": lambda cloud, as_: as_("web", "ec2").terminate_instances(
        InstanceIds=[_host(cloud, {})]
    ),
    "web stops another deployment's worker": lambda cloud, as_: as_("web", "ec2").stop_instances(
        InstanceIds=[_host(cloud, {"face:deployment": "other", "face:launch": "1"})]
    ),
    "web terminates a web host": lambda cloud, as_: as_("web", "ec2").terminate_instances(
        InstanceIds=[cloud.made["web"][0]["instance"]]
    ),
    "web takes over a host by tagging it": lambda cloud, as_: as_("web", "ec2").create_tags(
        Resources=[_host(cloud, {})], Tags=_tag_list({"face:deployment": NAME, "face:launch": "1"})
    ),
    "web gives a worker other tags": lambda cloud, as_: as_("web", "ec2").create_tags(
        Resources=[_host(cloud, {"face:deployment": NAME, "face:launch": "1"})], Tags=_tag_list({"Name": "x"})
    ),
    "web changes the template": lambda cloud, as_: as_("web", "ec2").modify_launch_template(
        LaunchTemplateName=cloud.made["launch_template"], DefaultVersion="1"
    ),
    "worker sees instances' neighbours": lambda cloud, as_: as_("worker", "ec2").describe_instances(),
    "worker launches": lambda cloud, as_: as_("worker", "ec2").run_instances(**_launch(cloud)),
    "worker writes photos": lambda cloud, as_: as_("worker", "s3").put_object(
        Bucket=cloud.made["bucket"], Key="images/1"
    ),
    "worker writes enrolled photos": lambda cloud, as_: as_("worker", "s3").put_object(
        Bucket=cloud.made["bucket"], Key="photos/1"
    ),
    "worker deletes photos": lambda cloud, as_: as_("worker", "s3").delete_object(
        Bucket=cloud.made["bucket"], Key="photos/1"
    ),
    "worker reads what is to be imported": lambda cloud, as_: as_("worker", "s3").get_object(
        Bucket=cloud.made["bucket"], Key="inbox/Ada/1.jpg"
    ),
    "worker reads keys": lambda cloud, as_: as_("worker", "s3").get_object(
        Bucket=cloud.made["bucket"], Key="access/keys/1.json"
    ),
    "worker reads unknown faces": lambda cloud, as_: as_("worker", "s3").get_object(
        Bucket=cloud.made["bucket"], Key="unknown/default/1.json"
    ),
    "worker writes to the audit": lambda cloud, as_: as_("worker", "s3").put_object(
        Bucket=cloud.made["bucket"], Key="audit/2026-01-01/2.json", IfNoneMatch="*"
    ),
    "worker reads who has consented": lambda cloud, as_: as_("worker", "s3").get_object(
        Bucket=cloud.made["bucket"], Key="people/default/1.json"
    ),
    "worker sees earlier versions": lambda cloud, as_: as_("worker", "s3").list_object_versions(
        Bucket=cloud.made["bucket"]
    ),
    "worker deletes results": lambda cloud, as_: as_("worker", "s3").delete_object(
        Bucket=cloud.made["bucket"], Key="results/1"
    ),
    "worker leads": lambda cloud, as_: as_("worker", "s3").put_object(
        Bucket=cloud.made["bucket"], Key="fleet/leader.json"
    ),
    "worker reads another bucket": lambda cloud, as_: as_("worker", "s3").get_object(Bucket="other", Key="images/1"),
    "worker sends jobs": lambda cloud, as_: as_("worker", "sqs").send_message(
        QueueUrl=_queue(cloud, f"{NAME}-requests"), MessageBody="x"
    ),
    "worker reads answers": lambda cloud, as_: as_("worker", "sqs").receive_message(
        QueueUrl=_queue(cloud, f"{NAME}-responses-1")
    ),
    "somebody without a role reads photos": lambda cloud, as_: as_("nobody", "s3").get_object(
        Bucket=cloud.made["bucket"], Key="images/1"
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_else_is_allowed(cloud: Cloud, gateway: Gateway, image: str, what: str) -> None:
    refused = len(gateway.refused)
    with pytest.raises(ClientError, match=r"AccessDenied|UnauthorizedOperation"):
        FORBIDDEN[what](cloud, lambda role, service: client(gateway, role, service))
    assert len(gateway.refused) == refused + 1


def test_what_the_stores_calls_need_is_allowed(cloud: Cloud, gateway: Gateway) -> None:
    """The calls that no photo of these tests leads to: versions that are removed, large files, the audit."""
    web = S3ObjectStore(client(gateway, "web", "s3"), cloud.made["bucket"])
    web.put("photos/1", b"1", "image/jpeg")
    web.put("photos/1", b"2", "image/jpeg")
    web.delete(["photos/1"])
    assert web.purge(["photos/1"]) == 3
    for prefix in (
        "images/",
        "results/",
        "gallery/",
        "people/",
        "batches/",
        "unknown/",
        "webhooks/",
        "erasures/",
        "calibrations/",
    ):
        assert web.purge_older(prefix) >= 0
    web.put_file("batches/1/archive", io.BytesIO(bytes(9 * 2**20)), "application/zip")
    assert web.get_range("batches/1/archive", 1, 2) == bytes(2)
    assert web.put_new("audit/2026-01-01/1.json", b"{}", "application/json")
    assert not web.put_new("audit/2026-01-01/1.json", b"[]", "application/json")
    assert web.get("audit/2026-01-01/1.json") == b"{}"
    worker = S3ObjectStore(client(gateway, "worker", "s3"), cloud.made["bucket"])
    worker.put("unknown/default/1.json", b"{}", "application/json")
    with pytest.raises(ObjectMissingError):
        worker.get("calibrations/default.json")
    worker.put("calibrations/default.json", b"{}", "application/json")


def test_a_launch_that_is_not_changed_is_allowed(cloud: Cloud, gateway: Gateway, image: str) -> None:
    assert client(gateway, "web", "ec2").run_instances(**_launch(cloud))["Instances"]


def _queue(cloud: Cloud, name: str) -> str:
    return f"{cloud.endpoint}/000000000000/{name}"


def _other_template(cloud: Cloud) -> str:
    ec2 = cloud.client("ec2")
    found = ec2.describe_launch_templates(Filters=[{"Name": "launch-template-name", "Values": ["other"]}])
    if not found["LaunchTemplates"]:
        data = {"ImageId": "ami-760aaa0f", "InstanceType": "c7i.large"}
        ec2.create_launch_template(LaunchTemplateName="other", LaunchTemplateData=data)
    return "other"


def _host(cloud: Cloud, tags: dict[str, str]) -> str:
    specification = [{"ResourceType": "instance", "Tags": _tag_list(tags)}] if tags else []
    launched = cloud.client("ec2").run_instances(
        ImageId="ami-760aaa0f", MinCount=1, MaxCount=1, TagSpecifications=specification
    )
    host: str = launched["Instances"][0]["InstanceId"]
    return host
