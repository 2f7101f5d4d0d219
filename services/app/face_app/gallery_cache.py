"""The galleries that a worker keeps in memory."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

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


class Prepared(Protocol):
    """What a snapshot is made into before jobs see it."""

    @property
    def version(self) -> int:
        """The snapshot's."""


T = TypeVar("T", bound=Prepared)


class GalleryCache(Generic[T]):
    """Collections ready to be searched, never older than asked for. Thread-safe."""

    def __init__(
        self, gallery: GalleryReader, model: str, metrics: WorkerMetrics, prepare: Callable[[GallerySnapshot], T]
    ) -> None:
        """`model` is the id of the encodings that probes will be compared with.

        `prepare` makes of each snapshot, once, what is kept: an index, a threshold.
        """
        self._gallery = gallery
        self._model = model
        self._metrics = metrics
        self._prepare = prepare
        self._kept: dict[str, T] = {}
        self._evicting = threading.Lock()
        self._locks = tuple(threading.Lock() for _ in range(_LOCKS))

    def at_least(self, collection: str, version: int) -> T:
        """The collection at this version or a later one; TransientError while the store has only an older one."""
        kept = self._kept.get(collection)
        if kept is None or kept.version < version:
            with self._lock_of(collection):  # one load for all jobs that wait for it
                kept = self._kept.get(collection)
                if kept is None or kept.version < version:
                    kept = self._load(collection)
        if kept.version < version:
            raise TransientError(
                Code.STORAGE_UNAVAILABLE,
                f"gallery {collection} is at version {kept.version}, the job asks for {version}",
            )
        return kept

    def kept(self) -> Mapping[str, T]:
        """What is in memory now, by collection."""
        return dict(self._kept)

    def refresh(self) -> None:
        """Look up the version of every collection in memory and load what has changed."""
        for collection, kept in list(self._kept.items()):
            with suppress(TransientError):  # the next round will tell; the others need not wait for it
                if self._gallery.version(collection) != kept.version:
                    with self._lock_of(collection):
                        self._load(collection)

    def _lock_of(self, collection: str) -> threading.Lock:
        return self._locks[hash(collection) % _LOCKS]

    def _load(self, collection: str) -> T:
        kept = self._prepare(self._gallery.load(collection, self._model))
        self._kept[collection] = kept
        self._metrics.gallery_version.labels(collection).set(kept.version)
        with self._evicting:
            while len(self._kept) > _MOST:
                oldest = next(iter(self._kept))  # it is loaded again when asked for
                del self._kept[oldest]
                self._metrics.gallery_version.remove(oldest)
        return kept
