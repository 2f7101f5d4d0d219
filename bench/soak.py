"""Ten thousand photos through one worker: its processes must not grow.

`python -m bench.soak [--photos N] [FOLDER ...]` reads the photos in the folders and below them, shuffled, again and
again; without folders those of FACE_DATA, or the sample photos. It prints the mean resident size of parent, nursery and
child by quarter of the run, and exits with 1 when one is larger in the last quarter than in the second by more than a
twentieth. The first quarter is warming up.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random

from bench.alone import Cloud, WorkerAlone, worker_alone
from bench.tables import Row, report
from local.samples import samples

_QUARTERS = 4
_GROWTH = 1.05
_SECONDS = 0.25  # between two looks
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


@dataclass(frozen=True, slots=True)
class Look:
    """Resident sizes in MiB by kind of process, after so many answers."""

    answered: int
    sizes: dict[str, float]


def run(photos: Sequence[Path], count: int) -> list[Row]:
    """Soak a worker with one slot; a row for each of its processes. Nothing of it is replaced on the way."""
    with worker_alone(Cloud(photos, count, 0.0), child_jobs=10**9) as worker:
        looks = list(_looks(worker, count))
    return [_row(kind, looks, count) for kind in looks[0].sizes]


def has_grown(row: Row) -> bool:
    """Whether the last quarter's mean is beyond the second's by more than the tolerance."""
    return float(row["growth"] or 0.0) > _GROWTH


def _looks(worker: WorkerAlone, count: int) -> Iterator[Look]:
    while worker.answered < count:
        (child,) = worker.children
        pids = {"parent": worker.parent, "nursery": worker.nursery, "child": child}
        yield Look(worker.answered, {kind: _resident_mib(pid) for kind, pid in pids.items()})
        time.sleep(_SECONDS)


def _row(kind: str, looks: Sequence[Look], count: int) -> Row:
    quarters: list[list[float]] = [[] for _ in range(_QUARTERS)]
    for look in looks:
        quarters[min(look.answered * _QUARTERS // count, _QUARTERS - 1)].append(look.sizes[kind])
    means = [sum(sizes) / max(len(sizes), 1) for sizes in quarters]
    names = [f"quarter {number}, MiB" for number in range(1, _QUARTERS + 1)]
    growth = means[-1] / means[1] if means[1] else 0.0
    return {"resident": kind, **dict(zip(names, means, strict=True)), "growth": growth}


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


def _usual_folders() -> list[Path]:
    """Portraits, crowds and larger photos."""
    shared = os.environ.get("FACE_DATA")
    return [Path(shared, name) for name in ("lfw-dev", "detection-dev", "groups")] if shared else [samples()]


def _shuffled(photos: Sequence[Path]) -> list[Path]:
    """In an order that looks the same in every quarter, and in every run."""
    return Random(1).sample(photos, len(photos))  # noqa: S311 - nothing is secret here


def _below(folders: Sequence[Path]) -> list[Path]:
    files = chain.from_iterable(sorted(folder.rglob("*")) for folder in folders)
    return [file for file in files if file.suffix.lower() in _SUFFIXES]


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak and report; 1 when something has grown, 2 when there are no photos."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Does a worker's memory stay flat?")
    parser.add_argument("--photos", type=int, default=10_000, help="how many to read (default: 10000)")
    parser.add_argument("folders", nargs="*", type=Path, help="folders with photos (default: FACE_DATA's)")
    options = parser.parse_args(arguments)
    photos = _shuffled(_below(options.folders or _usual_folders()))
    if not photos:
        print("no photos in these folders", file=sys.stderr)
        return 2
    rows = run(photos, options.photos)
    report("soak", f"{options.photos} photos ({len(photos)} files) through one worker", rows)
    return 1 if any(has_grown(row) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
