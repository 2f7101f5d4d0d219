"""How templates lie in a LanceDB table, and how they are read from it."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from face_common.contract import DISTRACTOR_PREFIX, Code
from face_common.errors import TransientError
from face_common.templates import (
    DIMENSIONS,
    EncodingBlocks,
    GallerySnapshot,
    PersonPhotos,
    Strings,
    Template,
    TemplateColumns,
    TemplateIdentity,
    parsed_digests,
)

P = ParamSpec("P")
T = TypeVar("T")

SCHEMA = pa.schema(
    [
        pa.field("person", pa.string(), nullable=False),
        pa.field("photo", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("encoding", pa.list_(pa.float32(), DIMENSIONS), nullable=False),
        pa.field("enrolled_at", pa.float64(), nullable=False),
    ]
)
_READ = pa.schema([*(SCHEMA.field(name) for name in ("person", "photo", "digest")), pa.field("_rowid", pa.uint64())])
DISTRACTORS = f"person LIKE '{DISTRACTOR_PREFIX}%'"
"""SQL conditions that rejected faces meet, and everybody else."""
PEOPLE = f"person NOT LIKE '{DISTRACTOR_PREFIX}%'"
_ATTEMPTS = 8
_BATCH = 2**15  # rows read at a time: 16 MiB of encodings
_NAMED = 2000  # photos in one condition: 60 kB of it
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGE = 2 * 2**20  # bytes
_PHOTO_ID = 26  # bytes of a ULID


def snapshot(table: Any, version: int, model: str) -> GallerySnapshot:
    """The table's templates of this model, laid out for searching."""
    ids, columns = _read_columns(table, model)
    _give_back()
    laid_out = GallerySnapshot.laid_out(version, columns, _read_encodings(table, ids))
    _give_back()
    return laid_out


def templates(table: Any, condition: str | None = None) -> Iterator[Template]:
    """The table's templates, or those that meet an SQL condition, batch by batch."""
    for batch in scan(table, SCHEMA.names, condition):
        fields = [batch[name].to_pylist() for name in SCHEMA.names]
        for row in zip(*fields, strict=True):
            named = dict(zip(SCHEMA.names, row, strict=True))
            yield Template(**{**named, "encoding": tuple(named["encoding"])})


def of_templates(rows: Sequence[Template]) -> Any:
    """The templates as the table takes them."""
    return pa.Table.from_pylist([asdict(template) for template in rows], schema=SCHEMA)


def photos_by_person(table: Any) -> dict[str, PersonPhotos]:
    """What photos each person has, by name in ascending order. Rejected faces are nobody's."""
    rows = pa.Table.from_batches(
        [batch.drop_columns(["_rowid"]) for batch in scan(table, ["person", "photo"], PEOPLE)],
        schema=pa.schema([SCHEMA.field("person"), SCHEMA.field("photo")]),
    )
    found = rows.group_by("person").aggregate([("photo", "count_distinct"), ("photo", "min")]).sort_by("person")
    names, counts, firsts = (found[name].to_pylist() for name in ("person", "photo_count_distinct", "photo_min"))
    return dict(zip(names, map(PersonPhotos, counts, firsts), strict=True))


def models(table: Any, condition: str | None = None) -> dict[str, int]:
    """How many templates each model made, by the model's id; of those that meet an SQL condition, or of all."""
    batches = [batch.drop_columns(["_rowid"]) for batch in scan(table, ["model"], condition)]
    counted = pa.Table.from_batches(batches, schema=pa.schema([SCHEMA.field("model")])).group_by("model")
    rows = counted.aggregate([("model", "count")]).sort_by("model")
    return dict(zip(rows["model"].to_pylist(), rows["model_count"].to_pylist(), strict=True))


def identities(table: Any) -> Iterator[TemplateIdentity]:
    """What tells the table's templates apart, batch by batch."""
    for batch in scan(table, TemplateIdentity._fields):
        yield from map(TemplateIdentity, *(batch[name].to_pylist() for name in TemplateIdentity._fields))


def scan(table: Any, columns: Sequence[str], condition: str | None = None) -> Iterator[Any]:
    """The table's rows with their ids, or those that meet an SQL condition, batch by batch."""
    query = table.search().select(list(columns)).with_row_id(True).limit(None)
    if condition is not None:
        query = query.where(condition)
    batches = iter(attempt(partial(query.to_batches, _BATCH)))
    while (batch := attempt(partial(next, batches, None))) is not None:
        yield batch


def equals(column: str, text: str) -> str:
    """An SQL condition. Only for reading: what is written with a condition leaves it in the table's history."""
    return f"{column} = {_quoted(text)}"


def any_of(photos: Sequence[str]) -> Iterator[str]:
    """SQL conditions that these photos meet, so many photos in each."""
    for first in range(0, len(photos), _NAMED):
        yield f"photo IN ({', '.join(map(_quoted, photos[first : first + _NAMED]))})"


class OvertakenError(TransientError):
    """Nothing was done because of what others did: they made the table at the same time, or purged its history."""


def attempt(call: Callable[[], Any]) -> Any:
    """LanceDB retries commit conflicts by itself; what is left over is worth another delivery of the job."""
    try:
        return call()
    except (RuntimeError, OSError) as error:
        kind = OvertakenError if _is_overtaken(str(error)) else TransientError
        raise kind(Code.STORAGE_UNAVAILABLE, f"the gallery refused: {error}") from error


def _is_overtaken(reason: str) -> bool:
    refused = "Incompatible transaction" in reason or "Retryable commit conflict" in reason
    return refused or ".lance/" in reason.partition("Not found: ")[2]


def patiently(call: Callable[P, T]) -> Callable[P, T]:
    """A call that begins again with the table's latest version when it is overtaken."""

    @wraps(call)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(_ATTEMPTS - 1):
            with suppress(OvertakenError):
                return call(*args, **kwargs)
        return call(*args, **kwargs)

    return repeated


def map_large_buffers() -> None:
    """Have the C library take large buffers from the system one by one, so that they can go back when they are freed.

    It would otherwise learn to cut them out of its heaps, one a thread, and what LanceDB has read would stay there:
    about as much again as the gallery itself.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:  # glibc's
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE)


def _give_back() -> None:
    """Return to the system what is free: Arrow and the C library keep it, more than half of what encodings take."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:  # glibc's
        trim(0)


def _read_columns(table: Any, model: str) -> tuple[NDArray[np.uint64], TemplateColumns]:
    """Everything but the encodings of the templates of this model, and the ids of their rows, in rising order."""
    batches = scan(table, ["person", "photo", "digest", "model"])
    kept = [batch.filter(pc.equal(batch["model"], model)).drop_columns(["model"]) for batch in batches]
    rows = pa.Table.from_batches(kept, schema=_READ).combine_chunks()
    coded = _column(rows, "person").dictionary_encode()
    order = pc.sort_indices(coded.dictionary)
    ranks = np.empty(len(order), dtype=np.int32)
    ranks[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
    photos = _strings(_column(rows, "photo"))
    width = max(_PHOTO_ID, int(np.diff(photos.offsets).max(initial=0)))
    columns = TemplateColumns(
        people=_strings(coded.dictionary.take(order)),
        owners=ranks[coded.indices.to_numpy()],
        photos=photos.fixed(width).view(f"S{width}")[:, 0],
        digests=parsed_digests(_strings(_column(rows, "digest"))),
    )
    return rows["_rowid"].to_numpy(), columns


def _read_encodings(table: Any, ids: NDArray[np.uint64]) -> EncodingBlocks:
    """The encodings of the rows with these ids, batch by batch; TransientError when not each of them was there."""
    found = 0
    for batch in scan(table, ["encoding"]) if len(ids) else ():
        rows = batch["_rowid"].to_numpy()
        places = np.minimum(np.searchsorted(ids, rows), len(ids) - 1)
        wanted = ids[places] == rows
        found += int(wanted.sum())
        yield places[wanted], batch["encoding"].flatten().to_numpy().reshape(-1, DIMENSIONS)[wanted]
    if found != len(ids):
        raise TransientError(Code.STORAGE_UNAVAILABLE, f"the gallery gave {found} of {len(ids)} encodings")


def _column(rows: Any, name: str) -> Any:
    """A column of a table in one piece."""
    chunks = rows[name].chunks
    return chunks[0] if chunks else pa.array([], rows.schema.field(name).type)


def _strings(column: Any) -> Strings:
    """An Arrow array of strings, without a copy."""
    _, offsets, text = column.buffers()
    if not len(column):
        return Strings.of(())
    ends = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    return Strings(np.frombuffer(text or b"", dtype=np.uint8), ends)


def _quoted(text: str) -> str:
    """An SQL string; LanceDB's filters know no parameters, so quotes are doubled as SQL has it."""
    return "'{}'".format(text.replace("'", "''"))
