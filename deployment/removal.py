"""What Terraform does not know of and destroying must remove: workers, images, what the bucket holds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import boto3

from deployment.options import Options

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

_LIVE = ["pending", "running", "stopping", "stopped"]


class Removal:
    """Everything of one deployment by its tag."""

    def __init__(self, options: Options) -> None:
        """Uses the credentials of the options."""
        self._deployment = options.deployment
        session = boto3.session.Session(
            aws_access_key_id=options.aws.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=options.aws.get("AWS_SECRET_ACCESS_KEY"),
            region_name=options.region or None,
        )
        endpoint = options.aws.get("AWS_ENDPOINT_URL")
        self._ec2: EC2Client = session.client("ec2", endpoint_url=endpoint)
        self._s3 = session.client("s3", endpoint_url=endpoint)
        self._sqs = session.client("sqs", endpoint_url=endpoint)

    def hosts(self) -> None:
        """Terminate every instance, web hosts first: their loop would launch more. Returns when all are gone."""
        self._terminate(lambda role: role == "web")
        self._terminate(lambda role: True)

    def _terminate(self, chosen: Callable[[str], bool]) -> None:
        """Terminate the instances of some roles, and wait until they are gone."""
        ids = []
        for entry in self.instances():
            role = _tags(entry).get("face:role", "")
            if not chosen(role):
                continue
            ids.append(entry["InstanceId"])
            if role == "web":
                self._ec2.modify_instance_attribute(InstanceId=ids[-1], DisableApiTermination={"Value": False})
            self._ec2.terminate_instances(InstanceIds=ids[-1:])
        if ids:
            self._ec2.get_waiter("instance_terminated").wait(InstanceIds=ids)

    def images(self, *, keep: int = 0) -> None:
        """Deregister workers' images with their snapshots, but the newest one of each of the last releases."""
        images = self._ec2.describe_images(Owners=["self"], Filters=[self._filter()])["Images"]
        kept: set[str] = set()
        for image in sorted(images, key=lambda image: image["CreationDate"], reverse=True):
            release = _tags(image).get("face:release", "")
            if len(kept) < keep and release not in kept:
                kept.add(release)
                continue
            self._ec2.deregister_image(ImageId=image["ImageId"])
            for mapping in image.get("BlockDeviceMappings", ()):
                if snapshot := mapping.get("Ebs", {}).get("SnapshotId"):
                    self._ec2.delete_snapshot(SnapshotId=snapshot)

    def objects(self, bucket: str) -> None:
        """Delete everything in the bucket with all versions."""
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            entries = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            doomed: Any = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]
            if doomed:
                self._s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed, "Quiet": True})

    def instances(self) -> Iterator[dict[str, Any]]:
        """Every instance that is not terminated."""
        filters: Any = [self._filter(), {"Name": "instance-state-name", "Values": _LIVE}]
        for page in self._ec2.get_paginator("describe_instances").paginate(Filters=filters):
            for reservation in page["Reservations"]:
                yield from reservation["Instances"]  # type: ignore[misc]

    def left(self, buckets: Sequence[str], queues: Sequence[str]) -> list[str]:
        """What is still there of these, and of all that has the deployment's tag."""
        found = [entry["InstanceId"] for entry in self.instances()]
        filters: Any = [self._filter()]
        found += [image["ImageId"] for image in self._ec2.describe_images(Owners=["self"], Filters=filters)["Images"]]
        found += [group["GroupId"] for group in self._ec2.describe_security_groups(Filters=filters)["SecurityGroups"]]
        found += [vpc["VpcId"] for vpc in self._ec2.describe_vpcs(Filters=filters)["Vpcs"]]
        found += [one["Name"] for one in self._s3.list_buckets()["Buckets"] if one["Name"] in buckets]
        return found + [url for url in queues if self._is_queue(url)]

    def _is_queue(self, url: str) -> bool:
        try:
            self._sqs.get_queue_attributes(QueueUrl=url)
        except self._sqs.exceptions.QueueDoesNotExist:
            return False
        return True

    def _filter(self) -> Any:
        return {"Name": "tag:face:deployment", "Values": [self._deployment]}


def _tags(entry: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in entry.get("Tags", ())}
