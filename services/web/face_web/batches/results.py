"""What became of each file of a batch, in order, as JSON lines or CSV, without ever holding all of it."""

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, repeat
from typing import Any

from typing_extensions import TypedDict

from face_common.contract import Code, Face, Result
from face_common.errors import ObjectMissingError
from face_common.ports import Bucket
from face_common.results import stored_result
from face_web.batches.listing import read_listing
from face_web.batches.model import Batch, Kind, Listing, Progress, outcome_of

_READERS = 16
_AHEAD = 64
_COLUMNS = ("index", "name", "outcome", "person", "distance", "decision", "faces", "detail", "id")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_DECISIONS = ("match", "ambiguous", "unknown")
_WHOLE = slice(0, None)


class FileResult(TypedDict):
    """What became of a file."""

    index: int
    """From 0, in the batch's order."""
    name: str
    """Its path, as far as it is still known."""
    outcome: str
    """`done` or an error's code; for imports the verdict of the enrolment."""
    detail: str
    id: str
    """Of its job."""
    result: Result | None
    """None when it is not kept any more."""


def file_results(
    store: Bucket, batch: Batch, progress: Progress, outcome: str = "", part: slice = _WHOLE
) -> Iterator[FileResult]:
    """Every file that has its verdict, or those with this outcome. TransientError as the store's, on the way too.

    `part`: which files, by their numbers, are looked at; the others cost nothing.
    """
    with ThreadPoolExecutor(_READERS, "results") as threads:
        reading = (
            (index, name, threads.submit(stored_result, store, batch.job_id(index)))
            for index, name in islice(_names(store, batch, progress), part.start, part.stop)
        )
        under_way = deque(islice(reading, _AHEAD))
        while under_way:
            index, name, result = under_way.popleft()
            under_way.extend(islice(reading, 1))
            found = _file_result(batch, index, name, result.result())
            if not outcome or found["outcome"] == outcome:
                yield found


def _names(store: Bucket, batch: Batch, progress: Progress) -> Iterator[tuple[int, str]]:
    """The number and path of each file that is finished; only of batches is the path kept to the end."""
    listing = batch.listing or progress.listing
    paths: Iterator[str] = repeat("")
    if listing is not None and batch.kind is Kind.BATCH:
        paths = _paths(store, listing)
    return zip(range(progress.finished), paths, strict=False)


def _paths(store: Bucket, listing: Listing) -> Iterator[str]:
    try:
        for item, _ in read_listing(store, listing):
            yield item.path
    except ObjectMissingError:  # its time has come, before that of the results
        pass
    yield from repeat("")


def _file_result(batch: Batch, index: int, path: str, result: Result | None) -> FileResult:
    if result is None:
        detail = "the result is not kept any more"
        outcome = Code.NOT_FOUND.value
        return {
            "index": index,
            "name": path,
            "outcome": outcome,
            "detail": detail,
            "id": batch.job_id(index),
            "result": None,
        }
    detail = result["error"]["detail"] if result["error"] else result["photo"]["detail"] if "photo" in result else ""
    name = path or result["image"]["name"]
    outcome = outcome_of(batch.kind, result)
    return {"index": index, "name": name, "outcome": outcome, "detail": detail, "id": result["id"], "result": result}


def as_json_lines(found: Iterator[FileResult]) -> Iterator[bytes]:
    """A line each."""
    for line in found:
        yield json.dumps(line, separators=(",", ":")).encode() + b"\n"


def as_csv(found: Iterator[FileResult]) -> Iterator[bytes]:
    """A header and a row each: of several faces the one that says most."""
    yield _row(_COLUMNS)
    for line in found:
        result: Mapping[str, Any] = line["result"] or {}
        faces = result.get("faces")
        face: Mapping[str, Any] = _telling(faces) if faces else {}
        distance = face.get("distance")
        values = {
            **line,
            "person": face.get("person") or result.get("person") or "",
            "distance": "" if distance is None else f"{distance:.4f}",
            "decision": face.get("decision", ""),
            "faces": "" if faces is None else len(faces),
        }
        yield _row([_cell(values[column]) for column in _COLUMNS])


def _telling(faces: list[Face]) -> Face:
    return min(faces, key=lambda face: _DECISIONS.index(face["decision"]) if "decision" in face else len(_DECISIONS))


def _cell(value: object) -> object:
    """A spreadsheet takes what begins like a formula for one, and file names come from anywhere."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _row(values: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue().encode()


FORMATS: dict[str, tuple[str, Callable[[Iterator[FileResult]], Iterator[bytes]]]] = {
    "jsonl": ("application/jsonl", as_json_lines),
    "csv": ("text/csv; charset=utf-8", as_csv),
}
"""By name: the media type, and what makes it."""
