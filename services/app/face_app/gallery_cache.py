"""The galleries that a worker keeps in memory."""

import threading
from collections import defaultdict
from typing import Protocol

from face_app.metrics import WorkerMetrics
from face_common.contract import Code
from face_common.errors import TransientError
from face_common.templates import GallerySnapshot


class GalleryReader(Protocol):
    """Where galleries are read from."""

    def version(self, collection: str) -> int:
        """Latest version of a collection, 0 when it is empty."""

    def load(self, collection: str) -> GallerySnapshot:
        """The collection at its latest version."""


class GalleryCache:
    """Snapshots by collection, never older than asked for. Thread-safe."""

    def __init__(self, gallery: GalleryReader, metrics: WorkerMetrics) -> None:
        self._gallery = gallery
        self._metrics = metrics
        self._snapshots: dict[str, GallerySnapshot] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def at_least(self, collection: str, version: int) -> GallerySnapshot:
        """The collection at this version or a later one; TransientError while the store has only an older one."""
        snapshot = self._snapshots.get(collection)
        if snapshot is None or snapshot.version < version:
            with self._locks[collection]:  # one load for all jobs that wait for it
                snapshot = self._snapshots.get(collection)
                if snapshot is None or snapshot.version < version:
                    snapshot = self._load(collection)
        if snapshot.version < version:
            raise TransientError(
                Code.STORAGE_UNAVAILABLE,
                f"gallery {collection} is at version {snapshot.version}, the job asks for {version}",
            )
        return snapshot

    def refresh(self) -> None:
        """Look up the version of every collection in memory and load what has changed."""
        for collection, snapshot in list(self._snapshots.items()):
            if self._gallery.version(collection) != snapshot.version:
                with self._locks[collection]:
                    self._load(collection)

    def _load(self, collection: str) -> GallerySnapshot:
        snapshot = self._gallery.load(collection)
        self._snapshots[collection] = snapshot
        self._metrics.gallery_version.labels(collection).set(snapshot.version)
        return snapshot
