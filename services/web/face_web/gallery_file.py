"""A collection as a file: JSON lines, a header first and then a template a line."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from face_common import encodings
from face_common.contract import Code, is_distractor, is_id, is_image_name, is_person
from face_common.errors import ServiceError
from face_common.templates import DIMENSIONS, Template

FORMAT = "elastic-face-gallery"
_VERSION = 1
_LONGEST_LINE = 16 * 2**10
_LONGEST_HEADER = 2**20
_DIGEST = re.compile("[0-9a-f]{64}")
_LATEST = 2.5e11  # seconds since the epoch: in the year 9892, which every zone has
_MODEL = re.compile("[!-~]{1,200}")


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself."""

    collection: str
    models: list[str]
    templates: int

    def to_line(self) -> bytes:
        """The file's first line."""
        return _line(
            {
                "format": FORMAT,
                "version": _VERSION,
                "collection": self.collection,
                "models": self.models,
                "dimensions": DIMENSIONS,
                "templates": self.templates,
            }
        )


def to_line(row: Template) -> bytes:
    """A template's line."""
    return _line(
        {
            "person": row.person,
            "photo": row.photo,
            "name": row.name,
            "digest": row.digest,
            "model": row.model,
            "enrolled_at": row.enrolled_at,
            "encoding": encodings.to_text(row.encoding),
        }
    )


def read(file: BinaryIO) -> tuple[Header, Iterator[Template]]:
    """A file's header and templates, each checked as it is read.

    ServiceError (gallery-file-invalid) where it is none, is damaged, or ends too early; its sentence names the line.
    """
    header = _header(file.readline(_LONGEST_HEADER))
    return header, _templates(file, header)


def _header(line: bytes) -> Header:
    fields = _fields(line, 1)
    try:
        header = Header(
            str(fields["collection"]), [_text(model, _MODEL) for model in fields["models"]], fields["templates"]
        )
        if (fields["format"], fields["version"], fields["dimensions"]) != (FORMAT, _VERSION, DIMENSIONS):
            raise ValueError(f"it is no {FORMAT} of version {_VERSION} with {DIMENSIONS} dimensions")
        if type(header.templates) is not int or header.templates < 0:
            raise ValueError("templates is no count")
    except (ValueError, TypeError, KeyError) as error:
        raise _invalid(1, error) from error
    return header


def _templates(file: BinaryIO, header: Header) -> Iterator[Template]:
    number = 1
    while line := file.readline(_LONGEST_LINE):
        number += 1
        fields = _fields(line, number)
        try:
            row = _template(fields)
            if row.model not in header.models:
                raise ValueError("the model is none of the header's")
        except (ValueError, TypeError, KeyError) as error:
            raise _invalid(number, error) from error
        yield row
    if number - 1 != header.templates:
        raise _invalid(number, f"the file ends after {number - 1} of {header.templates} templates")


def _template(fields: dict[str, Any]) -> Template:
    if set(fields) != {"person", "photo", "name", "digest", "model", "enrolled_at", "encoding"}:
        raise ValueError("it has other fields than a template has")
    for name, is_right in (("person", _is_owner), ("photo", is_id), ("name", is_image_name)):
        if not isinstance(fields[name], str) or not is_right(fields[name]):
            raise ValueError(f"{name} is not what it should be")
    enrolled_at = fields["enrolled_at"]
    if not isinstance(enrolled_at, int | float) or not 0 <= enrolled_at <= _LATEST:
        raise ValueError("enrolled_at is no time")
    return Template(
        person=fields["person"],
        photo=fields["photo"],
        name=fields["name"],
        digest=_text(fields["digest"], _DIGEST),
        model=_text(fields["model"], _MODEL),
        encoding=encodings.from_text(fields["encoding"]),
        enrolled_at=float(enrolled_at),
    )


def _is_owner(name: str) -> bool:
    return is_person(name) or is_distractor(name)


def _text(value: object, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError("digest is no SHA-256 in hex" if pattern is _DIGEST else "model is no model's id")
    return value


def _fields(line: bytes, number: int) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _invalid(number, "it is no JSON") from error
    if not isinstance(fields, dict):
        raise _invalid(number, "it is no object")
    return fields


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _invalid(number: int, reason: object) -> ServiceError:
    shown = f"{reason.args[0]} is missing" if isinstance(reason, KeyError) else str(reason)
    return ServiceError(Code.GALLERY_FILE_INVALID, f"line {number}: {shown}")
