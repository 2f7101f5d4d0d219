"""The messages and objects that pass between the tiers. Pure: no I/O, no clock, no environment.

A photo's way: the web tier puts `images/<id>` and sends a `Job`; a worker writes `results/<id>.json` (a `Result`)
and sends a reply that carries it. The id, a ULID, is the key of everything that belongs to one photo.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal, NotRequired, TypedDict

SCHEMA_VERSION = 1
JOB_LIMIT = 1024
"""Largest job in bytes of UTF-8: small enough to read in a queue's console, and never a photo by mistake."""
REPLY_LIMIT = 200 * 1024
"""Largest reply in bytes that carries its result; a larger result is read from S3. SQS allows 256 KiB."""
UNKNOWN = "unknown"
NO_FACE = "no-face"


class Operation(StrEnum):
    """What a job asks a worker to do."""

    IDENTIFY = "identify"
    ENROL = "enrol"


class Code(StrEnum):
    """Stable error codes. docs/errors.md explains each; a code is never renamed or given a second meaning."""

    BODY_TOO_LARGE = "body-too-large"
    COLLECTION_INVALID = "collection-invalid"
    FLEET_UNKNOWN = "fleet-unknown"
    ID_INVALID = "id-invalid"
    IMAGE_EMPTY = "image-empty"
    IMAGE_MISSING = "image-missing"
    IMAGE_TOO_LARGE = "image-too-large"
    IMAGE_UNREADABLE = "image-unreadable"
    INFERENCE_FAILED = "inference-failed"
    INFERENCE_TIMEOUT = "inference-timeout"
    INTERNAL = "internal-error"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NAME_INVALID = "name-invalid"
    NOT_FOUND = "not-found"
    NOT_PROCESSED = "not-processed"
    OVERLOADED = "overloaded"
    PARAMETER_INVALID = "parameter-invalid"
    PERSON_INVALID = "person-invalid"
    REQUEST_INVALID = "request-invalid"
    SERVER_BUSY = "server-busy"
    STORAGE_UNAVAILABLE = "storage-unavailable"
    TYPE_UNSUPPORTED = "type-unsupported"
    WAIT_TIMEOUT = "wait-timeout"


class InvalidMessageError(ValueError):
    """A message that is not of the contract, or of a schema this version does not know."""


@dataclass(frozen=True, slots=True)
class Job:
    """One photo's work order, as it travels on the request queue."""

    id: str
    operation: Operation
    key: str
    name: str
    collection: str
    gallery_version: int
    """The worker must answer with a gallery at least this new."""
    reply_queue: str
    submitted_at: float
    """Seconds since the epoch, by the web host's clock."""
    width: int
    height: int
    """Size in pixels as the file's header states it."""
    person: str = ""
    top: int = 3
    max_faces: int = 100
    schema: int = SCHEMA_VERSION

    def encode(self) -> str:
        """JSON of at most JOB_LIMIT bytes; InvalidMessageError when the fields do not fit."""
        body = json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))
        if len(body.encode()) > JOB_LIMIT:
            raise InvalidMessageError(f"the job is longer than {JOB_LIMIT} bytes")
        return body

    @classmethod
    def decode(cls, body: str) -> "Job":
        """The job in a message's body; InvalidMessageError when it is none."""
        try:
            fields = json.loads(body)
            if fields.get("schema") != SCHEMA_VERSION:
                raise InvalidMessageError(f"job schema {fields.get('schema')!r} is not {SCHEMA_VERSION}")
            return cls(**{**fields, "operation": Operation(fields["operation"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidMessageError(f"not a job: {error}") from error


class Box(TypedDict):
    """A face's place in the upright photo, in pixels from the left and the top edge."""

    left: int
    top: int
    width: int
    height: int


class Candidate(TypedDict):
    """An enrolled person and the L2 distance of their nearest template: 0 is the same, 0.6 face_recognition's limit."""

    person: str
    distance: float


class Quality(TypedDict):
    """What makes a face easy or hard to recognise."""

    size: int
    """Shorter side of the box in pixels."""
    sharpness: float
    """Variance of the Laplacian over the aligned 150x150 face chip; blurred faces are near 0."""
    score: float
    """The detector's confidence, in the detector's own scale."""


class Face(TypedDict):
    """One face of a photo and what was decided about it."""

    box: Box
    landmarks: list[tuple[int, int]]
    decision: Literal["match", "ambiguous", "unknown"]
    person: str | None
    distance: float | None
    margin: float | None
    threshold: float
    candidates: list[Candidate]
    quality: Quality


class ImageInfo(TypedDict):
    """The photo as it was sent; width and height in pixels, upright once a worker has read it."""

    name: str
    width: int
    height: int


class ErrorInfo(TypedDict):
    """Why a job failed: a stable code and a sentence for people."""

    code: str
    detail: str


class Timing(TypedDict, total=False):
    """Milliseconds spent in each stage; total_ms runs from the submission to the finished result."""

    queued_ms: float
    fetch_ms: float
    decode_ms: float
    detect_ms: float
    encode_ms: float
    match_ms: float
    total_ms: float


Verdict = Literal["accepted", "no-face", "several-faces", "duplicate", "unreadable", "failed", "queued"]


class EnrolledPhoto(TypedDict):
    """The verdict on one photo of an enrolment; `photo` is its id, None when it never came to be stored."""

    photo: str | None
    name: str
    verdict: Verdict
    detail: str


class Result(TypedDict):
    """What `results/<id>.json` holds. An identification has `faces`, an enrolment has `person` and `photo`."""

    id: str
    operation: str
    state: Literal["done", "failed"]
    image: ImageInfo
    collection: str
    gallery_version: NotRequired[int]
    model: NotRequired[str]
    profile: NotRequired[str]
    faces: NotRequired[list[Face]]
    person: NotRequired[str]
    photo: NotRequired[EnrolledPhoto]
    timing: NotRequired[Timing]
    worker: NotRequired[str]
    error: ErrorInfo | None


def failed_result(job: Job, code: Code, detail: str) -> Result:
    """The result of a job that will never succeed, so that its client is answered all the same."""
    result: Result = {
        "id": job.id,
        "operation": job.operation.value,
        "state": "failed",
        "image": {"name": job.name, "width": job.width, "height": job.height},
        "collection": job.collection,
        "error": {"code": code.value, "detail": detail},
    }
    if job.operation is Operation.ENROL:
        verdict: Verdict = "unreadable" if code is Code.IMAGE_UNREADABLE else "failed"
        result["person"] = job.person
        result["photo"] = {"photo": job.id, "name": job.name, "verdict": verdict, "detail": detail}
    return result


def encode_reply(result: Result) -> str:
    """A reply for the web host: the id, and the result itself unless it is too large for a message."""
    body = json.dumps({"id": result["id"], "result": result}, separators=(",", ":"))
    return body if len(body) <= REPLY_LIMIT else json.dumps({"id": result["id"]})


def decode_reply(body: str) -> tuple[str, Result | None]:
    """Id and result of a reply; the result is None when it must be read from S3."""
    try:
        fields: Mapping[str, Any] = json.loads(body)
        return str(fields["id"]), fields.get("result")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidMessageError(f"not a reply: {error}") from error


def image_key(job_id: str) -> str:
    """Where the photo of a job lies in the bucket."""
    return f"images/{job_id}"


def result_key(job_id: str) -> str:
    """Where the result of a job lies in the bucket."""
    return f"results/{job_id}.json"


_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_COLLECTION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_FORBIDDEN_IN_NAMES = frozenset('/\\:"<>|*?')


def is_id(text: str) -> bool:
    """Whether the text is a ULID in its canonical upper-case form."""
    return _ULID.fullmatch(text) is not None


def is_collection(text: str) -> bool:
    """Whether the text may name a collection: 1 to 40 of a-z, 0-9 and inner hyphens."""
    return _COLLECTION.fullmatch(text) is not None


def is_plain_name(text: str, limit: int) -> bool:
    """Whether the text may name a photo or a person: printable, at most `limit` bytes, and never part of a path.

    Colons are out because the classic answer is `<name>:<person>`; `..` and slashes because names appear in paths.
    """
    return (
        0 < len(text.encode("utf-8", "replace")) <= limit
        and text.isprintable()
        and text == text.strip()
        and ".." not in text
        and text != "."
        and not _FORBIDDEN_IN_NAMES.intersection(text)
    )


def is_image_name(text: str) -> bool:
    """Whether the text may be a photo's file name."""
    return is_plain_name(text, limit=255)


def is_person(text: str) -> bool:
    """Whether the text may name a person; the words of the classic answer are taken."""
    return is_plain_name(text, limit=128) and text not in (UNKNOWN, NO_FACE)
