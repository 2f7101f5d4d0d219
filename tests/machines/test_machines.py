"""Real machines behind LocalStack's instances. Needs root and systemd-nspawn; the first run builds a small Debian."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.cloud import running
from local.localstack import free_port
from local.machines.cloud import leftovers
from local.machines.images import SOURCE_TAG
from local.machines.machines import address_in
from local.machines.network import machine_name
from local.resources import ec2_client
from tests.unit.test_worker import eventually

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import InstanceTypeDef

pytestmark = [
    pytest.mark.timeout(900),  # the first time, with the base
    pytest.mark.skipif(os.geteuid() != 0, reason="machines need root"),
    pytest.mark.skipif(shutil.which("apt-get") is None, reason="machines need Debian, which the cloud equips itself"),
]
UNKNOWN_IMAGE = "ami-0123456789abcdef0"  # one that is not ours: the base
SCRIPT = "#!/bin/sh\necho ran >>/srv/user-data\n"
STOP_MARK = "systemd-run --quiet --unit=mark --property='ExecStop=/bin/sh -c \"sleep 1; date >/srv/stopped\"' sleep 600"
TOKEN = "T=$(curl -sS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)"
ASK = "curl -sS -w ' %{http_code}' -H \"X-aws-ec2-metadata-token: $T\" http://169.254.169.254/latest"


def command(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "local.cloud", *arguments], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


class TestCloud:
    """A cloud of the tests' own, and what they do with it."""

    __test__ = False

    def __init__(self, state: Path, endpoint: str) -> None:
        self.state = state
        self.ec2: EC2Client = ec2_client(endpoint)
        vpc = self.ec2.create_vpc(CidrBlock="10.213.0.0/16")["Vpc"]["VpcId"]
        self._subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock="10.213.9.0/24")["Subnet"]["SubnetId"]

    def launch(
        self, image: str = UNKNOWN_IMAGE, *, user_data: str = "", placed: bool = True, at: str = ""
    ) -> "Instance":
        where = {"SubnetId": self._subnet} if placed else {}
        (entry,) = self.ec2.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            UserData=user_data,
            **where,  # type: ignore[arg-type]
        )["Instances"]
        return Instance(self, entry["InstanceId"])

    def image_of(self, source: "Instance") -> str:
        tags = [{"ResourceType": "image", "Tags": [{"Key": SOURCE_TAG, "Value": source.name}]}]
        return self.ec2.create_image(
            InstanceId=source.name,
            Name=f"image-of-{source.name}",
            TagSpecifications=tags,  # type: ignore[arg-type]
        )["ImageId"]


class Instance:
    """One instance and the machine behind it."""

    def __init__(self, cloud: TestCloud, name: str) -> None:
        self.name = name
        self._cloud = cloud
        self.start = partial(cloud.ec2.start_instances, InstanceIds=[name])
        self.stop = partial(cloud.ec2.stop_instances, InstanceIds=[name])
        self.terminate = partial(cloud.ec2.terminate_instances, InstanceIds=[name])

    @property
    def entry(self) -> "InstanceTypeDef":
        return self._cloud.ec2.describe_instances(InstanceIds=[self.name])["Reservations"][0]["Instances"][0]

    @property
    def tags(self) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.entry.get("Tags", [])}

    def shell(self, script: str) -> str:
        """What the script prints on the machine; CalledProcessError when it fails, or the machine does not answer."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=2", "BatchMode=yes"]
        login = ["ssh", "-q", "-i", str(self._cloud.state / "id_ed25519")]
        login += [word for option in options for word in ("-o", option)] + [f"root@{address_in(self.entry)}"]
        return subprocess.run([*login, script], capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    def is_up(self) -> bool:
        machines = json.loads(command("status"))["machines"]
        return any(machine["instance"] == self.name and machine["up"] for machine in machines)

    def wait(self) -> "Instance":
        eventually(self.boot, 30)
        return self

    def boot(self) -> str | None:
        """What tells one boot from another; None while it does not answer."""
        try:
            return self.shell("cat /proc/sys/kernel/random/boot_id")
        except subprocess.CalledProcessError:
            return None


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestCloud]:
    if (other := running()) is not None:
        pytest.skip(f"another cloud runs on this machine, from {other.state}")
    state = tmp_path_factory.mktemp("cloud")
    try:
        endpoint = command("up", "--state", str(state), "--port", str(free_port())).strip()
        yield TestCloud(state, endpoint)
    finally:
        command("down", "--state", str(state))
    assert leftovers() == []
    assert list((state / "machines").glob("*")) == []


@pytest.fixture(scope="module")
def first(cloud: TestCloud) -> Instance:
    return cloud.launch(user_data=SCRIPT).wait()


def test_a_machine_boots_whole_and_its_limits_hold(first: Instance) -> None:
    assert first.shell("systemctl is-system-running --wait") == "running"
    assert first.shell("hostname") == f"ip-{address_in(first.entry).replace('.', '-')}"
    use = "systemd-run --quiet --wait --property=MemoryMax={} -- python3 -c 'len(bytes(10**8).hex())'"
    script = f"{use.format('infinity')} >&2; echo $?; {use.format('40M')} >&2; echo $?"
    assert first.shell(script).split() == ["0", "255"]


def test_a_machine_knows_its_instance_by_token_only(first: Instance) -> None:
    assert first.shell(f"{TOKEN}; {ASK}/meta-data/instance-id") == f"{first.name} 200"
    assert first.shell(f"{TOKEN}; {ASK}/user-data") == f"{SCRIPT} 200"
    assert first.shell(f"T=none; {ASK}/meta-data/instance-id").endswith("401")


def test_a_stop_is_a_shutdown_and_the_disk_is_kept(first: Instance) -> None:
    eventually(lambda: first.shell("cat /srv/user-data") == "ran", 10)
    first.shell(STOP_MARK)
    before = first.shell("cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub")
    first.stop()
    eventually(lambda: not first.is_up(), 15)
    first.start()
    first.wait()
    assert first.shell("test -s /srv/stopped && cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub") == before
    assert first.shell("systemctl is-system-running --wait; cat /srv/user-data") == "running\nran"


def test_a_clone_has_what_was_installed_and_an_identity_of_its_own(cloud: TestCloud, first: Instance) -> None:
    first.shell("echo installed >/opt/installed; rm /usr/bin/rsync")
    first.stop()
    image = cloud.image_of(first)  # while it still shuts down
    clone = cloud.launch(image, user_data=SCRIPT).wait()
    assert clone.shell("cat /opt/installed; test ! -e /usr/bin/rsync") == "installed"
    eventually(lambda: clone.shell("cat /srv/user-data") == "ran\nran", 10)
    identity = "cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub"
    ours = clone.shell(identity).splitlines()
    first.start()
    theirs = first.wait().shell(identity).splitlines()
    assert [len(line) > 30 for line in ours + theirs] == [True] * 4
    assert not set(ours) & set(theirs)
    clone.terminate()


def _disturbances(machine: Instance) -> dict[str, Callable[[], object]]:
    return {
        "killed": partial(command, "kill", machine.name),
        "rebooted": partial(machine.shell, "systemctl reboot"),
    }


@pytest.mark.parametrize(("what", "crashes"), [("rebooted", None), ("killed", "1")])
def test_a_machine_comes_back(first: Instance, what: str, crashes: str | None) -> None:
    before = first.boot()
    _disturbances(first)[what]()
    eventually(lambda: first.boot() not in (None, before), 30)
    assert first.tags.get("face:crashes") == crashes


def test_a_machine_is_cut_off_and_connected_again(first: Instance) -> None:
    command("cut", first.name)
    assert first.boot() is None
    command("heal", first.name)
    first.wait()


def test_power_off_from_inside_stops_the_instance(first: Instance) -> None:
    first.shell("systemctl poweroff")
    eventually(lambda: first.entry["State"]["Name"] == "stopped", 15)
    first.start()
    first.wait()


def test_an_instance_outside_the_network_tells_its_address_by_tag(cloud: TestCloud) -> None:
    instance = cloud.launch(placed=False)
    eventually(lambda: "face:address" in instance.tags, 10)
    instance.wait()
    instance.terminate()


def test_a_terminated_machine_leaves_nothing(cloud: TestCloud) -> None:
    instance = cloud.launch().wait()
    instance.terminate()
    eventually(lambda: not (cloud.state / "machines" / instance.name).exists(), 15)
    assert [line for line in leftovers() if machine_name(instance.name) in line] == []


def test_what_a_crash_of_the_cloud_leaves_is_removed(cloud: TestCloud) -> None:
    """The last one: nothing is up afterwards."""
    cloud.launch().wait()
    about = running()
    assert about is not None
    os.kill(about.pid, signal.SIGKILL)
    eventually(lambda: running() is None)
    assert leftovers() != []
    command("down", "--state", str(cloud.state))
    assert leftovers() == []
    assert subprocess.run(["pgrep", "-f", f"systemd-nspawn.*{cloud.state}"], check=False).returncode == 1
