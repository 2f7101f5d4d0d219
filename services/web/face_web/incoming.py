"""Reads photos, names and the caller from the request under way. Every fault is a ServiceError with its own code."""

import datetime
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from flask import g, request
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field
from werkzeug.datastructures import FileStorage

from face_common.contract import (
    IMAGE_NAME_PATTERN,
    MAX_IMAGE_NAME_BYTES,
    MAX_PERSON_LENGTH,
    PERSON_PATTERN,
    Code,
    is_id,
    is_person,
)
from face_common.errors import ServiceError
from face_web.access import Caller
from face_web.idempotency import fingerprint
from face_web.routes import BINARY, COLLECTION
from face_web.services import Services

_MOST_FACES = 1000
_FIRST = datetime.datetime(2, 1, 1, tzinfo=datetime.UTC)
_LAST = datetime.datetime(9998, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
IMAGE_KINDS = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff", "image/gif", "image/heic")
_NOT_PART_OF_A_REQUEST = "wait"  # how long the client waits changes nothing of what it asks


def photos_field(least: int, most: int, field: str = "image") -> dict[str, Any]:
    """The schema of a multipart form with a file field that comes `least` to `most` times."""
    files: dict[str, Any] = dict(BINARY)
    if most > 1:
        files = {"type": "array", "items": BINARY, "minItems": least, "maxItems": most}
    encoding = {field: {"contentType": ", ".join(IMAGE_KINDS)}}
    return {"type": "object", "properties": {field: files}, "required": [field], "encoding": encoding}


ONE_PHOTO = {"multipart/form-data": photos_field(1, 1), **dict.fromkeys(IMAGE_KINDS, BINARY)}
"""The media types of a call that takes a photo."""
TWO_PHOTOS = {"multipart/form-data": photos_field(2, 2)}


def _moment(value: object) -> object:
    if not isinstance(value, str | datetime.datetime):
        raise ValueError("input should be a time as ISO 8601 writes it")
    return value


def _representable(moment: datetime.datetime) -> datetime.datetime:
    """The moment, or the one nearest to it that is one in every zone: `never` is often written as the end of 9999."""
    return min(max(moment, _FIRST), _LAST)


Moment = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_representable)]
"""A time with its zone, as ISO 8601 writes it."""
LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""Text that a terminal shows as it is."""
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
CollectionName = Annotated[str, Field(pattern=COLLECTION)]


def _id(text: str) -> str:
    if not is_id(text):
        raise ServiceError(Code.ID_INVALID, "an id is a ULID: 26 characters of 0-9 and A-Z")
    return text


def as_person(name: str) -> str:
    """The name, if it is one that a person may have; ServiceError (person-invalid)."""
    if not is_person(name):
        raise ServiceError(
            Code.PERSON_INVALID,
            "a person's name has 1 to 128 characters, none of / \\ : \" < > | * ? or invisible ones, no '..', no space "
            "at either end, and is neither 'unknown' nor 'no-face'",
        )
    return name


def _flag(text: object) -> object:
    if text not in ("true", "false", True, False):
        raise ValueError("input should be true or false")
    return text


def _whole(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("input should be a whole number")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number of a JSON body: neither true nor text, as the document says, but 2.0 is one."""
JobId = Annotated[
    str,
    AfterValidator(_id),
    Field(
        description="A ULID.",
        json_schema_extra={"pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
    ),
]
Person = Annotated[
    str,
    AfterValidator(as_person),
    Field(
        description="A person's name: 1 to 128 visible characters, none of / \\ : \" < > | * ?, no '..'.",
        json_schema_extra={"pattern": PERSON_PATTERN, "maxLength": MAX_PERSON_LENGTH},
    ),
]
PhotoName = Annotated[
    str,
    Field(
        description="The file's name, where the body is the photo itself: at most 255 bytes, visible, no path.",
        json_schema_extra={"pattern": IMAGE_NAME_PATTERN, "maxLength": MAX_IMAGE_NAME_BYTES},
    ),
]
MAX_FACES: Any = Field(100, ge=1, le=_MOST_FACES, description="How many faces to answer at most.")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it was sent, not yet checked."""

    name: str
    body: bytes


class Named(Protocol):
    """A query that names the photo in the body."""

    name: str


def caller() -> Caller:
    """Whoever makes the request."""
    found: Caller = g.caller
    return found


def ids(services: Services, count: int, *bodies: bytes) -> Sequence[str]:
    """Ids for what the request makes: always the same ones for the same Idempotency-Key.

    `bodies`: what the request carries. ServiceError with idempotency-key-invalid or idempotency-key-reused.
    """
    asked = sorted(item for item in request.args.items(multi=True) if item[0] != _NOT_PART_OF_A_REQUEST)
    return services.idempotency.ids(
        request.headers.get("Idempotency-Key"),
        f"{caller().key} {request.method} {request.path}",
        fingerprint(repr(asked), *bodies),
        count,
    )


def uploads(field: str, limit: int) -> list[Upload]:
    """The files of a multipart field, 1 to `limit` of them."""
    files = request.files.getlist(field)
    if not files:
        raise ServiceError(Code.IMAGE_MISSING, f"send the photo as the multipart/form-data file field '{field}'")
    if len(files) > limit:
        raise ServiceError(Code.PARAMETER_INVALID, f"at most {limit} photos in one request, not {len(files)}")
    return [_upload(file) for file in files]


def _upload(file: FileStorage) -> Upload:
    with closing(file):  # closed at once: the parser's own copy need not outlive the wait for a worker
        return Upload(file.filename or "", file.read())


def only_photo(query: Named) -> list[Upload]:
    """The one file of the multipart field `image`, or the request's body itself, named by the query."""
    if request.mimetype == "multipart/form-data":
        return uploads("image", 1)
    if not request.content_length:
        raise ServiceError(Code.IMAGE_MISSING, "send the photo as the body, or as the multipart file field 'image'")
    return [Upload(query.name, request.get_data(cache=False))]


def pair(_: object) -> list[Upload]:
    """The two files of the multipart field `image`."""
    if len(request.files.getlist("image")) < 2:
        raise ServiceError(Code.IMAGE_MISSING, "send two photos: the multipart/form-data file field 'image' twice")
    return uploads("image", 2)


def base_url() -> str:
    """The service's address as the client sees it, with a slash at its end."""
    return request.host_url
