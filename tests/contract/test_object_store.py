from concurrent.futures import ThreadPoolExecutor

import pytest

from face_common.errors import ObjectMissingError
from face_common.ports import ObjectStore


def test_what_is_put_is_got(store: ObjectStore) -> None:
    store.put("a/b", b"\x00body", "image/jpeg")
    assert store.get("a/b") == b"\x00body"
    assert store.exists("a/b")


def test_put_replaces(store: ObjectStore) -> None:
    store.put("a", b"1", "text/plain")
    store.put("a", b"2", "text/plain")
    assert store.get("a") == b"2"


def test_what_is_not_there_is_missing(store: ObjectStore) -> None:
    assert not store.exists("a")
    with pytest.raises(ObjectMissingError):
        store.get("a")


def test_put_new_never_replaces(store: ObjectStore) -> None:
    assert store.put_new("a", b"first", "text/plain")
    assert not store.put_new("a", b"second", "text/plain")
    assert store.get("a") == b"first"


def test_of_many_writers_one_wins(store: ObjectStore) -> None:
    bodies = [str(number).encode() for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda body: store.put_new("a", body, "text/plain"), bodies))
    assert won.count(True) == 1
    assert store.get("a") == bodies[won.index(True)]


def test_delete_removes_and_forgives_what_is_missing(store: ObjectStore) -> None:
    store.put("a", b"1", "text/plain")
    store.delete(["a", "b"])
    assert not store.exists("a")
    store.delete([])


def test_put_over_replaces_only_what_has_not_changed(store: ObjectStore) -> None:
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


def test_of_many_who_replace_one_wins(store: ObjectStore) -> None:
    store.put("a", b"first", "text/plain")
    _, tag = store.get_tagged("a")
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda number: store.put_over("a", b"%d" % number, "text/plain", tag), range(8)))
    assert sum(tag is not None for tag in won) == 1


def test_tags_lists_what_is_under_a_prefix(store: ObjectStore) -> None:
    for key in ("fleet/b", "fleet/a", "other/a"):
        store.put(key, key.encode(), "text/plain")
    assert list(store.tags("fleet/")) == ["fleet/a", "fleet/b"]
    assert store.tags("fleet/")["fleet/a"] == store.get_tagged("fleet/a")[1]
    assert store.tags("none/") == {}
