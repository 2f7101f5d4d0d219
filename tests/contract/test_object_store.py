import io
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from face_common.errors import ObjectMissingError
from face_common.ports import Bucket
from face_common.s3 import S3ObjectStore
from tests.contract.conftest import client

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

VERSIONED = "contract-versioned"


@pytest.fixture
def versioned(localstack: str) -> "S3Client":
    """A client of S3 with a bucket that keeps every version."""
    s3: S3Client = client(localstack, "s3")
    s3.create_bucket(Bucket=VERSIONED)
    s3.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Enabled"})
    return s3


def test_what_is_put_is_got(store: Bucket) -> None:
    store.put("a/b", b"\x00body", "image/jpeg")
    assert store.get("a/b") == b"\x00body"
    assert store.exists("a/b")


def test_put_replaces(store: Bucket) -> None:
    store.put("a", b"1", "text/plain")
    store.put("a", b"2", "text/plain")
    assert store.get("a") == b"2"


def test_what_is_not_there_is_missing(store: Bucket) -> None:
    assert not store.exists("a")
    with pytest.raises(ObjectMissingError):
        store.get("a")


def test_put_new_never_replaces(store: Bucket) -> None:
    assert store.put_new("a", b"first", "text/plain")
    assert not store.put_new("a", b"second", "text/plain")
    assert store.get("a") == b"first"


def test_of_many_writers_one_wins(store: Bucket) -> None:
    bodies = [str(number).encode() for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda body: store.put_new("a", body, "text/plain"), bodies))
    assert won.count(True) == 1
    assert store.get("a") == bodies[won.index(True)]


def test_delete_removes_and_forgives_what_is_missing(store: Bucket) -> None:
    store.put("a", b"1", "text/plain")
    store.delete(["a", "b"])
    assert not store.exists("a")
    store.delete([])


def test_put_over_replaces_only_what_has_not_changed(store: Bucket) -> None:
    store.put("a", b"1", "text/plain")
    body, tag = store.get_tagged("a")
    assert body == b"1"
    newer = store.put_over("a", b"2", "text/plain", tag)
    assert newer is not None
    assert store.put_over("a", b"3", "text/plain", tag) is None
    assert store.get_tagged("a") == (b"2", newer)
    assert store.put_over("missing", b"3", "text/plain", tag) is None
    with pytest.raises(ObjectMissingError):
        store.get_tagged("missing")


def test_of_many_who_replace_one_wins(store: Bucket) -> None:
    store.put("a", b"first", "text/plain")
    _, tag = store.get_tagged("a")
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda number: store.put_over("a", b"%d" % number, "text/plain", tag), range(8)))
    assert sum(tag is not None for tag in won) == 1


def test_tags_lists_what_is_under_a_prefix(store: Bucket) -> None:
    for key in ("fleet/b", "fleet/a", "other/a"):
        store.put(key, key.encode(), "text/plain")
    assert list(store.tags("fleet/")) == ["fleet/a", "fleet/b"]
    assert store.tags("fleet/")["fleet/a"] == store.get_tagged("fleet/a")[1]
    assert store.tags("none/") == {}


def test_a_file_is_put_whole(store: Bucket) -> None:
    body = bytes(range(256)) * 50_000  # larger than one part of a multipart upload
    store.put_file("archive", io.BytesIO(body), "application/zip")
    assert store.get("archive") == body


def test_a_range_is_cut_at_the_end(store: Bucket) -> None:
    store.put("a", b"0123456789", "text/plain")
    assert store.get_range("a", 2, 3) == b"234"
    assert store.get_range("a", 8, 100) == b"89"
    assert store.get_range("a", 10, 5) == b""
    with pytest.raises(ObjectMissingError):
        store.get_range("missing", 0, 1)


def test_entries_come_in_order_from_where_one_likes(store: Bucket) -> None:
    for key in ("x/b", "x/a", "x/c", "y/a"):
        store.put(key, key.encode(), "text/plain")
    entries = list(store.entries("x/"))
    assert [entry.key for entry in entries] == ["x/a", "x/b", "x/c"]
    assert [entry.key for entry in store.entries("x/", after="x/a")] == ["x/b", "x/c"]
    assert entries[0].tag == store.get_tagged("x/a")[1]
    assert entries[0].size == 3
    assert abs(entries[0].modified_at - time.time()) < 60
    assert not list(store.entries("z/"))


def test_purged_objects_are_gone(store: Bucket) -> None:
    store.put("a", b"1", "text/plain")
    store.put("ab", b"2", "text/plain")
    assert store.purge(["a", "missing"]) == 1
    assert not store.exists("a")
    assert store.exists("ab")


def test_earlier_versions_are_purged_too(versioned: "S3Client") -> None:
    store = S3ObjectStore(versioned, VERSIONED)
    for key in ("x/a", "x/b"):
        store.put(key, b"1", "text/plain")
        store.put(key, b"2", "text/plain")
    store.delete(["x/a"])
    assert store.purge(["x/a"]) == 3  # two versions and the mark of deletion
    assert store.purge_older("x/") == 1
    assert store.get("x/b") == b"2"
    left = versioned.list_object_versions(Bucket=VERSIONED, Prefix="x/")
    assert [entry["Key"] for entry in left["Versions"]] == ["x/b"]
    assert "DeleteMarkers" not in left


def test_what_sorts_before_an_end_is_purged(store: Bucket) -> None:
    for key in ("x/1", "x/2", "x/3", "y/1"):
        store.put(key, key.encode(), "text/plain")
    assert store.purge_until("x/", "x/3") == 2
    assert [entry.key for entry in store.entries("")] == ["x/3", "y/1"]
    assert store.purge_until("x/", "x/3") == 0


def test_versions_and_marks_of_deletion_before_an_end_are_purged(versioned: "S3Client") -> None:
    store = S3ObjectStore(versioned, VERSIONED)
    for key in ("u/1", "u/2", "u/3", "u/4"):
        store.put(key, b"1", "text/plain")
    store.put("u/1", b"2", "text/plain")
    store.delete(["u/2", "u/4"])
    assert store.purge_until("u/", "u/3") == 4
    left = versioned.list_object_versions(Bucket=VERSIONED, Prefix="u/")
    assert sorted({entry["Key"] for entry in left["Versions"]}) == ["u/3", "u/4"]
    assert [entry["Key"] for entry in left["DeleteMarkers"]] == ["u/4"]
