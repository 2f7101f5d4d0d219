"""Makes batches forget a person: files that name them in a batch's listing, batches of a folder of theirs."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass

from face_common.contract import Code, is_id
from face_common.ports import Bucket
from face_web.batches.model import OPEN, Batch, Item, index_prefix, job_key
from face_web.traces import Names, side_by_side

_PREFIX = "batches/"
_ERASED = Item(path="", name="", code=Code.NOT_FOUND.value)


@dataclass(frozen=True, slots=True)
class BatchTraces:
    """What was found and removed."""

    versions: int
    """Objects that went, their earlier versions included."""
    unfinished: list[str]
    """Batches that are not finished: what they still need goes at their end."""


def forget(store: Bucket, collection: str, names: Names | None, before: str) -> BatchTraces:
    """Take a person out of the collection's batches that were begun before the id `before`; None is everybody.

    An open batch skips what it has not begun of their files; everybody's are cancelled.
    """
    versions, unfinished = 0, []
    for batch in _batches(store, before):
        if batch.collection != collection:
            continue
        concerned = _blank(store, batch, names) if names else True
        whole = names is None or names.occur([batch.prefix, batch.consent], batch.created_at)
        is_open = store.exists(f"{OPEN}{batch.id}")
        if is_open and (concerned or whole):
            unfinished.append(batch.id)
            if names is None:
                store.put(batch.key("cancelled"), b"", "text/plain")
        if whole and not is_open:
            keys = [entry.key for entry in store.entries(batch.key(""))]
            versions += store.purge([*keys, f"{index_prefix(batch.kind, batch.collection)}{batch.id}"])
    return BatchTraces(versions, unfinished)


def _batches(store: Bucket, before: str) -> Iterator[Batch]:
    keys = [entry.key for entry in store.entries(_PREFIX) if entry.key.endswith("/job.json")]
    ids = [key.split("/")[1] for key in keys]
    old = [job_key(batch_id) for batch_id in ids if is_id(batch_id) and batch_id < before]
    with side_by_side() as mapped:
        yield from (Batch.decode(body) for body in mapped(store.get, old))


def _blank(store: Bucket, batch: Batch, names: Names) -> bool:
    """Blank the files that name the person out of a batch's listings; whether there were any.

    A blank is as long as what it takes the place of: readers know places in a listing by their offset.
    """
    found = False
    for entry in list(store.entries(batch.key(""))):
        if not entry.key.endswith(".jsonl"):
            continue
        lines = store.get(entry.key).splitlines(keepends=True)
        named = [names.occur(json.loads(line), batch.created_at) for line in lines]
        if any(named):
            found = True
            blanked = [_blanked(line) if hit else line for line, hit in zip(lines, named, strict=True)]
            store.put_file(entry.key, io.BytesIO(b"".join(blanked)), "application/jsonl")
    return found


def _blanked(line: bytes) -> bytes:
    return _ERASED.encode().rstrip(b"\n").ljust(len(line) - 1) + b"\n"
