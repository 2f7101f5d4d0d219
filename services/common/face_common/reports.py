"""What workers and web hosts tell the scaling loop about themselves, as small objects in the bucket. Pure."""

import json
from dataclasses import asdict, dataclass

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
        try:
            return cls(**json.loads(body))
        except (ValueError, TypeError) as error:
            raise InvalidMessageError(f"not a worker's report: {error}") from error


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
        try:
            return cls(**json.loads(body))
        except (ValueError, TypeError) as error:
            raise InvalidMessageError(f"not a web host's report: {error}") from error
