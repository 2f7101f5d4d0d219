"""A small cloud on this machine: LocalStack, and a Debian machine behind every one of its EC2 instances."""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TextIO

from face_common.loops import Loop
from local.hosts import Tell
from local.localstack import USUAL_PORT, HostLocalStack, is_free
from local.machines import cgroups, machine, network
from local.machines.base import base_root, prepare_host
from local.machines.disk import mounts
from local.machines.machines import Machines, address_in, sweep
from local.machines.metadata import Metadata, MetadataServer
from local.machines.shell import run
from local.processes import StartError
from local.resources import ec2_client

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".local" / "cloud"
_LOCK = Path("/run/elastic-face-cloud.lock")  # the bridge and the addresses are the machine's: one cloud at a time
_SERVICES = ("logs", "cloudwatch")
_HOSTS_EVERY_SECONDS = 0.5
_IMAGES_EVERY_SECONDS = 2.0
_LOOK_SECONDS = 1.0  # who looks whether a cloud runs holds the lock for a moment
_UP_SECONDS = 1800.0  # with a base to build on a slow line
_DOWN_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Running:
    """What others need to know of the cloud that runs."""

    pid: int
    state: str
    endpoint: str
    """LocalStack for this machine; empty until the cloud is up."""
    inner_endpoint: str
    """LocalStack for the cloud's machines."""
    key: str
    """The file with the private key that root of every machine accepts."""

    def save(self, lock: TextIO) -> None:
        """Write it to the lock file."""
        lock.truncate(0)
        lock.write(json.dumps(asdict(self)))
        lock.flush()


class Cloud:
    """LocalStack, the bridge and the machines."""

    def __init__(self, state: Path, tell: Tell, port: int = USUAL_PORT) -> None:
        """`state` takes disks, images and logs of this run; `tell` is called with each line of progress."""
        self._state = state
        self._tell = tell
        self._port = port
        self.key = state / "id_ed25519"
        self._steps = ExitStack()  # what is to be undone, the last first
        self._localstack: HostLocalStack | None = None
        self.machines: Machines | None = None

    def start(self) -> None:
        """Start everything and wait until LocalStack answers; StartError when something does not come up."""
        base = base_root(self._tell)
        sweep(self._state)
        for log in (self._state / "logs").glob("i-*.log"):
            log.unlink()  # of an earlier run's machines; instances' ids never return
        network.bridge_down()
        if not is_free(self._port):
            raise StartError(f"port {self._port} is taken")
        network.bridge_up()
        self._steps.callback(network.bridge_down)
        gateway = str(network.GATEWAY)
        python = ROOT / ".venv-localstack" / "bin" / "python"
        self._localstack = HostLocalStack(python, self._state, self._port, addresses=[gateway], services=_SERVICES)
        self._steps.callback(self._localstack.stop)
        self._localstack.start()
        self._start_machines(base, self._localstack.endpoint)

    def about(self) -> Running:
        """What others need to know of it."""
        endpoint = self._localstack.endpoint if self.machines is not None and self._localstack is not None else ""
        inner = f"http://{network.GATEWAY}:{self._port}"
        return Running(os.getpid(), str(self._state), endpoint, inner, str(self.key))

    def watch(self) -> None:
        """StartError when LocalStack has died."""
        if self._localstack is not None and self._localstack.ended() is not None:
            raise StartError("LocalStack died: its record of the cloud is gone")

    def stop(self) -> None:
        """Shut the machines down and remove everything. Safe whatever has been started so far."""
        self._steps.close()

    def _start_machines(self, base: Path, endpoint: str) -> None:
        ec2 = ec2_client(endpoint)
        ec2.describe_instances()  # LocalStack loads a service at its first call, and fails calls beside that
        public_key = _key_pair(self.key)
        self.machines = Machines(ec2, base=base, state=self._state, public_key=public_key, tell=self._tell)
        metadata = MetadataServer(network.metadata_up(), Metadata(self.machines.facts))
        self._steps.callback(network.metadata_down)
        self._steps.callback(metadata.stop)
        self._steps.callback(self.machines.stop)
        for name, step, pause in (
            ("hosts", self.machines.hosts.step, _HOSTS_EVERY_SECONDS),
            ("images", self.machines.step, _IMAGES_EVERY_SECONDS),
        ):
            self._steps.callback(Loop(name, step, pause).start().stop)


def leftovers() -> list[str]:
    """What of a cloud is still in the system."""
    found = [f"cgroups of {name}" for name in sorted(cgroups.names())]
    found += [f"network of {name}" for name in network.links()]
    found += [f"mount {root}" for root in mounts()]
    return found + [f"bridge {network.BRIDGE}" for _ in Path("/sys/class/net").glob(network.BRIDGE)]


def running() -> Running | None:
    """The cloud that runs on this machine, or comes up or goes down."""
    if not _LOCK.exists():
        return None
    with _LOCK.open() as lock:
        if _take(lock):
            return None
        text = lock.read()
    return Running(**json.loads(text)) if text else None


def _run(state: Path) -> int:
    """In the foreground until Ctrl-C or SIGTERM."""
    lock = _LOCK.open("a+")  # held until this process ends
    if not _take(lock, _LOOK_SECONDS):
        raise StartError("a cloud runs on this machine already")
    state.mkdir(parents=True, exist_ok=True)
    cloud = Cloud(state, lambda line: print(f"  {line}", flush=True))
    cloud.about().save(lock)
    _on_stop_signals(_interrupt)
    try:
        cloud.start()
        cloud.about().save(lock)
        print("up", flush=True)
        while True:
            cloud.watch()
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 0
    finally:
        _on_stop_signals(signal.SIG_IGN)
        print("stopping", flush=True)
        cloud.stop()


def _up(state: Path) -> int:
    """Start it as a daemon, unless it runs; print the endpoint when it is up."""
    prepare_host(_say)
    about = running()
    if about is not None and about.state != str(state):
        raise StartError(f"another cloud runs on this machine, from {about.state}")
    if about is None or not about.endpoint:
        about = _wait_until_up(None if about else _start_daemon(state), state / "logs" / "cloud.log")
    print(about.endpoint)
    return 0


def _start_daemon(state: Path) -> "subprocess.Popen[bytes]":
    log = state / "logs" / "cloud.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "local.cloud", "run", "--state", str(state)]
    with log.open("wb") as output:
        return subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def _wait_until_up(daemon: "subprocess.Popen[bytes] | None", log: Path) -> Running:
    """Say what the daemon logs until it is up; without `daemon`, another process has started it."""
    deadline, told = time.monotonic() + _UP_SECONDS, 0
    while True:
        about = running()
        lines = log.read_text(errors="replace").splitlines()
        for line in lines[told:]:
            _say(line)
        told = len(lines)
        if about is not None and about.endpoint:
            return about
        ended = daemon.poll() is not None if daemon is not None else about is None
        if ended or time.monotonic() > deadline:
            raise StartError(f"the cloud did not come up (see {log})")
        time.sleep(0.1)


def _down(state: Path) -> int:
    """Stop it, or remove what one that crashed has left; 1 when anything is left even so."""
    about = running()
    if about is not None:
        os.kill(about.pid, signal.SIGTERM)
        deadline = time.monotonic() + _DOWN_SECONDS
        while running() is not None and time.monotonic() < deadline:
            time.sleep(0.1)
    if running() is None:
        sweep(state)
        network.bridge_down()
    for line in leftovers():
        print(f"left: {line}", file=sys.stderr)
    return 1 if leftovers() else 0


def _status(_state: Path) -> int:
    """Print what runs, as JSON; 1 when nothing does."""
    about = running()
    if about is None:
        print("no cloud runs on this machine", file=sys.stderr)
        return 1
    machines = _known_machines(about.endpoint) if about.endpoint else []
    print(json.dumps({**asdict(about), "machines": machines}, indent=2))
    return 0


def _known_machines(endpoint: str) -> list[dict[str, object]]:
    """Every instance that is not terminated, with its machine's address and whether the machine is up."""
    reservations = ec2_client(endpoint).describe_instances()["Reservations"]
    instances = [instance for reservation in reservations for instance in reservation["Instances"]]
    return [
        {
            "instance": instance["InstanceId"],
            "state": instance["State"]["Name"],
            "address": address_in(instance),
            "up": cgroups.init(network.machine_name(instance["InstanceId"])) is not None,
        }
        for instance in instances
        if instance["State"]["Name"] != "terminated"
    ]


def main() -> int:
    """The command line; 0 when it went well."""
    parser = argparse.ArgumentParser(prog="python -m local.cloud", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    whole: dict[str, Callable[[Path], int]] = {"up": _up, "down": _down, "status": _status, "run": _run}
    for name, function in whole.items():
        commands.add_parser(name, help=function.__doc__).add_argument("--state", type=Path, default=STATE)
    for name, text in (("kill", "as if its power failed"), ("cut", "off the network"), ("heal", "what was cut")):
        commands.add_parser(name, help=text).add_argument("instance")
    options = parser.parse_args()
    try:
        if options.command in whole:
            return whole[options.command](options.state.resolve())
        return _disturb(options.command, network.machine_name(options.instance))
    except StartError as error:
        print(f"cloud: {error}", file=sys.stderr)
        return 2


def _disturb(command: str, name: str) -> int:
    link = network.Link(name, "")
    if command == "kill":
        return 0 if machine.kill(name) else 1
    link.cut() if command == "cut" else link.heal()
    return 0


def _key_pair(key: Path) -> str:
    """The public key; the pair is made when there is none."""
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "elastic-face", "-f", str(key))
    return key.with_suffix(".pub").read_text().strip()


def _take(lock: TextIO, seconds: float = 0.0) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _on_stop_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
