"""File to descriptors, against face_recognition: CPU and wall time in one process, photos a second on all cores."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

import numpy as np

from bench import plots
from bench.engines import CORES, ENGINES, LIBRARY, FoundFaces, describe
from bench.inputs import named
from bench.pictures import SHEETS, Made, make
from bench.tables import Row

_SECONDS = 10.0  # that the turns over a photo may take in one process
_FEWEST, _MOST = 3, 31
_TOGETHER_SECONDS = 6.0  # the same on all cores
_TOGETHER_MOST = 3
_SLICE = 0.7  # seconds that all cores read a photo again and again with one engine, at least once

TITLE = (
    "Pipeline: file to descriptors; 'x' is how many times face_recognition's speed, in CPU time of one process and in "
    "photos a second on all cores"
)


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians of one engine on one photo."""

    cpu_ms: float
    wall_ms: float
    found: FoundFaces


def run() -> list[Row]:
    """One row for each photo and engine."""
    shared = named(os.environ, "FACE_DATA")
    with tempfile.TemporaryDirectory(prefix="face-bench-") as folder:
        made = [make(sheet, shared, Path(folder)) for sheet in SHEETS]
        for name in ENGINES:
            describe(name, made[0].file)  # unmeasured: models load
        alone = [time_alone(photo.file) for photo in made]
        together = _rates([photo.file for photo in made])
    rows = [row for photo, one, all_ in zip(made, alone, together, strict=True) for row in _rows(photo, one, all_)]
    plots.throughput(rows)
    return rows


def time_alone(photo: Path) -> dict[str, Timing]:
    """Every engine on a photo in this process, turn and turn about, so that the machine's noise meets them alike."""
    found: dict[str, FoundFaces] = {}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ENGINES}
    for _ in turns(_FEWEST, _MOST, _SECONDS):
        for name in ENGINES:
            cpu, wall = time.process_time(), time.perf_counter()
            found[name] = describe(name, photo)
            taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {
        name: Timing(1000 * median(cpu for cpu, _ in times), 1000 * median(wall for _, wall in times), found[name])
        for name, times in taken.items()
    }


def turns(fewest: int, most: int, seconds: float) -> Iterator[int]:
    """At least `fewest` turns, then more until the seconds are over, at most `most`."""
    began = time.perf_counter()
    for turn in range(most):
        if turn >= fewest and time.perf_counter() - began > seconds:
            return
        yield turn


def largest_difference(ours: FoundFaces, theirs: FoundFaces) -> float | None:
    """Between the encodings of faces at equal places; None when the faces are not the same ones."""
    if set(ours.places) != set(theirs.places):
        return None
    order = [ours.places.index(place) for place in theirs.places]
    return float(np.abs(ours.encodings[order] - theirs.encodings).max(initial=0.0))


def _rates(photos: Sequence[Path]) -> list[dict[str, float]]:
    """Photos a second with every core reading the same photo, for each photo and engine."""
    context = get_context("spawn")
    with ProcessPoolExecutor(
        CORES, mp_context=context, initializer=_prepare, initargs=(context.Barrier(CORES), photos[0])
    ) as readers:

        def rate(name: str, photo: Path) -> float:
            parts = readers.map(_read_again_and_again, [name] * CORES, [photo] * CORES)
            return sum(count / seconds for count, seconds in parts)

        taken = [
            [{name: rate(name, photo) for name in ENGINES} for _ in turns(1, _TOGETHER_MOST, _TOGETHER_SECONDS)]
            for photo in photos
        ]
    return [{name: median(turn[name] for turn in rates) for name in ENGINES} for rates in taken]


_barriers: list[Barrier] = []


def _prepare(barrier: Barrier, photo: Path) -> None:
    """In each process: load the engines, and know where all begin together."""
    _barriers.append(barrier)
    for name in ENGINES:
        describe(name, photo)


def _read_again_and_again(name: str, photo: Path) -> tuple[int, float]:
    """How many times within how many seconds; begins when all processes do."""
    _barriers[0].wait()
    began, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - began < _SLICE:
        describe(name, photo)
        count += 1
    return count, time.perf_counter() - began


def _rows(photo: Made, alone: dict[str, Timing], together: dict[str, float]) -> list[Row]:
    theirs = alone[LIBRARY]
    return [
        {
            "photo": photo.sheet.name,
            "made of": photo.source,
            "engine": name,
            "faces": len(timing.found.places),
            "CPU ms": timing.cpu_ms,
            "wall ms": timing.wall_ms,
            "x": theirs.cpu_ms / timing.cpu_ms,
            f"photos/s on {CORES} cores": together[name],
            "x on all cores": together[name] / together[LIBRARY],
            "encodings differ by": largest_difference(timing.found, theirs.found) if name == "exact" else None,
        }
        for name, timing in alone.items()
    ]
