"""What this web host knows of the load: what came in, what was answered, and how long the photos took."""

import math
import threading
from collections import deque
from collections.abc import Callable
from itertools import takewhile

from face_common.contract import Result
from face_web.scaler.rates import Measured

_REMEMBERED = 200  # service times
_WAITS = 2000
_WAITS_SECONDS = 300.0
_SETTLED_SECONDS = 60.0
_FORGOTTEN_SECONDS = 3600.0


class Traffic:
    """Counts the jobs of this host. Thread-safe.

    Every answer comes to the host that sent the job, also one that nobody waits for any more: so the host knows what is
    still unanswered, and since when.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` is the wall clock in seconds since the epoch."""
        self._now = now
        self._lock = threading.Lock()
        self._unanswered: dict[str, float] = {}
        """When each came in, the oldest first."""
        self._service = Measured(0.0, keep=_REMEMBERED)
        self._waits: deque[tuple[float, float]] = deque(maxlen=_WAITS)
        """When a photo was answered, and for how long it had waited for a worker."""
        self._arrived = 0

    @property
    def arrived(self) -> int:
        """Jobs since the start."""
        return self._arrived

    def submitted(self, job_id: str) -> None:
        """A job is about to be sent: count it before its answer can come."""
        with self._lock:
            now = self._now()
            self._forget_before(now - _FORGOTTEN_SECONDS)
            self._unanswered[job_id] = now
            self._arrived += 1

    def answered(self, job_id: str, result: Result | None) -> None:
        """A job has been answered, or could not be sent; the result, where the answer carried it."""
        timing = result.get("timing") if result is not None else None
        with self._lock:
            self._unanswered.pop(job_id, None)
            if timing is not None:
                stages = (timing.get("decode_ms", 0.0), timing.get("detect_ms", 0.0), timing.get("encode_ms", 0.0))
                self._service.add(sum(stages) / 1000)
                self._waits.append((self._now(), timing.get("queued_ms", 0.0) / 1000))

    def service_seconds(self) -> float | None:
        """Mean time for which the last photos kept a slot busy; None before there was one."""
        with self._lock:
            return self._service.mean() if self._service.values else None

    def wait_p95_seconds(self) -> float | None:
        """95th percentile (nearest rank) of how long the last minutes' photos waited for a worker; None without any."""
        with self._lock:
            while self._waits and self._now() - self._waits[0][0] > _WAITS_SECONDS:
                self._waits.popleft()
            waits = sorted(seconds for _, seconds in self._waits)
        return waits[math.ceil(0.95 * len(waits)) - 1] if waits else None

    def oldest_at(self) -> float | None:
        """When the longest unanswered job came in; None when all are answered."""
        with self._lock:
            return next(iter(self._unanswered.values()), None)

    def unanswered_since(self, moment: float) -> int:
        """How many of the jobs that came in after a moment are unanswered."""
        with self._lock:
            return sum(1 for _ in takewhile(lambda since: since > moment, reversed(self._unanswered.values())))

    def queue_is_empty(self) -> None:
        """The queue has been seen empty: whatever has been unanswered for a while was lost, and is no load."""
        with self._lock:
            self._forget_before(self._now() - _SETTLED_SECONDS)

    def _forget_before(self, moment: float) -> None:
        """Give up what has been unanswered for too long; the oldest come first."""
        while self._unanswered and next(iter(self._unanswered.values())) < moment:
            self._unanswered.pop(next(iter(self._unanswered)))
