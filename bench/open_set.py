"""Open-set identification through the whole service: the enrolled should be named, strangers not.

Each person folder gives two photos to enrol and up to two others as probes; strangers should stay unknown.
Every probe carries a name of its own, and its answer must carry that name back.
"""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.tables import Row, report
from bench.target import Target
from face_client import FaceClient
from face_common.contract import Result

_ENROLLED = 2
_PROBES = 2
_CLIENTS = 16
_COLLECTION = "bench-open-set"
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


@dataclass(frozen=True, slots=True)
class Probe:
    """A photo, the person that its largest face should be named as (None for a stranger), and its name on the way."""

    photo: Path
    person: str | None
    name: str


def run(target: Target, people: Path, strangers: Path, people_limit: int = 100, strangers_limit: int = 200) -> bool:
    """Measure and report; whether every probe was answered with its own result."""
    enrolled = _people(people, people_limit)
    probes = [probe for person, photos in enrolled.items() for probe in _probes(person, photos[_ENROLLED:])]
    probes += [Probe(photo, None, f"stranger.{photo.name}") for photo in _photos(strangers)[:strangers_limit]]
    with FaceClient(target.url, collection=_COLLECTION) as client:
        refused = _enrol(client, enrolled)
        began = time.monotonic()
        with ThreadPoolExecutor(_CLIENTS) as threads:
            results = list(threads.map(lambda probe: _identify(client, probe), probes))
        seconds = time.monotonic() - began
        for person in client.people():
            client.forget(person)
    row = _row(probes, results, seconds)
    report("accuracy", f"Open set: {len(enrolled)} people, {_ENROLLED} photos each ({refused} refused)", [row])
    return row["answered"] == row["probes"] and row["mixed up"] == 0


def _people(folder: Path, limit: int) -> dict[str, list[Path]]:
    """The first people, by name, who have enough photos to enrol and to probe."""
    photos = {person.name: _photos(person) for person in sorted(folder.iterdir()) if person.is_dir()}
    return dict([(person, found) for person, found in photos.items() if len(found) > _ENROLLED][:limit])


def _photos(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)


def _probes(person: str, photos: Sequence[Path]) -> list[Probe]:
    return [Probe(photo, person, f"{person}.{photo.name}") for photo in photos[:_PROBES]]


def _enrol(client: FaceClient, enrolled: dict[str, list[Path]]) -> int:
    """Enrol everybody; how many photos were refused."""
    with ThreadPoolExecutor(_CLIENTS) as threads:
        verdicts = threads.map(lambda entry: client.enrol(entry[0], entry[1][:_ENROLLED]), enrolled.items())
        return sum(verdict["verdict"] != "accepted" for photos in verdicts for verdict in photos)


def _identify(client: FaceClient, probe: Probe) -> Result | None:
    result = client.identify(probe.photo, name=probe.name, wait=60)
    return result if result["state"] == "done" else None


def _row(probes: Sequence[Probe], results: Sequence[Result | None], seconds: float) -> Row:
    outcomes = Counter(_outcome(probe, result) for probe, result in zip(probes, results, strict=True))
    known = sum(probe.person is not None for probe in probes)
    unknown = len(probes) - known
    return {
        "probes": len(probes),
        "answered": sum(result is not None for result in results),
        "mixed up": outcomes["mixed-up"],
        "identified": outcomes["identified"] / max(known, 1),
        "named wrongly": outcomes["wrong"] / max(known, 1),
        "not named": outcomes["missed"] / max(known, 1),
        "no face": outcomes["no-face"] / len(probes),
        "strangers named": outcomes["stranger-named"] / max(unknown, 1),
        "strangers ambiguous": outcomes["stranger-ambiguous"] / max(unknown, 1),
        "photos/s": len(probes) / seconds,
    }


def _outcome(probe: Probe, result: Result | None) -> str:
    """What became of a probe, judged by its largest face."""
    if result is None:
        return "unanswered"
    if result["image"]["name"] != probe.name:
        return "mixed-up"
    faces = result.get("faces", [])
    if not faces:
        return "no-face"
    named = faces[0]["person"]
    if probe.person is None:
        return "stranger-named" if named else f"stranger-{faces[0]['decision']}"
    return "identified" if named == probe.person else "wrong" if named else "missed"
