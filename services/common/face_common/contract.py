"""The messages and objects that pass between the tiers. Pure: no I/O, no clock, no environment.

A photo's way: the web tier puts `images/<id>` and sends a `Job`; a worker writes `results/<id>.json` (a `Result`)
and sends a reply that carries it. The id, a ULID, is the key of everything that belongs to one photo.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic knows the standard library's from Python 3.12 on

SCHEMA_VERSION = 1
JOB_LIMIT = 1024
"""Largest job in bytes of UTF-8: small enough to read in a queue's console, and never a photo by mistake."""
REPLY_LIMIT = 200 * 1024
"""Largest reply in bytes that carries its result; a larger result is read from S3. SQS allows 256 KiB."""
UNKNOWN = "unknown"
NO_FACE = "no-face"
DISTRACTOR_PREFIX = "not:"
"""What a collection's distractors are called by, with an id behind it; no person can be, since names have no colon."""


class Operation(StrEnum):
    """What a job asks a worker to do."""

    IDENTIFY = "identify"
    ENROL = "enrol"
    VERIFY = "verify"
    DETECT = "detect"
    SEARCH = "search"
    """Who is nearest to an encoding. The object at the job's key is 128 floats of 32 bits, little-endian."""


class Code(StrEnum):
    """Stable error codes. docs/errors.md explains each; a code is never renamed or given a second meaning."""

    ARCHIVE_INVALID = "archive-invalid"
    ARCHIVE_TOO_LARGE = "archive-too-large"
    BATCH_CANCELLED = "batch-cancelled"
    BATCH_FINISHED = "batch-finished"
    BODY_TOO_LARGE = "body-too-large"
    COLLECTION_INVALID = "collection-invalid"
    CONSENT_MISSING = "consent-missing"
    ENCODING_INVALID = "encoding-invalid"
    ERASURE_FAILED = "erasure-failed"
    FACE_MISSING = "face-missing"
    FACE_UNNAMED = "face-unnamed"
    FLEET_UNKNOWN = "fleet-unknown"
    FORBIDDEN = "forbidden"
    GALLERY_FILE_INVALID = "gallery-file-invalid"
    IDEMPOTENCY_KEY_INVALID = "idempotency-key-invalid"
    IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused"
    ID_INVALID = "id-invalid"
    IMAGE_EMPTY = "image-empty"
    IMAGE_MISSING = "image-missing"
    IMAGE_TOO_LARGE = "image-too-large"
    IMAGE_UNREADABLE = "image-unreadable"
    INFERENCE_FAILED = "inference-failed"
    INFERENCE_TIMEOUT = "inference-timeout"
    INTERNAL = "internal-error"
    KEY_INVALID = "key-invalid"
    KEY_MISSING = "key-missing"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    MODEL_MISMATCH = "model-mismatch"
    MOMENT_PAST = "moment-past"
    NAME_INVALID = "name-invalid"
    NOT_FOUND = "not-found"
    NOT_PROCESSED = "not-processed"
    OVERLOADED = "overloaded"
    PARAMETER_INVALID = "parameter-invalid"
    PERSON_EXISTS = "person-exists"
    PERSON_INVALID = "person-invalid"
    PIN_TOO_LARGE = "pin-too-large"
    PREFIX_FORBIDDEN = "prefix-forbidden"
    RATE_LIMITED = "rate-limited"
    REDRIVE_REFUSED = "redrive-refused"
    REQUEST_INVALID = "request-invalid"
    SERVER_BUSY = "server-busy"
    STORAGE_UNAVAILABLE = "storage-unavailable"
    TYPE_UNSUPPORTED = "type-unsupported"
    VERSION_UNKNOWN = "version-unknown"
    WAIT_TIMEOUT = "wait-timeout"
    WEBHOOK_UNKNOWN = "webhook-unknown"


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
    photo: str = ""
    """Id of the enrolled photo that is encoded again; empty for a photo that is enrolled under the job's own id."""
    model: str = ""
    """Model that made the encoding which is searched for."""
    schema: int = SCHEMA_VERSION

    @property
    def enrolled_photo(self) -> str:
        """Id under which an enrolment's template is kept."""
        return self.photo or self.id

    def encode(self) -> str:
        """JSON of at most JOB_LIMIT bytes; InvalidMessageError when the fields do not fit."""
        fields = asdict(self)
        for name in ("other_name", "insist", "photo", "model"):
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


class Decided(TypedDict, total=False):
    """What was decided about a face, or about an encoding."""

    decision: Literal["match", "ambiguous", "unknown"]
    person: str | None
    distance: float | None
    """To the nearest person, in the metric that decides."""
    margin: float | None
    """How much farther the next is, a second person or a rejected face; negative where that is nearer than anybody."""
    threshold: float
    """Largest distance at which this collection's faces are named."""
    expected_false_match_rate: float
    """Share of strangers that would be named at the threshold, as far as the collection lets one tell."""
    l2_distance: float | None
    """face_recognition's distance to the nearest person's nearest template."""
    candidates: list[Candidate]


class Face(Decided):
    """One face of a photo: its place and quality and, in an identification, what was decided about it."""

    box: Box
    landmarks: list[tuple[int, int]]
    quality: Quality


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

    An identification and a detection have `faces`, an enrolment has `person`, `photo` and, in `faces`, those
    of the photo, the enrolled one first, a verification has
    `verification`, `other_image` and, in `faces`, the main face of either photo; a search has `match` and no image to
    speak of.
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
    match: NotRequired[Decided]
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
        result["photo"] = {"photo": job.enrolled_photo, "name": job.name, "verdict": verdict, "detail": detail}
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
    """Where the photo of a job that enrols nobody lies in the bucket."""
    return f"images/{job_id}"


def photo_key(photo: str) -> str:
    """Where an enrolled photo lies in the bucket."""
    return f"photos/{photo}"


def other_image_key(job_id: str) -> str:
    """Where the second photo of a verification lies in the bucket."""
    return f"images/{job_id}-other"


def unknown_key(collection: str, job_id: str) -> str:
    """Where the unknown faces of an identification lie in the bucket, where they are kept."""
    return f"unknown/{collection}/{job_id}.json"


def result_key(job_id: str) -> str:
    """Where the result of a job lies in the bucket."""
    return f"results/{job_id}.json"


_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_COLLECTION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_INVISIBLE = (
    r"\x00-\x1f\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200b\u200e\u200f"
    r"\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\uffff" + "\U000e0000-\U000e007f"
)
"""Controls, what separates or formats text (but for the joiners of Persian and Indic names)."""
_HALF = re.compile(r"[\ud800-\udfff]")  # not in the pattern: other languages' patterns cannot say it
IMAGE_NAME_PATTERN = rf'^(?! )(?!\.$)(?!.*\.\.)(?!.* $)[^/\\:"<>|*?{_INVISIBLE}]+$'
PERSON_PATTERN = rf"^(?!(?:{UNKNOWN}|{NO_FACE})$){IMAGE_NAME_PATTERN[1:]}"
"""What names look like, as Python and JSON Schema understand it."""
MAX_PERSON_LENGTH = 128
MAX_IMAGE_NAME_BYTES = 255


def is_id(text: str) -> bool:
    """Whether the text is a ULID in its canonical upper-case form."""
    return _ULID.fullmatch(text) is not None


def is_collection(text: str) -> bool:
    """Whether the text may name a collection: 1 to 40 of a-z, 0-9 and inner hyphens."""
    return _COLLECTION.fullmatch(text) is not None


def is_image_name(text: str) -> bool:
    """Whether the text may be a photo's file name: at most 255 bytes, as on disks, visible, and never part of a path.

    Colons are out because the classic answer is `<name>:<person>`; `..` and slashes because names appear in paths.
    """
    return _is_name(IMAGE_NAME_PATTERN, text) and len(text.encode()) <= MAX_IMAGE_NAME_BYTES


def is_person(text: str) -> bool:
    """Whether the text may name a person: as a photo, but 128 characters, and no word of the classic answer."""
    return _is_name(PERSON_PATTERN, text) and len(text) <= MAX_PERSON_LENGTH


def distractor(photo: str) -> str:
    """The reserved name under which a rejected face is enrolled, by the id of the photo that is kept of it."""
    return f"{DISTRACTOR_PREFIX}{photo}"


def is_distractor(name: str) -> bool:
    """Whether what is enrolled under this name is no person but a face that somebody was mistaken for."""
    return name.startswith(DISTRACTOR_PREFIX) and is_id(name.removeprefix(DISTRACTOR_PREFIX))


def _is_name(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None and _HALF.search(text) is None
