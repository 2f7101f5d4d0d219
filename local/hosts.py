"""A host behind every instance of LocalStack's EC2, which only keeps a record of them: a worker process each."""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

from local.processes import Part

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

CRASHES_TAG = "face:crashes"
_RUNNING = ("pending", "running")
_FRAGILE_SECONDS = 10.0  # a worker that lives no longer than this did not start
_FRAGILE_RESTARTS = 3
_RESTART_SECONDS = 0.5  # as a service manager would

Tell = Callable[[str], None]


class Host:
    """What stands behind one instance: nothing, or a worker that boots, runs or shuts down."""

    def __init__(
        self, make_worker: Callable[[], Part], boot_seconds: float, warm_boot_seconds: float, grace_seconds: float
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

    def run(self, now: float) -> bool:
        """The instance runs: go on booting, start the worker, start it again when it has crashed; whether it has."""
        if self.phase == "off":
            self.phase, self._until = "booting", now + self._boot_seconds
            self._boot_seconds = self._warm_boot_seconds
        if self.phase == "booting" and now >= self._until:
            self.worker = self._make_worker()  # ports that were free a while ago need not be now
            self.worker.start()
            self.phase = "running"
        elif self.phase == "running" and self.worker.ended() is not None:
            self.crashes += 1
            self.fragile = self.fragile + 1 if time.monotonic() - self.worker.started_at < _FRAGILE_SECONDS else 1
            self.phase, self._until = "booting", now + _RESTART_SECONDS
            return True
        elif self.phase == "stopping":  # what has begun to shut down does so, and boots afterwards
            self.shut_down(now)
        return False

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


class Hosts:
    """Follows EC2: boots a host for every instance that runs, shuts it down when the instance stops.

    `step` is called again and again, always by the same thread (see Part.start).
    """

    def __init__(
        self,
        ec2: "EC2Client",
        make_worker: Callable[[str], Part],
        *,
        boot_seconds: float,
        warm_boot_seconds: float,
        grace_seconds: float,
        tell: Tell,
    ) -> None:
        """`make_worker` makes the process for an instance's id; a host has `grace_seconds` to shut down."""
        self._ec2 = ec2
        self._make_host: Callable[[str], Host] = lambda instance: Host(
            partial(make_worker, instance), boot_seconds, warm_boot_seconds, grace_seconds
        )
        self._tell = tell
        self._hosts: dict[str, Host] = {}
        self.fault: str | None = None
        """Why a worker does not come up, once it has died several times in a row."""

    @property
    def workers(self) -> list[Part]:
        """The worker processes that run, oldest first."""
        alive = [host.worker for host in list(self._hosts.values()) if host.phase in ("running", "stopping")]
        return sorted((worker for worker in alive if worker.ended() is None), key=lambda worker: worker.started_at)

    @property
    def idle(self) -> bool:
        """Whether no host runs, boots or shuts down."""
        return all(host.phase == "off" for host in list(self._hosts.values()))

    def step(self) -> None:
        """Bring the hosts one step nearer to what EC2 says."""
        states, now = self._states(), time.monotonic()
        for instance in states.keys() - self._hosts.keys():
            self._hosts[instance] = self._make_host(instance)
        for instance, host in list(self._hosts.items()):
            if states.get(instance) in _RUNNING:
                if host.run(now):
                    self._crashed(instance, host)
            else:
                host.shut_down(now)
                if instance not in states and host.phase == "off":
                    del self._hosts[instance]

    def stop(self) -> None:
        """Shut every host down, all at the same time."""
        while not self.idle:
            for host in self._hosts.values():
                host.shut_down(time.monotonic())
            time.sleep(0.05)

    def _crashed(self, instance: str, host: Host) -> None:
        """Mark the instance; a worker that dies again and again soon after its start is the installation's fault."""
        worker = host.worker
        self._tell(f"{worker.name} ended ({worker.ended()}) and is started again")
        tag = {"Key": CRASHES_TAG, "Value": str(host.crashes)}
        self._ec2.create_tags(Resources=[instance], Tags=[tag])  # type: ignore[list-item]
        if host.fragile >= _FRAGILE_RESTARTS:
            self.fault = f"a worker dies again and again:\n{worker.log_tail()}"

    def _states(self) -> dict[str, str]:
        """The state of every instance that is not terminated."""
        pages = self._ec2.get_paginator("describe_instances").paginate()
        instances = (
            entry for page in pages for reservation in page["Reservations"] for entry in reservation["Instances"]
        )
        states = {entry["InstanceId"]: entry["State"]["Name"] for entry in instances}
        return {instance: state for instance, state in states.items() if state not in ("terminated", "shutting-down")}
