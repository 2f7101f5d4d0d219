"""What workers and web hosts tell the scaling loop about themselves, as small objects in the bucket. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from face_common.contract import InvalidMessageError

REPORTS = "fleet/reports/"
WORKER_REPORTS = f"{REPORTS}workers/"
WEB_REPORTS = f"{REPORTS}web/"


@dataclass(frozen=True, slots=True)
class WorkerReport:
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

    def encode(self) -> bytes:
        """The report as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> "WorkerReport":
        """The report in an object; InvalidMessageError when it is none."""
        report = cls(**_known(cls, body))
        numbers = (report.slots, report.capacity, report.ready_at, report.at, report.held, report.finished)
        if not all(isinstance(number, int | float) for number in numbers) or report.slots < 1 or report.capacity < 1:
            raise InvalidMessageError("not a worker's report: a number is none, or there are no slots")
        return report


@dataclass(frozen=True, slots=True)
class WebReport:
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

    @property
    def key(self) -> str:
        """Where the report lies in the bucket."""
        return f"{WEB_REPORTS}{self.host}.json"

    def encode(self) -> bytes:
        """The report as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> "WebReport":
        """The report in an object; InvalidMessageError when it is none."""
        report = cls(**_known(cls, body))
        numbers = (report.at, report.arrived, report.oldest_at or 0, report.service_seconds or 0)
        if not all(isinstance(number, int | float) for number in numbers):
            raise InvalidMessageError("not a web host's report: a number is none")
        return report


def _known(kind: type[WorkerReport] | type[WebReport], body: bytes) -> dict[str, Any]:
    """The fields in a report that this version knows; those that a newer one has added are left out."""
    try:
        read: Mapping[str, Any] = json.loads(body)
        known = {field.name: read[field.name] for field in fields(kind) if field.name in read}
        kind(**known)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidMessageError(f"not a report: {error}") from error
    return known
