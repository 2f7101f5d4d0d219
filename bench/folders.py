"""Reads what a measurement is made over: folders of person/photo, folders of strangers, lists of pairs."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measures import FOLDS

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_COLUMNS = ["person_a", "photo_a", "person_b", "photo_b", "same"]
_TRUTH = {"1": True, "true": True, "0": False, "false": False}


class InputError(ValueError):
    """A folder or file that cannot be measured over; the text says which, where and why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, whether they show one person, and the fold that they are judged in."""

    first: Path
    second: Path
    same: bool
    fold: int


def photos(folder: Path) -> list[Path]:
    """The photos right inside the folder, by name."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)


def people(folder: Path) -> dict[str, list[Path]]:
    """Each person's photos, people by name; InputError when there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    found = {person.name: photos(person) for person in sorted(folder.iterdir()) if person.is_dir()}
    if not any(found.values()):
        raise InputError(f"{folder} has no folders with photos: one folder a person is wanted")
    return {person: theirs for person, theirs in found.items() if theirs}


def strangers(folder: Path) -> list[Path]:
    """All photos in the folder and in its folders; InputError when there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _SUFFIXES)
    if not found:
        raise InputError(f"{folder} has no photos")
    return found


def pairs(file: Path, folder: Path) -> list[Pair]:
    """The pairs that a file lists of a folder of person/photo, in the file's order.

    Either a CSV with the columns person_a, photo_a, person_b, photo_b, same (its folds are made by order), or the
    pairs.txt of Labeled Faces in the Wild: a first line with the number of folds and of pairs of either kind a fold
    (one number: a single fold), then `name n1 n2` or `name1 n1 name2 n2` a line. InputError tells file, line and fault.
    """
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    if not any(line.strip() for line in lines):
        raise InputError(f"{file} is empty")
    shelf = _Photos(folder)
    return _comma_separated(file, lines, shelf) if "," in lines[0] else _classic(file, lines, shelf)


class _Photos:
    """Finds a person's photo by its number or its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._people: dict[str, dict[str, Path]] = {}

    def find(self, person: str, photo: str) -> Path:
        """`0001`, `1` and `0001.jpg` all mean <person>/0001.jpg or <person>/<person>_0001.jpg."""
        if person not in self._people:
            inside = self._folder / person
            found = photos(inside) if inside.is_dir() else []
            self._people[person] = {name: file for file in found for name in (file.name, file.stem)}
        names = [photo, f"{person}_{photo}"]
        if photo.isdecimal():
            names += [f"{int(photo):04d}", f"{person}_{int(photo):04d}"]
        for name in names:
            if name in self._people[person]:
                return self._people[person][name]
        raise InputError(f"there is no photo {photo!r} of {person!r} in {self._folder}")


def _comma_separated(file: Path, lines: Sequence[str], shelf: _Photos) -> list[Pair]:
    rows = csv.reader(lines)
    header = [cell.strip() for cell in next(rows)]
    if header != _COLUMNS:
        raise InputError(f"{file}, line 1: the columns are {','.join(header)}, not {','.join(_COLUMNS)}")
    found = []
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        with _place(file, rows.line_num):
            found.append(_row([cell.strip() for cell in row], shelf))
    return _in_folds(file, found)


def _row(cells: Sequence[str], shelf: _Photos) -> tuple[Path, Path, bool]:
    if len(cells) != len(_COLUMNS):
        raise InputError(f"{len(cells)} cells, not {len(_COLUMNS)}")
    if cells[4].lower() not in _TRUTH:
        raise InputError(f"same is {cells[4]!r}, neither 1 nor 0")
    return shelf.find(cells[0], cells[1]), shelf.find(cells[2], cells[3]), _TRUTH[cells[4].lower()]


def _in_folds(file: Path, found: Sequence[tuple[Path, Path, bool]]) -> list[Pair]:
    """Folds by order, with as many same and different pairs in each as there are."""
    if not found:
        raise InputError(f"{file} lists no pairs")
    totals = {kind: sum(same is kind for _, _, same in found) for kind in (True, False)}
    seen = {True: 0, False: 0}
    listed = []
    for first, second, same in found:
        listed.append(Pair(first, second, same, seen[same] * FOLDS // totals[same]))
        seen[same] += 1
    return listed


def _classic(file: Path, lines: Sequence[str], shelf: _Photos) -> list[Pair]:
    head = lines[0].split()
    if not 1 <= len(head) <= 2 or not all(word.isdecimal() and int(word) for word in head):
        raise InputError(f"{file}, line 1: {lines[0]!r} is neither a CSV header nor `folds pairs`")
    folds, kind = (int(head[0]), int(head[1])) if len(head) == 2 else (1, int(head[0]))
    listed: list[tuple[Path, Path, bool]] = []
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            with _place(file, number):
                listed.append(_words(line.split("\t") if "\t" in line else line.split(), shelf))
    if len(listed) != folds * 2 * kind:
        raise InputError(
            f"{file}: line 1 announces {folds} x {kind} same and as many different pairs; it lists {len(listed)}"
        )
    if folds == 1:
        return _in_folds(file, listed)
    return [Pair(*pair, number // (2 * kind)) for number, pair in enumerate(listed)]


def _words(words: Sequence[str], shelf: _Photos) -> tuple[Path, Path, bool]:
    match [word.strip() for word in words]:
        case [person, one, other]:
            return shelf.find(person, one), shelf.find(person, other), True
        case [person, one, stranger, other]:
            return shelf.find(person, one), shelf.find(stranger, other), False
        case other_words:
            raise InputError(f"{len(other_words)} words, not `name n1 n2` or `name1 n1 name2 n2`")


@contextmanager
def _place(file: Path, line: int) -> Iterator[None]:
    """Adds file and line to what is wrong inside."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{file}, line {line}: {error}") from error
