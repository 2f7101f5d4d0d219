"""The fleet in EC2 and the fake, held to the same words."""

import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from face_web.scaler.fleet import DEPLOYMENT_TAG, LAUNCH_TAG, TEMPLATE_TAG, Ec2Fleet, FleetError, Instance
from tests.contract.conftest import client
from tests.fakes.fleet import MemoryFleet

_numbers = count()
Fleet = Ec2Fleet | MemoryFleet


def template(ec2: Any) -> str:
    name = f"contract-{next(_numbers)}"
    ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": "ami-0", "InstanceType": "t3.small"}
    )
    return name


@pytest.fixture
def ec2(localstack: str) -> Any:
    return client(localstack, "ec2")


@pytest.fixture
def make_fleet(ec2: Any) -> Callable[[str], Ec2Fleet]:
    return lambda deployment: Ec2Fleet(ec2, deployment=deployment, template=template(ec2))


@pytest.fixture(params=["memory", "ec2"])
def fleet(request: pytest.FixtureRequest) -> Fleet:
    """An empty fleet."""
    if request.param == "memory":
        return MemoryFleet(time.time())
    made: Ec2Fleet = request.getfixturevalue("make_fleet")(f"deployment-{next(_numbers)}")
    return made


def states(fleet: Fleet) -> dict[str, str]:
    return {instance.id: instance.state for instance in fleet.instances()}


def test_what_is_launched_runs(fleet: Fleet) -> None:
    began = time.time()
    assert fleet.instances() == []
    ids = fleet.launch(3, "token-1")
    assert len(set(ids)) == 3
    assert states(fleet) == dict.fromkeys(ids, "running")
    assert all(abs(instance.since - began) < 5 and not instance.warm for instance in fleet.instances())


def test_a_stopped_instance_starts_again_as_a_warm_one(fleet: Fleet) -> None:
    (one,) = fleet.launch(1, "token-1")
    fleet.stop([one])
    assert states(fleet)[one] in ("stopping", "stopped")
    began = time.time()
    fleet.start([one])
    (instance,) = fleet.instances()
    assert (instance.id, instance.state, instance.warm) == (one, "running", True)
    assert instance.since >= began - 5


def test_a_terminated_instance_is_gone(fleet: Fleet) -> None:
    first, second = fleet.launch(2, "token-1")
    fleet.terminate([first])
    assert {one: state for one, state in states(fleet).items() if state != "stopping"} == {second: "running"}


def test_instances_of_others_are_neither_seen_nor_counted(make_fleet: Callable[[str], Ec2Fleet], ec2: Any) -> None:
    mine, other = make_fleet("mine"), make_fleet("other")
    ids = mine.launch(2, "token-1")
    other.launch(1, "token-1")
    ec2.run_instances(ImageId="ami-0", MinCount=1, MaxCount=1)
    assert sorted(states(mine)) == sorted(ids)
    tags = ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"][0]["Tags"]
    assert {DEPLOYMENT_TAG: "mine", LAUNCH_TAG: "token-1"}.items() <= {tag["Key"]: tag["Value"] for tag in tags}.items()


def test_a_refused_call_is_a_fleet_error(ec2: Any) -> None:
    fleet = Ec2Fleet(ec2, deployment="none", template="no-such-template")
    with pytest.raises(FleetError, match="LaunchTemplate"):
        fleet.launch(1, "token")
    with pytest.raises(FleetError):
        fleet.stop(["i-00000000000000000"])


class SlowEc2:
    """Answers as EC2 does when it does not know yet what it was told a moment ago."""

    def __init__(self, states: dict[str, str]) -> None:
        self.states = states
        self.tags: dict[str, dict[str, str]] = {}
        """By instance."""
        self.version: int | None = 1
        """The launch template's default one; None: that may not be looked up."""
        self.room: dict[str, int] = {}
        """How many instances a subnet has room for, where that is limited."""
        self.mute: set[str] = set()
        """Subnets whose launches take place but are not answered."""
        self.calls: list[tuple[str, int, str]] = []
        """Subnet, least number and token of each launch."""
        self.versions: list[str] = []
        """Of the launch template, in each launch."""
        self.launched: dict[str, list[str]] = {}
        """By token."""

    def get_paginator(self, _: str) -> "SlowEc2":
        return self

    def paginate(self, **_: Any) -> list[Any]:
        when = type("When", (), {"timestamp": lambda _: 1.0})()
        instances = [
            {
                "InstanceId": one,
                "State": {"Name": state},
                "LaunchTime": when,
                "Tags": [{"Key": key, "Value": value} for key, value in self.tags.get(one, {}).items()],
            }
            for one, state in self.states.items()
        ]
        return [{"Reservations": [{"Instances": instances}]}]

    def describe_launch_templates(self, **_: Any) -> Any:
        if self.version is None:
            raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "DescribeLaunchTemplates")
        return {"LaunchTemplates": [{"DefaultVersionNumber": self.version}]}

    def run_instances(self, **call: Any) -> Any:
        subnet, least, token = call.get("SubnetId", ""), call["MinCount"], call["ClientToken"]
        self.calls.append((subnet, least, token))
        self.versions.append(call["LaunchTemplate"]["Version"])
        if token not in self.launched and least > self.room.get(subnet, least):
            short: Any = {"Error": {"Code": "InsufficientInstanceCapacity", "Message": "few"}}
            raise ClientError(short | {"ResponseMetadata": {"HTTPStatusCode": 500}}, "RunInstances")
        count = min(self.room.get(subnet, call["MaxCount"]), call["MaxCount"])
        new = [f"new-{subnet}{len(self.launched)}{number}" for number in range(count)]
        self.launched.setdefault(token, new)
        if subnet in self.mute:
            raise ReadTimeoutError(endpoint_url="ec2")
        return {"Instances": [{"InstanceId": one} for one in self.launched[token]]}

    def __getattr__(self, _: str) -> Any:
        return lambda **_: {}


def test_what_was_changed_a_moment_ago_is_believed_before_ec2_knows_it() -> None:
    clock = [100.0]
    ec2 = SlowEc2({"a": "running", "b": "stopped", "c": "running"})
    fleet = Ec2Fleet(ec2, deployment="d", template="t", now=lambda: clock[0])  # type: ignore[arg-type]
    fleet.stop(["a"])
    fleet.start(["b"])
    fleet.terminate(["c"])
    fleet.launch(1, "token")
    assert states(fleet) == {"a": "stopping", "b": "running", "c": "stopping", "new-00": "running"}
    ec2.states = {"a": "stopped", "b": "running", "new-00": "running"}
    assert states(fleet) == {"a": "stopped", "b": "running", "new-00": "running"}
    ec2.states = {"a": "stopped", "b": "running"}  # it was terminated by somebody else
    assert states(fleet) == {"a": "stopped", "b": "running"}


def test_what_ec2_never_comes_to_know_is_forgotten() -> None:
    clock = [100.0]
    fleet = Ec2Fleet(SlowEc2({}), deployment="d", template="t", now=lambda: clock[0])  # type: ignore[arg-type]
    fleet.launch(1, "token")
    assert fleet.instances() == [Instance("new-00", "running", 100.0)]
    clock[0] += 31
    assert fleet.instances() == []


def test_when_ec2_is_short_of_instances_those_that_there_are_come() -> None:
    ec2 = SlowEc2({})
    ec2.room = {"": 1}
    fleet = Ec2Fleet(ec2, deployment="d", template="t", now=lambda: 0.0)  # type: ignore[arg-type]
    assert fleet.launch(5, "token") == ["new-00"]
    assert ec2.calls == [("", 5, "token"), ("", 1, "token-some")]


def spread(ec2: SlowEc2) -> Ec2Fleet:
    return Ec2Fleet(ec2, deployment="d", template="t", subnets=["a", "b", "c"], now=lambda: 0.0)  # type: ignore[arg-type]


def test_what_one_subnet_has_no_room_for_is_launched_in_the_next() -> None:
    ec2 = SlowEc2({})
    ec2.room = {"a": 2, "b": 0}
    assert len(spread(ec2).launch(5, "token")) == 5
    assert ec2.calls == [("a", 5, "token-0"), ("b", 5, "token-1"), ("c", 5, "token-2")]


def test_fewer_are_taken_where_there_are_any_once_no_subnet_has_room_for_all() -> None:
    ec2 = SlowEc2({})
    ec2.room = {"a": 0, "b": 2, "c": 4}
    assert len(spread(ec2).launch(5, "token")) == 2
    assert [call[:2] for call in ec2.calls] == [("a", 5), ("b", 5), ("c", 5), ("a", 1), ("b", 1)]
    assert len({token for *_, token in ec2.calls}) == 5


def test_where_no_subnet_has_any_the_refusal_is_told_and_the_next_try_begins_anew() -> None:
    ec2 = SlowEc2({})
    ec2.room = dict.fromkeys("abc", 0)
    fleet = spread(ec2)
    with pytest.raises(FleetError, match="InsufficientInstanceCapacity"):
        fleet.launch(1, "token")
    ec2.room = {}
    assert len(fleet.launch(1, "token")) == 1
    assert [subnet for subnet, *_ in ec2.calls] == ["a", "b", "c", "a"]


def test_a_repeated_launch_goes_on_where_there_was_no_answer() -> None:
    ec2 = SlowEc2({})
    ec2.room, ec2.mute = {"a": 0}, {"b"}
    fleet = spread(ec2)
    with pytest.raises(FleetError) as unanswered:
        fleet.launch(3, "token")
    assert not unanswered.value.refused
    ec2.room, ec2.mute = {}, set()  # the first subnet has room by now, but the second one has them
    assert fleet.launch(3, "token") == ec2.launched["token-1"]
    assert list(ec2.launched) == ["token-1"]


def test_instances_spread_over_the_subnets(ec2: Any) -> None:
    name = f"spread-{next(_numbers)}"
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:3]
    fleet = Ec2Fleet(ec2, deployment=name, template=template(ec2), subnets=subnets)
    for number in range(3):
        fleet.launch(2, f"{name}-{number}")
        fleet.instances()
    filters = [{"Name": f"tag:{DEPLOYMENT_TAG}", "Values": [name]}]
    reservations = ec2.describe_instances(Filters=filters)["Reservations"]
    used = Counter(one["SubnetId"] for reservation in reservations for one in reservation["Instances"])
    assert used == dict.fromkeys(subnets, 2)


def test_instances_of_an_earlier_version_of_the_template_are_outdated(ec2: Any) -> None:
    clock, name = [time.time()], template(ec2)
    fleet = Ec2Fleet(ec2, deployment=name, template=name, now=lambda: clock[0])
    (first,) = fleet.launch(1, f"{name}-1")
    assert [one.outdated for one in fleet.instances()] == [False]
    ec2.create_launch_template_version(
        LaunchTemplateName=name, SourceVersion="1", LaunchTemplateData={"ImageId": "ami-1"}
    )
    clock[0] += 6
    assert [one.outdated for one in fleet.instances()] == [False], "a version that is not the default one is nobody's"
    (found_template,) = ec2.describe_launch_templates(LaunchTemplateNames=[name])["LaunchTemplates"]
    ec2.modify_launch_template(LaunchTemplateId=found_template["LaunchTemplateId"], DefaultVersion="2")
    clock[0] += 6
    (second,) = fleet.launch(1, f"{name}-2")
    assert {one.id: one.outdated for one in fleet.instances()} == {first: True, second: False}
    found = {
        one["InstanceId"]: ({tag["Key"]: tag["Value"] for tag in one["Tags"]}[TEMPLATE_TAG], one["ImageId"])
        for reservation in ec2.describe_instances(InstanceIds=[first, second])["Reservations"]
        for one in reservation["Instances"]
    }
    assert found == {first: ("1", "ami-0"), second: ("2", "ami-1")}


def test_whose_version_nobody_knows_is_not_outdated() -> None:
    clock = [100.0]
    ec2 = SlowEc2(dict.fromkeys(["tagged", "by-ec2", "current", "untagged"], "running"))
    ec2.tags = {
        "tagged": {TEMPLATE_TAG: "1"},
        "by-ec2": {"aws:ec2launchtemplate:version": "1"},
        "current": {TEMPLATE_TAG: "2"},
    }
    ec2.version = 2
    fleet = Ec2Fleet(ec2, deployment="d", template="t", now=lambda: clock[0])  # type: ignore[arg-type]
    assert {one.id for one in fleet.instances() if one.outdated} == {"tagged", "by-ec2"}
    ec2.version = None
    clock[0] += 6
    assert {one.id for one in fleet.instances() if one.outdated} == {"tagged", "by-ec2"}, "as it was seen last"
    blind = Ec2Fleet(ec2, deployment="d", template="t", now=lambda: clock[0])  # type: ignore[arg-type]
    assert not any(one.outdated for one in blind.instances())
    for one in (fleet, blind):
        one.launch(1, "token")
    assert ec2.versions == ["2", "$Default"]
