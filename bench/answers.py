"""Enrolment and identification through the whole service: every photo gets its own answer, and the same as offline.

Each person gives three photos to enrol and up to two others as probes; strangers should stay unknown. Every probe
carries a name of its own, and its answer must carry that name back.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.identification import ENROLLED
from bench.tables import Row
from bench.target import Target
from face_client import FaceClient
from face_common.contract import Result

TABLE = "Identification through the whole service"

_PEOPLE, _PROBES, _STRANGERS = 100, 2, 200
_CLIENTS = 16
_COLLECTION = "bench-answers"


@dataclass(frozen=True, slots=True)
class Probe:
    """A photo, the person that its main face should be named as (None for a stranger), and its name on the way."""

    photo: Path
    person: str | None
    name: str


def measure(service: Target, people: Mapping[str, Sequence[Path]], strangers: Sequence[Path]) -> Row:
    """Enrol the people, identify their other photos and the strangers."""
    enough = {person: photos for person, photos in people.items() if len(photos) > ENROLLED}
    enrolled = dict(list(enough.items())[:_PEOPLE])
    probes = [
        Probe(photo, person, f"{person}.{photo.name}")
        for person, photos in enrolled.items()
        for photo in photos[ENROLLED : ENROLLED + _PROBES]
    ]
    probes += [Probe(photo, None, f"stranger.{photo.name}") for photo in strangers[:_STRANGERS]]
    with FaceClient(service.url, collection=_COLLECTION) as client:
        refused = _enrol(client, enrolled)
        with ThreadPoolExecutor(_CLIENTS) as threads:
            results = list(threads.map(lambda probe: _identify(client, probe), probes))
        for entry in list(client.people()):
            client.erase(entry["person"])
    return {
        "table": TABLE,
        "people": len(enrolled),
        "photos each": ENROLLED,
        "refused": refused,
        **row(probes, results),
    }


def _enrol(client: FaceClient, enrolled: Mapping[str, Sequence[Path]]) -> str:
    """Enrol everybody; what their photos were refused for, and how often."""
    with ThreadPoolExecutor(_CLIENTS) as threads:
        verdicts = threads.map(lambda entry: client.enrol(entry[0], entry[1][:ENROLLED]), enrolled.items())
        counts = Counter(photo["verdict"] for photos in verdicts for photo in photos)
    del counts["accepted"]
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()) or "none"


def _identify(client: FaceClient, probe: Probe) -> Result | None:
    result = client.identify(probe.photo, name=probe.name, wait=60)
    return result if result["state"] == "done" else None


def row(probes: Sequence[Probe], results: Sequence[Result | None]) -> Row:
    """What became of the probes."""
    outcomes = Counter(_outcome(probe, result) for probe, result in zip(probes, results, strict=True))
    known = max(sum(probe.person is not None for probe in probes), 1)
    unknown = max(sum(probe.person is None for probe in probes), 1)
    return {
        "probes": len(probes),
        "unanswered": outcomes["unanswered"],
        "mixed up": outcomes["mixed-up"],
        "identified %": 100 * outcomes["identified"] / known,
        "named wrongly %": 100 * outcomes["wrong"] / known,
        "not named %": 100 * outcomes["missed"] / known,
        "strangers named %": 100 * outcomes["stranger-named"] / unknown,
    }


def _outcome(probe: Probe, result: Result | None) -> str:
    """What became of a probe, judged by its main face."""
    if result is None:
        return "unanswered"
    if result["image"]["name"] != probe.name:
        return "mixed-up"
    faces = result.get("faces", [])
    named = faces[0].get("person") if faces else None
    if probe.person is None:
        return "stranger-named" if named else "stranger-unknown"
    return "identified" if named == probe.person else "wrong" if named else "missed"
