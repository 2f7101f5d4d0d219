"""The gallery versions that this web host knows of."""

import threading
from contextlib import suppress
from typing import Protocol

from face_common.errors import TransientError

_MOST = 64  # collections remembered: clients may ask for any number that do not exist


class VersionReader(Protocol):
    """Where versions are looked up."""

    def version(self, collection: str) -> int:
        """Latest version of a collection, 0 when it is empty."""


class GalleryVersions:
    """For each collection the version that the next job must see. Thread-safe.

    Writes of this host count at once, those of other hosts from the next refresh on.
    """

    def __init__(self, gallery: VersionReader) -> None:
        self._gallery = gallery
        self._versions: dict[str, int] = {}
        self._lock = threading.Lock()

    def at_least(self, collection: str) -> int:
        """The version that a job sent now must see."""
        known = self._versions.get(collection)
        return self.saw(collection, self._gallery.version(collection)) if known is None else known

    def saw(self, collection: str, version: int) -> int:
        """Note a version; the highest noted so far."""
        with self._lock:
            highest = max(version, self._versions.get(collection, 0))
            self._versions[collection] = highest
            if len(self._versions) > _MOST:
                del self._versions[next(iter(self._versions))]  # the oldest: it is looked up again when asked for
        return highest

    def refresh(self) -> None:
        """Look up every collection that was asked for; the step of a loop."""
        for collection in list(self._versions):
            with suppress(TransientError):  # the next round will tell; the others need not wait for it
                self.saw(collection, self._gallery.version(collection))
