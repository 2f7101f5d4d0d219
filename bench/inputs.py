"""What the make variables PEOPLE, STRANGERS, PAIRS, BOXES and FACE_DATA name to measure over."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import folders
from bench.folders import InputError, Pair


def named(environment: Mapping[str, str], variable: str) -> Path | None:
    """The file or folder that a variable names; InputError when it is not there."""
    if not environment.get(variable):
        return None
    path = Path(environment[variable])
    if not path.exists():
        raise InputError(f"{variable}={path}: there is no such file or folder")
    return path


def shared(environment: Mapping[str, str], variable: str, usual: str) -> Path | None:
    """What the variable names, else the usual place under FACE_DATA; None when neither is there."""
    if path := named(environment, variable):
        return path
    folder = named(environment, "FACE_DATA")
    return folder / usual if folder and (folder / usual).exists() else None


@dataclass(frozen=True, slots=True)
class Inputs:
    """What accuracy is measured over; empty or None for what there is not, with the reasons in `missing`."""

    people: dict[str, list[Path]]
    strangers: list[Path]
    pairs: list[Pair]
    boxes: Path | None
    missing: list[str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Inputs":
        """By the variables, else what lies under FACE_DATA. InputError for what cannot be read.

        With PEOPLE and no STRANGERS the people with one photo are the strangers: those under FACE_DATA may be among
        these people. pairs.csv or pairs.txt may lie in PEOPLE or beside it.
        """
        folder = shared(environment, "PEOPLE", "lfw-dev/people")
        people = folders.people(folder) if folder else {}
        pairs = _pairs(named(environment, "PAIRS"), folder)
        strangers = _strangers(environment, people)
        boxes = shared(environment, "BOXES", "detection-dev")
        missing = []
        if not pairs:
            missing.append("pairs: set PEOPLE to a folder of person/photo and PAIRS to a pairs file, or FACE_DATA")
        if not people or not strangers:
            missing.append("open set: set PEOPLE to a folder of person/photo and STRANGERS to photos, or FACE_DATA")
        if not boxes:
            missing.append("detection: set BOXES to a folder with photos and boxes.csv, or FACE_DATA")
        return cls(people, strangers, pairs, boxes, missing)


def _pairs(file: Path | None, people: Path | None) -> list[Pair]:
    if not people:
        if file:
            raise InputError(f"PAIRS={file}: set PEOPLE to the folder of person/photo that it is about")
        return []
    beside = (folder / name for folder in (people, people.parent) for name in ("pairs.csv", "pairs.txt"))
    found = file or next((path for path in beside if path.exists()), None)
    return folders.pairs(found, people) if found else []


def _strangers(environment: Mapping[str, str], people: Mapping[str, list[Path]]) -> list[Path]:
    if environment.get("PEOPLE") and not environment.get("STRANGERS"):
        return [photos[0] for photos in people.values() if len(photos) == 1]
    folder = shared(environment, "STRANGERS", "lfw-dev/strangers")
    return folders.strangers(folder) if folder else []
