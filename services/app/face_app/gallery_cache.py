"""The galleries that a worker keeps in memory."""

import threading
from contextlib import suppress
from typing import Protocol

from face_app.metrics import WorkerMetrics
from face_common.contract import Code
from face_common.errors import TransientError
from face_common.templates import GallerySnapshot

_MOST = 64  # collections in memory: clients may ask for any number that do not exist
_LOCKS = 16  # loads that may run at the same time


class GalleryReader(Protocol):
    """Where galleries are read from."""

    def version(self, collection: str) -> int:
        """Latest version of a collection, 0 when it is empty."""

    def load(self, collection: str, model: str) -> GallerySnapshot:
        """The collection at its latest version, as far as it was encoded by this model."""


class GalleryCache:
    """Snapshots by collection, never older than asked for. Thread-safe."""

    def __init__(self, gallery: GalleryReader, model: str, metrics: WorkerMetrics) -> None:
        """`model` is the id of the encodings that probes will be compared with."""
        self._gallery = gallery
        self._model = model
        self._metrics = metrics
        self._snapshots: dict[str, GallerySnapshot] = {}
        self._evicting = threading.Lock()
        self._locks = tuple(threading.Lock() for _ in range(_LOCKS))

    def at_least(self, collection: str, version: int) -> GallerySnapshot:
        """The collection at this version or a later one; TransientError while the store has only an older one."""
        snapshot = self._snapshots.get(collection)
        if snapshot is None or snapshot.version < version:
            with self._lock_of(collection):  # one load for all jobs that wait for it
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
            with suppress(TransientError):  # the next round will tell; the others need not wait for it
                if self._gallery.version(collection) != snapshot.version:
                    with self._lock_of(collection):
                        self._load(collection)

    def _lock_of(self, collection: str) -> threading.Lock:
        return self._locks[hash(collection) % _LOCKS]

    def _load(self, collection: str) -> GallerySnapshot:
        snapshot = self._gallery.load(collection, self._model)
        self._snapshots[collection] = snapshot
        self._metrics.gallery_version.labels(collection).set(snapshot.version)
        with self._evicting:
            while len(self._snapshots) > _MOST:
                oldest = next(iter(self._snapshots))  # it is loaded again when asked for
                del self._snapshots[oldest]
                self._metrics.gallery_version.remove(oldest)
        return snapshot
