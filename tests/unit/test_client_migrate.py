"""What other services keep people in, as photos to enrol."""

import json
from pathlib import Path

import pytest

from face_client.migrate import Left, Photo, compreface, distinct, rekognition


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("bucket/people/ada.jpg", "people/bob.jpg", "cleo.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"x")
    (tmp_path / "outside.jpg").write_bytes(b"x")
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("s3://bucket/people/ada.jpg", "bucket/people/ada.jpg"),
        ("s3://other/people/bob.jpg", "people/bob.jpg"),
        ("s3://other/deep/down/cleo.jpg", "cleo.jpg"),
        ("people/bob.jpg", "people/bob.jpg"),
    ],
)
def test_a_source_is_found_under_the_images(images: Path, source: str, found: str) -> None:
    line = json.dumps({"source-ref": source, "external-image-id": "Ada_L"})
    assert list(rekognition([line], images)) == [Photo("Ada_L", images / found)]


def test_a_file_that_two_keys_claim_by_its_name_alone_is_nobodys(images: Path) -> None:
    (images / "1.jpg").touch()
    lines = [json.dumps({"source-ref": f"s3://b/{name}/1.jpg", "external-image-id": name}) for name in ("alice", "bob")]
    assert [type(found) for found in rekognition(lines, images)] == [Left, Left]
    (alone,) = rekognition(lines[:1], images)
    assert isinstance(alone, Photo)


@pytest.mark.parametrize("person", ["unknown", "a/b", "x" * 129])
def test_a_name_that_the_service_would_refuse_is_left_out(images: Path, person: str) -> None:
    (images / "1.jpg").touch()
    (left,) = rekognition([json.dumps({"source-ref": "1.jpg", "external-image-id": person})], images)
    assert isinstance(left, Left)


def test_a_manifest_cannot_reach_out_of_the_images(images: Path) -> None:
    line = json.dumps({"source-ref": "s3://bucket/../../outside.jpg", "external-image-id": "Ada"})
    (left,) = rekognition([line], images)
    assert isinstance(left, Left)
    assert "no such file" in left.why


@pytest.mark.parametrize(
    "named",
    [
        {"external-image-id": "Ada"},
        {"ExternalImageId": "Ada"},
        {"externalImageId": "Ada"},
        {"user-id": "Ada"},
        {"UserId": "Ada"},
        {"person": "Ada"},
        {"face": 0, "face-metadata": {"class-name": "Ada", "type": "groundtruth/image-classification"}},
    ],
)
def test_a_person_is_named_in_one_of_the_ways_that_manifests_have(images: Path, named: dict[str, object]) -> None:
    line = json.dumps({"source-ref": "cleo.jpg", **named})
    assert list(rekognition(["\n", line], images)) == [Photo("Ada", images / "cleo.jpg")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"external-image-id": "Ada"}', "no source-ref"),
        ('{"source-ref": "cleo.jpg"}', "no external-image-id"),
        ('{"source-ref": "gone.jpg", "external-image-id": "Ada"}', "no such file"),
        ('{"source-ref": "cleo.jpg", "external-image-id": "a:b"}', "cannot be a person's name"),
        ('{"source-ref": "cleo.jpg", "external-image-id": "../x"}', "cannot be a person's name"),
    ],
)
def test_what_cannot_be_taken_over_is_said_with_its_line(images: Path, line: str, why: str) -> None:
    (left,) = rekognition([line], images)
    assert isinstance(left, Left)
    assert left.where == "line 1"
    assert why in left.why


def test_a_folder_of_subjects(tmp_path: Path) -> None:
    for name in ("Ada/1.jpg", "Ada/2.png", "Bob/1.jpg", "readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [photo.name for photo in compreface(tmp_path)] == ["Ada/1.jpg", "Ada/2.png", "Bob/1.jpg"]


def test_two_photos_of_one_name_are_kept_apart_and_one_photo_is_sent_once() -> None:
    photos = [Photo("Ada", Path(place)) for place in ("a/1.jpg", "b/1.jpg", "c/1.jpg", "a/1.jpg")]
    assert distinct(photos) == [
        ("Ada/1.jpg", Path("a/1.jpg")),
        ("Ada/1-2.jpg", Path("b/1.jpg")),
        ("Ada/1-3.jpg", Path("c/1.jpg")),
    ]
