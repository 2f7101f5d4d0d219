"""How templates change their owner, and how a collection goes back to an earlier version."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from face_common.gallery_rows import any_of, attempt, equals, of_templates, scan, templates
from face_common.templates import Restoration

_Rows = dict[tuple[str, str], str]
"""Who owns the template that a photo (first) has under a model (second)."""


def give(table: Any, photos: Sequence[str], person: str) -> None:
    """Write another name on these photos' templates."""
    for named in any_of(photos):
        attempt(partial(table.update, where=named, values={"person": person}))


def restore(table: Any, old: Any) -> Restoration:
    """Bring the rows of a version back, which `old` has checked out.

    Rows are added and removed one set after the other rather than the whole version put on top, so that what others
    append meanwhile stays, and so that nothing refers to files that a purge is just removing.
    """
    now, then = _rows(table), _rows(old)
    for person, photos in _renamed(now, then).items():
        give(table, photos, person)
    added = sorted({photo for photo, model in then if (photo, model) not in now})
    for named in any_of(added):
        missing = [row for row in templates(old, named) if (row.photo, row.model) not in now]
        attempt(partial(table.add, of_templates(missing)))
    for condition in _surplus(now, then):
        attempt(partial(table.delete, condition))
    before, after = ({photo for photo, _ in rows} for rows in (now, then))
    return Restoration(int(table.version), sorted(before - after), sorted(after - before))


def _rows(table: Any) -> _Rows:
    rows: _Rows = {}
    for batch in scan(table, ["person", "photo", "model"]):
        keys = zip(batch["photo"].to_pylist(), batch["model"].to_pylist(), strict=True)
        rows.update(zip(keys, batch["person"].to_pylist(), strict=True))
    return rows


def _renamed(now: _Rows, then: _Rows) -> dict[str, list[str]]:
    """The photos that had another name then, by that name."""
    photos: defaultdict[str, set[str]] = defaultdict(set)
    for key, person in then.items():
        if now.get(key, person) != person:
            photos[person].add(key[0])
    return {person: sorted(own) for person, own in photos.items()}


def _surplus(now: _Rows, then: _Rows) -> Iterator[str]:
    """Conditions that the templates meet which were not there then."""
    photos: defaultdict[str, list[str]] = defaultdict(list)
    for photo, model in now:
        if (photo, model) not in then:
            photos[model].append(photo)
    for model, own in photos.items():
        for named in any_of(sorted(own)):
            yield f"{equals('model', model)} AND {named}"
