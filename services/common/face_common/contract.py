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
    VERIFY = "verify"
    DETECT = "detect"


class Code(StrEnum):
    """Stable error codes. docs/errors.md explains each; a code is never renamed or given a second meaning."""

    BODY_TOO_LARGE = "body-too-large"
    COLLECTION_INVALID = "collection-invalid"
    FACE_MISSING = "face-missing"
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
    other_name: str = ""
    """File name of the second photo of a verification, which lies at other_image_key(id)."""
    insist: bool = False
    """Enrol a photo even if it looks like another person, or unlike this person's others."""
    schema: int = SCHEMA_VERSION

    def encode(self) -> str:
        """JSON of at most JOB_LIMIT bytes; InvalidMessageError when the fields do not fit."""
        fields = asdict(self)
        for name in ("other_name", "insist"):
            if not fields[name]:
                del fields[name]  # workers of an earlier release, which do not know it, may still be running
        body = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
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
    """An enrolled person and how far the face is from them."""

    person: str
    distance: float
    """In the metric that decides: from 0, the same, to 2."""
    l2_distance: float
    """face_recognition's distance to the person's nearest template; its usual limit is 0.6."""


class Quality(TypedDict):
    """What makes a face easy or hard to recognise."""

    size: int
    """Shorter side of the box in pixels."""
    sharpness: float
    """Variance of the Laplacian over the aligned 150x150 face chip; blurred faces are near 0."""
    yaw: float
    """How far the face looks aside: 0 is straight ahead, about 1 (or -1) a profile."""
    score: float
    """The detector's confidence, in the detector's own scale."""
    reasons: list[Literal["small", "blurred", "turned"]]
    """Why a decision about this face deserves less trust; empty for a good one."""


class Face(TypedDict):
    """One face of a photo: its place and quality and, in an identification, what was decided about it."""

    box: Box
    landmarks: list[tuple[int, int]]
    quality: Quality
    decision: NotRequired[Literal["match", "ambiguous", "unknown"]]
    person: NotRequired[str | None]
    distance: NotRequired[float | None]
    """To the nearest person, in the metric that decides."""
    margin: NotRequired[float | None]
    """How much farther the second person is."""
    threshold: NotRequired[float]
    """Largest distance at which this collection's faces are named."""
    expected_false_match_rate: NotRequired[float]
    """Share of strangers that would be named at the threshold, as far as the collection lets one tell."""
    l2_distance: NotRequired[float | None]
    """face_recognition's distance to the nearest person's nearest template."""
    candidates: NotRequired[list[Candidate]]


class ImageInfo(TypedDict):
    """The photo as it was sent; width and height in pixels, upright once a worker has read it."""

    name: str
    width: int
    height: int
    turned: NotRequired[int]
    """Degrees, clockwise, by which it had to be turned for faces to be found; boxes are in that upright frame."""


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


Verdict = Literal[
    "accepted",
    "no-face",
    "several-faces",
    "too-small",
    "blurred",
    "extreme-pose",
    "duplicate",
    "looks-like-another",
    "inconsistent",
    "unreadable",
    "failed",
    "queued",
]


class EnrolledPhoto(TypedDict):
    """The verdict on one photo of an enrolment; `photo` is its id, None when it never came to be stored."""

    photo: str | None
    name: str
    verdict: Verdict
    detail: str


class Verification(TypedDict):
    """Whether two photos' main faces are one person's."""

    decision: Literal["same", "different"]
    distance: float
    """In the metric that decides: from 0, the same, to 2."""
    threshold: float
    """Largest distance of the same person."""
    expected_false_match_rate: float
    """Share of pairs of different people that would be taken for the same at the threshold."""
    l2_distance: float
    """face_recognition's distance; its usual limit is 0.6."""


class Result(TypedDict):
    """What `results/<id>.json` holds.

    An identification and a detection have `faces`, an enrolment has `person` and `photo`, a verification has
    `verification`, `other_image` and, in `faces`, the main face of either photo.
    """

    id: str
    operation: str
    state: Literal["done", "failed"]
    image: ImageInfo
    other_image: NotRequired[ImageInfo]
    collection: str
    gallery_version: NotRequired[int]
    model: NotRequired[str]
    profile: NotRequired[str]
    faces: NotRequired[list[Face]]
    verification: NotRequired[Verification]
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


def other_image_key(job_id: str) -> str:
    """Where the second photo of a verification lies in the bucket."""
    return f"images/{job_id}-other"


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
