"""Takes the files of a batch off the request under way, piece by piece: all of them at once may be gigabytes."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from flask import request
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web.batches import archive
from face_web.batches.archive import Limits, Member

_CHUNK = 256 * 1024
_LONGEST_HEAD = 4 * _CHUNK  # of what the decoder keeps: all that belongs to no file
_ZIPS = ("application/zip", "application/x-zip-compressed", "application/octet-stream")
_HOW = "send photos as multipart/form-data files named 'image', or one zip as the file 'archive' or as the body"


@dataclass(slots=True)
class Received:
    """The files of a request, in a file of this host's that is gone afterwards."""

    file: BinaryIO
    members: list[Member] = field(default_factory=list)
    """Photos that were sent one by one. None: the file is an archive as the client made it."""
    digest: bytes = b""
    """Of everything that was received."""


@contextmanager
def received(most_bytes: int, limits: Limits) -> Iterator[Received]:
    """What the request carries. ServiceError with image-missing or request-invalid; a 413 when it is too large."""
    request.max_content_length = most_bytes
    with tempfile.TemporaryFile() as file:
        if request.mimetype == "multipart/form-data":
            found = _Form(file, limits).read()
        elif request.mimetype in _ZIPS:
            found = _whole(file)
        else:
            raise ServiceError(Code.REQUEST_INVALID, _HOW)
        yield found


def _whole(file: BinaryIO) -> Received:
    digest = hashlib.sha256()
    while chunk := request.stream.read(_CHUNK):
        digest.update(chunk)
        file.write(chunk)
    if not file.tell():
        raise ServiceError(Code.IMAGE_MISSING, f"the body is empty: {_HOW}")
    return Received(file, [], digest.digest())


class _Form:
    """Reads a multipart form: photos one behind the other into the file, or the archive into it as it is."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._received = Received(file)
        self._limits = limits
        self._digest = hashlib.sha256()
        self._part: File | None = None
        self._body = bytearray()
        self._size = 0
        self._has_archive = False

    def read(self) -> Received:
        boundary = request.mimetype_params.get("boundary", "").encode("ascii", "replace")
        decoder = MultipartDecoder(boundary, _LONGEST_HEAD, max_parts=self._limits.entries + 1)
        try:
            self._read(decoder)
        except ValueError as error:
            raise ServiceError(Code.REQUEST_INVALID, f"the form is damaged: {error}") from error
        if not self._has_archive and not self._received.members:
            raise ServiceError(Code.IMAGE_MISSING, _HOW)
        self._received.digest = self._digest.digest()
        return self._received

    def _read(self, decoder: MultipartDecoder) -> None:
        while True:
            event = decoder.next_event()
            if isinstance(event, NeedData):
                decoder.receive_data(request.stream.read(_CHUNK) or None)
            elif isinstance(event, Epilogue):
                return
            elif isinstance(event, File):
                self._begin(event)
            elif isinstance(event, Field):
                self._part = None
            elif isinstance(event, Data) and self._part is not None:
                self._take(event.data)
                if not event.more_data:
                    self._end(self._part)

    def _begin(self, part: File) -> None:
        if part.name not in ("image", "archive"):
            raise ServiceError(Code.REQUEST_INVALID, f"there is a file named {(part.name or '')[:40]!r}; {_HOW}")
        if self._has_archive or (part.name == "archive" and self._received.members):
            raise ServiceError(Code.REQUEST_INVALID, f"an archive comes alone; {_HOW}")
        self._part, self._size = part, 0
        self._has_archive = part.name == "archive"
        self._digest.update(f"{part.name} {part.filename}\n".encode("utf-8", "replace"))

    def _take(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._size += len(piece)
        if self._has_archive:
            self._received.file.write(piece)
        elif self._size <= self._limits.entry_bytes:
            self._body += piece

    def _end(self, part: File) -> None:
        if self._has_archive:
            return
        path = part.filename.replace("\\", "/")
        if not archive.is_litter(path):
            too_large = self._size > self._limits.entry_bytes
            member = archive.add(self._received.file, path, b"" if too_large else bytes(self._body))
            self._received.members.append(replace(member, size=self._size))
        self._body.clear()
