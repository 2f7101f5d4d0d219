"""All machines behind the instances of one LocalStack."""

import base64
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from local.hosts import Hosts, Tell
from local.machines import cgroups
from local.machines.disk import mounts, unmount
from local.machines.images import Images
from local.machines.machine import Machine
from local.machines.metadata import Facts
from local.machines.network import address_of, links, remove_link

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import InstanceTypeDef

ADDRESS_TAG = "face:address"
"""On an instance: its machine's address, where that is not the instance's own private one."""
_GRACE_SECONDS = 180.0  # longer than any service of ours takes to stop
_STOPPED = ("stopped", "terminated")


class Machines:
    """Makes and keeps the machines that `hosts` boots and shuts down."""

    def __init__(self, ec2: "EC2Client", *, base: Path, state: Path, public_key: str, tell: Tell) -> None:
        """`base` is the root they start from, `state` a folder for their disks and images, `public_key` root's."""
        self._ec2 = ec2
        self._state = state
        self._public_key = public_key
        self._images = Images(ec2, base, state / "images", tell)
        self._machines: dict[str, Machine] = {}
        self._gone: set[str] = set()
        self._lock = threading.Lock()  # two threads: one for the hosts, one for `step`
        self.hosts: Hosts[Machine] = Hosts(
            ec2,
            self._machine,
            boot_seconds=0,
            warm_boot_seconds=0,
            grace_seconds=_GRACE_SECONDS,
            tell=tell,
            may_boot=self._may_boot,
            gone=self._disconnect,
        )
        """Follows EC2; call its `step` from a thread of its own."""

    def facts(self, address: str) -> Facts | None:
        """What the machine at this address may know of itself."""
        with self._lock:
            facts = [machine.facts for name, machine in self._machines.items() if name not in self._gone]
        return next((known for known in facts if known.address == address), None)

    def step(self) -> None:
        """Bake images that have become possible, and remove the disks that nobody needs: may take seconds."""
        with self._lock:
            gone, machines = set(self._gone), list(self._machines.values())
        self._images.step(machines, self._stopped())
        for machine in machines:
            with machine.held():  # one that is down has its disk unmounted by this
                pass
        for name in gone - set(self._images.pending.values()):
            self._remove(name)

    def stop(self) -> None:
        """Shut all machines down, and remove them with their disks and images."""
        self.hosts.stop()
        for name in list(self._machines):
            self._disconnect(name)
            self._remove(name)
        sweep(self._state)

    def _machine(self, instance: "InstanceTypeDef") -> Machine:
        """The same one for an instance at every boot."""
        name = instance["InstanceId"]
        with self._lock:
            if name not in self._machines:
                self._machines[name] = self._make(instance)
            return self._machines[name]

    def _make(self, instance: "InstanceTypeDef") -> Machine:
        name, private = instance["InstanceId"], instance.get("PrivateIpAddress")
        address = address_of(private, name, [machine.facts.address for machine in self._machines.values()])
        if address != private:
            self._ec2.create_tags(Resources=[name], Tags=[{"Key": ADDRESS_TAG, "Value": address}])
        zone = instance["Placement"]["AvailabilityZone"]
        facts = Facts(
            instance=name,
            address=address,
            region=self._ec2.meta.region_name,
            zone=zone,
            image=instance["ImageId"],
            instance_type=instance.get("InstanceType", ""),
        )
        return Machine(
            facts,
            self._state / "machines" / name,
            user_data=lambda: self._user_data(name),
            public_key=self._public_key,
            log=self._state / "logs" / f"{name}.log",
        )

    def _user_data(self, name: str) -> bytes | None:
        answer = self._ec2.describe_instance_attribute(InstanceId=name, Attribute="userData")
        value = answer.get("UserData", {}).get("Value")
        return base64.b64decode(value) if value else None

    def _may_boot(self, instance: "InstanceTypeDef") -> bool:
        """Whether its image is baked, and nobody needs its disk as it is."""
        machine = self._machine(instance)
        if machine.disk is None:
            layers = self._images.layers(machine.facts.image)
            if layers is None:
                return False
            machine.insert(layers)
        return not machine.is_held

    def _stopped(self) -> set[str]:
        """The instances that are stopped or terminated in EC2."""
        pages = self._ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": list(_STOPPED)}]
        )
        return {
            entry["InstanceId"]
            for page in pages
            for reservation in page["Reservations"]
            for entry in reservation["Instances"]
        }

    def _disconnect(self, name: str) -> None:
        """The instance is terminated and its machine down: its disk is kept for an image that is not baked yet."""
        self._machines[name].disconnect()
        with self._lock:
            self._gone.add(name)

    def _remove(self, name: str) -> None:
        machine = self._machines[name]
        if machine.disk is not None:
            machine.disk.remove()
        with self._lock:
            del self._machines[name]
            self._gone.discard(name)


def address_in(instance: "InstanceTypeDef") -> str:
    """The address of the machine behind an instance that EC2 describes."""
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    return tags.get(ADDRESS_TAG) or instance.get("PrivateIpAddress", "")


def sweep(state: Path) -> None:
    """Remove what machines of whatever run have left in the system, and the disks and images of this state folder."""
    for name in cgroups.names():
        cgroups.remove(name)  # with the processes in it
    for name in links():
        remove_link(name)
    for root in mounts():
        unmount(root)
    for folder in ("machines", "images"):
        shutil.rmtree(state / folder, ignore_errors=True)
