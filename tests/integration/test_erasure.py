"""An erasure over a bucket that keeps every version, with the real gallery in it."""

import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from face_common.contract import image_key, result_key
from face_common.gallery import Gallery
from face_common.s3 import S3ObjectStore
from face_web.rights import Rights
from tests.contract.conftest import client
from tests.fakes.rights import Crash, Hosts
from tests.remains import Wanted, remains

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

NAME = "Zoë 'Ada' Lovelace"
_numbers = count()


def drawn(seed: int) -> tuple[float, ...]:
    """An encoding of unit length, in float32."""
    values = np.random.default_rng(seed).normal(size=128)
    return tuple((values / np.linalg.norm(values)).astype(np.float32).tolist())


ADA, ADA_TOO, BOB = drawn(1), drawn(2), drawn(3)
WANTED = Wanted([NAME], [b"first photo" * 100, b"second photo" * 100], [ADA, ADA_TOO])
OTHERS = Wanted(["Bob Stranger"], [b"bob" * 100], [BOB])


class DyingStore(S3ObjectStore):
    """S3 under a host that dies before one of its writes."""

    writes = 0
    dies_at: int | None = None

    def _write(self, call: Callable[[], Any]) -> Any:
        self.writes += 1
        if self.writes == self.dies_at:
            raise Crash
        return call()

    def put_over(self, key: str, body: bytes, content_type: str, tag: str) -> str | None:
        written: str | None = self._write(lambda: super(DyingStore, self).put_over(key, body, content_type, tag))
        return written

    def purge(self, keys: Sequence[str]) -> int:
        return int(self._write(lambda: super(DyingStore, self).purge(keys)))

    def purge_older(self, prefix: str) -> int:
        return int(self._write(lambda: super(DyingStore, self).purge_older(prefix)))


class Deployment:
    """A bucket with versions, and the people in it."""

    def __init__(self, endpoint: str) -> None:
        self.s3: S3Client = client(endpoint, "s3")
        self.bucket = f"erasure-{next(_numbers)}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        options = {"endpoint": endpoint, "allow_http": "true", "region": "us-east-1"}
        options |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.store = DyingStore(self.s3, self.bucket)
        self.gallery = Gallery(f"s3://{self.bucket}/gallery", options)
        self.hosts = Hosts(store=self.store, gallery=self.gallery, at=time.time() - 300)
        rights = self.hosts.host()
        self.others = self._furnish(rights)

    def _furnish(self, rights: Rights) -> dict[str, Any]:
        hosts = self.hosts
        rights.records.record_consent("default", NAME, "form 12", by="key-1")
        rights.records.expire("default", NAME, hosts.at + 1e6)  # another version of the record
        hosts.enrol(NAME, WANTED.photos[0], ADA)
        bob = hosts.enrol(OTHERS.names[0], OTHERS.photos[0], BOB)
        hosts.enrol(NAME, WANTED.photos[1], ADA_TOO, name=f"{NAME}.jpg")
        self.gallery.rename("default", OTHERS.names[0], "Bob")  # rows are written anew
        self.gallery.rename("default", "Bob", OTHERS.names[0])
        hosts.identify(b"probe", NAME, OTHERS.names[0])
        hosts.identify(WANTED.photos[0], None)
        refused = hosts.identify(WANTED.photos[1], None)
        self.store.delete([image_key(refused), result_key(refused)])  # leaves versions
        hosts.search(ADA, NAME)
        hosts.see_unknown(ADA_TOO)
        hosts.put(f"inbox/{NAME}/1.jpg", b"inbox")
        stays = hosts.identify(b"bob's probe", OTHERS.names[0])
        return {"photo": bob, "job": stays}

    def remains(self, wanted: Wanted) -> list[str]:
        """What is left in the bucket of something."""
        return remains(self.s3, self.bucket, wanted)

    def assert_others_are_untouched(self) -> None:
        """Whoever was not erased is there as before."""
        (template,) = self.gallery.templates("default")
        assert (template.person, template.photo) == (OTHERS.names[0], self.others["photo"])
        assert template.encoding == pytest.approx(BOB)
        assert self.store.get(f"photos/{template.photo}") == OTHERS.photos[0]
        assert self.store.get(image_key(self.others["job"])) == b"bob's probe"
        assert self.store.exists(result_key(self.others["job"]))


@pytest.fixture(scope="module")
def deploy(localstack: str) -> Callable[[], Deployment]:
    return lambda: Deployment(localstack)


def places(found: Sequence[str]) -> set[str]:
    """The first parts of the keys where something was found."""
    return {place.partition("/")[0] for place in found}


def test_nothing_is_left_of_a_person_in_any_version(deploy: Callable[[], Deployment]) -> None:
    deployment = deploy()
    before = deployment.remains(WANTED)
    assert places(before) == {"people", "photos", "images", "results", "unknown", "inbox", "gallery"}
    kinds = {place.partition(": ")[2] for place in before}
    assert {f"the name {NAME}", "SHA-256 0", "MD5 1", "encoding 0", "encoding 1 as text"} <= kinds, "the search works"
    assert any("gallery" in place and "encoding 0" in place for place in before)
    rights = deployment.hosts.host()
    erasure = rights.erasures.begin("default", NAME, who="key-1")
    assert [row.person for row in deployment.gallery.photos("default")] == [OTHERS.names[0]], "at once"
    deployment.hosts.finish(rights)
    assert rights.erasures.find(erasure)["state"] == "done"
    assert deployment.remains(WANTED) == []
    assert deployment.remains(OTHERS), "others can still be found"
    deployment.assert_others_are_untouched()


@pytest.mark.parametrize("write", [1, 3, 8, 14, 20, 30])
def test_a_host_that_dies_is_followed_by_another(deploy: Callable[[], Deployment], write: int) -> None:
    deployment = deploy()
    one = deployment.hosts.host()
    deployment.store.writes, deployment.store.dies_at = 0, write

    def erase() -> None:
        one.erasures.begin("default", NAME, who="key-1")
        deployment.hosts.finish(one)

    with pytest.raises(Crash):
        erase()
    deployment.store.dies_at = None
    two = deployment.hosts.host()
    two.erasures.go_on()
    deployment.hosts.at += 120
    deployment.hosts.finish(two)
    assert deployment.remains(WANTED) == []
    deployment.assert_others_are_untouched()


def test_a_whole_collection_goes_in_every_version(deploy: Callable[[], Deployment]) -> None:
    deployment = deploy()
    rights = deployment.hosts.host()
    deployment.hosts.at += 1
    deployment.hosts.put("inbox/x", b"")
    deployment.store.purge([f"inbox/{NAME}/1.jpg"])  # the inbox is the operator's, and of no collection
    erasure = rights.erasures.begin("default", who="key-1")
    deployment.hosts.finish(rights)
    assert rights.erasures.find(erasure)["state"] == "done"
    assert deployment.remains(OTHERS) == []
    assert [place for place in deployment.remains(WANTED) if not place.startswith("images/")] == []
    assert deployment.gallery.people("default") == {}
