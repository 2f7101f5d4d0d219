"""The enrolled people of each collection: a LanceDB table a collection, in the bucket or in a folder.

Every write commits a new table version with a conditional put, so concurrent writers lose nothing, and the
version number tells a reader whether it has seen a write.
"""

import ctypes
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from face_common.contract import Code
from face_common.errors import TransientError
from face_common.templates import (
    DIMENSIONS,
    EncodingBlocks,
    EnrolledPhotoRow,
    GallerySnapshot,
    Strings,
    Template,
    TemplateColumns,
    parsed_digests,
)

_log = logging.getLogger(__name__)
_ATTEMPTS = 8
_YOUNG = 4  # versions in which another writer may still be making the table
_SETTLE_SECONDS = 0.1
_COMPACTED = 32  # versions from one compaction to the next: each append leaves a file that every load has to open
_BATCH = 2**15  # rows read at a time: 16 MiB of encodings
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGE = 2 * 2**20  # bytes
_PHOTO_ID = 26  # bytes of a ULID
_SCHEMA = pa.schema(
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
_READ = pa.schema([*(_SCHEMA.field(name) for name in ("person", "photo", "digest")), pa.field("_rowid", pa.uint64())])


class Gallery:
    """All collections under one LanceDB URI. Thread-safe: each call opens the table at its latest version."""

    def __init__(self, uri: str, storage_options: dict[str, str] | None = None) -> None:
        """`uri` is `s3://bucket/gallery` or a folder; storage_options as LanceDB takes them."""
        _map_large_buffers()
        self._connection = lancedb.connect(uri, storage_options=storage_options)

    def version(self, collection: str) -> int:
        """The collection's latest version; 0 when nothing was ever enrolled in it."""
        table = self._open(collection)
        return 0 if table is None else int(table.version)

    def load(self, collection: str, model: str) -> GallerySnapshot:
        """Everything enrolled in the collection with this model, at its latest version, laid out for searching."""
        table = self._open(collection)
        if table is None:
            return GallerySnapshot.of(0, ())
        version = int(table.version)
        table.checkout(version)  # a commit between the two calls must not slip in under the older number
        snapshot = _read(table, version, model)
        _give_back()
        return snapshot

    def add(self, collection: str, templates: Sequence[Template]) -> int:
        """Append templates; the version that holds them.

        Appends never hurt each other, but while a table is new another writer may be making it too, and LanceDB then
        refuses or overwrites what was appended between the two: a young table is looked at again.
        """
        rows = pa.Table.from_pylist([asdict(template) for template in templates], schema=_SCHEMA)
        for _ in range(_ATTEMPTS):
            table = self._open(collection)
            if table is None:
                table = _attempt(partial(self._connection.create_table, collection, schema=_SCHEMA, exist_ok=True))
            try:
                table.add(rows)
            except (RuntimeError, OSError) as error:
                if "Incompatible transaction" in str(error):
                    continue
                raise TransientError(Code.STORAGE_UNAVAILABLE, f"the gallery refused: {error}") from error
            version = int(table.version)
            if version > _YOUNG or self._holds(collection, templates):
                if version % _COMPACTED == 0:  # each version has one writer, so one of them sees to it
                    _compact(table)
                return version
        raise TransientError(Code.STORAGE_UNAVAILABLE, "the gallery is being made by others; try again")

    def _holds(self, collection: str, templates: Sequence[Template]) -> bool:
        """Whether the templates are there still, once whoever was making the table has made it."""
        time.sleep(_SETTLE_SECONDS)
        there = {row.photo for row in self.photos(collection)}
        return all(template.photo in there for template in templates)

    def photos(self, collection: str, person: str | None = None) -> list[EnrolledPhotoRow]:
        """Enrolled photos, of one person or of all, sorted by person and photo."""
        table = self._open(collection)
        if table is None:
            return []
        columns = ["person", "photo", "name", "enrolled_at"]
        query = table.search().select(columns).limit(None)
        if person is not None:
            query = query.where(_equals("person", person))
        rows = {row["photo"]: EnrolledPhotoRow(**row) for row in _attempt(query.to_arrow).to_pylist()}
        return sorted(rows.values(), key=lambda row: (row.person, row.photo))

    def remove(self, collection: str, person: str, photo: str | None = None) -> int:
        """Remove a person, or one photo of theirs; the version without them. Removing what is not there is no error."""
        table = self._open(collection)
        if table is None:
            return 0
        condition = _equals("person", person)
        if photo is not None:
            condition += f" AND {_equals('photo', photo)}"
        _attempt(lambda: table.delete(condition))
        return int(table.version)

    def _open(self, collection: str) -> Any:
        try:
            return self._connection.open_table(collection)
        except (FileNotFoundError, ValueError) as error:
            if "not found" in str(error).lower():
                return None
            raise TransientError(Code.STORAGE_UNAVAILABLE, f"the gallery cannot be opened: {error}") from error
        except (RuntimeError, OSError) as error:
            raise TransientError(Code.STORAGE_UNAVAILABLE, f"the gallery cannot be reached: {error}") from error


def _map_large_buffers() -> None:
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


def _read(table: Any, version: int, model: str) -> GallerySnapshot:
    ids, columns = _read_columns(table, model)
    _give_back()
    return GallerySnapshot.laid_out(version, columns, _read_encodings(table, ids))


def _read_columns(table: Any, model: str) -> tuple[NDArray[np.uint64], TemplateColumns]:
    """Everything but the encodings of the templates of this model, and the ids of their rows, in rising order."""
    batches = _scan(table, ["person", "photo", "digest", "model"])
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
    for batch in _scan(table, ["encoding"]) if len(ids) else ():
        rows = batch["_rowid"].to_numpy()
        places = np.minimum(np.searchsorted(ids, rows), len(ids) - 1)
        wanted = ids[places] == rows
        found += int(wanted.sum())
        yield places[wanted], batch["encoding"].flatten().to_numpy().reshape(-1, DIMENSIONS)[wanted]
    if found != len(ids):
        raise TransientError(Code.STORAGE_UNAVAILABLE, f"the gallery gave {found} of {len(ids)} encodings")


def _scan(table: Any, columns: Sequence[str]) -> Iterator[Any]:
    """The table's rows with their ids, batch by batch."""
    query = table.search().select(list(columns)).with_row_id(True).limit(None)
    batches = iter(_attempt(partial(query.to_batches, _BATCH)))
    while (batch := _attempt(partial(next, batches, None))) is not None:
        yield batch


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


def _compact(table: Any) -> None:
    """Write the rows of many appends into one file. Readers notice nothing; whoever comes later may do it as well."""
    try:
        table.optimize()
    except (RuntimeError, OSError) as error:  # others wrote meanwhile, or the bucket allows no removal of old files
        _log.warning("the gallery was not compacted", extra={"reason": str(error)})


def _attempt(call: Callable[[], Any]) -> Any:
    """LanceDB retries commit conflicts by itself; what is left over is worth another delivery of the job."""
    try:
        return call()
    except (RuntimeError, OSError) as error:
        raise TransientError(Code.STORAGE_UNAVAILABLE, f"the gallery refused: {error}") from error


def _equals(column: str, text: str) -> str:
    """An SQL condition; LanceDB's filters know no parameters, so quotes are doubled as SQL has it."""
    return "{} = '{}'".format(column, text.replace("'", "''"))
