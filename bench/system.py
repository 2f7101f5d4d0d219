"""The whole system: a worker alone, and a burst of photos through the service."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import answers, burst
from bench.alone import Cloud, WorkerAlone, usual_photos, worker_alone
from bench.inputs import Inputs
from bench.tables import Row
from bench.target import target

TITLE = "System: photos end to end"

_NETWORK = 0.025  # seconds a call, about what S3 and SQS take within a region
_WARM = 64  # photos before the measuring begins, and after it has ended


def run() -> list[Row]:
    """A worker alone; then a service of its own, or the one at FACE_URL, under a burst and with people enrolled."""
    inputs = Inputs.of(os.environ)
    rows = alone(usual_photos())
    with target() as service:
        rows.append(burst.measure(service, usual_photos()))
        if inputs.people and inputs.strangers:
            rows.append(answers.measure(service, inputs.people, inputs.strangers))
    return rows


def alone(photos: Sequence[Path], jobs: int = 1000) -> list[Row]:
    """A worker with one slot and a full queue: one row over a cloud that answers at once, one as over a network."""
    return [
        {
            "table": "Worker alone, one slot, queue full (busy share: of the time, spent by its child on photos)",
            "a call takes ms": seconds * 1000,
            **_measure(photos, jobs, seconds),
        }
        for seconds in (0.0, _NETWORK)
    ]


@dataclass(frozen=True, slots=True)
class _Reading:
    """A worker's clocks and counters at one moment."""

    wall: float
    parent_cpu: float
    child_cpu: float
    inference: float
    photos: float
    batches: float

    @classmethod
    def of(cls, worker: WorkerAlone) -> "_Reading":
        return cls(
            wall=time.perf_counter(),
            parent_cpu=time.process_time(),
            child_cpu=worker.metric("inference_cpu_seconds_total"),
            inference=worker.metric("inference_seconds_total"),
            photos=worker.metric("batch_photos_sum"),
            batches=worker.metric("batch_photos_count"),
        )


def _measure(photos: Sequence[Path], jobs: int, call_seconds: float, **settings: str | int) -> Row:
    with worker_alone(Cloud(photos, jobs, call_seconds), **settings) as worker:
        worker.wait_answered(_WARM)
        began = _Reading.of(worker)
        worker.wait_answered(jobs - _WARM)
        ended = _Reading.of(worker)
        worker.wait_answered(jobs)
    count = ended.photos - began.photos
    wall = ended.wall - began.wall
    return {
        "photos": int(count),
        "photos/s": count / wall,
        "busy share": (ended.inference - began.inference) / wall,
        "photos a batch": count / (ended.batches - began.batches),
        "child CPU ms": (ended.child_cpu - began.child_cpu) / count * 1000,
        "other CPU ms": (ended.parent_cpu - began.parent_cpu) / count * 1000,
    }
