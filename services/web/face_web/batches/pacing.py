"""How many files of a batch may be on their way, so that nobody who asks about a single photo waits long. Pure."""

import math
from collections import deque
from dataclasses import dataclass

_LEAST = 8
_REMEMBERED = 20.0  # seconds


@dataclass(frozen=True, slots=True)
class Pace:
    """What the operator allows."""

    ahead: int
    """Files of one batch that may be on their way at most."""
    wait_seconds: float
    """How long a photo that comes in may have to wait for the batches before it."""

    def room(self, rate: float | None, batches: int, wait: float | None) -> int:
        """How many files of a batch may be on their way.

        `rate`: its files a second of late; `batches`: how many are under way; `wait`: the predicted wait of a new photo
        in seconds, None when it would not wait or that is not known. Some are always allowed: they are what makes the
        fleet start, and grow.
        """
        least = min(_LEAST, self.ahead)
        if rate is None or (wait is not None and wait > self.wait_seconds):
            return least
        return max(least, min(self.ahead, math.ceil(rate * self.wait_seconds / max(batches, 1))))


class Rate:
    """Files a second of late."""

    def __init__(self) -> None:
        self._finished: deque[tuple[float, int]] = deque()

    def note(self, now: float, finished: int) -> None:
        """So many files are finished now; `now` in seconds by any steady clock."""
        self._finished.append((now, finished))
        while now - self._finished[0][0] > _REMEMBERED and len(self._finished) > 2:
            self._finished.popleft()

    def per_second(self) -> float | None:
        """None before there was anything to measure."""
        if len(self._finished) < 2:
            return None
        (began, first), (ended, last) = self._finished[0], self._finished[-1]
        return (last - first) / (ended - began) if ended > began and last > first else None
