"""The fleet in EC2: instances of one launch template that carry this deployment's tag."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import InstanceTypeDef, TagTypeDef

DEPLOYMENT_TAG = "face:deployment"
STARTED_TAG = "face:started"
"""When a stopped instance was started; seconds since the epoch."""
LAUNCH_TAG = "face:launch"
"""The token of the launch that made an instance."""
_STATES: dict[str, Literal["running", "stopping", "stopped"]] = {
    "pending": "running",
    "running": "running",
    "stopping": "stopping",
    "shutting-down": "stopping",
    "stopped": "stopped",
}
_TOO_FEW = ("InsufficientInstanceCapacity", "InstanceLimitExceeded", "VcpuLimitExceeded")
_SETTLING_SECONDS = 30.0  # EC2 may describe an instance as it was before a change for some seconds


class FleetError(Exception):
    """EC2 refused a call or could not be reached."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance, as EC2 tells it."""

    id: str
    state: Literal["running", "stopping", "stopped"]
    since: float
    """When it was launched or last started; seconds since the epoch."""
    warm: bool = False
    """Started from stopped."""


class Ec2Fleet:
    """Sees and changes this deployment's instances. Every call raises FleetError when EC2 fails."""

    def __init__(
        self, client: "EC2Client", *, deployment: str, template: str, now: Callable[[], float] = time.time
    ) -> None:
        """`template` is a launch template's name; `now` the wall clock."""
        self._client = client
        self._deployment = deployment
        self._template = template
        self._now = now
        self._changed: dict[str, tuple[Instance, float]] = {}
        """What was changed a moment ago, and until when EC2 may not know it yet."""

    def instances(self) -> list[Instance]:
        """Every instance of the deployment that is not terminated, longest running first."""
        filters = [
            {"Name": f"tag:{DEPLOYMENT_TAG}", "Values": [self._deployment]},
            {"Name": "instance-state-name", "Values": list(_STATES)},
        ]
        with _translated():
            pages = self._client.get_paginator("describe_instances").paginate(Filters=filters)  # type: ignore[arg-type]
            seen = [
                _instance(entry)
                for page in pages
                for reservation in page["Reservations"]
                for entry in reservation["Instances"]
            ]
        return sorted(self._settled(seen), key=lambda instance: (instance.since, instance.id))

    def launch(self, count: int, token: str) -> list[str]:
        """Launch instances; ids of those that came, which are fewer when EC2 is short of them.

        The same token never launches twice: EC2 answers a repeated call with the first one's instances.
        """
        try:
            return self._launch(count, count, token)
        except FleetError as error:
            if count == 1 or not any(code in str(error) for code in _TOO_FEW):
                raise
        return self._launch(1, count, f"{token}-some")

    def start(self, ids: Sequence[str]) -> None:
        """Start stopped instances."""
        with _translated():
            tag = {"Key": STARTED_TAG, "Value": f"{self._now():.3f}"}
            self._client.create_tags(Resources=list(ids), Tags=[tag])  # type: ignore[list-item]
            self._client.start_instances(InstanceIds=list(ids))
        for one in ids:
            self._expect(Instance(one, "running", self._now(), warm=True))

    def stop(self, ids: Sequence[str]) -> None:
        """Stop instances: their systems shut down, which drains the workers."""
        with _translated():
            self._client.stop_instances(InstanceIds=list(ids))
        for one in ids:
            self._expect(Instance(one, "stopping", self._now()))

    def terminate(self, ids: Sequence[str]) -> None:
        """Terminate instances; a running one's system shuts down first."""
        with _translated():
            self._client.terminate_instances(InstanceIds=list(ids))
        for one in ids:
            self._expect(Instance(one, "stopping", self._now()))

    def _launch(self, least: int, most: int, token: str) -> list[str]:
        tags: list[TagTypeDef] = [
            {"Key": DEPLOYMENT_TAG, "Value": self._deployment},
            {"Key": LAUNCH_TAG, "Value": token},
        ]
        with _translated():
            answer = self._client.run_instances(
                LaunchTemplate={"LaunchTemplateName": self._template, "Version": "$Default"},
                MinCount=least,
                MaxCount=most,
                ClientToken=token,
                TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
            )
        launched = [entry["InstanceId"] for entry in answer["Instances"]]
        for one in launched:
            self._expect(Instance(one, "running", self._now()))
        return launched

    def _expect(self, instance: Instance) -> None:
        self._changed[instance.id] = (instance, self._now() + _SETTLING_SECONDS)

    def _settled(self, seen: Sequence[Instance]) -> list[Instance]:
        """What EC2 tells, with what it may not know yet: an instance launched, started, stopped a moment ago."""
        by_id = {instance.id: instance for instance in seen}
        for one, (expected, until) in list(self._changed.items()):
            told = by_id.get(one)
            gone = told is None or told.state != "running"
            if self._now() > until or gone == (expected.state == "stopping"):
                del self._changed[one]  # EC2 knows by now
            elif told is None:
                by_id[one] = expected
            elif expected.state == "stopping":
                by_id[one] = replace(told, state="stopping")
            else:
                by_id[one] = replace(told, state="running", since=expected.since, warm=expected.warm)
        return list(by_id.values())


def _instance(entry: "InstanceTypeDef") -> Instance:
    tags = {tag["Key"]: tag["Value"] for tag in entry.get("Tags", ())}
    started = float(tags.get(STARTED_TAG, 0))
    return Instance(
        id=entry["InstanceId"],
        state=_STATES[entry["State"]["Name"]],
        since=max(entry["LaunchTime"].timestamp(), started),
        warm=bool(started),
    )


@contextmanager
def _translated() -> Iterator[None]:
    """EC2's failures in the words of the fleet."""
    try:
        yield
    except ClientError as error:
        reason = error.response.get("Error", {})
        raise FleetError(f"{reason.get('Code', 'unknown')}: {reason.get('Message', '')}") from error
    except BotoCoreError as error:
        raise FleetError(f"EC2 cannot be reached: {error}") from error
