"""Reads photos and parameters from the request under way. Every fault is a ServiceError with its own code."""

from contextlib import closing
from dataclasses import dataclass

from flask import request
from werkzeug.datastructures import FileStorage

from face_common.contract import Code, is_collection, is_id, is_person
from face_common.errors import ServiceError

_MOST_FACES = 1000


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it was sent, not yet checked."""

    name: str
    body: bytes


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


def only_photo() -> list[Upload]:
    """The one file of the multipart field `image`, or the request's body itself (named by the parameter `name`)."""
    if request.mimetype == "multipart/form-data":
        return uploads("image", 1)
    if not request.content_length:
        raise ServiceError(Code.IMAGE_MISSING, "send the photo as the body, or as the multipart file field 'image'")
    return [Upload(request.args.get("name", "image"), request.get_data(cache=False))]


def pair() -> list[Upload]:
    """The two files of the multipart field `image`."""
    if len(request.files.getlist("image")) < 2:
        raise ServiceError(Code.IMAGE_MISSING, "send two photos: the multipart/form-data file field 'image' twice")
    return uploads("image", 2)


def base_url() -> str:
    """The service's address as the client sees it, with a slash at its end."""
    return request.host_url


def number(name: str, default: float, low: float, high: float) -> float:
    """A query parameter between two bounds."""
    text = request.args.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:  # not-a-number is in no range
        raise ServiceError(Code.PARAMETER_INVALID, f"{name} is a number from {low:g} to {high:g}, not {text[:40]!r}")
    return value


def whole_number(name: str, default: int, low: int, high: int) -> int:
    """A query parameter that is a whole number between two bounds."""
    value = number(name, default, low, high)
    if value != int(value):
        raise ServiceError(Code.PARAMETER_INVALID, f"{name} is a whole number, not {value:g}")
    return int(value)


def flag(name: str) -> bool:
    """A query parameter that is true or false; false when it is not given."""
    text = request.args.get(name, "false")
    if text not in ("true", "false"):
        raise ServiceError(Code.PARAMETER_INVALID, f"{name} is true or false, not {text[:40]!r}")
    return text == "true"


def max_faces() -> int:
    """The query parameter `max_faces`."""
    return whole_number("max_faces", 100, 1, _MOST_FACES)


def collection() -> str:
    """The query parameter `collection`."""
    name = request.args.get("collection", "default")
    if not is_collection(name):
        raise ServiceError(
            Code.COLLECTION_INVALID, "a collection's name has 1 to 40 of a-z, 0-9 and '-', and no '-' at either end"
        )
    return name


def person(name: str) -> str:
    """A person's name from the path."""
    if not is_person(name):
        raise ServiceError(
            Code.PERSON_INVALID,
            "a person's name has 1 to 128 bytes, none of / \\ : \" < > | * ? or control characters, no '..', no space "
            "at either end, and is neither 'unknown' nor 'no-face'",
        )
    return name


def job_id(text: str) -> str:
    """An id from the path."""
    if not is_id(text):
        raise ServiceError(Code.ID_INVALID, "an id is a ULID: 26 characters of 0-9 and A-Z")
    return text
