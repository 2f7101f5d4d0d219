"""The fleet in EC2: instances of one launch template that carry this deployment's tag."""

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import InstanceTypeDef, RunInstancesRequestTypeDef, TagTypeDef

_log = logging.getLogger(__name__)
DEPLOYMENT_TAG = "face:deployment"
STARTED_TAG = "face:started"
"""When a stopped instance was started; seconds since the epoch."""
LAUNCH_TAG = "face:launch"
"""The token of the launch that made an instance."""
TEMPLATE_TAG = "face:template"
"""The version of the launch template that an instance was launched from."""
_TEMPLATE_TAG_OF_EC2 = "aws:ec2launchtemplate:version"  # which EC2 itself adds: for instances that lack ours
_STATES: dict[str, Literal["running", "stopping", "stopped"]] = {
    "pending": "running",
    "running": "running",
    "stopping": "stopping",
    "shutting-down": "stopping",
    "stopped": "stopped",
}
_TOO_FEW = (
    "InsufficientInstanceCapacity",
    "InsufficientFreeAddressesInSubnet",
    "Unsupported",  # such instances, in this zone
    "InstanceLimitExceeded",
    "VcpuLimitExceeded",
)
"""Refusals after which another subnet, or a smaller number, may do."""
_TEMPLATE_SECONDS = 5.0  # how old the launch template's default version may be
_SETTLING_SECONDS = 30.0  # EC2 may describe an instance as it was before a change for some seconds


class FleetError(Exception):
    """EC2 failed. `refused`: it said so, and nothing has changed; else the call may have taken effect all the same."""

    def __init__(self, reason: str, *, refused: bool = True) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance, as EC2 tells it."""

    id: str
    state: Literal["running", "stopping", "stopped"]
    since: float
    """When it was launched or last started; seconds since the epoch."""
    warm: bool = False
    """Started from stopped."""
    outdated: bool = False
    """Launched from another version of the launch template than the present default one."""


class Ec2Fleet:
    """Sees and changes this deployment's instances. Every call raises FleetError when EC2 fails."""

    def __init__(
        self,
        client: "EC2Client",
        *,
        deployment: str,
        template: str,
        subnets: Sequence[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        """`template` is a launch template's name, `subnets` the ids of those to spread over; `now` the wall clock."""
        self._client = client
        self._deployment = deployment
        self._template = template
        self._subnets = subnets
        self._now = now
        self._version: str | None = None
        self._looked_up_at = -math.inf
        self._used: Counter[str] = Counter()
        """Instances that ran in each subnet when they were seen last."""
        self._launching: tuple[str, deque[RunInstancesRequestTypeDef]] = "", deque()
        """The token of the last launch, and the requests that EC2 has not refused, should it be repeated."""
        self._changed: dict[str, tuple[Instance, float]] = {}
        """What was changed a moment ago, and until when EC2 may not know it yet."""

    def instances(self) -> list[Instance]:
        """Every instance of the deployment that is not terminated, longest running first."""
        filters = [
            {"Name": f"tag:{DEPLOYMENT_TAG}", "Values": [self._deployment]},
            {"Name": "tag-key", "Values": [LAUNCH_TAG]},  # never another host that has the deployment's tag
            {"Name": "instance-state-name", "Values": list(_STATES)},
        ]
        with _translated():
            pages = self._client.get_paginator("describe_instances").paginate(Filters=filters)  # type: ignore[arg-type]
            entries = [
                entry for page in pages for reservation in page["Reservations"] for entry in reservation["Instances"]
            ]
        version = self._default_version()
        seen = [_instance(entry, version) for entry in entries]
        running = (entry for entry, one in zip(entries, seen, strict=True) if one.state == "running")
        self._used = Counter(entry.get("SubnetId", "") for entry in running)
        return sorted(self._settled(seen), key=lambda instance: (instance.since, instance.id))

    def launch(self, count: int, token: str) -> list[str]:
        """Launch instances; ids of those that came, which are fewer when EC2 is short of them in every subnet.

        The same token never launches twice: a repeated call goes on with the request that had no answer, as it was,
        and EC2 answers that with what it launched the first time.
        """
        if self._launching[0] != token:
            self._launching = token, deque(self._requests(count, token))
        requests = self._launching[1]
        while True:
            try:
                return self._launch(requests[0])
            except FleetError as error:
                if not error.refused:
                    raise
                requests.popleft()
                if not requests or not any(code in str(error) for code in _TOO_FEW):
                    self._launching = "", deque()
                    raise

    def _requests(self, count: int, token: str) -> "Iterator[RunInstancesRequestTypeDef]":
        """All in the subnet where the fewest run, or else in another one; then as many as there are in one of them."""
        order = sorted(range(len(self._subnets)), key=lambda number: self._used[self._subnets[number]])
        places = [(self._subnets[number], f"{token}-{number}") for number in order] or [("", token)]
        yield from (self._request(count, count, subnet, own) for subnet, own in places)
        if count > 1:
            yield from (self._request(1, count, subnet, f"{own}-some") for subnet, own in places)

    def _default_version(self) -> str | None:
        """The launch template's default version, as it was looked up last; None when that was never possible."""
        if self._now() - self._looked_up_at >= _TEMPLATE_SECONDS:
            self._looked_up_at = self._now()
            try:
                self._version = self._look_up_version()
            except FleetError as error:
                _log.warning("the launch template cannot be looked up", extra={"reason": str(error)})
        return self._version

    def _look_up_version(self) -> str:
        with _translated():
            found = self._client.describe_launch_templates(LaunchTemplateNames=[self._template])["LaunchTemplates"]
        if not found:
            raise FleetError(f"there is no launch template {self._template}")
        return str(found[0]["DefaultVersionNumber"])

    def start(self, ids: Sequence[str]) -> list[str]:
        """Start stopped instances; those that were started."""

        def call(some: Sequence[str]) -> None:
            tag: TagTypeDef = {"Key": STARTED_TAG, "Value": f"{self._now():.3f}"}
            self._client.create_tags(Resources=some, Tags=[tag])
            self._client.start_instances(InstanceIds=some)

        return self._change(ids, call, lambda one: Instance(one, "running", self._now(), warm=True))

    def stop(self, ids: Sequence[str]) -> list[str]:
        """Stop instances: their systems shut down, which drains the workers. Those that were stopped."""
        call = lambda some: self._client.stop_instances(InstanceIds=some)  # noqa: E731
        return self._change(ids, call, lambda one: Instance(one, "stopping", self._now()))

    def terminate(self, ids: Sequence[str]) -> list[str]:
        """Terminate instances; a running one's system shuts down first. Those that were terminated."""
        call = lambda some: self._client.terminate_instances(InstanceIds=some)  # noqa: E731
        return self._change(ids, call, lambda one: Instance(one, "stopping", self._now()))

    def _change(
        self, ids: Sequence[str], call: Callable[[Sequence[str]], object], expected: Callable[[str], Instance]
    ) -> list[str]:
        """Call for all at once, and one by one when EC2 refuses that because of one of them."""
        try:
            with _translated():
                call(list(ids))
            changed = list(ids)
        except FleetError as error:
            if len(ids) == 1 or not error.refused:
                raise
            changed = [one for one in ids if self._tried(call, one)]
            if not changed:
                raise
        for one in changed:
            self._changed[one] = (expected(one), self._now() + _SETTLING_SECONDS)
        return changed

    @staticmethod
    def _tried(call: Callable[[Sequence[str]], object], one: str) -> bool:
        try:
            with _translated():
                call([one])
        except FleetError as error:
            _log.warning("an instance could not be changed", extra={"instance": one, "reason": str(error)})
            return False
        return True

    def _request(self, least: int, most: int, subnet: str, token: str) -> "RunInstancesRequestTypeDef":
        version = self._default_version()
        tags: list[TagTypeDef] = [
            {"Key": DEPLOYMENT_TAG, "Value": self._deployment},
            {"Key": LAUNCH_TAG, "Value": token},
        ]
        if version:
            tags.append({"Key": TEMPLATE_TAG, "Value": version})
        request: RunInstancesRequestTypeDef = {
            "LaunchTemplate": {"LaunchTemplateName": self._template, "Version": version or "$Default"},
            "MinCount": least,
            "MaxCount": most,
            "ClientToken": token,
            "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
        }
        if subnet:
            request["SubnetId"] = subnet
        return request

    def _launch(self, request: "RunInstancesRequestTypeDef") -> list[str]:
        with _translated():
            answer = self._client.run_instances(**request)
        launched = [entry["InstanceId"] for entry in answer["Instances"]]
        until = self._now() + _SETTLING_SECONDS
        self._changed |= {one: (Instance(one, "running", self._now()), until) for one in launched}
        return launched

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


def _instance(entry: "InstanceTypeDef", version: str | None) -> Instance:
    """`version` is the launch template's default one; an instance whose own nobody knows is not outdated."""
    tags = {tag["Key"]: tag["Value"] for tag in entry.get("Tags", ())}
    try:
        started = float(tags.get(STARTED_TAG, 0))
    except ValueError:  # somebody's hand
        started = 0.0
    own = tags.get(TEMPLATE_TAG) or tags.get(_TEMPLATE_TAG_OF_EC2)
    return Instance(
        id=entry["InstanceId"],
        state=_STATES[entry["State"]["Name"]],
        since=max(entry["LaunchTime"].timestamp(), started),
        warm=bool(started),
        outdated=None not in (own, version) and own != version,
    )


@contextmanager
def _translated() -> Iterator[None]:
    """EC2's failures in the words of the fleet."""
    try:
        yield
    except ClientError as error:
        reason = error.response.get("Error", {})
        code, status = (
            reason.get("Code", "unknown"),
            error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400),
        )
        refused = status < 500 or code in _TOO_FEW  # EC2 says with status 500 that it is short of instances
        text = f"{code}: {reason.get('Message', '')}"
        raise FleetError(text, refused=refused) from error
    except BotoCoreError as error:
        raise FleetError(f"EC2 cannot be reached: {error}", refused=False) from error
