"""Zip archives from strangers, read piece by piece and within limits. Pure.

Written out here because the standard library's reader takes an archive's whole directory into memory, however many
entries it has. After APPNOTE.TXT 6.3.10; sizes beyond 4 GiB (ZIP64) are understood, archives in several parts are not.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from face_common.contract import Code
from face_common.errors import ServiceError

ReadAt = Callable[[int, int], bytes]
"""Bytes of the archive: (start, length) -> at most so many, fewer at its end."""
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 2**16
_CHUNK = 2**20
_NONE_32 = 2**32 - 1
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8 = 0x1, 0x800
_LOCAL_EXTRA = 4096  # read with an entry, for its local header's name and extra fields
_FREE_BYTES = 2**20  # smaller entries may be packed as densely as they like
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may be; sizes in bytes."""

    entries: int
    entry_bytes: int
    """Of one file, unpacked."""
    bytes: int
    """Of all files, unpacked."""
    ratio: float = 200.0
    """How many times larger than packed a file, or the whole, may become."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive, as its directory describes it."""

    path: str
    offset: int
    """Of its local header."""
    packed: int
    size: int
    """Bytes, packed and unpacked."""
    crc: int
    method: int


def members(read_at: ReadAt, length: int, limits: Limits) -> Iterator[Member]:
    """The files of an archive of so many bytes, in its directory's order, without directories and litter.

    ServiceError with archive-invalid, or archive-too-large when all of it is more than the limits allow.
    """
    start, size, shift = _directory(read_at, length)
    packed = unpacked = count = 0
    for member in _entries(read_at, start, size, shift):
        if is_litter(member.path):
            continue
        count, packed, unpacked = count + 1, packed + member.packed, unpacked + member.size
        if count > limits.entries:
            raise _too_large(f"more than {limits.entries} files")
        if unpacked > limits.bytes:
            raise _too_large(f"more than {limits.bytes} bytes once unpacked")
        if packed > length:
            raise _invalid("its files overlap")
        yield member
    if unpacked > _FREE_BYTES and unpacked > limits.ratio * packed:
        raise _too_large(f"more than {limits.ratio:g} times its own size once unpacked")
    if not count:
        raise _invalid("it holds no file")


def fault(member: Member, limits: Limits) -> str:
    """Why this file will not be unpacked; empty when it may be."""
    if member.method not in (_STORED, _DEFLATED):
        return "it is packed by another method than deflate"
    if member.size > limits.entry_bytes or member.packed > limits.entry_bytes + _FREE_BYTES:
        return f"it has {member.size} bytes; at most {limits.entry_bytes} are accepted"
    if member.size > _FREE_BYTES and member.size > limits.ratio * member.packed:
        return f"it would become more than {limits.ratio:g} times larger than it is packed"
    return ""


def unpack(read_at: ReadAt, member: Member) -> bytes:
    """The file's bytes, never more than its stated size. ValueError when it is damaged."""
    chunk = read_at(member.offset, _LOCAL.size + _LOCAL_EXTRA + member.packed)
    if len(chunk) < _LOCAL.size or chunk[:4] != b"PK\x03\x04":
        raise ValueError("there is no file where the archive's directory says")
    *_, name_length, extra_length = _LOCAL.unpack_from(chunk)
    begin = _LOCAL.size + name_length + extra_length
    packed = chunk[begin : begin + member.packed]
    if begin + member.packed > len(chunk):  # an unusually long header, or the archive's end
        packed = read_at(member.offset + begin, member.packed)
    body = packed if member.method == _STORED else _inflate(packed, member.size)
    if len(body) != member.size or zlib.crc32(body) != member.crc:
        raise ValueError("its checksum is wrong")
    return body


def _inflate(packed: bytes, size: int) -> bytes:
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return unpacking.decompress(packed, size + 1)  # one more, so that a file that is larger than stated is seen
    except zlib.error as error:
        raise ValueError("it cannot be unpacked") from error


def _directory(read_at: ReadAt, length: int) -> tuple[int, int, int]:
    """Where the directory starts, its size, and by how much all offsets are to be shifted."""
    tail_start = max(length - _END.size - _LONGEST_COMMENT, 0)
    tail = read_at(tail_start, length - tail_start)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise _invalid("it is no zip archive, or it is cut off")
    _, disk, directory_disk, _, _, size, offset, _ = _END.unpack_from(tail, at)
    end = tail_start + at
    if disk not in (0, 0xFFFF) or directory_disk not in (0, 0xFFFF):
        raise _invalid("it is one of several parts")
    locator = read_at(end - _END64_LOCATOR.size, _END64_LOCATOR.size) if end >= _END64_LOCATOR.size else b""
    if locator[:4] == b"PK\x06\x07":
        _, _, end, _ = _END64_LOCATOR.unpack(locator)
        record = read_at(end, _END64.size) if end < length else b""
        if len(record) < _END64.size or record[:4] != b"PK\x06\x06":
            raise _invalid("its directory is damaged")
        *_, size, offset = _END64.unpack(record)
    start = end - size
    if start < 0 or start < offset:
        raise _invalid("its directory is damaged")
    return start, size, start - offset  # whatever was put before the archive shifts it


def _entries(read_at: ReadAt, start: int, size: int, shift: int) -> Iterator[Member]:
    """Every entry of the directory that is a file, reading about a mebibyte at a time."""
    buffer, at, end = b"", start, start + size
    while at < end or buffer:
        if len(buffer) < _CHUNK and at < end:
            chunk = read_at(at, min(_CHUNK, end - at))
            if not chunk:
                raise _invalid("its directory is cut off")
            buffer, at = buffer + chunk, at + len(chunk)
        taken = 0
        while len(buffer) - taken >= _ENTRY.size:
            whole = _length(buffer, taken)
            if len(buffer) - taken < whole:
                break
            member = _entry(buffer[taken : taken + whole], shift)
            taken += whole
            if member is not None:
                yield member
        if not taken and at >= end:
            raise _invalid("its directory is damaged")
        buffer = buffer[taken:]


def _length(buffer: bytes, at: int) -> int:
    if buffer[at : at + 4] != b"PK\x01\x02":
        raise _invalid("its directory is damaged")
    name, extra, comment = struct.unpack_from("<3H", buffer, at + 28)
    return int(_ENTRY.size + name + extra + comment)


def _entry(record: bytes, shift: int) -> Member | None:
    """One entry; None for a directory."""
    fields = _ENTRY.unpack_from(record)
    flags, method, crc, packed, size, name_length, extra_length = (fields[place] for place in (3, 4, 7, 8, 9, 10, 11))
    offset = fields[16]
    if flags & _ENCRYPTED:
        raise _invalid("it is encrypted")
    name = record[_ENTRY.size : _ENTRY.size + name_length]
    path = name.decode("utf-8" if flags & _UTF8 else "cp437", "replace").replace("\\", "/")
    if path.endswith("/"):
        return None
    extra = record[_ENTRY.size + name_length : _ENTRY.size + name_length + extra_length]
    size, packed, offset = _large(extra, [size, packed, offset])
    return Member(path, offset + shift, packed, size, crc, method)


def _large(extra: bytes, numbers: list[int]) -> list[int]:
    """Sizes and offset with those that need more than 32 bits taken from the ZIP64 extra field."""
    if _NONE_32 not in numbers:
        return numbers
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1 and len(extra) >= 4 + length:
            found = iter(struct.unpack_from(f"<{length // 8}Q", extra, 4))
            return [next(found, number) if number == _NONE_32 else number for number in numbers]
        extra = extra[4 + length :]
    return numbers


def is_litter(path: str) -> bool:
    """Whether an operating system has put this file beside the ones that were meant."""
    *folders, name = path.split("/")
    return "__MACOSX" in folders or name in _LITTER or name.startswith("._")


def _invalid(reason: str) -> ServiceError:
    return ServiceError(Code.ARCHIVE_INVALID, f"the archive cannot be taken: {reason}")


def _too_large(reason: str) -> ServiceError:
    return ServiceError(Code.ARCHIVE_TOO_LARGE, f"the archive has {reason}")


def add(file: BinaryIO, path: str, body: bytes) -> Member:
    """Write a file behind what is there, unpacked, such that `unpack` finds it; no directory is written for it."""
    offset, crc = file.tell(), zlib.crc32(body)
    file.write(_LOCAL.pack(b"PK\x03\x04", 10, 0, _STORED, 0, 0, crc, len(body), len(body), 0, 0))
    file.write(body)
    return Member(path, offset, len(body), len(body), crc, _STORED)
