"""What stands behind an instance of LocalStack's EC2."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.hosts import CRASHES_TAG, Ending, Host, Hosts
from local.processes import Part, StartError
from tests.unit.test_worker import eventually

GOOD = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def part(folder: Path, script: str, name: str = "worker") -> Part:
    return Part(name, [sys.executable, "-S", "-c", script], dict(os.environ), folder / f"{name}.log")


class FakeEc2:
    """EC2 as far as hosts look at it."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []

    def get_paginator(self, _: str) -> "FakeEc2":
        return self

    def paginate(self) -> list[Any]:
        instances = [{"InstanceId": one, "State": {"Name": state}} for one, state in self.states.items()]
        return [{"Reservations": [{"Instances": instances}]}]

    def stop_instances(self, **call: Any) -> None:
        self.states |= dict.fromkeys(call["InstanceIds"], "stopped")

    def create_tags(self, **call: Any) -> None:
        self.tags += [(call["Resources"][0], tag) for tag in call["Tags"]]


def keeping(workers: list[Part], folder: Path, script: str) -> Callable[[], Part]:
    """Makes workers that the test ends."""

    def make() -> Part:
        workers.append(part(folder, script))
        return workers[-1]

    return make


@pytest.fixture
def workers() -> Iterator[list[Part]]:
    made: list[Part] = []
    yield made
    for worker in made:
        worker.stop(0)


def test_a_host_boots_the_first_time_slowly_then_warm(tmp_path: Path, workers: list[Part]) -> None:
    host = Host(keeping(workers, tmp_path, GOOD), boot_seconds=10, warm_boot_seconds=2, grace_seconds=5)
    host.run(100.0)
    host.run(109.0)
    assert (host.phase, host.worker.pid) == ("booting", 0)
    host.run(110.0)
    assert host.phase == "running"
    host.shut_down(111.0)
    eventually(lambda: host.worker.ended() is not None)
    host.shut_down(112.0)
    assert host.phase == "off"
    host.run(120.0)
    host.run(121.9)
    assert host.phase == "booting"
    host.run(122.0)
    assert host.phase == "running"


def test_an_instance_that_is_stopped_while_it_boots_never_runs(tmp_path: Path) -> None:
    host = Host(lambda: part(tmp_path, GOOD), boot_seconds=10, warm_boot_seconds=2, grace_seconds=5)
    host.run(100.0)
    host.shut_down(105.0)
    assert (host.phase, host.worker.pid) == ("off", 0)


def test_a_worker_that_does_not_shut_down_is_killed_and_boots_afterwards(tmp_path: Path, workers: list[Part]) -> None:
    host = Host(keeping(workers, tmp_path, STUBBORN), boot_seconds=0, warm_boot_seconds=1, grace_seconds=5)
    host.run(100.0)
    eventually(lambda: host.worker.has_logged("up"))
    host.shut_down(101.0)
    host.run(105.0)  # it is started again meanwhile: first it shuts down
    assert (host.phase, host.worker.ended()) == ("stopping", None)
    host.run(106.1)
    eventually(lambda: host.worker.ended() == -9)
    host.run(107.0)
    host.run(107.0)
    assert host.phase == "booting"


def test_hosts_follow_ec2(tmp_path: Path, workers: list[Part]) -> None:
    ec2 = FakeEc2()

    def make(instance: Any) -> Part:
        workers.append(part(tmp_path, GOOD, instance["InstanceId"]))
        return workers[-1]

    hosts = Hosts(
        ec2,
        make,
        boot_seconds=0,
        warm_boot_seconds=0,
        grace_seconds=5,
        tell=print,  # type: ignore[arg-type]
    )
    ec2.states = {"i-1": "running", "i-2": "pending", "i-3": "stopped"}
    hosts.step()
    assert sorted(worker.name for worker in hosts.workers) == ["i-1", "i-2"]
    ec2.states = {"i-1": "stopped", "i-2": "terminated"}
    eventually(lambda: hosts.step() or hosts.idle)  # type: ignore[func-returns-value]
    assert hosts.workers == []
    ec2.states = {"i-1": "running"}
    hosts.step()
    assert [worker.name for worker in hosts.workers] == ["i-1"]
    hosts.stop()
    assert hosts.idle


def test_a_crashed_worker_is_marked_and_started_again(tmp_path: Path, workers: list[Part]) -> None:
    ec2 = FakeEc2()
    make = keeping(workers, tmp_path, GOOD)
    hosts = Hosts(
        ec2,  # type: ignore[arg-type]
        lambda _: make(),
        boot_seconds=0,
        warm_boot_seconds=0,
        grace_seconds=5,
        tell=print,
    )
    ec2.states = {"i-1": "running"}
    for crash in range(1, 4):
        eventually(lambda: hosts.step() or hosts.workers)  # type: ignore[func-returns-value]
        assert hosts.fault is None
        workers[-1].kill()
        eventually(lambda: workers[-1].ended() is not None)
        hosts.step()
        assert ec2.tags[-1] == ("i-1", {"Key": CRASHES_TAG, "Value": str(crash)})
        time.sleep(0.5)
    assert hosts.fault is not None
    assert "dies again and again" in hosts.fault


class FakeWorker:
    """A worker that ends as the test says."""

    def __init__(self) -> None:
        self.name = "i-1"
        self.started_at = 0.0
        self.starts = 0
        self.status: int | None = None
        self.how: Ending = "crashed"
        self.refusals = 0

    def start(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StartError("no room")
        self.starts += 1
        self.status = None

    def end(self, how: Ending) -> None:
        self.status, self.how = 0, how

    def terminate(self) -> None:
        self.end("halted")

    def kill(self) -> None:
        self.end("crashed")

    def ended(self) -> int | None:
        return self.status

    def ending(self) -> Ending:
        return self.how

    def log_tail(self) -> str:
        return "its log"


def fake_hosts(ec2: FakeEc2, worker: FakeWorker, **hooks: Any) -> Hosts[FakeWorker]:
    return Hosts(
        ec2,  # type: ignore[arg-type]
        lambda _: worker,
        boot_seconds=0,
        warm_boot_seconds=0,
        grace_seconds=5,
        tell=lambda _: None,
        **hooks,
    )


def test_a_worker_that_shuts_down_by_itself_stops_its_instance() -> None:
    ec2, worker = FakeEc2(), FakeWorker()
    hosts = fake_hosts(ec2, worker)
    ec2.states = {"i-1": "running"}
    hosts.step()
    worker.end("halted")
    hosts.step()
    assert ec2.states == {"i-1": "stopped"}
    hosts.step()
    assert (worker.starts, ec2.tags, hosts.idle) == (1, [], True)


def test_a_reboot_is_no_crash() -> None:
    ec2, worker = FakeEc2(), FakeWorker()
    hosts = fake_hosts(ec2, worker)
    ec2.states = {"i-1": "running"}
    hosts.step()
    worker.end("rebooted")
    eventually(lambda: hosts.step() or worker.starts == 2)  # type: ignore[func-returns-value]
    assert ec2.tags == []


def test_an_instance_boots_when_it_may() -> None:
    ec2, worker, may = FakeEc2(), FakeWorker(), [False]
    hosts = fake_hosts(ec2, worker, may_boot=lambda _: may[0])
    ec2.states = {"i-1": "running"}
    hosts.step()
    hosts.step()
    assert worker.starts == 0
    may[0] = True
    hosts.step()
    assert worker.starts == 1


def test_a_worker_that_cannot_start_is_told_of_and_tried_again() -> None:
    ec2, worker = FakeEc2(), FakeWorker()
    worker.refusals = 1
    hosts = fake_hosts(ec2, worker)
    ec2.states = {"i-1": "running"}
    hosts.step()
    assert hosts.fault is not None
    assert "no room" in hosts.fault
    hosts.step()
    assert worker.starts == 1


def test_a_terminated_instance_is_gone_once_it_is_shut_down() -> None:
    ec2, worker = FakeEc2(), FakeWorker()
    gone: list[str] = []
    hosts = fake_hosts(ec2, worker, gone=gone.append)
    ec2.states = {"i-1": "running"}
    hosts.step()
    ec2.states = {"i-1": "terminated"}
    hosts.step()
    assert gone == []
    hosts.step()
    hosts.step()
    assert gone == ["i-1"]
