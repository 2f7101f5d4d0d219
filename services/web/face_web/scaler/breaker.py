"""Stops calling what keeps failing. Pure: every moment is an argument, in seconds."""

_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 30.0


class Breaker:
    """Opens after some failures in a row; then lets one call through after a pause that doubles with each failure."""

    def __init__(self, failures: int = 3) -> None:
        """`failures` in a row open it."""
        self._allowed = failures
        self.failures = 0
        """In a row."""
        self._closed_at = 0.0
        self.reason = ""
        """What the last failure said."""

    @property
    def is_open(self) -> bool:
        """Whether calls wait at all."""
        return self.failures >= self._allowed

    def remaining(self, now: float) -> float:
        """Seconds until a call may be made; 0 when one may be made now."""
        return max(self._closed_at - now, 0.0) if self.is_open else 0.0

    def failed(self, reason: str, now: float) -> None:
        """A call failed."""
        self.failures += 1
        self.reason = reason
        pause = min(_FIRST_PAUSE * 2.0 ** min(self.failures - self._allowed, 10), _LONGEST_PAUSE)
        self._closed_at = now + pause

    def succeeded(self) -> None:
        """A call went well: the breaker is closed."""
        self.failures = 0
