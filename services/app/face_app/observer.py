"""Tells operators what a worker has measured of its collections, beside its work."""

import json
import logging
from collections.abc import Callable

from face_app.enrolled import Enrolled
from face_app.gallery_cache import GalleryCache
from face_app.observed import observe, settled
from face_common.calibrations import calibration_key, decoded
from face_common.contract import InvalidMessageError
from face_common.errors import ObjectMissingError, TransientError
from face_common.ports import ObjectStore

_log = logging.getLogger(__name__)
_SECONDS = 30.0  # between two measurements of a collection that changes all the time
_FEWEST_PEOPLE = 2  # to tell apart


class Observer:
    """Writes a collection's measurements when it has changed; one that no worker has asked for is not looked at."""

    def __init__(
        self, *, store: ObjectStore, cache: GalleryCache[Enrolled], model: str, now: Callable[[], float]
    ) -> None:
        """`model` is the id of the encodings; `now` the wall clock in seconds since the epoch."""
        self._store = store
        self._cache = cache
        self._model = model
        self._now = now
        self._looked: dict[str, tuple[int, float]] = {}

    def step(self) -> None:
        """Look through the collections in memory; the step of a loop."""
        kept = self._cache.kept()
        self._looked = {collection: seen for collection, seen in self._looked.items() if collection in kept}
        for collection, enrolled in kept.items():
            version, at = self._looked.get(collection, (-1, -_SECONDS))
            if enrolled.version == version or self._now() - at < _SECONDS:
                continue
            self._looked[collection] = -1, self._now()
            try:
                self._tell(collection, enrolled)
            except TransientError as error:
                _log.warning("measurements not written", extra={"collection": collection, "reason": str(error)})
            else:
                self._looked[collection] = enrolled.version, self._now()

    def _tell(self, collection: str, enrolled: Enrolled) -> None:
        if enrolled.index.headcount < _FEWEST_PEOPLE or self._is_told(collection, enrolled):
            return
        measured = observe(enrolled, collection, self._model, self._now())
        self._store.put(calibration_key(collection), json.dumps(measured).encode(), "application/json")

    def _is_told(self, collection: str, enrolled: Enrolled) -> bool:
        """Whether another worker has measured the same, or something newer."""
        try:
            told = decoded(self._store.get(calibration_key(collection)))
        except (ObjectMissingError, InvalidMessageError):
            return False
        same = {**settled(enrolled), "model": self._model}
        return told["gallery_version"] >= enrolled.version and same.items() <= told.items()
