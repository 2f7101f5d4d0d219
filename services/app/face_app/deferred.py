"""The gallery of a worker that does not wait for it."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from face_common.templates import GallerySnapshot, Template


class EnrolledPeople(Protocol):
    """What a worker needs of the gallery."""

    def version(self, collection: str) -> int:
        """Latest version of a collection, 0 when it is empty."""

    def load(self, collection: str, model: str) -> GallerySnapshot:
        """The collection at its latest version, as far as it was encoded by this model."""

    def add(self, collection: str, templates: Sequence[Template]) -> int:
        """Append templates; the version that holds them."""


class DeferredGallery:
    """Opens the gallery in a thread of its own: importing LanceDB takes longer than all else that a worker does first.

    Photos are fetched and read meanwhile; who needs enrolled people waits.
    """

    def __init__(self, open_gallery: Callable[[], EnrolledPeople]) -> None:
        self._gallery: Future[EnrolledPeople] = Future()
        self._open = open_gallery
        threading.Thread(target=self._run, name="gallery-opening").start()

    def version(self, collection: str) -> int:
        """See EnrolledPeople."""
        return self._gallery.result().version(collection)

    def load(self, collection: str, model: str) -> GallerySnapshot:
        """See EnrolledPeople."""
        return self._gallery.result().load(collection, model)

    def add(self, collection: str, templates: Sequence[Template]) -> int:
        """See EnrolledPeople."""
        return self._gallery.result().add(collection, templates)

    def _run(self) -> None:
        try:
            self._gallery.set_result(self._open())
        except Exception as error:  # told to whoever asks
            self._gallery.set_exception(error)
