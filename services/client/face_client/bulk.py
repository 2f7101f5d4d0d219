"""Batches and imports: many files in one request, worked off in the background."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, Unpack, cast
from urllib.parse import quote

from face_client.connection import Connection, Parameters
from face_client.models import Bulk, BulkOptions, BulkResult
from face_client.uploads import Parts

_OVER = frozenset({"done", "cancelled", "failed"})


class Bulks:
    """The batches, or the imports, of a collection."""

    def __init__(self, connection: Connection, noun: Literal["batches", "imports"]) -> None:
        self._connection = connection
        self._noun = noun
        self._path = f"/v1/{noun}"

    def submit_photos(self, photos: Sequence[tuple[str, Path]], **options: Unpack[BulkOptions]) -> Bulk:
        """Send photos under the given names; for an import these are person/photo."""
        with Parts(photos) as parts:
            return self._submit(options, files=parts.files)

    def submit_archive(self, archive: BinaryIO, **options: Unpack[BulkOptions]) -> Bulk:
        """Send an open zip file, read while it is sent; for an import its files are named person/photo."""
        return self._submit(options, content=archive, kind="application/zip")

    def submit_prefix(self, prefix: str, **options: Unpack[BulkOptions]) -> Bulk:
        """Take what lies under a prefix of the service's own bucket that is meant for it, such as inbox/today/."""
        return self._submit(options, json={"prefix": prefix})

    def all(self) -> Iterator[Bulk]:
        """All of them, the newest first, fetched page by page."""
        return self._connection.pages(self._path, self._noun)

    def get(self, bulk_id: str) -> Bulk:
        """How far one has come."""
        return cast("Bulk", self._connection.call("GET", self._one(bulk_id)))

    def cancel(self, bulk_id: str) -> Bulk:
        """Stop one; what is finished stays."""
        return cast("Bulk", self._connection.call("DELETE", self._one(bulk_id)))

    def follow(self, bulk_id: str, every: float = 1.0) -> Iterator[Bulk]:
        """How far one has come, again and again, until it is over."""
        while True:
            now = self.get(bulk_id)
            yield now
            if now["state"] in _OVER:
                return
            self._connection.pause(every)

    def results(
        self, bulk_id: str, *, outcome: str = "", after: int | None = None, limit: int | None = None
    ) -> Iterator[BulkResult]:
        """What became of each file, as far as it is known, or of those with one outcome; read as they come.

        Of a part of the files: `limit` many, those with another outcome included, behind the one whose index is
        `after`.
        """
        params = {"format": "jsonl", "outcome": outcome or None, "after": after, "limit": limit}
        yield from map(json.loads, self._connection.lines(f"{self._one(bulk_id)}/results", params))

    def save_results(
        self, bulk_id: str, to: BinaryIO, *, outcome: str = "", after: int | None = None, limit: int | None = None
    ) -> int:
        """Write what became of each file, chosen as by `results`, as CSV to an open file; how many bytes it has."""
        params = {"format": "csv", "outcome": outcome or None, "after": after, "limit": limit}
        return self._connection.save(f"{self._one(bulk_id)}/results", to, params)

    def _submit(self, options: BulkOptions, kind: str = "", **body: Any) -> Bulk:
        return cast("Bulk", self._connection.call("POST", self._path, cast("Parameters", options), kind=kind, **body))

    def _one(self, bulk_id: str) -> str:
        return f"{self._path}/{quote(bulk_id, safe='')}"
