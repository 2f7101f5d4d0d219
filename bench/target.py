"""The service under measurement: one of its own, started and stopped here, unless FACE_URL names another."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.localstack import free_port
from local.stack import ROOT, Options, Stack

_INFERENCE = re.compile(r"^face_worker_inference_seconds_total (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send photos, and what can be seen of the service from outside its door."""

    url: str
    stack: Stack | None

    def inference_seconds(self) -> float | None:
        """What all workers have spent in inference so far; None for a service that is not ours to look into."""
        if self.stack is None:
            return None
        texts = [httpx.get(url, trust_env=False).text for url in self.stack.worker_metrics]
        return sum(float(found.group(1)) for text in texts if (found := _INFERENCE.search(text)))

    def slots(self) -> int | None:
        """How many photos may be inferred at the same time."""
        return len(self.stack.workers) if self.stack else None

    def web_peak_mib(self) -> float | None:
        """The web service's largest resident size so far, where Linux tells it."""
        if self.stack is None:
            return None
        status = Path(f"/proc/{self.stack.webs[0].pid}/status")
        peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
        return int(peak.group(1)) / 1024 if peak else None


@contextmanager
def target() -> Iterator[Target]:
    """The service to measure."""
    if url := os.environ.get("FACE_URL"):
        yield Target(url, None)
        return
    with tempfile.TemporaryDirectory(prefix="face-bench-") as state:
        cores = os.cpu_count() or 1
        options = Options(
            min_workers=cores,
            max_workers=cores,
            port=free_port(),
            state=Path(state),
            settings={"FACE_CACHE_DIR": str(ROOT / ".local" / "cache")},
        )
        stack = Stack(options, tell=lambda line: print(f"  {line}", flush=True))
        try:
            stack.start()
            yield Target(stack.url, stack)
        finally:
            stack.stop()
