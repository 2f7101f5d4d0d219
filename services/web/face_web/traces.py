"""Finds what names a person, and what shows them, among the objects that others wrote."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from ulid import ULID

from face_common import encodings
from face_common.contract import is_id
from face_common.errors import ObjectMissingError
from face_common.ports import Bucket, Entry
from face_common.templates import DIMENSIONS, Encodings

READERS = 16
"""Objects that are read at the same time."""
_BATCH = 500
NEAR = 0.5
"""L2 distance up to which two faces are taken for one person's where one of them is to be forgotten."""

_FIXED = frozenset(
    "id operation state collection model profile worker decision verdict code reasons photo".split()  # noqa: SIM905
)
"""Fields of answers and listings that hold ids, or words of the service's own."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Alias:
    """A name of a person, and until when it was theirs."""

    name: str
    until: float | None = None
    """Seconds since the epoch; None for a name that they have still."""


class Names:
    """Tells whether a document names a person. Names are looked for in what its JSON says, however it is escaped.

    A name counts where it stands by itself: as a person, as a word of a sentence or of a file's name, but not as a part
    of a longer word.
    """

    def __init__(self, aliases: Iterable[Alias]) -> None:
        self._patterns = [(_pattern(alias.name), alias.until) for alias in aliases]

    def occur(self, document: object, at: float) -> bool:
        """Whether one of the names is in the document, which was asked for at this time (seconds since the epoch)."""
        patterns = [pattern for pattern, until in self._patterns if until is None or at < until]
        return bool(patterns) and any(
            pattern.search(text) for text in map(_normal, _texts(document)) for pattern in patterns
        )


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_]){re.escape(_normal(name))}(?![^\W_])")


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _texts(document: object) -> Iterator[str]:
    """Every string in a JSON document that may hold a name: neither fields' names nor the contract's own words."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, Mapping):
        for key, value in document.items():
            if key not in _FIXED or isinstance(value, Mapping):
                yield from _texts(value)
    elif isinstance(document, Sequence):
        for value in document:
            yield from _texts(value)


Documents = list[tuple[Entry, Any]]
"""Entries with what the JSON in them says."""


def documents(store: Bucket, prefix: str, since: float = 0.0) -> Iterator[Documents]:
    """The JSON documents under a prefix that were written since then (seconds since the epoch), batch by batch.

    Each batch is read side by side; what is no JSON, or has gone meanwhile, is left out.
    """

    def read(entry: Entry) -> tuple[Entry, Any]:
        try:
            return entry, json.loads(store.get(entry.key))
        except (ObjectMissingError, ValueError):
            return entry, None

    wanted = (entry for entry in store.entries(prefix) if entry.modified_at >= since and entry.key.endswith(".json"))
    with side_by_side() as mapped:
        for batch in in_batches(wanted, _BATCH):
            yield [(entry, document) for entry, document in mapped(read, batch) if document is not None]


Mapped = Callable[[Callable[[Item], Answer], Iterable[Item]], Iterable[Answer]]


@contextmanager
def side_by_side() -> Iterator[Mapped[Any, Any]]:
    """A `map` that makes several calls at the same time."""
    with ThreadPoolExecutor(READERS, thread_name_prefix="traces") as threads:
        yield threads.map


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items, up to `size` at a time."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def asked_at(job_id: str) -> float:
    """When a question was asked, in seconds since the epoch: its id says so. 0 for what is no id."""
    return float(ULID.from_str(job_id).timestamp) if is_id(job_id) else 0.0


def first_id(at: float) -> str:
    """The least id that something of this time can have, in seconds since the epoch."""
    return str(ULID.from_bytes(int(max(at, 0.0) * 1000).to_bytes(6, "big") + bytes(10)))


def stacked(texts: Sequence[str]) -> Encodings:
    """Encodings, (n, 128), from their texts."""
    return np.array([encodings.from_text(text) for text in texts], dtype=np.float32).reshape(-1, DIMENSIONS)


def any_near(faces: Encodings, templates: Encodings) -> bool:
    """Whether one of these faces, (n, 128), may be that of one of the templates, (m, 128)."""
    if not len(faces) or not len(templates):
        return False
    distances = np.linalg.norm(faces[:, None, :] - templates[None, :, :], axis=2)
    return bool((distances <= NEAR).any())
