"""What other services keep people in, read as photos named person/photo. Pure, but for looking at folders."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from face_client.uploads import people_in
from face_common.contract import is_person

_S3 = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<key>.+)")
_PLACES = ("source-ref", "sourceRef", "SourceRef", "source_ref")
_NAMES = (
    "external-image-id", "externalImageId", "ExternalImageId", "external_image_id",
    "user-id", "userId", "UserId", "user_id",
    "person", "subject", "label",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to enrol."""

    person: str
    path: Path

    @property
    def name(self) -> str:
        """As an import wants it."""
        return f"{self.person}/{self.path.name}"


@dataclass(frozen=True, slots=True)
class Left:
    """What cannot be taken over, and why."""

    where: str
    why: str


def compreface(folder: Path) -> list[Photo]:
    """A folder of subjects with their photos, as CompreFace's own scripts fill it from."""
    return [Photo(Path(name).parent.name, path) for name, path in people_in(folder)]


def rekognition(lines: Iterable[str], images: Path) -> Iterator[Photo | Left]:
    """A manifest in JSON lines, each with where a photo is and whose it is.

    `source-ref` is a path, or s3://bucket/key of which a copy is under `images`, as images/bucket/key, images/key or
    by its file name alone, where no other photo of the manifest has that name. Rekognition's external image ids hold
    no spaces; underscores in them are left as they are.
    """
    read = [(f"line {number}", _entry(line)) for number, line in enumerate(lines, 1) if line.strip()]
    sources = {_first(entry, _PLACES) or "" for _, entry in read if isinstance(entry, dict)}
    by_name = Counter(PurePosixPath(source).name for source in sources)
    for where, entry in read:
        yield _taken(entry, where, images, by_name) if isinstance(entry, dict) else Left(where, entry)


def distinct(photos: Iterable[Photo]) -> list[tuple[str, Path]]:
    """The photos as an import takes them: (person/photo, path), with a number where a person has two of one name."""
    taken: dict[str, Path] = {}
    for photo in photos:
        name, number = photo.name, 2
        while name in taken and taken[name] != photo.path:
            name = f"{photo.person}/{photo.path.stem}-{number}{photo.path.suffix}"
            number += 1
        taken[name] = photo.path
    return list(taken.items())


def _entry(line: str) -> dict[str, Any] | str:
    """A line's object, or what is wrong with it."""
    try:
        entry = json.loads(line)
    except ValueError:
        return "not JSON"
    return entry if isinstance(entry, dict) else "not an object"


def _taken(entry: Mapping[str, Any], where: str, images: Path, by_name: Mapping[str, int]) -> Photo | Left:
    source = _first(entry, _PLACES)
    if source is None:
        return Left(where, "no source-ref")
    person = _first(entry, _NAMES) or _first(_metadata(entry), ("class-name",))
    if person is None:
        return Left(where, f"{source}: no external-image-id")
    person = person.strip()
    if not is_person(person):
        return Left(where, f"{source}: {person!r} cannot be a person's name here")
    path = _found(source, images, by_name)
    return Photo(person, path) if path else Left(where, f"{source}: no such file under {images}")


def _metadata(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata of a label, as the manifests of labelling jobs have it beside the label itself."""
    return next((value for name, value in entry.items() if name.endswith("-metadata") and isinstance(value, dict)), {})


def _first(entry: Mapping[str, Any], names: Iterable[str]) -> str | None:
    return next((entry[name] for name in names if isinstance(entry.get(name), str) and entry[name].strip()), None)


def _found(source: str, images: Path, by_name: Mapping[str, int]) -> Path | None:
    match = _S3.fullmatch(source)
    if match is None:
        candidates = [images / source, Path(source)]
    else:
        key = PurePosixPath(match["key"])
        candidates = [images / match["bucket"] / key, images / key]
        candidates += [images / key.name] if by_name[key.name] == 1 else []
    inside = [path for path in candidates if match is None or images.resolve() in path.resolve().parents]
    return next((path for path in inside if path.is_file()), None)
