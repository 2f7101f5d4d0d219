"""The gallery's rules, over the fake, over LanceDB in a folder and over LanceDB in S3."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from face_app.gallery_cache import GalleryReader
from face_app.handlers import GalleryWriter
from face_common.contract import distractor
from face_common.errors import ServiceError
from face_common.gallery import Gallery
from face_common.templates import (
    DIMENSIONS,
    EnrolledPhotoRow,
    GalleryExport,
    GalleryVersion,
    PurgeReport,
    Restoration,
    Template,
    TemplateIdentity,
)
from face_web.people import PersonGallery
from tests.contract.conftest import client
from tests.fakes.cloud import MemoryGallery
from tests.fakes.inference import encoding
from tests.unit.test_contract import ULID
from tests.unit.test_matching import digest, template

_numbers = count()


class AnyGallery(GalleryReader, GalleryWriter, PersonGallery, Protocol):
    """All that the tiers want of a gallery."""

    def collections(self) -> list[str]: ...

    def people(self, collection: str) -> dict[str, int]: ...

    def templates(self, collection: str, person: str | None = None) -> Iterator[Template]: ...

    def export(self, collection: str) -> GalleryExport: ...

    def distractors(self, collection: str) -> list[EnrolledPhotoRow]: ...

    def models(self, collection: str) -> dict[str, int]: ...

    def identities(self, collection: str) -> list[TemplateIdentity]: ...

    def clear(self, collection: str) -> int: ...

    def rename(self, collection: str, person: str, name: str) -> int: ...

    def versions(self, collection: str) -> list[GalleryVersion]: ...

    def restore(self, collection: str, version: int) -> Restoration: ...

    def purge_history(self, collection: str) -> PurgeReport: ...


@dataclass
class Place:
    """Where LanceDB keeps a gallery, and all the bytes that lie there."""

    gallery: Gallery
    files: Callable[[], dict[str, bytes]]


def _in_a_folder(folder: Path) -> Place:
    def files() -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    return Place(Gallery(str(folder)), files)


def _in_s3(endpoint: str) -> Place:
    bucket, s3 = f"gallery-{next(_numbers)}", client(endpoint, "s3")
    s3.create_bucket(Bucket=bucket)
    options = {"endpoint": endpoint, "allow_http": "true", "region": "us-east-1"}
    options |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}

    def files() -> dict[str, bytes]:
        keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    return Place(Gallery(f"s3://{bucket}/gallery", options), files)


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return _in_a_folder(tmp_path) if request.param == "folder" else _in_s3(request.getfixturevalue("localstack"))


@pytest.fixture(params=["memory", "folder", "s3"])
def gallery(request: pytest.FixtureRequest, tmp_path: Path) -> AnyGallery:
    if request.param == "memory":
        return MemoryGallery()
    here = request.param == "folder"
    return (_in_a_folder(tmp_path) if here else _in_s3(request.getfixturevalue("localstack"))).gallery


def test_a_collection_that_nobody_enrolled_in_is_empty_at_version_zero(gallery: AnyGallery) -> None:
    assert gallery.version("none") == 0
    assert list(gallery.load("none", "model").people) == []
    assert gallery.photos("none") == []
    assert gallery.remove("none", "Ada") == 0


def test_what_is_added_is_loaded_at_the_version_told(gallery: AnyGallery) -> None:
    version = gallery.add("c", [template("Ada", "1", encoding(0.5)), template("Bob", "2", encoding(1))])
    snapshot = gallery.load("c", "model")
    assert (snapshot.version, list(snapshot.people)) == (version, ["Ada", "Bob"])
    assert (snapshot.units[0] * snapshot.lengths[0]).tolist() == pytest.approx(encoding(0.5))
    assert snapshot.photo_with("Ada", digest("1")) == "1"
    assert gallery.version("c") == version


def test_every_write_has_a_higher_version(gallery: AnyGallery) -> None:
    first = gallery.add("c", [template("Ada", "1", encoding(0))])
    second = gallery.add("c", [template("Bob", "2", encoding(0))])
    third = gallery.remove("c", "Ada")
    assert 0 < first < second < third == gallery.version("c")


def test_photos_are_listed_without_encodings(gallery: AnyGallery) -> None:
    gallery.add(
        "c", [template("Bob", "2", encoding(0)), template("Ada", "3", encoding(0)), template("Ada", "1", encoding(0))]
    )
    assert [(row.person, row.photo) for row in gallery.photos("c")] == [("Ada", "1"), ("Ada", "3"), ("Bob", "2")]
    assert [row.photo for row in gallery.photos("c", "Ada")] == ["1", "3"]
    assert gallery.photos("c", "nobody") == []


def test_a_photo_is_as_old_as_its_first_template(gallery: AnyGallery) -> None:
    ada = template("Ada", "1", encoding(0))
    gallery.add("c", [replace(ada, enrolled_at=5.0)])
    gallery.add("c", [replace(ada, enrolled_at=9.0, model="newer")])
    assert [(row.photo, row.enrolled_at) for row in gallery.photos("c")] == [("1", 5.0)]


def test_a_person_is_removed_with_all_photos(gallery: AnyGallery) -> None:
    gallery.add(
        "c", [template("Ada", "1", encoding(0)), template("Ada", "2", encoding(0)), template("Bob", "3", encoding(0))]
    )
    gallery.remove("c", "Ada")
    assert list(gallery.load("c", "model").people) == ["Bob"]


def test_one_photo_is_removed(gallery: AnyGallery) -> None:
    gallery.add("c", [template("Ada", "1", encoding(0)), template("Ada", "2", encoding(0))])
    gallery.remove("c", "Ada", "1")
    assert [row.photo for row in gallery.photos("c")] == ["2"]


@pytest.mark.parametrize("person", ["O'Brien", "a' OR '1'='1", "Zoë 🙂", "100%", "a_b", "--"])
def test_names_are_only_names(gallery: AnyGallery, person: str) -> None:
    gallery.add("c", [template(person, "1", encoding(0)), template("axb", "2", encoding(0))])
    assert [row.photo for row in gallery.photos("c", person)] == ["1"]
    gallery.remove("c", person)
    assert list(gallery.load("c", "model").people) == ["axb"]


def test_collections_do_not_mix(gallery: AnyGallery) -> None:
    gallery.add("one", [template("Ada", "1", encoding(0))])
    assert list(gallery.load("two", "model").people) == []


def test_more_photos_than_any_default_limit_are_listed(gallery: AnyGallery) -> None:
    gallery.add("c", [template(f"p{number}", str(number), encoding(0)) for number in range(30)])
    assert len(gallery.photos("c")) == 30


def test_concurrent_writers_lose_nothing(gallery: AnyGallery) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(
            threads.map(
                lambda number: gallery.add("c", [template("Ada", str(number), encoding(number / 10))]), range(12)
            )
        )
    assert len(gallery.photos("c")) == 12


def test_only_templates_of_the_model_asked_for_are_loaded(gallery: AnyGallery) -> None:
    gallery.add("c", [template("Ada", "1", encoding(0)), replace(template("Bob", "2", encoding(0)), model="other")])
    assert list(gallery.load("c", "model").people) == ["Ada"]
    assert list(gallery.load("c", "other").people) == ["Bob"]


def test_collections_are_those_that_somebody_was_enrolled_in(gallery: AnyGallery) -> None:
    names = [f"c{number:02}" for number in range(12)]
    for name in names:
        gallery.add(name, [template("Ada", "1", encoding(0))])
    assert gallery.collections() == names


def test_people_are_counted_by_photos_under_however_many_models(gallery: AnyGallery) -> None:
    ada = template("Ada", "1", encoding(0))
    gallery.add(
        "c", [template("Zoë", "3", encoding(0)), ada, replace(ada, model="newer"), template("Ada", "2", encoding(0))]
    )
    assert list(gallery.people("c").items()) == [("Ada", (2, "1")), ("Zoë", (1, "3"))]
    assert gallery.people("none") == {}


def test_rejected_faces_are_no_people(gallery: AnyGallery) -> None:
    rejected = [template(distractor(photo), photo, encoding(1)) for photo in (ULID, f"{ULID[:-1]}0")]
    nearly = template("Not: the person", "1", encoding(0))
    gallery.add("c", [nearly, rejected[0], replace(rejected[0], model="newer"), rejected[1]])
    assert gallery.people("c") == {"Not: the person": (1, "1")}
    assert gallery.models("c") == {"model": 1}
    assert [row.photo for row in gallery.distractors("c")] == sorted(row.photo for row in rejected)
    assert gallery.distractors("none") == []
    assert {row.person for row in gallery.photos("c")} == {nearly.person, *(row.person for row in rejected)}
    assert gallery.export("c").models == {"model": 3, "newer": 1}
    gallery.remove("c", rejected[0].person, rejected[0].photo)
    assert [row.person for row in gallery.distractors("c")] == [rejected[1].person]


def test_templates_are_given_whole(gallery: AnyGallery) -> None:
    ada, bob = template("Ada", "1", encoding(0)), replace(template("Bob", "2", encoding(0)), model="newer")
    gallery.add("c", [ada, bob])
    assert list(gallery.templates("c")) == [ada, bob]
    assert list(gallery.templates("c", "Bob")) == [bob]
    assert list(gallery.templates("none")) == []


def test_an_export_is_of_one_version_and_says_what_is_in_it(gallery: AnyGallery) -> None:
    ada, bob = template("Ada", "1", encoding(0)), replace(template("Bob", "2", encoding(0)), model="newer")
    version = gallery.add("c", [ada, bob, replace(ada, model="newer")])
    exported = gallery.export("c")
    gallery.add("c", [template("Cem", "3", encoding(0))])
    assert (exported.version, exported.models) == (version, {"model": 1, "newer": 2})
    assert list(exported.templates) == [ada, bob, replace(ada, model="newer")]
    assert gallery.models("c") == {"model": 2, "newer": 2}
    assert TemplateIdentity("Bob", "2", digest("2"), "newer") in gallery.identities("c")
    assert (gallery.models("none"), gallery.identities("none"), list(gallery.export("none").templates)) == ({}, [], [])


def test_a_cleared_collection_goes_on_counting(gallery: AnyGallery) -> None:
    version = gallery.add("c", [template("Ada", "1", encoding(0))])
    assert gallery.clear("c") > version
    assert gallery.people("c") == {}
    assert gallery.clear("none") == 0


def test_a_person_takes_another_name_that_is_free_or_taken(gallery: AnyGallery) -> None:
    first = gallery.add("c", [template("Ada", "1", encoding(0)), template("O'Brien", "2", encoding(0))])
    assert gallery.rename("c", "Ada", "Zoë 🙂") > first
    assert gallery.people("c") == {"O'Brien": (1, "2"), "Zoë 🙂": (1, "1")}
    version = gallery.rename("c", "O'Brien", "Zoë 🙂")
    assert gallery.people("c") == {"Zoë 🙂": (2, "1")}
    assert gallery.version("c") == version
    assert list(gallery.load("c", "model").people) == ["Zoë 🙂"]
    assert gallery.rename("none", "Ada", "Bob") == 0


def test_an_earlier_version_comes_back_as_a_new_one(gallery: AnyGallery) -> None:
    ada, bob, cem = (template(person, person, encoding(0)) for person in ("Ada", "Bob", "Cem"))
    gallery.add("c", [ada])
    then = gallery.add("c", [bob])
    gallery.remove("c", "Ada")
    gallery.rename("c", "Bob", "Bert")
    now = gallery.add("c", [cem, replace(bob, person="Bert", model="newer")])
    done = gallery.restore("c", then)
    assert (done.removed, done.added) == (["Cem"], ["Ada"])
    assert done.version > now
    assert sorted(gallery.templates("c"), key=lambda row: row.person) == [ada, bob]
    assert gallery.versions("c")[0].version == done.version == gallery.version("c")
    assert {row.version: row.templates for row in gallery.versions("c")}[then] == 2
    redone = gallery.restore("c", now)
    assert (redone.removed, redone.added) == (["Ada"], ["Cem"])
    assert len(list(gallery.templates("c"))) == 3


@pytest.mark.parametrize("collection", ["c", "none"])
def test_only_kept_versions_come_back(gallery: AnyGallery, collection: str) -> None:
    gallery.add("c", [template("Ada", "1", encoding(0))])
    with pytest.raises(ServiceError, match="version-unknown"):
        gallery.restore(collection, 99)


def test_a_purged_history_cannot_come_back(gallery: AnyGallery) -> None:
    with_ada = gallery.add("c", [template("Ada", "1", encoding(0)), template("Bob", "2", encoding(1))])
    without = gallery.remove("c", "Ada")
    assert gallery.purge_history("c").versions >= 1
    with pytest.raises(ServiceError, match="version-unknown"):
        gallery.restore("c", with_ada)
    assert list(gallery.load("c", "model").people) == ["Bob"]
    assert gallery.version("c") >= without
    assert with_ada not in {kept.version for kept in gallery.versions("c")}
    assert gallery.add("c", [template("Cem", "3", encoding(1))]) > without
    assert gallery.purge_history("none").versions == 0


def _many(count: int, first: int = 0) -> list[Template]:
    """Templates that no compression can hide: of different people, with random encodings."""
    rows = np.random.default_rng(first).normal(size=(count, DIMENSIONS)).astype(np.float32)
    return [template(f"Person {first + n}", f"photo-{first + n}", tuple(row.tolist())) for n, row in enumerate(rows)]


def _traces(place: Place, row: Template) -> set[str]:
    """What of a template is found in any file."""
    marks = {
        "person": row.person.encode(),
        "digest": row.digest.encode(),
        "name": row.name.encode(),
        "encoding": np.array(row.encoding, np.float32).tobytes(),
    }
    bodies = list(place.files().values())
    return {mark for mark, text in marks.items() if any(text in body for body in bodies)}


def test_no_file_holds_what_was_removed_once_the_history_is_purged(place: Place) -> None:
    rows = _many(60)
    for first in range(0, 60, 20):
        place.gallery.add("c", rows[first : first + 20])
    gone, renamed, kept = rows[7], rows[27], rows[8]
    place.gallery.rename("c", renamed.person, "Somebody Else")
    place.gallery.remove("c", gone.person)
    everything = {"person", "digest", "name", "encoding"}
    assert _traces(place, gone) == everything, "else the search proves nothing"
    report = place.gallery.purge_history("c")
    assert _traces(place, gone) == set()
    assert _traces(place, renamed) == everything - {"person"}
    assert _traces(place, kept) == everything
    assert (report.versions, report.pending) == (5, 0)
    assert len(place.gallery.load("c", "model").units) == 59


def test_the_last_person_leaves_nothing_either(place: Place) -> None:
    (row,) = _many(1)
    place.gallery.add("c", [row])
    place.gallery.remove("c", row.person)
    place.gallery.purge_history("c")
    assert _traces(place, row) == set()
    assert place.gallery.people("c") == {}


def test_a_purge_takes_nothing_from_those_who_append_meanwhile(place: Place) -> None:
    gone = _many(10)
    later = _many(40, first=100)
    place.gallery.add("c", gone)
    ended = threading.Event()

    def append() -> list[int]:
        try:
            return [place.gallery.add("c", [row]) for row in later]
        finally:
            ended.set()

    with ThreadPoolExecutor(1) as threads:
        appended = threads.submit(append)
        while not ended.is_set():
            if gone:
                place.gallery.remove("c", gone.pop().person)
            place.gallery.purge_history("c")
        versions = appended.result()
    assert versions == sorted(set(versions))
    photos = {row.photo for row in place.gallery.photos("c")}
    assert photos == {row.photo for row in [*later, *gone]}
    assert sum(1 for _ in place.gallery.templates("c")) == len(photos)
    place.gallery.purge_history("c")
    assert _traces(place, _many(10)[9]) == set()


def test_what_failed_writes_left_goes_when_it_is_old(tmp_path: Path) -> None:
    place = _in_a_folder(tmp_path)
    place.gallery.add("c", _many(2))
    place.gallery.purge_history("c")
    folder = tmp_path / "c.lance" / "data"
    (known,) = folder.iterdir()
    for name, age in (("old", 4000), ("young", 3000)):
        left = folder / f"{name}.lance"
        left.write_bytes(b"what a write left that never came to an end")
        os.utime(left, (time.time() - age,) * 2)
    report = place.gallery.purge_history("c")
    assert (report.files, report.pending) == (1, 1)
    assert {file.name for file in folder.iterdir()} == {known.name, "young.lance"}
    assert len(place.gallery.photos("c")) == 2


def test_many_single_enrolments_do_not_pile_up(tmp_path: Path) -> None:
    gallery = Gallery(str(tmp_path))
    versions = [gallery.add("c", [template("Ada", f"{number}", encoding(0))]) for number in range(70)]
    assert versions == sorted(set(versions))
    assert len(list((tmp_path / "c.lance" / "data").iterdir())) >= 70, (
        "compaction makes files, and old readers keep theirs"
    )
    fragments = gallery._open("c").stats()["fragment_stats"]["num_fragments"]
    assert fragments < 32
    assert len(gallery.load("c", "model").units) == 70
