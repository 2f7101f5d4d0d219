"""Zip archives from strangers."""

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web.batches import archive
from face_web.batches.archive import Limits, Member, ReadAt

LIMITS = Limits(entries=1000, entry_bytes=3 * 2**20, bytes=64 * 2**20)
NOISE = np.random.default_rng(1).bytes(100_000)


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two files of one name
        for path, body in files:
            made.writestr(path, body)
    return target.getvalue()


def reader(body: bytes) -> ReadAt:
    return lambda start, length: body[start : start + length]


def members(body: bytes, limits: Limits = LIMITS) -> list[Member]:
    return list(archive.members(reader(body), len(body), limits))


def refused(body: bytes, limits: Limits = LIMITS) -> tuple[Code, str]:
    with pytest.raises(ServiceError) as caught:
        members(body, limits)
    return caught.value.code, caught.value.detail


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_files_come_in_order_and_whole(method: int) -> None:
    files = [
        ("b/1.jpg", NOISE),
        ("a/2.jpg", b"two"),
        ("a/2.jpg", b"another"),
        ("empty.jpg", b""),
        ("ü/é.jpg", b"x" * 10),
    ]
    body = zipped(*files, method=method)
    found = members(body)
    assert [(member.path, archive.unpack(reader(body), member)) for member in found] == files
    assert [archive.fault(member, LIMITS) for member in found] == [""] * 5


def test_folders_and_litter_are_passed_over() -> None:
    body = zipped(
        ("ada/", b""), ("ada/1.jpg", b"1"), ("__MACOSX/ada/._1.jpg", b"2"), (".DS_Store", b"3"), ("ada/Thumbs.db", b"4")
    )
    assert [member.path for member in members(body)] == ["ada/1.jpg"]


def test_backslashes_are_slashes_and_old_names_are_read() -> None:
    body = zipped(("ada_1.jpg", b"1")).replace(b"ada_1.jpg", b"ada\\\x81.jpg")
    assert [member.path for member in members(body)] == ["ada/ü.jpg"]


def test_what_was_put_before_an_archive_does_no_harm() -> None:
    body = b"#!/bin/sh\n" + zipped(("a.jpg", NOISE), ("b.jpg", b"b"))
    assert [archive.unpack(reader(body), member) for member in members(body)] == [NOISE, b"b"]


def test_a_comment_at_the_end_does_no_harm() -> None:
    target = io.BytesIO(zipped(("a.jpg", b"a")))
    with zipfile.ZipFile(target, "a") as made:
        made.comment = b"c" * 60_000
    assert [member.path for member in members(target.getvalue())] == ["a.jpg"]


def test_sizes_of_64_bits_are_understood() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made, made.open(zipfile.ZipInfo("a.jpg"), "w", force_zip64=True) as file:
        file.write(NOISE)
    body = target.getvalue()
    start = body.index(b"PK\x01\x02")
    record = bytearray(body[start : body.index(b"PK\x05\x06")])
    struct.pack_into("<3L", record, 16, struct.unpack_from("<L", record, 16)[0], 2**32 - 1, 2**32 - 1)
    struct.pack_into("<L", record, 42, 2**32 - 1)
    extra = struct.pack("<2H3Q", 1, 24, len(NOISE), len(NOISE), 0)
    struct.pack_into("<H", record, 30, len(extra))
    record = record[: 46 + 5] + extra
    directory = start + len(record)
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(record), start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, directory, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    large = body[:start] + bytes(record) + end64 + locator + end
    (member,) = members(large)
    assert (member.path, archive.unpack(reader(large), member)) == ("a.jpg", NOISE)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no zip"),
        (b"\xff\xd8 not a zip", "no zip"),
        (zipped(("a.jpg", NOISE))[:-30], "no zip"),
        (zipped(("folder/", b"")), "no file"),
        (zipped(), "no file"),
        (zipped(("a.jpg", b"a")).replace(b"PK\x01\x02", b"PK\x01\x03"), "damaged"),
    ],
)
def test_what_is_no_archive_is_refused(body: bytes, reason: str) -> None:
    code, detail = refused(body)
    assert code is Code.ARCHIVE_INVALID
    assert reason in detail


def altered(body: bytes, change: Callable[[bytearray, int], None]) -> bytes:
    """The archive with its first entry in the directory changed; `change` is given that entry's offset."""
    copy = bytearray(body)
    change(copy, copy.index(b"PK\x01\x02"))
    return bytes(copy)


def test_an_encrypted_archive_is_refused() -> None:
    body = altered(zipped(("a.jpg", b"a")), lambda copy, at: struct.pack_into("<H", copy, at + 8, 1))
    assert refused(body) == (Code.ARCHIVE_INVALID, "the archive cannot be taken: it is encrypted")


def test_files_that_overlap_are_refused() -> None:
    body = altered(zipped(("a.jpg", b"a")), lambda copy, at: struct.pack_into("<L", copy, at + 20, 10_000))
    assert "overlap" in refused(body)[1]


@pytest.mark.parametrize(
    ("limits", "reason"), [(Limits(4, 10**6, 10**9), "than 4 files"), (Limits(10, 10**6, 499_999), "than 499999 bytes")]
)
def test_more_than_the_limits_is_refused_by_the_directory_alone(limits: Limits, reason: str) -> None:
    body = zipped(*((f"{number}.jpg", NOISE) for number in range(5)))

    def read_at(start: int, length: int) -> bytes:
        assert start >= len(body) - 66_000, "no file is read"
        return body[start : start + length]

    with pytest.raises(ServiceError, match=reason) as caught:
        list(archive.members(read_at, len(body), limits))
    assert caught.value.code is Code.ARCHIVE_TOO_LARGE


def test_a_bomb_is_refused_by_its_ratio() -> None:
    bomb = zipped(("a.jpg", bytes(50 * 2**20)))
    assert len(bomb) < 60_000
    assert refused(bomb)[0] is Code.ARCHIVE_TOO_LARGE
    beside = zipped(("a.jpg", bytes(2 * 2**20)), ("b.jpg", np.random.default_rng(2).bytes(2**20)))
    first, second = members(beside)
    assert "larger than it is packed" in archive.fault(first, LIMITS)
    assert not archive.fault(second, LIMITS)


def test_a_file_that_is_too_large_or_packed_strangely_is_not_unpacked() -> None:
    (large,) = members(zipped(("a.jpg", bytes(4 * 2**20)), method=zipfile.ZIP_STORED))
    assert "at most" in archive.fault(large, LIMITS)
    (strange,) = members(zipped(("a.jpg", NOISE), method=zipfile.ZIP_LZMA))
    assert "method" in archive.fault(strange, LIMITS)


def test_a_file_never_becomes_larger_than_its_directory_says() -> None:
    body = altered(zipped(("a.jpg", bytes(30 * 2**20))), lambda copy, at: struct.pack_into("<L", copy, at + 24, 1000))
    (member,) = members(body)
    assert member.size == 1000
    with pytest.raises(ValueError, match="checksum"):
        archive.unpack(reader(body), member)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_damaged_file_is_noticed(method: int) -> None:
    body = bytearray(zipped(("a.jpg", NOISE), method=method))
    body[50_000] ^= 0x55
    (member,) = members(bytes(body))
    with pytest.raises(ValueError, match=r"checksum|unpacked"):
        archive.unpack(reader(bytes(body)), member)


def test_whatever_is_damaged_the_answer_is_a_refusal() -> None:
    whole = zipped(("a/1.jpg", NOISE[:2000]), ("b/2.jpg", NOISE[:3000]), ("c/3.jpg", b""))
    chance = np.random.default_rng(3)
    refusals = set()
    for _ in range(3000):
        body = bytearray(whole)
        for place in chance.integers(len(body) - 300, len(body), chance.integers(1, 5)):
            body[place] = chance.choice((0, 0xFF, chance.integers(256)))
        damaged = bytes(body[: chance.integers(len(body))] if chance.random() < 0.1 else body)
        try:
            found = members(damaged)
        except ServiceError as error:
            refusals.add(error.code)
            continue
        for member in found:
            if not archive.fault(member, LIMITS):
                with suppress(ValueError):
                    archive.unpack(reader(damaged), member)
    assert refusals == {Code.ARCHIVE_INVALID, Code.ARCHIVE_TOO_LARGE}


def test_a_directory_is_read_in_pieces() -> None:
    body = zipped(*((f"{number:05d}-{'x' * 200}.jpg", b"") for number in range(9000)))
    longest = 0

    def read_at(start: int, length: int) -> bytes:
        nonlocal longest
        longest = max(longest, length)
        return body[start : start + length]

    found = list(archive.members(read_at, len(body), Limits(10_000, 10, 10)))
    assert [int(member.path[:5]) for member in found] == list(range(9000))
    assert longest <= 2**20


def test_files_are_added_one_by_one() -> None:
    file = io.BytesIO()
    added = [archive.add(file, path, body) for path, body in (("a", b"first"), ("b", b""), ("c", NOISE))]
    assert [archive.unpack(reader(file.getvalue()), member) for member in added] == [b"first", b"", NOISE]
