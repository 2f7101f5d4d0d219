"""How often faces are recognised rightly: pairs of photos, identification, detection; offline, by the engines alone."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import detection, folders, identification, plots, verification
from bench.engines import Look, encode_all
from bench.folders import InputError, Pair
from bench.identification import GalleryPlan
from bench.scoring import rule
from bench.tables import Row

TITLE = "Accuracy, of the most prominent face of each photo"
DETECTION = "Detection: recall and false boxes by the face's shorter side"

_VARIABLES = ("PEOPLE", "STRANGERS", "PAIRS", "BOXES")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What there is to measure over; empty or None for what there is not, with the reasons in `missing`."""

    plans: list[GalleryPlan]
    strangers: list[Path]
    pairs: list[Pair]
    boxes: Path | None
    missing: list[str]


def run() -> list[Row]:
    """The rows of all tables; prints what is skipped and why, and draws. InputError for what cannot be read."""
    inputs = read_inputs(os.environ)
    for reason in inputs.missing:
        print(f"  skipped: {reason}")
    looks = set(_looks(inputs))
    encoded = encode_all(looks) if looks else {}
    rules = {name: rule(name) for name in encoded}
    rows: list[Row] = []
    if inputs.pairs:
        rows += verification.rows(inputs.pairs, encoded, rules)
        compared = verification.every_pair(inputs.pairs, encoded, rules)
        rows += verification.every_pair_rows(compared, rules)
        plots.roc(compared, rules)
        plots.distances(compared, rules)
    if inputs.plans:
        found = identification.measure(inputs.plans, inputs.strangers, encoded, rules)
        rows += identification.rows(found, inputs.plans)
        plots.open_set(found)
    if inputs.boxes:
        rows += [{"table": DETECTION, **row} for row in detection.run(inputs.boxes)]
    return rows


def read_inputs(environment: Mapping[str, str]) -> Inputs:
    """By the make variables PEOPLE, STRANGERS, PAIRS and BOXES, else what lies in the folder FACE_DATA.

    With PEOPLE and no STRANGERS the people with one photo are the strangers; pairs.csv or pairs.txt may lie in PEOPLE
    or beside it.
    """
    missing: list[str] = []
    shared = Path(environment["FACE_DATA"]) if environment.get("FACE_DATA") else None
    named = {
        name: Path(environment[name]) for name in ("PEOPLE", "STRANGERS", "PAIRS", "BOXES") if environment.get(name)
    }
    people = named.get("PEOPLE") or _usual(shared, "lfw-dev/people")
    boxes = named.get("BOXES") or _usual(shared, "detection-dev")
    everybody = folders.people(people) if people else {}
    pairs = _pairs(named.get("PAIRS"), people)
    strangers = _strangers(named, shared, everybody)
    plans = identification.plan(everybody) if strangers else []
    if not people:
        missing.append("pairs and open set: set PEOPLE, or FACE_DATA, to a folder of person/photo")
    elif not pairs:
        missing.append(f"pairs: set PAIRS; there is no pairs.csv or pairs.txt beside {people}")
    if people and not plans:
        missing.append("open set: set STRANGERS to a folder of photos; two people with four photos each are wanted")
    if not boxes:
        missing.append("detection: set BOXES, or FACE_DATA, to a folder with photos and boxes.csv")
    return Inputs(plans, strangers, pairs, boxes, missing)


def _usual(shared: Path | None, name: str) -> Path | None:
    return shared / name if shared and (shared / name).exists() else None


def _pairs(named: Path | None, people: Path | None) -> list[Pair]:
    if named and not people:
        raise InputError(f"PAIRS names {named}, but neither PEOPLE nor FACE_DATA the folder that it is about")
    if not people:
        return []
    beside = (folder / name for folder in (people, people.parent) for name in ("pairs.csv", "pairs.txt"))
    file = named or next((file for file in beside if file.exists()), None)
    return folders.pairs(file, people) if file else []


def _strangers(named: Mapping[str, Path], shared: Path | None, everybody: Mapping[str, list[Path]]) -> list[Path]:
    if "STRANGERS" in named:
        return folders.strangers(named["STRANGERS"])
    if "PEOPLE" in named:  # the strangers under FACE_DATA may be among these people
        return [photos[0] for photos in everybody.values() if len(photos) == 1]
    usual = _usual(shared, "lfw-dev/strangers")
    return folders.strangers(usual) if usual else []


def _looks(inputs: Inputs) -> Iterator[Look]:
    """Photos that are enrolled or compared are read with care, probes are not; as the worker does."""
    for pair in inputs.pairs:
        yield from ((pair.first, True), (pair.second, True))
    for plan in inputs.plans:
        yield from ((photo, True) for photos in plan.enrolled.values() for photo in photos)
        yield from ((photo, False) for photo, _ in plan.probes)
    if inputs.plans:
        yield from ((photo, False) for photo in inputs.strangers)
