"""Running estimates that a plan is made from. Pure: every moment is an argument, in seconds."""

import math
from collections import deque
from collections.abc import Iterable

_WINDOWS = (300.0, 120.0, 60.0, 30.0, 10.0)
_SURE = 1.5  # three standard deviations of the square root of a Poisson count


class ArrivalRate:
    """Arrivals a second: steady under constant load, quick when the load changes.

    The mean over five minutes, moved as little as the last minute, and then the last ten seconds, allow: a Poisson
    count n speaks for a rate between (sqrt(n) - 1.5)^2 and (sqrt(n) + 1.5)^2 of its window, three standard deviations
    to either side (the square root of a Poisson count has a variance of 1/4 whatever its mean: Bartlett, 1936).
    """

    def __init__(self) -> None:
        self._arrivals: deque[tuple[float, int]] = deque()

    def add(self, count: int, now: float) -> None:
        """Count arrivals that came since the last call."""
        if count:
            self._arrivals.append((now, count))
        while self._arrivals and now - self._arrivals[0][0] > _WINDOWS[0]:
            self._arrivals.popleft()

    def at(self, now: float) -> float:
        """Arrivals a second."""
        counts = [sum(count for at, count in self._arrivals if now - at <= window) for window in _WINDOWS]
        rate = counts[0] / _WINDOWS[0]
        for count, window in zip(counts[1:], _WINDOWS[1:], strict=True):
            root = math.sqrt(count)
            rate = min(max(rate, max(root - _SURE, 0) ** 2 / window), (root + _SURE) ** 2 / window)
        return rate


class Measured:
    """A quantity that was measured some times, and what was assumed of it before. Keeps the last measurements."""

    def __init__(self, assumed: float, values: Iterable[float] = (), keep: int = 20) -> None:
        self._assumed = assumed
        self._values: deque[float] = deque(values, maxlen=keep)

    @property
    def values(self) -> tuple[float, ...]:
        """The measurements, oldest first."""
        return tuple(self._values)

    def add(self, value: float) -> None:
        """Note a measurement."""
        self._values.append(value)

    def mean(self) -> float:
        """Their mean; the assumed value when there is none."""
        return sum(self._values) / len(self._values) if self._values else self._assumed

    def p90(self) -> float:
        """Their 90th percentile (nearest rank); the assumed value when there is none."""
        ordered = sorted(self._values)
        return ordered[math.ceil(0.9 * len(ordered)) - 1] if ordered else self._assumed
