"""Somebody is erased from the whole service while it runs, and looked for in the bucket byte by byte."""

import io
import json
import time
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import httpx
import PIL.Image
import pytest

from face_client import FaceClient
from face_common import encodings
from local.resources import s3_client
from local.stack import Stack
from tests.remains import Wanted, remains

COLLECTION = "erasure"
NAME = "Zoë 'B.' Obama"


def own_photo(original: Path, to: Path) -> Path:
    """A photo that nobody else has: the original, saved anew."""
    PIL.Image.open(original).convert("RGB").save(to, "JPEG", quality=91)
    return to


def templates(face: FaceClient, person: str) -> dict[str, list[float]]:
    """A person's encodings by photo."""
    exported = io.BytesIO()
    face.gallery.export(exported)
    rows = [json.loads(line) for line in exported.getvalue().splitlines()[1:]]
    return {
        row["photo"]: list(encodings.from_bytes(b64decode(row["encoding"]))) for row in rows if row["person"] == person
    }


def use(face: FaceClient, photos: list[Path], probe: Path, model: str) -> None:
    """Do everything with a person that leaves something of them."""
    face.enrol("Somebody", photos[:1])
    face.rename("Somebody", NAME)
    face.set_consent(NAME, "form 12", expires_at="2100-01-01T00:00:00Z")
    imported = io.BytesIO()
    with zipfile.ZipFile(imported, "w") as archive:
        archive.writestr(f"{NAME}/two.jpg", photos[1].read_bytes())
    imported.seek(0)
    for bulks, bulk in (
        (face.imports, face.imports.submit_archive(imported)),
        (face.batches, face.batches.submit_photos([(f"{NAME}.jpg", probe)])),
    ):
        assert [*bulks.follow(bulk["id"])][-1]["state"] == "done"
    assert face.identify(probe)["faces"][0]["person"] == NAME
    assert face.verify(photos[0], probe)["verification"]["decision"] == "same"
    encoding = templates(face, NAME)[face.person(NAME)["photos"][0]["photo"]]
    assert face.search(encoding, model)["match"]["person"] == NAME
    face.export_person(NAME, io.BytesIO())


@pytest.fixture
def face(stack: Stack) -> Iterator[FaceClient]:
    with FaceClient(stack.url, collection=COLLECTION) as client:
        yield client


def test_nothing_is_left_of_a_person_and_nobody_is_named_after_them(
    stack: Stack, face: FaceClient, samples: Path, tmp_path: Path
) -> None:
    assert stack.resources is not None
    photos = [own_photo(samples / f"{name}.jpg", tmp_path / f"{name}.jpg") for name in ("obama", "obama2")]
    probe = own_photo(samples / "obama3.jpg", tmp_path / "probe.jpg")
    face.enrol("Joe Biden", [samples / "biden.jpg"])
    use(face, photos, probe, face.gallery.describe()["models"][0])
    kept = templates(face, NAME)
    assert len(kept) == 2
    wanted = Wanted([NAME], [photo.read_bytes() for photo in photos], list(kept.values()))
    s3, bucket = s3_client(stack.resources.endpoint), stack.resources.bucket
    before = remains(s3, bucket, wanted)
    places = {place.partition("/")[0] for place in before}
    assert places >= {"batches", "gallery", "people", "photos", "results"}, before

    began = httpx.delete(f"{stack.url}/v1/people/{NAME}", params={"collection": COLLECTION, "wait": 0}, trust_env=False)
    assert began.status_code in (200, 202), began.text
    decisions = {found["decision"] for found in face.identify(probe)["faces"]}
    assert decisions == {"unknown"}, "at once, whether the erasure has ended or not"
    deadline = time.monotonic() + 120
    while (receipt := face.erasure(began.json()["id"]))["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert (receipt["state"], receipt["templates"], set(receipt["photos"])) == ("done", 2, set(kept))
    assert NAME not in json.dumps(receipt)
    assert remains(s3, bucket, wanted) == []
    assert [person["person"] for person in face.people()] == ["Joe Biden"]
    assert face.identify(samples / "biden.jpg")["faces"][0]["person"] == "Joe Biden"
