"""Latencies counted in classes that are two per cent wide, so that memory does not grow with their number. Pure."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

_WIDTH = math.log(1.02)
_LEAST = 1e-6
_BAR = 40
_STEPS = (1, 2, 5)
_SHARES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}


class Histogram:
    """Seconds, as they were measured."""

    def __init__(self) -> None:
        self._classes: Counter[int] = Counter()
        self._sum = 0.0
        self.count = 0
        self.most = 0.0
        """The longest, exactly."""

    def add(self, seconds: float) -> None:
        """Count one."""
        self._classes[math.ceil(math.log(max(seconds, _LEAST) / _LEAST) / _WIDTH)] += 1
        self._sum += seconds
        self.count += 1
        self.most = max(self.most, seconds)

    def quantile(self, share: float) -> float:
        """Seconds within which this share was, two per cent too many at most; 0 when nothing was counted."""
        left = math.ceil(share * self.count)
        for number, count in sorted(self._classes.items()):
            left -= count
            if left <= 0:
                return min(_upper(number), self.most)
        return self.most

    def figures(self) -> dict[str, float]:
        """The usual quantiles, the mean and the longest, in milliseconds."""
        named = {name: self.quantile(share) for name, share in _SHARES.items()}
        mean = self._sum / self.count if self.count else 0.0
        return {name: round(seconds * 1000, 1) for name, seconds in {**named, "max": self.most, "mean": mean}.items()}

    def bins(self) -> list[tuple[float, int]]:
        """Counts between 1, 2, 5, 10 … milliseconds, as (upper bound in seconds, count), from first to last used."""
        counts: Counter[int] = Counter()
        for number, count in self._classes.items():
            counts[_step(_upper(number) / 1.02**0.5)] += count
        if not counts:
            return []
        return [(_bound(step), counts[step]) for step in range(min(counts), max(counts) + 1)]

    def drawn(self) -> list[str]:
        """The counts as bars, a line each."""
        bins = self.bins()
        most = max((count for _, count in bins), default=0)
        return [
            f"{'< ' + _milliseconds(bound):>10}  {count:>6}  {'█' * math.ceil(count / most * _BAR)}".rstrip()
            for bound, count in bins
        ]


def merged(figures: Mapping[str, Any], histogram: Histogram) -> dict[str, Any]:
    """Figures with those of a histogram."""
    bins = [{"below_ms": round(bound * 1000, 3), "count": count} for bound, count in histogram.bins()]
    return {**figures, "latency_ms": histogram.figures(), "histogram": bins}


def _upper(number: int) -> float:
    return _LEAST * math.exp(number * _WIDTH)


def _step(seconds: float) -> int:
    """Which of the steps 1, 2, 5, 10, 20, 50 … milliseconds is the first that is larger."""
    decade = math.floor(math.log10(seconds * 1000))
    digit = next((place for place, step in enumerate(_STEPS) if seconds * 1000 < step * 10**decade), len(_STEPS))
    return decade * len(_STEPS) + digit


def _bound(step: int) -> float:
    decade, digit = divmod(step, len(_STEPS))
    return float(_STEPS[digit] * 10**decade / 1000)


def _milliseconds(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"
