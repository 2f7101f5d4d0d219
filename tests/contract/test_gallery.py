"""The gallery's rules, over the fake, over LanceDB in a folder and over LanceDB in S3."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Protocol

import pytest

from face_app.gallery_cache import GalleryReader
from face_app.handlers import GalleryWriter
from face_common.gallery import Gallery
from face_web.people import PersonGallery
from tests.contract.conftest import client
from tests.fakes.cloud import MemoryGallery
from tests.fakes.inference import encoding
from tests.unit.test_matching import digest, template

_numbers = count()


class AnyGallery(GalleryReader, GalleryWriter, PersonGallery, Protocol):
    """All that the tiers want of a gallery."""


@pytest.fixture(params=["memory", "folder", "s3"])
def gallery(request: pytest.FixtureRequest, tmp_path: Path) -> AnyGallery:
    if request.param == "memory":
        return MemoryGallery()
    if request.param == "folder":
        return Gallery(str(tmp_path))
    endpoint = request.getfixturevalue("localstack")
    bucket = f"gallery-{next(_numbers)}"
    client(endpoint, "s3").create_bucket(Bucket=bucket)
    options = {"endpoint": endpoint, "allow_http": "true", "region": "us-east-1"}
    return Gallery(f"s3://{bucket}/gallery", options | {"aws_access_key_id": "test", "aws_secret_access_key": "test"})


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
