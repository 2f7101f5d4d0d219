"""A cgroup for every machine in every mounted hierarchy: its systemd governs limits and processes of its own there."""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from local.machines.network import NAME
from local.processes import StartError

_MOUNTS = Path("/sys/fs/cgroup")
_REMOVE_SECONDS = 5.0
_DAEMON = "face-daemon"
_LIMITED = ("memory", "pids", "cpu")


def settle() -> None:
    """Where cgroup v2 is the only hierarchy, let this process's cgroup pass its controllers on to machines'.

    Such a cgroup may not hold processes itself, so this one moves into a leaf below it, and its children follow.
    Assumed: no other process is in that cgroup, and who made it removes it with the leaf. Both hold for the delegated
    scope of systemd that `local.cloud up` starts in; a shell's own cgroup is refused.
    StartError when memory cannot be limited: the limits inside machines would be ignored without a word.
    """
    if not (_MOUNTS / "cgroup.controllers").exists():
        return
    parent = next(_own(), None)
    if parent is None:
        raise StartError("machines' memory cannot be limited: this process's cgroup is not to be seen from here")
    passed = passed_on((parent / "cgroup.controllers").read_text())
    try:
        (parent / _DAEMON).mkdir(exist_ok=True)
        (parent / _DAEMON / "cgroup.procs").write_text(str(os.getpid()))
        (parent / "cgroup.subtree_control").write_text(passed)
    except OSError as error:
        why = "it takes a cgroup without other processes, such as systemd gives to python -m local.cloud up"
        raise StartError(f"machines' memory cannot be limited: {error}; {why}") from error


def passed_on(available: str) -> str:
    """What enables a cgroup's controllers for those below it, given its `cgroup.controllers`."""
    if "memory" not in available.split():
        raise StartError("machines' memory cannot be limited: their cgroup has no memory controller")
    return " ".join(f"+{controller}" for controller in _LIMITED if controller in available.split())


def make(name: str) -> list[Path]:
    """A cgroup below this process's own one in every hierarchy; who wants to be in it writes its pid there."""
    made = [parent / name for parent in _own()]
    for path in made:
        path.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # cgroup v1: empty ones admit no process
            if (path / setting).exists() and not (path / "cgroup.controllers").exists():
                (path / setting).write_text((path.parent / setting).read_text())
    return made


def names() -> set[str]:
    """The machines that have cgroups, whoever started them."""
    return {path.name for path in _find(NAME)}


def remove(name: str) -> None:
    """Remove the machine's cgroups; processes that are left in them are killed."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    paths = list(_find(re.compile(re.escape(name))))
    while paths and time.monotonic() < deadline:
        for pid in _processes(paths):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for path in paths:
            for folder in sorted(path.rglob("*/"), reverse=True):  # the deepest first
                _remove(folder)
            _remove(path)
        paths = [path for path in paths if path.exists()]
        time.sleep(0.02 if paths else 0)


def init(name: str) -> int | None:
    """The pid, as seen from here, of the machine's first process; None when it does not run."""
    for pid in _processes(_find(re.compile(re.escape(name)))):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        if re.search(r"^NSpid:\t\d+\t1$", status, re.MULTILINE):
            return pid
    return None


def _own() -> Iterator[Path]:
    """The cgroup of this process, or the one that it has settled in, in every mounted hierarchy of version 1 and 2."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.removesuffix(f"/{_DAEMON}").split(":", 2)
        unified = _MOUNTS / "unified" if (_MOUNTS / "unified").exists() else _MOUNTS
        mount = unified if number == "0" else _MOUNTS / controllers.removeprefix("name=")
        if (mount / path.lstrip("/") / "cgroup.procs").exists():
            yield mount / path.lstrip("/")


def _find(name: re.Pattern[str]) -> Iterator[Path]:
    """Machines' cgroups, without those that a machine's own systemd has made in them."""
    waiting = [_MOUNTS]
    while waiting:
        for path in _folders(waiting.pop()):
            if name.fullmatch(path.name):
                yield path
            elif not NAME.fullmatch(path.name):
                waiting.append(path)


def _folders(path: Path) -> list[Path]:
    try:
        return [entry for entry in path.iterdir() if entry.is_dir() and not entry.is_symlink()]
    except OSError:  # it went meanwhile
        return []


def _processes(paths: Iterator[Path] | list[Path]) -> set[int]:
    pids: set[int] = set()
    for path in paths:
        for file in path.rglob("cgroup.procs"):
            try:
                pids.update(int(pid) for pid in file.read_text().split())
            except OSError:
                continue
    return pids


def _remove(folder: Path) -> None:
    with suppress(OSError):  # still in use
        folder.rmdir()
