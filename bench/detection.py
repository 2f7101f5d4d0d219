"""How many faces the detectors find, how many boxes are false, and what a photo costs."""

import argparse
import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.engines import LIBRARY
from bench.folders import InputError
from bench.tables import Row, report
from face_app.engine import load_engine
from face_app.recognition import Engine, Rectangle
from local.stack import ROOT

BOXES = "boxes.csv"
TITLE = "Detection"
SIDES = (20, 40, 80)
"""Pixels: a marked face counts for each of these that its box's shorter side has."""
LEAST_OVERLAP = 0.3
"""Intersection over union with which a marked face is found."""
_COLUMNS = ("file", "x", "y", "width", "height")
_PROFILES = {"balanced": "balanced", "quick": "quick", f"HOG (= {LIBRARY})": "exact"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a detector answered for one photo, beside the faces that are marked in it."""

    marked: Sequence[Rectangle]
    answered: Sequence[Rectangle]
    decode_ms: float
    detect_ms: float
    """Both in CPU time; what a detector has decoded on demand is its own."""


def run(folder: Path) -> list[Row]:
    """A row for each detector over the folder's photos, one core; InputError for what cannot be read."""
    marked = read_boxes(folder / BOXES)
    return [row(name, measure(profile, folder, marked)) for name, profile in _PROFILES.items()]


def read_boxes(file: Path) -> dict[str, list[Rectangle]]:
    """Each photo's marked faces. InputError tells file, line and fault."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return _boxes(file, csv.DictReader(lines))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


def _boxes(file: Path, lines: "csv.DictReader[str]") -> dict[str, list[Rectangle]]:
    if missing := [column for column in _COLUMNS if column not in (lines.fieldnames or ())]:
        raise InputError(f"{file} lacks the columns {', '.join(missing)}: {', '.join(_COLUMNS)} are wanted")
    marked: dict[str, list[Rectangle]] = {}
    for line in lines:
        try:
            marked.setdefault(line["file"], []).append(_rectangle(line))
        except (TypeError, ValueError) as error:
            raise InputError(f"{file}, line {lines.line_num}: {error}") from error
    if not marked:
        raise InputError(f"{file} marks no face")
    return marked


def _rectangle(line: Mapping[str, str]) -> Rectangle:
    left, top, width, height = (round(float(line[column])) for column in _COLUMNS[1:])
    return Rectangle(left, top, left + width, top + height)


def measure(profile: str, folder: Path, marked: Mapping[str, Sequence[Rectangle]]) -> list[Outcome]:
    """What the profile's detector answers for each photo."""
    engine = load_engine("fast", profile, ROOT / ".local" / "cache")
    bodies = {file: _read(folder / file) for file in marked}
    _look(engine, next(iter(bodies.values())), [])  # the first photo pays for memory that the others find
    return [_look(engine, body, marked[file]) for file, body in bodies.items()]


def _read(photo: Path) -> bytes:
    try:
        return photo.read_bytes()
    except OSError as error:
        raise InputError(f"{photo} cannot be read: {error}") from error


def _look(engine: Engine, body: bytes, marked: Sequence[Rectangle]) -> Outcome:
    began = time.process_time()
    picture = engine.decode(body)
    decoded = time.process_time()
    answered = [found.rectangle for found in engine.detect(picture)]
    ended = time.process_time()
    return Outcome(marked, answered, (decoded - began) * 1000, (ended - decoded) * 1000)


def row(name: str, outcomes: Sequence[Outcome]) -> Row:
    """Recall by the marked faces' shorter side, false boxes (which meet no marked face), and mean times a photo."""
    boxes = sum(len(one.answered) for one in outcomes)
    false = sum(_meets_none(box, one.marked) for one in outcomes for box in one.answered)
    found = [(face.side, _is_found(face, one.answered)) for one in outcomes for face in one.marked]
    line: Row = {"detector": name, "photos": len(outcomes)}
    for least in SIDES:
        of_this_size = [is_found for side, is_found in found if side >= least]
        line[f">= {least} px"] = len(of_this_size)
        line[f"recall >= {least} px"] = sum(of_this_size) / len(of_this_size) if of_this_size else None
    times = {"decode CPU ms": [one.decode_ms for one in outcomes], "detect CPU ms": [one.detect_ms for one in outcomes]}
    means = {column: sum(values) / max(len(values), 1) for column, values in times.items()}
    return {**line, "boxes": boxes, "false": false, "false share": false / max(boxes, 1), **means}


def _is_found(face: Rectangle, answered: Sequence[Rectangle]) -> bool:
    return any(overlap(face, box) >= LEAST_OVERLAP for box in answered)


def _meets_none(box: Rectangle, marked: Sequence[Rectangle]) -> bool:
    return all(overlap(box, face) == 0 for face in marked)


def overlap(one: Rectangle, other: Rectangle) -> float:
    """Intersection over union."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(width, 0) * max(height, 0)
    return shared / max(one.area + other.area - shared, 1)


def main() -> None:
    """`python -m bench.detection FOLDER`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help=f"photos, and {BOXES} with {', '.join(_COLUMNS)}")
    report("detection", TITLE, run(parser.parse_args().folder))


if __name__ == "__main__":
    main()
