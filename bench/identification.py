"""Open-set identification: random galleries, probes of the enrolled, and strangers who should stay unknown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.engines import Encoded
from bench.measures import Floats, OpenSet, identified_at, joined, open_set
from bench.scoring import Encodings, Gallery, Line, Rule
from bench.tables import Row

GALLERIES, PEOPLE, ENROLLED = 5, 100, 3
LEVELS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SHOWN = "balanced"
_SHOWN_STRANGERS = 5

AT_LINES = (
    "Open set where the rules draw the line: mean of {galleries} random galleries of {people} people x {enrolled} "
    "photos, {probes} probes and {strangers} strangers"
)
NEAREST = "The strangers who came nearest, by {engine}: look whether they are strangers"
CURVE = "Open set, the whole curve: % of probes identified when a share of strangers is named, over all these galleries"


@dataclass(frozen=True, slots=True)
class GalleryPlan:
    """Who is enrolled with which photos, and all their other photos."""

    enrolled: Mapping[str, Sequence[Path]]
    probes: Sequence[tuple[Path, int]]
    """A photo, and its person's place among the enrolled."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an engine and its rule made of the galleries."""

    galleries: Sequence[OpenSet]
    lines: Sequence[Sequence[Line]]
    """Those that the rule draws for each gallery."""
    mistaken: Sequence[tuple[float, Path, str]]
    """How near strangers came in any gallery, the nearest first, and to whom."""


def plan(everybody: Mapping[str, Sequence[Path]]) -> list[GalleryPlan]:
    """The same galleries for the same folder; none when fewer than two people have photos enough."""
    eligible = [person for person in sorted(everybody) if len(everybody[person]) > ENROLLED]
    return [_plan(everybody, eligible, seed) for seed in range(GALLERIES)] if len(eligible) > 1 else []


def _plan(everybody: Mapping[str, Sequence[Path]], eligible: Sequence[str], seed: int) -> GalleryPlan:
    random = np.random.default_rng(seed)
    enrolled: dict[str, Sequence[Path]] = {}
    probes: list[tuple[Path, int]] = []
    for place, number in enumerate(random.permutation(len(eligible))[:PEOPLE]):
        photos = [everybody[eligible[number]][at] for at in random.permutation(len(everybody[eligible[number]]))]
        enrolled[eligible[number]] = photos[:ENROLLED]
        probes += [(photo, place) for photo in photos[ENROLLED:]]
    return GalleryPlan(enrolled, probes)


def measure(
    plans: Sequence[GalleryPlan], strangers: Sequence[Path], encoded: Mapping[str, Encoded], rules: Mapping[str, Rule]
) -> dict[str, Found]:
    """By engine."""
    return {name: _measure(plans, strangers, encoded[name], one) for name, one in rules.items()}


def _measure(plans: Sequence[GalleryPlan], strangers: Sequence[Path], encoded: Encoded, one: Rule) -> Found:
    galleries, lines, mistaken = [], [], []
    for planned in plans:
        gallery, places = enrol(planned, encoded)
        owners = np.array([places.get(place, -1) for _, place in planned.probes], dtype=np.intp)
        probes = _distances([photo for photo, _ in planned.probes], gallery, encoded, one)
        others = _distances(strangers, gallery, encoded, one)
        galleries.append(open_set(probes, owners, others))
        lines.append(one.lines(gallery))
        people = list(gallery)
        mistaken += [
            (float(row.min()), photo, people[row.argmin()]) for row, photo in zip(others, strangers, strict=True)
        ]
    return Found(galleries, lines, sorted(mistaken))


def enrol(planned: GalleryPlan, encoded: Encoded) -> tuple[Gallery, dict[int, int]]:
    """The gallery, and the column in it of each planned place: who shows a face in no photo has none."""
    gallery: dict[str, Encodings] = {}
    places: dict[int, int] = {}
    for place, (person, photos) in enumerate(planned.enrolled.items()):
        seen = [encoding for photo in photos if (encoding := encoded[photo, True]) is not None]
        if seen:
            places[place] = len(gallery)
            gallery[person] = np.array(seen)
    return gallery, places


def _distances(photos: Sequence[Path], gallery: Gallery, encoded: Encoded, one: Rule) -> Floats:
    """(photos, people); infinite for a photo without a face."""
    found = np.full((len(photos), len(gallery)), np.inf)
    seen: NDArray[np.bool_] = np.array([encoded[photo, False] is not None for photo in photos])
    if seen.any():
        probes = np.array([encoding for photo in photos if (encoding := encoded[photo, False]) is not None])
        found[seen] = one.to_people(gallery, probes)
    return found


def rows(found: Mapping[str, Found], plans: Sequence[GalleryPlan]) -> list[Row]:
    """Two tables: where the rules draw the line, and the whole curve."""
    some = next(iter(found.values())).galleries
    table = AT_LINES.format(
        galleries=len(plans),
        people=len(plans[0].enrolled),
        enrolled=ENROLLED,
        probes=round(float(np.mean([len(one.nearest) for one in some]))),
        strangers=len(some[0].strangers),
    )
    at_lines = [{"table": table, **row} for name, one in found.items() for row in _at_lines(name, one)]
    curves = {name: joined(one.galleries) for name, one in found.items()}
    by_level: list[Row] = [
        {
            "table": CURVE,
            "strangers named %": 100 * level,
            **{name: 100 * identified_at(one, level) for name, one in curves.items()},
        }
        for level in LEVELS
    ]
    return at_lines + by_level + _nearest_strangers(found)


def _nearest_strangers(found: Mapping[str, Found]) -> list[Row]:
    """Folders of photos have wrong labels now and then, and one such stranger spoils the rarest rates."""
    nearest: dict[Path, Row] = {}
    for distance, photo, person in found[SHOWN].mistaken:
        row: Row = {"stranger": photo.stem, "taken for": person, "distance": distance}
        nearest.setdefault(photo, {"table": NEAREST.format(engine=SHOWN), **row})
    return list(nearest.values())[:_SHOWN_STRANGERS]


def _at_lines(name: str, found: Found) -> list[Row]:
    return [_at_line(name, found.galleries, drawn) for drawn in zip(*found.lines, strict=True)]


def _at_line(name: str, galleries: Sequence[OpenSet], drawn: Sequence[Line]) -> Row:
    """Means over the galleries, each with the line drawn for it."""
    shares = np.mean([one.at(line.threshold, line.margin) for one, line in zip(galleries, drawn, strict=True)], axis=0)
    identified, wrong, strangers = (100 * float(value) for value in shares)
    promised = [line.promised for line in drawn if line.promised is not None]
    promise = 100 * float(np.mean(promised)) if promised else None
    return {
        "engine": name,
        "line": drawn[0].name,
        "threshold": float(np.mean([line.threshold for line in drawn])),
        "identified %": identified,
        "named wrongly %": wrong,
        "strangers named %": strangers,
        "promised %": promise,
        "measured / promised": strangers / promise if promise else None,
    }
