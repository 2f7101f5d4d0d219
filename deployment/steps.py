"""Running commands and telling how far the work is."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


class DeployError(Exception):
    """The work cannot go on; the message says why and what to do."""


@dataclass
class Steps:
    """The steps taken so far with their times, told as they happen."""

    taken: list[tuple[str, float]] = field(default_factory=list)
    """Name and seconds; a step within a step comes before it."""
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Tell that a step begins, and how long it took when it has succeeded."""
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self.taken.append((name, seconds))
        print(f"-- {name}: {seconds:.0f} s", flush=True)

    def table(self) -> str:
        """All steps with their seconds."""
        width = max(len(name) for name, _ in self.taken)
        lines = [f"  {name:<{width}}  {seconds:7.1f} s" for name, seconds in self.taken]
        return "\n".join([*lines, f"  {'in all':<{width}}  {time.monotonic() - self.began:7.1f} s"])


def run(
    command: Sequence[str],
    *,
    what: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    accepted: Sequence[int] = (0,),
) -> int:
    """Run a command with its output shown; its exit status, DeployError unless that is accepted."""
    status = _finish(command, environment, folder, capture=False).returncode
    if status not in accepted:
        raise DeployError(f"{what} failed with status {status}; its output above says why")
    return status


def output_of(command: Sequence[str], *, what: str, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints; DeployError with its errors when it fails."""
    done = _finish(command, environment, None, capture=True)
    if done.returncode:
        raise DeployError(f"{what} failed:\n{done.stderr.strip()}")
    return done.stdout


def _finish(
    command: Sequence[str], environment: Mapping[str, str] | None, folder: Path | None, *, capture: bool
) -> "subprocess.CompletedProcess[str]":
    sys.stdout.flush()  # its output comes after ours
    for stream in (1, 2):
        os.set_blocking(stream, True)  # Ansible refuses what some shells and CI runners hand down
    return subprocess.run(
        list(command),
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        cwd=folder,
        capture_output=capture,
        text=True,
        check=False,
    )
