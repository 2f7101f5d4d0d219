"""A small cloud on this machine: LocalStack, and a Debian machine behind every one of its EC2 instances."""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from local.localstack import USUAL_PORT
from local.machines import cgroups, machine, network
from local.machines.base import prepare_host
from local.machines.cloud import Cloud, leftovers
from local.machines.machines import address_in, sweep
from local.processes import StartError, interrupt, on_stop_signals
from local.resources import ec2_client

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".local" / "cloud"
_LOCK = Path("/run/elastic-face-cloud.lock")  # the bridge and the addresses are the machine's: one cloud at a time
_SYSTEMD = Path("/run/systemd/system")  # sd_booted(3): there where systemd runs the machine
# Control groups of the daemon's own, to share among machines: see `cgroups.settle`.
_DELEGATED = ("systemd-run", "--scope", "--quiet", "--property=Delegate=yes", "--")
_LOOK_SECONDS = 1.0  # who looks whether a cloud runs holds the lock for a moment
_NAME_SECONDS = 5.0  # a cloud writes who it is as soon as it holds the lock, and ends as soon as that is emptied
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


@dataclass(frozen=True, slots=True)
class Options:
    """What the commands may be told."""

    state: Path
    port: int


def running() -> Running | None:
    """The cloud that runs on this machine, or comes up or goes down; StartError when that cannot be seen."""
    try:
        lock = _LOCK.open()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise StartError("only root sees whether a cloud runs") from error
    with lock:
        deadline = time.monotonic() + _NAME_SECONDS
        while not _take(lock, fcntl.LOCK_SH):
            lock.seek(0)
            if text := lock.read():
                return Running(**json.loads(text))
            if time.monotonic() > deadline:
                raise StartError(f"a process holds {_LOCK} and does not say which cloud it is")
            time.sleep(0.01)
    return None  # whatever the file says: a cloud that crashed has not emptied it


def _run(options: Options) -> int:
    """In the foreground until Ctrl-C or SIGTERM."""
    with _held() as lock:
        return _run_until_told(options, lock)


def _run_until_told(options: Options, lock: TextIO) -> int:
    options.state.mkdir(parents=True, exist_ok=True)
    cloud = Cloud(options.state, lambda line: print(f"  {line}", flush=True), options.port)
    _about(cloud, options).save(lock)
    on_stop_signals(interrupt)
    try:
        cloud.start()
        _about(cloud, options).save(lock)
        print("up", flush=True)
        while True:
            cloud.watch()
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 0
    finally:
        on_stop_signals(signal.SIG_IGN)
        print("stopping", flush=True)
        cloud.stop()


def _up(options: Options) -> int:
    """Start it as a daemon, unless it runs; print the endpoint when it is up."""
    prepare_host(_say)
    about = _ours(options)
    if about is None or not about.endpoint:
        about = _wait_until_up(None if about else _start_daemon(options), options.state / "logs" / "cloud.log")
    print(about.endpoint)
    return 0


def _start_daemon(options: Options) -> "subprocess.Popen[bytes]":
    log = options.state / "logs" / "cloud.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    scope = _DELEGATED if _SYSTEMD.is_dir() else ()  # which becomes the command: the process stays ours
    command = [*scope, sys.executable, "-m", "local.cloud", "run"]
    command += ["--state", str(options.state), "--port", str(options.port)]
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


def _down(options: Options) -> int:
    """Stop it, or remove what one that crashed has left; 1 when anything is left even so."""
    about = _ours(options)
    if about is not None:
        _terminate(about.pid)
        deadline = time.monotonic() + _DOWN_SECONDS
        while running() is not None and time.monotonic() < deadline:
            time.sleep(0.1)
    if running() is None:
        sweep(options.state)
        network.bridge_down()
    for line in leftovers():
        print(f"left: {line}", file=sys.stderr)
    return 1 if leftovers() else 0


def _status(_options: Options) -> int:
    """Print what runs, as JSON; 1 when nothing does."""
    about = running()
    if about is None:
        print("no cloud runs on this machine", file=sys.stderr)
        return 1
    machines = _known_machines(about.endpoint) if about.endpoint else []
    print(json.dumps({**asdict(about), "machines": machines}, indent=2))
    return 0


def _ours(options: Options) -> Running | None:
    """The cloud of this state folder, if it runs; StartError when another does."""
    about = running()
    if about is not None and about.state != str(options.state):
        raise StartError(f"another cloud runs on this machine, from {about.state}")
    return about


def _terminate(pid: int) -> None:
    """Ask the process to end if it is a cloud: the one that was meant may be gone, and its pid another's."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it is gone
        if b"local.cloud" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            os.kill(pid, signal.SIGTERM)


def _about(cloud: Cloud, options: Options) -> Running:
    return Running(os.getpid(), str(options.state), cloud.endpoint, cloud.inner_endpoint, str(cloud.key))


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
    whole: dict[str, Callable[[Options], int]] = {"up": _up, "down": _down, "status": _status, "run": _run}
    for name, function in whole.items():
        command = commands.add_parser(name, help=function.__doc__)
        command.add_argument("--state", type=Path, default=STATE, help="folder for disks, images and logs")
        command.add_argument("--port", type=int, default=USUAL_PORT, help="LocalStack's")
    for name, text in (("kill", "as if its power failed"), ("cut", "off the network"), ("heal", "what was cut")):
        commands.add_parser(name, help=text).add_argument("instance")
    options = parser.parse_args()
    try:
        if options.command in whole:
            return whole[options.command](Options(options.state.resolve(), options.port))
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


@contextmanager
def _held() -> Iterator[TextIO]:
    """The lock file, locked and empty at first and at the end. Root's alone: who can open it can lock it."""
    with os.fdopen(os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+") as lock:
        if not _take(lock, fcntl.LOCK_EX, _LOOK_SECONDS):
            raise StartError("a cloud runs on this machine already")
        lock.truncate(0)
        try:
            yield lock
        finally:
            lock.truncate(0)


def _take(lock: TextIO, kind: int, seconds: float = 0.0) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
