"""The people of a collection: who is enrolled, and how they are removed."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, TypedDict

from face_common.contract import Code, image_key, result_key
from face_common.errors import ServiceError
from face_common.ports import ObjectStore
from face_common.templates import EnrolledPhotoRow
from face_web.versions import GalleryVersions


class PersonGallery(Protocol):
    """Where people are kept."""

    def photos(self, collection: str, person: str | None = None) -> list[EnrolledPhotoRow]:
        """Enrolled photos, of one person or of all."""

    def remove(self, collection: str, person: str, photo: str | None = None) -> int:
        """Remove a person, or one photo of theirs; the version without them."""


class PersonSummary(TypedDict):
    """A person and how many photos of them are enrolled."""

    person: str
    photos: int


class Receipt(TypedDict):
    """What a removal removed; answers given from `gallery_version` on do not know it any more."""

    person: str
    collection: str
    photos: list[str]
    templates: int
    gallery_version: int


class People:
    """Lists and removes people. Thread-safe."""

    def __init__(self, *, gallery: PersonGallery, store: ObjectStore, versions: GalleryVersions) -> None:
        self._gallery = gallery
        self._store = store
        self._versions = versions

    def all(self, collection: str) -> list[PersonSummary]:
        """Everyone in the collection, by name."""
        counts = Counter(row.person for row in self._gallery.photos(collection))
        return [{"person": person, "photos": count} for person, count in sorted(counts.items())]

    def photos(self, collection: str, person: str) -> list[EnrolledPhotoRow]:
        """A person's enrolled photos; ServiceError (not-found) when nobody has this name."""
        rows = self._gallery.photos(collection, person)
        if not rows:
            raise ServiceError(Code.NOT_FOUND, f"nobody called {person} is enrolled in {collection}")
        return rows

    def remove(self, collection: str, person: str) -> Receipt:
        """Remove a person with all their templates and photos."""
        return self._remove(collection, person, self.photos(collection, person), None)

    def remove_photo(self, collection: str, person: str, photo: str) -> Receipt:
        """Remove one photo of a person and its template."""
        rows = [row for row in self.photos(collection, person) if row.photo == photo]
        if not rows:
            raise ServiceError(Code.NOT_FOUND, f"{person} has no photo {photo}")
        return self._remove(collection, person, rows, photo)

    def _remove(self, collection: str, person: str, rows: Sequence[EnrolledPhotoRow], photo: str | None) -> Receipt:
        photos = [row.photo for row in rows]
        # Objects first: if anything fails, the templates still lead a second try to what is left.
        self._store.delete([key(photo) for photo in photos for key in (image_key, result_key)])
        version = self._versions.saw(collection, self._gallery.remove(collection, person, photo))
        return {
            "person": person,
            "collection": collection,
            "photos": photos,
            "templates": len(rows),
            "gallery_version": version,
        }
