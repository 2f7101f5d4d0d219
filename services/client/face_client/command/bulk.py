"""Batches and imports from the terminal: sent as one archive, followed to their end, told file by file."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from face_client.archives import archive
from face_client.bulk import Bulks
from face_client.client import FaceClient
from face_client.command.output import Output
from face_client.errors import FaceServiceError
from face_client.models import Bulk, BulkOptions, BulkResult
from face_client.sentences import describe, duration, outcomes

GOOD = frozenset({"done", "accepted", "duplicate"})


def submit_batch(
    out: Output, face: FaceClient, photos: Sequence[Path], no_wait: bool, as_csv: bool, **options: Unpack[BulkOptions]
) -> int:
    """Photos to recognise as one batch."""
    sent = send(out, face.batches, distinct(photos), **options)
    if no_wait:
        return told(out, sent)
    ended = follow(out, face.batches, sent)
    tell_results(out, face.batches, ended, as_csv=as_csv)
    if as_csv:  # nothing but CSV goes to stdout
        out.note(summary(ended))
        return _status(ended)
    return status_of(out, ended)


def send(out: Output, bulks: Bulks, photos: Sequence[tuple[str, Path]], **options: Unpack[BulkOptions]) -> Bulk:
    """Pack the photos into a temporary file and send that."""
    if not photos:
        raise ValueError("there are no photos")
    given: BulkOptions = {name: value for name, value in options.items() if value}  # type: ignore[assignment]
    with out.gauge("packing", len(photos)) as gauge, archive(photos, gauge.update) as packed:
        return bulks.submit_archive(packed, **given)


def follow(out: Output, bulks: Bulks, begun: Bulk) -> Bulk:
    """Show how a batch goes on until it is over; how it ended. Whoever stops watching does not stop it."""
    now = begun
    try:
        with out.gauge(f"{begun['kind']} {begun['id']}", begun["total"]) as gauge:
            for now in bulks.follow(begun["id"]):
                gauge.update(now["finished"], now["total"], outcomes(now["outcomes"]))
    except KeyboardInterrupt:
        out.note(f"it goes on: face batch {begun['id']}")
        raise
    return now


def told(out: Output, bulk: Bulk) -> int:
    """Say how far a batch has come."""
    out.answer(bulk, summary(bulk))
    return 0


def status_of(out: Output, ended: Bulk) -> int:
    """Say how a batch ended; 0 when all of its files came to a good end."""
    told(out, ended)
    return _status(ended)


def _status(ended: Bulk) -> int:
    return 0 if ended["state"] == "done" and set(ended["outcomes"]) <= GOOD else 1


def summary(bulk: Bulk) -> str:
    """A batch in a line."""
    total = "?" if bulk["total"] is None else bulk["total"]
    parts = [
        f"{bulk['kind']} {bulk['id']}: {bulk['state']}",
        f"{bulk['finished']} of {total}",
        outcomes(bulk["outcomes"]),
    ]
    if bulk["rate_per_s"]:
        parts.append(f"{bulk['rate_per_s']:.1f}/s")
    if bulk["eta_s"]:
        parts.append(f"{duration(bulk['eta_s'])} to go")
    if bulk["error"]:
        parts.append(f"{bulk['error']['code']}: {bulk['error']['detail']}")
    return ", ".join(filter(None, parts))


def tell_results(
    out: Output, bulks: Bulks, bulk: Bulk, *, as_csv: bool = False, outcome: str = "", bad_only: bool = False
) -> None:
    """What became of each file, or of those that came to no good end."""
    if as_csv:
        bulks.save_results(bulk["id"], sys.stdout.buffer, outcome=outcome)
        sys.stdout.flush()
        return
    for result in bulks.results(bulk["id"], outcome=outcome):
        if not (bad_only and result["outcome"] in GOOD):
            out.answer(result, out.marked(result_line(result), result["outcome"]))


def result_line(result: BulkResult) -> str:
    """What became of one file, in a line."""
    found = result["result"]
    if found is None or "faces" not in found or result["outcome"] != "done":
        return f"{result['outcome']}  {result['name']}" + (f": {result['detail']}" if result["detail"] else "")
    faces = "; ".join(describe(face) for face in found["faces"])
    return f"{result['outcome']}  {result['name']}: {faces or 'no face'}"


def distinct(photos: Sequence[Path]) -> list[tuple[str, Path]]:
    """Photos with names that tell them apart: their own, with as many folders as that takes."""
    taken: set[str] = set()
    named = []
    for photo in photos:
        parts = [part for part in photo.resolve().parts if part != photo.anchor]
        depth = next(n for n in range(1, len(parts) + 2) if "/".join(parts[-n:]) not in taken or n > len(parts))
        name = "/".join(parts[-depth:])
        if name in taken:
            continue  # the same file, given twice
        taken.add(name)
        named.append((name, photo))
    return named


def found_in(face: FaceClient, bulk_id: str) -> tuple[Bulks, Bulk]:
    """A batch, an import or a reencoding by its id."""
    try:
        return face.batches, face.batches.get(bulk_id)
    except FaceServiceError as error:
        if error.code != "not-found":
            raise
        return face.imports, face.imports.get(bulk_id)
