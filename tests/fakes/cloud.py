"""A bucket, queues and a gallery in memory."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import BinaryIO

from face_common.contract import Code, is_distractor
from face_common.errors import ObjectMissingError, ServiceError
from face_common.ports import Counts, Entry, Message
from face_common.templates import (
    EnrolledPhotoRow,
    GalleryExport,
    GallerySnapshot,
    GalleryVersion,
    PersonPhotos,
    PurgeReport,
    Restoration,
    Template,
    TemplateIdentity,
)


class MemoryObjectStore:
    """An ObjectStore."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.modified: dict[str, float] = {}
        """When objects were written, for those that were not written just now."""
        self.fault: Exception | None = None
        self._lock = threading.Lock()

    def put(self, key: str, body: bytes, content_type: str) -> None:
        self._break()
        self.objects[key] = body

    def put_new(self, key: str, body: bytes, content_type: str) -> bool:
        self._break()
        with self._lock:
            return self.objects.setdefault(key, body) is body

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        body = self.get(key)
        return body, self._tag(body)

    def put_over(self, key: str, body: bytes, content_type: str, tag: str) -> str | None:
        self._break()
        with self._lock:
            if key not in self.objects or self._tag(self.objects[key]) != tag:
                return None
            self.objects[key] = body
            return self._tag(body)

    def tags(self, prefix: str) -> dict[str, str]:
        self._break()
        return {key: self._tag(self.objects[key]) for key in sorted(self.objects) if key.startswith(prefix)}

    def put_file(self, key: str, file: BinaryIO, content_type: str) -> None:
        self.put(key, file.read(), content_type)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        return self.get(key)[start : start + length]

    def entries(self, prefix: str, after: str = "") -> Iterator[Entry]:
        self._break()
        for key in sorted(self.objects):
            body = self.objects.get(key)
            if body is not None and key.startswith(prefix) and key > after:
                yield Entry(key, len(body), self._tag(body), self.modified.get(key, time.time()))

    def get(self, key: str) -> bytes:
        self._break()
        if key not in self.objects:
            raise ObjectMissingError(key)
        return self.objects[key]

    def exists(self, key: str) -> bool:
        self._break()
        return key in self.objects

    def delete(self, keys: Sequence[str]) -> None:
        self._break()
        for key in keys:
            self.objects.pop(key, None)

    def purge(self, keys: Sequence[str]) -> int:
        self._break()
        return sum(self.objects.pop(key, None) is not None for key in keys)

    def purge_until(self, prefix: str, end: str) -> int:
        return self.purge([key for key in sorted(self.objects) if key.startswith(prefix) and key < end])

    def purge_older(self, prefix: str) -> int:
        self._break()
        return 0

    @staticmethod
    def _tag(body: bytes) -> str:
        return hashlib.md5(body, usedforsecurity=False).hexdigest()

    def _break(self) -> None:
        if self.fault is not None:
            raise self.fault


@dataclass
class _Entry:
    body: str
    visible_at: float = 0.0
    deliveries: int = 0
    receipt: str = ""


class MemoryQueue:
    """A Queue with visibility timeouts by a clock that a test may set."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.entries: list[_Entry] = []
        self.holds: list[tuple[str, int]] = []
        self._clock = clock
        self._receipts = count()
        self._changed = threading.Condition()

    def send(self, body: str) -> None:
        with self._changed:
            self.entries.append(_Entry(body))
            self._changed.notify_all()

    def receive(self, limit: int, wait_seconds: int, hide_seconds: int = 30) -> list[Message]:
        deadline = time.monotonic() + wait_seconds
        with self._changed:
            while True:
                taken = [entry for entry in self.entries if entry.visible_at <= self._clock()][:limit]
                remaining = deadline - time.monotonic()
                if taken or remaining <= 0:
                    return [self._deliver(entry, hide_seconds) for entry in taken]
                self._changed.wait(min(remaining, 0.05))

    def hold(self, receipts: Sequence[str], seconds: int) -> list[str]:
        with self._changed:
            self.holds += [(receipt, seconds) for receipt in receipts]
            held = {entry.receipt: entry for entry in self.entries}
            for receipt in receipts:
                if receipt in held:
                    held[receipt].visible_at = self._clock() + seconds
            self._changed.notify_all()
            return [receipt for receipt in receipts if receipt not in held]

    def delete(self, receipts: Sequence[str]) -> None:
        with self._changed:
            self.entries = [entry for entry in self.entries if entry.receipt not in receipts]

    def counts(self) -> Counts:
        with self._changed:
            visible = sum(entry.visible_at <= self._clock() for entry in self.entries)
            return Counts(visible, len(self.entries) - visible)

    def _deliver(self, entry: _Entry, hide_seconds: int) -> Message:
        entry.visible_at = self._clock() + hide_seconds
        entry.deliveries += 1
        entry.receipt = f"receipt-{next(self._receipts)}"
        return Message(entry.body, entry.receipt, entry.deliveries)


class MemoryQueues:
    """Queues by URL, each made when it is first asked for."""

    def __init__(self) -> None:
        self.by_url: dict[str, MemoryQueue] = {}

    def __call__(self, url: str) -> MemoryQueue:
        return self.by_url.setdefault(url, MemoryQueue())


@dataclass
class MemoryGallery:
    """A gallery: templates by collection, one version more with each write."""

    kept: dict[str, dict[int, list[Template]]] = field(default_factory=dict)
    """The templates at each version that was not purged, by collection."""
    loads: int = 0

    def collections(self) -> list[str]:
        return sorted(self.kept)

    def version(self, collection: str) -> int:
        return max(self.kept.get(collection, {0: []}))

    def load(self, collection: str, model: str) -> GallerySnapshot:
        self.loads += 1
        templates = [template for template in self._present(collection) if template.model == model]
        return GallerySnapshot.of(self.version(collection), templates)

    def add(self, collection: str, templates: Sequence[Template]) -> int:
        self.kept.setdefault(collection, {0: []})
        return self._commit(collection, [*self._present(collection), *templates])

    def people(self, collection: str) -> dict[str, PersonPhotos]:
        people: dict[str, PersonPhotos] = {}
        for row in self.photos(collection):  # sorted by person and photo
            if not is_distractor(row.person):
                count, first = people.get(row.person, PersonPhotos(0, row.photo))
                people[row.person] = PersonPhotos(count + 1, first)
        return people

    def distractors(self, collection: str) -> list[EnrolledPhotoRow]:
        return sorted((row for row in self.photos(collection) if is_distractor(row.person)), key=lambda row: row.photo)

    def photos(self, collection: str, person: str | None = None) -> list[EnrolledPhotoRow]:
        rows = {
            row.photo: EnrolledPhotoRow(row.person, row.photo, row.name, row.enrolled_at)
            for row in sorted(self._present(collection), key=lambda row: -row.enrolled_at)
            if person in (None, row.person)
        }
        return sorted(rows.values(), key=lambda row: (row.person, row.photo))

    def templates(self, collection: str, person: str | None = None) -> Iterator[Template]:
        yield from [row for row in self._present(collection) if person in (None, row.person)]

    def export(self, collection: str) -> GalleryExport:
        models = dict(sorted(Counter(row.model for row in self._present(collection)).items()))
        return GalleryExport(self.version(collection), models, iter(self._present(collection)))

    def models(self, collection: str) -> dict[str, int]:
        models = (row.model for row in self._present(collection) if not is_distractor(row.person))
        return dict(sorted(Counter(models).items()))

    def identities(self, collection: str) -> list[TemplateIdentity]:
        return [TemplateIdentity(row.person, row.photo, row.digest, row.model) for row in self._present(collection)]

    def remove(self, collection: str, person: str, photo: str | None = None) -> int:
        kept = [row for row in self._present(collection) if row.person != person or photo not in (None, row.photo)]
        return self._commit(collection, kept)

    def clear(self, collection: str) -> int:
        return self._commit(collection, [])

    def rename(self, collection: str, person: str, name: str) -> int:
        rows = [replace(row, person=name) if row.person == person else row for row in self._present(collection)]
        return self._commit(collection, rows)

    def versions(self, collection: str) -> list[GalleryVersion]:
        kept = self.kept.get(collection, {})
        return [GalleryVersion(version, time.time(), len(kept[version])) for version in sorted(kept, reverse=True)]

    def restore(self, collection: str, version: int) -> Restoration:
        rows = self.kept.get(collection, {}).get(version)
        if rows is None:
            raise ServiceError(Code.VERSION_UNKNOWN, f"version {version} is not kept")
        now, then = {row.photo for row in self._present(collection)}, {row.photo for row in rows}
        return Restoration(self._commit(collection, rows), sorted(now - then), sorted(then - now))

    def purge_history(self, collection: str) -> PurgeReport:
        versions = self.kept.get(collection, {0: []})
        older = sorted(versions)[:-1]
        for version in older:
            del versions[version]
        return PurgeReport(len(older), len(older), 0)

    def _present(self, collection: str) -> list[Template]:
        return self.kept.get(collection, {}).get(self.version(collection), [])

    def _commit(self, collection: str, rows: list[Template]) -> int:
        if collection not in self.kept:
            return 0
        version = self.version(collection) + 1
        self.kept[collection][version] = rows
        return version
