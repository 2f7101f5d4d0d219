"""A bucket, queues and a gallery in memory."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from face_common.errors import ObjectMissingError
from face_common.ports import Counts, Message
from face_common.templates import EnrolledPhotoRow, GallerySnapshot, Template


class MemoryObjectStore:
    """An ObjectStore."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
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

    def get(self, key: str) -> bytes:
        self._break()
        if key not in self.objects:
            raise ObjectMissingError(key)
        return self.objects[key]

    def exists(self, key: str) -> bool:
        self._break()
        return key in self.objects

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

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

    templates: dict[str, list[Template]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    loads: int = 0

    def version(self, collection: str) -> int:
        return self.versions.get(collection, 0)

    def load(self, collection: str, model: str) -> GallerySnapshot:
        self.loads += 1
        templates = [template for template in self.templates.get(collection, ()) if template.model == model]
        return GallerySnapshot.of(self.version(collection), templates)

    def add(self, collection: str, templates: Sequence[Template]) -> int:
        self.templates.setdefault(collection, []).extend(templates)
        return self._committed(collection)

    def photos(self, collection: str, person: str | None = None) -> list[EnrolledPhotoRow]:
        rows = {
            row.photo: EnrolledPhotoRow(row.person, row.photo, row.name, row.enrolled_at)
            for row in self.templates.get(collection, ())
            if person in (None, row.person)
        }
        return sorted(rows.values(), key=lambda row: (row.person, row.photo))

    def remove(self, collection: str, person: str, photo: str | None = None) -> int:
        if collection not in self.templates:
            return 0
        self.templates[collection] = [
            row
            for row in self.templates[collection]
            if row.person != person or (photo is not None and row.photo != photo)
        ]
        return self._committed(collection)

    def _committed(self, collection: str) -> int:
        self.versions[collection] = self.version(collection) + 1
        return self.versions[collection]
