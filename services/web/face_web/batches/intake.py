"""Takes batches in, finds them, and cancels them."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from face_common.contract import Code
from face_common.errors import ObjectMissingError, ServiceError
from face_common.ports import Bucket, ObjectStore
from face_common.results import stored_result
from face_web.batches import archive
from face_web.batches.archive import Limits
from face_web.batches.listing import write_listing
from face_web.batches.model import (
    ENDED,
    OPEN,
    Batch,
    Item,
    Kind,
    Listing,
    Progress,
    index_prefix,
    job_key,
    state_key,
    view,
)
from face_web.batches.results import FileResult, file_results
from face_web.batches.sources import archive_items

_LISTING = "application/jsonl"
_TIME_LENGTH = 10  # of a ULID: the characters that tell its time


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a collection's batches, the newest first."""

    batches: Sequence[tuple[Batch, Progress]]
    total: int
    next: str | None
    """The id after which the next page begins; None on the last one."""


class Intake:
    """Takes batches in. Thread-safe.

    A batch that is taken in a second time under its id changes nothing: the request that was sent again is the same.
    """

    def __init__(self, store: Bucket, limits: Limits, *, import_prefix: str, prompt: Callable[[], None]) -> None:
        """`import_prefix`: what may be imported by prefix begins with it, nothing where it is empty.

        `prompt` is called when there is a new batch.
        """
        self._store = store
        self._limits = limits
        self._import_prefix = import_prefix
        self._prompt = prompt

    @property
    def limits(self) -> Limits:
        """What a batch may be."""
        return self._limits

    def take_archive(self, batch: Batch, file: BinaryIO) -> Batch:
        """A batch of an archive's files, which is checked as far as its directory tells.

        ServiceError with archive-invalid or archive-too-large; nothing is stored then.
        """

        def read_at(start: int, length: int) -> bytes:
            file.seek(start)
            return file.read(length)

        length = file.seek(0, 2)
        members = archive.members(read_at, length, self._limits)
        return self.take_files(batch, archive_items(batch.kind, members, self._limits), file)

    def take_files(self, batch: Batch, items: Iterable[Item], file: BinaryIO) -> Batch:
        """A batch of the items, whose bytes are in the file. Of one that was taken in already nothing is stored."""
        if self._was_taken(batch.id):
            return self.take(batch)
        with tempfile.TemporaryFile() as lines:
            total, size = write_listing(lines, items, self._limits.entries)
            lines.seek(0)
            file.seek(0)
            self._store.put_file(batch.key("archive.zip"), file, "application/zip")
            if not self._was_taken(batch.id):  # while it was sent: an erasure may have blanked the listing since
                self._store.put_file(batch.key("entries.jsonl"), lines, _LISTING)
        return self.take(replace(batch, listing=Listing(batch.key("entries.jsonl"), total, size)))

    def _was_taken(self, batch_id: str) -> bool:
        return self._store.exists(job_key(batch_id))

    def check_prefix(self, prefix: str) -> None:
        """ServiceError (prefix-forbidden) unless files may be taken from under this prefix."""
        allowed = self._import_prefix
        if not allowed:
            detail = "this service takes nothing from its bucket: FACE_IMPORT_PREFIX is not set"
            raise ServiceError(Code.PREFIX_FORBIDDEN, detail)
        if not prefix.startswith(allowed):
            raise ServiceError(Code.PREFIX_FORBIDDEN, f"files are taken from under {allowed} only")

    def take(self, batch: Batch) -> Batch:
        """A batch that is complete; the one of before when it was taken in already.

        That one is opened again only if nobody has begun it: the first request may have been broken off before.
        """
        if not self._store.put_new(job_key(batch.id), batch.encode(), "application/json"):
            batch = Batch.decode(self._store.get(job_key(batch.id)))
            if self._store.exists(state_key(batch.id)):
                self._tidy(batch)
                return batch
        self._store.put(f"{index_prefix(batch.kind, batch.collection)}{batch.id}", b"", "text/plain")
        self._store.put(f"{OPEN}{batch.id}", b"", "text/plain")
        self._prompt()
        return batch

    def _tidy(self, batch: Batch) -> None:
        """Leave no archive that came once more while the batch was carried out to its end."""
        if batch.listing is not None and self.progress(batch.id).state in ENDED:
            self._store.purge([batch.key("archive.zip")])

    def find(self, kinds: Sequence[Kind], batch_id: str) -> tuple[Batch, Progress]:
        """A batch of one of these kinds and how far it has come; ServiceError (not-found) when there is none."""
        try:
            batch = Batch.decode(self._store.get(job_key(batch_id)))
        except ObjectMissingError:
            batch = None
        if batch is None or batch.kind not in kinds:
            raise ServiceError(Code.NOT_FOUND, f"there is no {kinds[0]} {batch_id}")
        return batch, self.progress(batch_id)

    def progress(self, batch_id: str) -> Progress:
        """How far a batch has come, as whoever carries it out has published last."""
        return _progress(self._store, batch_id)

    def page(self, kind: Kind, collection: str, limit: int, after: str) -> Page:
        """The collection's batches of this kind whose ids come before `after`, the newest first.

        Re-encodings are listed with the batches. They tell no more there than how many photos are enrolled.
        """
        kinds = [kind, Kind.REENCODING] if kind is Kind.BATCH else [kind]
        prefixes = [index_prefix(found, collection) for found in kinds]
        listed = [entry.key.removeprefix(prefix) for prefix in prefixes for entry in self._store.entries(prefix)]
        ids = sorted(listed, reverse=True)
        wanted = [batch_id for batch_id in ids if not after or batch_id < after]
        found = []
        for batch_id in wanted[:limit]:
            try:
                found.append(self.find(kinds, batch_id))
            except ServiceError as error:  # it is being erased
                if error.code is not Code.NOT_FOUND:
                    raise
        return Page(found, len(ids), wanted[limit - 1] if len(wanted) > limit else None)

    def results(self, batch: Batch, progress: Progress, outcome: str, part: slice) -> Iterator[FileResult]:
        """What became of each file of this part so far, or of those with this outcome."""
        return file_results(self._store, batch, progress, outcome, part)

    def cancel(self, batch: Batch) -> None:
        """Have nothing more of the batch begun. ServiceError (batch-finished) when it has ended."""
        if self.progress(batch.id).state in ENDED:
            raise ServiceError(Code.BATCH_FINISHED, f"{batch.kind} {batch.id} has ended")
        self._store.put(batch.key("cancelled"), b"", "text/plain")


def ended(store: ObjectStore, kind: str, id: str) -> tuple[str, Mapping[str, Any]] | None:  # noqa: A002
    """How a job or batch ended and what there is to tell of it, for webhooks; None when it has not ended."""
    if kind not in set(Kind):  # one photo's, or two's
        result = stored_result(store, id)
        return None if result is None else (result["state"], result)
    progress = _progress(store, id)
    if progress.state not in ENDED:
        return None
    return progress.state, view(Batch.decode(store.get(job_key(id))), progress)


def batch_of(store: Bucket, job_id: str) -> str:
    """Id of the batch whose file the job of this id is; empty when it is none's.

    The ids of a batch's files begin as the batch's own does: with its time.
    """
    prefix = f"batches/{job_id[:_TIME_LENGTH]}"
    for batch_id in {entry.key.split("/")[1] for entry in store.entries(prefix)}:
        try:
            batch = Batch.decode(store.get(job_key(batch_id)))
        except ObjectMissingError:  # it is being erased, or taken in
            continue
        listing = batch.listing or _progress(store, batch_id).listing
        if listing is not None and any(batch.job_id(index) == job_id for index in range(listing.total)):
            return batch_id
    return ""


def _progress(store: ObjectStore, batch_id: str) -> Progress:
    try:
        return Progress.of(json.loads(store.get(state_key(batch_id)))["published"])
    except (ObjectMissingError, ValueError, KeyError, TypeError):
        return Progress()
