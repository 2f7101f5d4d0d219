"""What the elastic tests watch: the fleet, sampled from EC2 while it happens."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from local.stack import Stack
from tests.stacks import instances


def fleet(url: str) -> dict[str, Any]:
    """GET /v1/fleet."""
    body: dict[str, Any] = httpx.get(f"{url}/v1/fleet", trust_env=False, timeout=10).json()
    return body


def decisions(url: str, limit: int = 2000) -> list[dict[str, Any]]:
    """GET /v1/fleet/decisions."""
    answer = httpx.get(f"{url}/v1/fleet/decisions", params={"limit": limit}, trust_env=False, timeout=30)
    found: list[dict[str, Any]] = answer.json()["decisions"]
    return found


@dataclass
class Record:
    """Samples of (seconds, instances that run, instances ever)."""

    began: float = field(default_factory=time.monotonic)
    samples: list[tuple[float, int, int]] = field(default_factory=list)

    @property
    def most(self) -> int:
        return max((running for _, running, _ in self.samples), default=0)

    @property
    def ever(self) -> int:
        return self.samples[-1][2] if self.samples else 0

    def zero_since(self) -> float:
        """The moment (time.monotonic) since when nothing has been running."""
        last = max((at for at, running, _ in self.samples if running), default=self.began)
        return next((at for at, running, _ in self.samples if at > last), last)


@contextmanager
def recorded(stack: Stack) -> Iterator[Record]:
    """Sample EC2 twice a second."""
    record, over = Record(), threading.Event()
    faults: list[Exception] = []

    def sample() -> None:
        while not over.wait(0.5):
            states = [entry["State"]["Name"] for entry in instances(stack)]
            running = sum(state in ("pending", "running") for state in states)
            record.samples.append((time.monotonic(), running, len(states)))

    def guarded() -> None:
        try:
            sample()
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield record
    finally:
        over.set()
        thread.join()
    assert faults == []
    assert record.samples
