"""What the tests of hosts ask of a systemd unit, and what they do to it."""

import re
import shlex
import time
from collections.abc import Callable

from testinfra.host import Host

# Joins the unit's cgroup, as its children do, and fills the unit's memory until the kernel ends somebody. The kernel is
# told whom: `victim` is a process id, or nothing for this process.
_GREEDY = """
import os, sys, time
procs, main, victim = sys.argv[1:]
with open(procs, "w") as file:
    file.write(str(os.getpid()))
with open(f"/proc/{victim or 'self'}/oom_score_adj", "w") as file:
    file.write("1000")
held, end = [], time.monotonic() + 20
while time.monotonic() < end and os.path.isdir(f"/proc/{main}"):
    held.append(b"x" * 2**24)
"""


def properties(host: Host, unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit, as systemd has them."""
    output = host.check_output("systemctl show %s --property=%s", unit, ",".join(names))
    return dict(line.split("=", 1) for line in output.splitlines())


def main_pid(host: Host, unit: str) -> int:
    """The unit's main process; 0 when it does not run."""
    return int(properties(host, unit, "MainPID")["MainPID"])


def eventually(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether it holds within so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def comes_back(host: Host, unit: str, pid: int, seconds: float) -> bool:
    """Whether within so many seconds the unit runs again, in another process than `pid`."""

    def is_back() -> bool:
        now = properties(host, unit, "ActiveState", "MainPID")
        return now["ActiveState"] == "active" and now["MainPID"] not in {"0", str(pid)}

    return eventually(is_back, seconds)


def exposure(host: Host, unit: str) -> float:
    """What `systemd-analyze security` thinks of the unit: 0 (sandboxed) to 10 (open)."""
    output = host.run("systemd-analyze security --no-pager %s", unit).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", output)
    assert found, output
    return float(found[1])


def listening(host: Host) -> set[tuple[str, int]]:
    """Address and port of every TCP socket that listens."""
    lines = host.check_output("ss --listening --tcp --numeric --no-header").splitlines()
    sockets = [line.split()[3].rsplit(":", 1) for line in lines]
    return {(address.strip("[]"), int(port)) for address, port in sockets}


def memory_cgroup(host: Host, unit: str) -> str:
    """Folder of the unit's cgroup in the hierarchy that counts memory: the only one, or version 1's of its own."""
    group = properties(host, unit, "ControlGroup")["ControlGroup"]
    folders = [f"/sys/fs/cgroup/memory{group}", f"/sys/fs/cgroup{group}"]
    return next(folder for folder in folders if host.file(f"{folder}/cgroup.procs").exists)


def fill_memory(host: Host, unit: str, *, main_dies: bool) -> int:
    """Let a process of the unit's cgroup allocate until the kernel ends one; its exit status, 137 if it was killed.

    With `main_dies` the kernel is told to end the unit's main process instead.
    """
    main = str(main_pid(host, unit))
    procs = f"{memory_cgroup(host, unit)}/cgroup.procs"
    command = shlex.join(["python3", "-c", _GREEDY, procs, main, main if main_dies else ""])
    return int(host.run(f"{command}; echo $?").stdout.split()[-1])  # SSH has no status for who was killed
