"""What workers and web hosts tell the scaling loop about themselves, as small objects in the bucket. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from face_common.contract import InvalidMessageError

REPORTS = "fleet/reports/"
WORKER_REPORTS = f"{REPORTS}workers/"
WEB_REPORTS = f"{REPORTS}web/"
ALIVE_SECONDS = 15.0
"""A report is written at least so often."""


class _Report:
    """What the reports have in common."""

    __slots__ = ()

    def encode(self) -> bytes:
        """The report as JSON."""
        return json.dumps(asdict(self)).encode()  # type: ignore[call-overload]

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """The report in an object, without what a newer version has added; InvalidMessageError when it is none."""
        try:
            read: Mapping[str, Any] = json.loads(body)
            names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
            report = cls(**{name: read[name] for name in names & read.keys()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidMessageError(f"not a report: {error}") from error
        if not report._is_sound():
            raise InvalidMessageError("not a report: a number is none, or too small")
        return report

    def _is_sound(self) -> bool:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class WorkerReport(_Report):
    """A worker's state. It is written when it changes, and every few seconds in any case: a sign of life."""

    instance: str
    """EC2 instance id."""
    worker: str
    """How results name the worker."""
    slots: int
    """Photos read at the same time."""
    capacity: int
    """Photos in hand at most, those fetched ahead included."""
    ready_at: float
    """When it was ready for photos; seconds since the epoch."""
    at: float
    """When this was written."""
    held: int = 0
    """Photos in hand."""
    finished: int = 0
    """Photos answered since it was ready."""
    draining: bool = False

    @property
    def key(self) -> str:
        """Where the report lies in the bucket."""
        return f"{WORKER_REPORTS}{self.instance}.json"

    def _is_sound(self) -> bool:
        numbers = (self.slots, self.capacity, self.ready_at, self.at, self.held, self.finished)
        return _are_numbers(numbers) and self.slots >= 1 and self.capacity >= 1


@dataclass(frozen=True, slots=True)
class WebReport(_Report):
    """What a web host has seen. A report is about one run of the host: its name differs after a restart."""

    host: str
    at: float
    """When this was written; seconds since the epoch."""
    arrived: int
    """Photos that came in since the host was started."""
    oldest_at: float | None
    """When the longest unanswered of them came in."""
    service_seconds: float | None
    """Mean time for which its last photos kept a slot busy."""
    wait_p95_seconds: float | None = None
    """How long one in twenty of the last minutes' photos waited for a worker at least."""

    @property
    def key(self) -> str:
        """Where the report lies in the bucket."""
        return f"{WEB_REPORTS}{self.host}.json"

    def _is_sound(self) -> bool:
        optional = (self.oldest_at, self.service_seconds, self.wait_p95_seconds)
        return _are_numbers((self.at, self.arrived, *(number or 0 for number in optional)))


def _are_numbers(values: Iterable[object]) -> bool:
    return all(isinstance(value, int | float) for value in values)
