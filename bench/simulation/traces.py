"""Loads: when photos arrive. Every trace is made from a seed and is the same for every policy."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

Moments = npt.NDArray[np.float64]
_MINUTE, _HOUR = 60.0, 3600.0
_LONGEST_TICK = 3.0
_TAIL = 25 * _MINUTE  # after the last photo, so that each policy's way back to its smallest fleet is paid for


@dataclass(frozen=True, slots=True)
class Trace:
    """A load. Times in seconds since the beginning."""

    name: str
    arrivals: Moments
    """Moments of arrival, shape (photos,), ascending."""
    end: float
    peaks: int
    """How often the load rises and falls again."""
    burst: bool = False


def traces(seed: int, recorded: Path) -> Iterator[Trace]:
    """All loads, in the order of the table; `recorded` is a decision log of the service."""
    random = np.random.default_rng(seed)
    yield _burst(100, random)
    yield _burst(1000, random)
    for name, hours, top, shape, peaks in (
        ("diurnal day", 24.0, 7.0, _day, 1),
        ("flash crowds", 2.0, 10.0, _crowds, 3),
        ("sawtooth", 1.5, 8.0, _sawtooth, 6),
    ):
        yield Trace(name, _thinned(random, hours * _HOUR, top, shape), hours * _HOUR + _TAIL, peaks)
    yield _clustered("trickle", _thinned(random, 6 * _HOUR, 1 / 90, np.ones_like))
    if recorded.exists():
        yield _clustered("recorded", replayed(recorded, random))


def replayed(log: Path, random: np.random.Generator) -> Moments:
    """The arrivals that a decision log tells of, each spread evenly over its tick.

    A line after an idle stretch has the stretch before it, in which nothing came.
    """
    lines = [json.loads(line) for line in log.read_text().splitlines() if line]
    moments = [np.empty(0)]
    for before, after in pairwise(sorted(lines, key=lambda line: float(line["now"]))):
        since = max(before["now"], after["now"] - _LONGEST_TICK)
        moments.append(random.uniform(since, after["now"], after["observed"]["arrived"]))
    arrivals: Moments = np.sort(np.concatenate(moments)) - float(lines[0]["now"])
    return arrivals


def _burst(photos: int, random: np.random.Generator) -> Trace:
    arrivals = _MINUTE + np.sort(random.uniform(0, 1, photos))
    return Trace(f"burst of {photos:,}", arrivals, arrivals[-1] + _TAIL, peaks=1, burst=True)


def _clustered(name: str, arrivals: Moments, apart: float = 2 * _MINUTE) -> Trace:
    """A trace whose peaks are its groups of photos with long pauses between them."""
    return Trace(name, arrivals, float(arrivals[-1]) + _TAIL, peaks=1 + int(np.sum(np.diff(arrivals) > apart)))


def _thinned(random: np.random.Generator, length: float, top: float, shape: Callable[[Moments], Moments]) -> Moments:
    """A Poisson stream of rate top * shape(t), by thinning (Lewis and Shedler, 1979)."""
    moments = np.sort(random.uniform(0, length, random.poisson(top * length)))
    kept: Moments = moments[random.uniform(size=len(moments)) < shape(moments)]
    return kept


def _day(at: Moments) -> Moments:
    """Quiet at night, busiest in the early afternoon."""
    shape: Moments = 0.03 + 0.97 * np.clip(np.sin((at / _HOUR - 6) / 16 * np.pi), 0, None) ** 2
    return shape


def _crowds(at: Moments) -> Moments:
    """A steady tenth, and three crowds that come within ten seconds and stay for four minutes."""
    since = (at - 20 * _MINUTE) % (35 * _MINUTE)
    crowd = (at > 20 * _MINUTE) & (since < 4 * _MINUTE)
    shape: Moments = np.where(crowd, np.clip(since / 10, 0.05, 1), 0.05)
    return shape


def _sawtooth(at: Moments) -> Moments:
    """Rises for ten minutes, then stops for five."""
    shape: Moments = np.where(at % (15 * _MINUTE) < 10 * _MINUTE, at % (15 * _MINUTE) / (10 * _MINUTE), 0)
    return shape
