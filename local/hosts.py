"""What stands behind the instances of LocalStack's EC2, which only keeps records: a process each, or a machine."""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

from local.processes import StartError

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import InstanceTypeDef

CRASHES_TAG = "face:crashes"
_RUNNING = ("pending", "running")
_FRAGILE_SECONDS = 10.0  # a worker that lives no longer than this did not start
_FRAGILE_RESTARTS = 3
_RESTART_SECONDS = 0.5  # as a service manager would

Ending = Literal["crashed", "rebooted", "halted"]
Tell = Callable[[str], None]


class Worker(Protocol):
    """What does an instance's work: a process or a machine."""

    name: str
    started_at: float
    """When it was started last, on the monotonic clock."""

    def start(self) -> None:
        """Start it, again too; always called by the same thread."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it at once."""

    def ended(self) -> int | None:
        """Its exit status if it has ended."""

    def ending(self) -> Ending:
        """How it ended when nobody had asked it to."""

    def log_tail(self) -> str:
        """The last lines of its log."""


W = TypeVar("W", bound=Worker)


class Host(Generic[W]):
    """What stands behind one instance: nothing, or a worker that boots, runs or shuts down."""

    def __init__(
        self, make_worker: Callable[[], W], boot_seconds: float, warm_boot_seconds: float, grace_seconds: float
    ) -> None:
        """It boots in `boot_seconds` the first time, later in `warm_boot_seconds`."""
        self._make_worker = make_worker
        self.worker = make_worker()
        self.phase: Literal["off", "booting", "running", "stopping"] = "off"
        self.crashes = 0
        self.fragile = 0
        """Crashes in a row soon after a start."""
        self._until = 0.0
        self._boot_seconds = boot_seconds
        self._warm_boot_seconds = warm_boot_seconds
        self._grace_seconds = grace_seconds

    def run(self, now: float, *, may_boot: bool = True) -> Ending | None:
        """The instance runs: go on booting, start the worker, start it again when it has ended; how it has."""
        if self.phase == "off":
            self.phase, self._until = "booting", now + self._boot_seconds
            self._boot_seconds = self._warm_boot_seconds
        if self.phase == "booting" and now >= self._until and may_boot:
            self.worker = self._make_worker()  # ports that were free a while ago need not be now
            self.worker.start()
            self.phase = "running"
        elif self.phase == "running" and self.worker.ended() is not None:
            return self._has_ended(now)
        elif self.phase == "stopping":  # what has begun to shut down does so, and boots afterwards
            self.shut_down(now)
        return None

    def shut_down(self, now: float) -> None:
        """The instance stops: SIGTERM, and SIGKILL after the grace period."""
        if self.phase == "booting":
            self.phase = "off"
        elif self.phase == "running":
            self.worker.terminate()
            self.phase, self._until = "stopping", now + self._grace_seconds
        elif self.phase == "stopping" and self.worker.ended() is not None:
            self.phase = "off"
        elif self.phase == "stopping" and now > self._until:
            self.worker.kill()

    def _has_ended(self, now: float) -> Ending:
        ending = self.worker.ending()
        if ending == "crashed":
            self.crashes += 1
            self.fragile = self.fragile + 1 if time.monotonic() - self.worker.started_at < _FRAGILE_SECONDS else 1
        self.phase = "off" if ending == "halted" else "booting"
        self._until = now + _RESTART_SECONDS
        return ending


class Hosts(Generic[W]):
    """Follows EC2: boots a host for every instance that runs, shuts it down when the instance stops.

    `step` is called again and again, always by the same thread (see Part.start).
    """

    def __init__(
        self,
        ec2: "EC2Client",
        make_worker: "Callable[[InstanceTypeDef], W]",
        *,
        boot_seconds: float,
        warm_boot_seconds: float,
        grace_seconds: float,
        tell: Tell,
        may_boot: "Callable[[InstanceTypeDef], bool]" = lambda _: True,
        gone: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`make_worker` makes what does an instance's work; a host has `grace_seconds` to shut down.

        An instance boots when `may_boot` allows it; `gone` hears of an instance that is terminated and shut down.
        """
        self._ec2 = ec2
        self._make_host: Callable[[InstanceTypeDef], Host[W]] = lambda instance: Host(
            partial(make_worker, instance), boot_seconds, warm_boot_seconds, grace_seconds
        )
        self._tell = tell
        self._may_boot = may_boot
        self._gone = gone
        self._hosts: dict[str, Host[W]] = {}
        self.fault: str | None = None
        """Why a worker does not come up, once it has died several times in a row."""

    @property
    def workers(self) -> list[W]:
        """The workers that run, oldest first."""
        alive = [host.worker for host in list(self._hosts.values()) if host.phase in ("running", "stopping")]
        return sorted((worker for worker in alive if worker.ended() is None), key=lambda worker: worker.started_at)

    @property
    def idle(self) -> bool:
        """Whether no host runs, boots or shuts down."""
        return all(host.phase == "off" for host in list(self._hosts.values()))

    def step(self) -> None:
        """Bring the hosts one step nearer to what EC2 says."""
        instances, now = self._instances(), time.monotonic()
        for identity in instances.keys() - self._hosts.keys():
            self._hosts[identity] = self._make_host(instances[identity])
        for identity, host in list(self._hosts.items()):
            instance = instances.get(identity)
            if instance is not None and instance["State"]["Name"] in _RUNNING:
                self._run(instance, host, now)
            else:
                host.shut_down(now)
                if instance is None and host.phase == "off":
                    self._gone(identity)
                    del self._hosts[identity]

    def stop(self) -> None:
        """Shut every host down, all at the same time."""
        while not self.idle:
            for host in self._hosts.values():
                host.shut_down(time.monotonic())
            time.sleep(0.05)

    def _run(self, instance: "InstanceTypeDef", host: Host[W], now: float) -> None:
        """Let the host run, and tell EC2 how its worker ended if it has."""
        identity = instance["InstanceId"]
        try:
            may_boot = host.phase in ("running", "stopping") or self._may_boot(instance)
            ending = host.run(now, may_boot=may_boot)
        except StartError as error:  # the others run all the same; this one is tried again
            self.fault = f"{identity} does not start: {error}"
            self._tell(self.fault)
            return
        if ending == "crashed":
            self._crashed(identity, host)
        elif ending == "halted":  # it shut down by itself, and stays down as on EC2
            self._ec2.stop_instances(InstanceIds=[identity])

    def _crashed(self, instance: str, host: Host[W]) -> None:
        """Mark the instance; a worker that dies again and again soon after its start is the installation's fault."""
        worker = host.worker
        self._tell(f"{worker.name} ended ({worker.ended()}) and is started again")
        tag = {"Key": CRASHES_TAG, "Value": str(host.crashes)}
        self._ec2.create_tags(Resources=[instance], Tags=[tag])  # type: ignore[list-item]
        if host.fragile >= _FRAGILE_RESTARTS:
            self.fault = f"a worker dies again and again:\n{worker.log_tail()}"

    def _instances(self) -> "dict[str, InstanceTypeDef]":
        """Every instance that is not terminated; EC2 goes on to name those for a while."""
        pages = self._ec2.get_paginator("describe_instances").paginate()
        instances = [
            entry for page in pages for reservation in page["Reservations"] for entry in reservation["Instances"]
        ]
        ended = ("terminated", "shutting-down")
        return {entry["InstanceId"]: entry for entry in instances if entry["State"]["Name"] not in ended}
