"""What a batch is, and how far it has come. Pure."""

import datetime
import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from typing_extensions import TypedDict
from ulid import ULID

from face_common.contract import Code, Operation, Result, failed_result, is_id
from face_common.contract import Job as _Job

OPEN = "batches/open/"
State = Literal["queued", "running", "done", "cancelled", "failed"]
ENDED: tuple[State, ...] = ("done", "cancelled", "failed")
_NO_PHOTO = frozenset({Code.IMAGE_EMPTY, Code.TYPE_UNSUPPORTED, Code.IMAGE_TOO_LARGE, Code.IMAGE_UNREADABLE})
_LONGEST_NAME = 1000


class Kind(StrEnum):
    """What is done with each file of a batch."""

    BATCH = "batch"
    """It is looked through for people who are enrolled."""
    IMPORT = "import"
    """It is enrolled, for the person that its folder names."""
    REENCODING = "reencoding"
    """It is enrolled already, and is encoded again by the present model."""


class SourceKind(StrEnum):
    """Where a batch's files are."""

    ARCHIVE = "archive"
    PREFIX = "prefix"
    ENROLLED = "enrolled"


@dataclass(frozen=True, slots=True)
class Listing:
    """A batch's files in the order that holds for ever: an object of JSON lines."""

    key: str
    total: int
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it was asked for: `batches/<id>/job.json`, written once."""

    id: str
    kind: Kind
    collection: str
    source: SourceKind
    created_at: float
    """Seconds since the epoch."""
    created_by: str
    """Id of the key."""
    prefix: str = ""
    top: int = 3
    max_faces: int = 100
    insist: bool = False
    consent: str = ""
    """Reference to the consent of everybody who is in it; empty when none is recorded with it."""
    webhook: str = ""
    listing: Listing | None = None
    """Known from the start for an archive; the files of the other sources are listed by whoever carries it out."""

    @property
    def operation(self) -> Operation:
        """What its jobs ask for."""
        return Operation.IDENTIFY if self.kind is Kind.BATCH else Operation.ENROL

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> "Batch":
        """From JSON."""
        fields = json.loads(body)
        listing = Listing(**fields["listing"]) if fields["listing"] else None
        kinds = {"kind": Kind(fields["kind"]), "source": SourceKind(fields["source"]), "listing": listing}
        return cls(**fields | kinds)

    def key(self, name: str) -> str:
        """Where an object of the batch lies in the bucket."""
        return f"batches/{self.id}/{name}"

    def job_id(self, index: int) -> str:
        """The id of a file: always the same, so that whoever carries the batch on gives no file a second verdict."""
        return file_id(self.id, index)


def job_key(batch_id: str) -> str:
    """Where a batch is written down."""
    return f"batches/{batch_id}/job.json"


def state_key(batch_id: str) -> str:
    """Where the progress of a batch is: the lease object of whoever carries it out."""
    return f"batches/{batch_id}/state.json"


def index_prefix(kind: Kind, collection: str) -> str:
    """Under which a collection's batches are listed by their ids."""
    return f"batches/of/{kind}/{collection}/"


def file_id(batch_id: str, index: int) -> str:
    """A ULID of the batch's own time, so that ids still sort by it, and of a hash in place of chance."""
    assert is_id(batch_id)
    digest = hashlib.sha256(f"{batch_id} {index}".encode()).digest()
    return str(ULID(ULID.from_str(batch_id).bytes[:6] + digest[:10]))


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a batch, as the listing has it."""

    path: str
    """As the client knows it."""
    name: str
    """Its last part."""
    person: str = ""
    at: int = 0
    """In an archive: the offset of its header."""
    packed: int = 0
    size: int = 0
    crc: int = 0
    method: int = 0
    photo: str = ""
    """Id of an enrolled photo."""
    code: str = ""
    detail: str = ""
    """Why it will not be read at all."""

    def encode(self) -> bytes:
        """A line of the listing; what is empty is left out."""
        fields = {name: value for name, value in asdict(self).items() if value not in ("", 0)}
        return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> "Item":
        """From a line of the listing."""
        return cls(**{"path": "", "name": "", **json.loads(line)})


def refused(batch: Batch, index: int, item: Item, code: Code, detail: str) -> Result:
    """The result of a file that never becomes a job."""
    job = _Job(
        id=batch.job_id(index),
        operation=batch.operation,
        key="",
        name=item.name[:_LONGEST_NAME],
        collection=batch.collection,
        gallery_version=0,
        reply_queue="",
        submitted_at=0.0,
        width=0,
        height=0,
        person=item.person[:_LONGEST_NAME],
    )
    result = failed_result(job, code, detail)
    if code in _NO_PHOTO and "photo" in result:
        result["photo"]["verdict"] = "unreadable"
    if "photo" in result:
        result["photo"]["photo"] = None
    return result


def outcome_of(batch_kind: Kind, result: Result) -> str:
    """What became of a file in one word: an enrolment's verdict, or else `done` or the code of the error."""
    error = result["error"]
    if batch_kind is not Kind.BATCH and "photo" in result:
        cancelled = error is not None and error["code"] == Code.BATCH_CANCELLED
        return Code.BATCH_CANCELLED.value if cancelled else result["photo"]["verdict"]
    return "done" if error is None else error["code"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch has come: what its lease publishes."""

    state: State = "queued"
    finished: int = 0
    """Files that have their verdict, counted in order: those before this one."""
    offset: int = 0
    """Of file number `finished` in the listing, in bytes."""
    outcomes: Mapping[str, int] = field(default_factory=dict)
    started_at: float | None = None
    finished_at: float | None = None
    """Seconds since the epoch."""
    rate_per_s: float | None = None
    listing: Listing | None = None
    error: Mapping[str, str] | None = None

    def advanced(self, outcome: str, offset: int) -> "Progress":
        """With one more file finished; `offset` is where the next one is in the listing."""
        outcomes = Counter(self.outcomes)
        outcomes[outcome] += 1
        return replace(self, finished=self.finished + 1, offset=offset, outcomes=dict(outcomes))

    def publish(self) -> dict[str, Any]:
        """As it is published."""
        return asdict(self)

    @classmethod
    def of(cls, published: Mapping[str, Any]) -> "Progress":
        """From what was published, which is nothing before anybody has begun."""
        fields = dict(published)
        if fields.get("listing"):
            fields["listing"] = Listing(**fields["listing"])
        return cls(**fields)


class BatchError(TypedDict):
    """Why a batch could not go on."""

    code: str
    detail: str


class BatchState(TypedDict):
    """A batch and how far it has come. Times are ISO 8601, in UTC."""

    id: str
    kind: Literal["batch", "import", "reencoding"]
    collection: str
    state: State
    total: int | None
    """Files in all; null until they have been listed."""
    finished: int
    """Files that have their verdict."""
    outcomes: dict[str, int]
    """How many files came to which end: `done` or an error's code, for imports the verdicts of an enrolment."""
    created_at: str
    started_at: str | None
    finished_at: str | None
    rate_per_s: float | None
    """Files a second of late."""
    eta_s: float | None
    """Seconds that it will still take at this rate."""
    error: BatchError | None
    """Why it could not go on."""


def view(batch: Batch, progress: Progress) -> BatchState:
    """The batch as clients see it."""
    listing = batch.listing or progress.listing
    total = listing.total if listing else None
    rate, ended = progress.rate_per_s, progress.state in ENDED
    eta = math.ceil((total - progress.finished) / rate) if total is not None and rate and not ended else None
    error: BatchError | None = None
    if progress.error:
        error = {"code": progress.error["code"], "detail": progress.error["detail"]}
    return {
        "id": batch.id,
        "kind": batch.kind.value,
        "collection": batch.collection,
        "state": progress.state,
        "total": total,
        "finished": progress.finished,
        "outcomes": dict(progress.outcomes),
        "created_at": _iso(batch.created_at),
        "started_at": None if progress.started_at is None else _iso(progress.started_at),
        "finished_at": None if progress.finished_at is None else _iso(progress.finished_at),
        "rate_per_s": None if rate is None else round(rate, 2),
        "eta_s": eta,
        "error": error,
    }


def _iso(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="milliseconds")
