"""The reject list: faces that somebody was mistaken for, enrolled as distractors so that it does not happen again.

Nothing that is stored here says whom a face is not: the answer does, as long as it is kept.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from face_common.contract import Code, photo_key
from face_common.errors import ObjectMissingError, ServiceError
from face_common.ports import Bucket
from face_common.templates import EnrolledPhotoRow
from face_web.answered import Answered, AnsweredFace
from face_web.traces import side_by_side

_NAME = re.compile(r"([0-7][0-9A-HJKMNP-TV-Z]{25})-(\d{1,4})\.jpg")


class DistractorGallery(Protocol):
    """Where rejected faces are enrolled."""

    def distractors(self, collection: str) -> list[EnrolledPhotoRow]:
        """What is kept of rejected faces, sorted by photo."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected face."""

    row: EnrolledPhotoRow
    identification: str | None
    """Which saw it; None where the collection came from a file that says nothing of it."""
    face: int | None
    person: str | None
    """Whom it is not; None once the answer is not kept any more."""


@dataclass(frozen=True, slots=True)
class RejectionsPage:
    """Some of a collection's rejected faces, the newest first."""

    rejections: Sequence[Rejection]
    total: int
    """How many there are on all pages."""
    next: str | None
    """Id behind which the next page begins; None on the last one."""


class Rejections:
    """Lists and finds rejected faces. Thread-safe."""

    def __init__(self, *, gallery: DistractorGallery, store: Bucket, answered: Answered) -> None:
        self._gallery = gallery
        self._store = store
        self._answered = answered

    def page(self, collection: str, *, limit: int, after: str = "") -> RejectionsPage:
        """Up to `limit` rejected faces, the newest first, of those older than the one of this id."""
        rows = self._gallery.distractors(collection)
        older = [row for row in reversed(rows) if not after or row.photo < after]
        with side_by_side() as mapped:
            shown = list(mapped(lambda row: self._rejection(collection, row), older[:limit]))
        return RejectionsPage(shown, len(rows), shown[-1].row.photo if len(older) > limit else None)

    def row(self, collection: str, photo: str) -> EnrolledPhotoRow:
        """What is enrolled of a rejected face; ServiceError (not-found)."""
        for row in self._gallery.distractors(collection):
            if row.photo == photo:
                return row
        raise ServiceError(Code.NOT_FOUND, f"there is no rejection {photo}")

    def image(self, collection: str, photo: str) -> bytes:
        """The face; ServiceError (not-found) when it was not rejected, or is not kept."""
        try:
            return self._store.get(photo_key(self.row(collection, photo).photo))
        except ObjectMissingError as error:
            raise ServiceError(Code.NOT_FOUND, f"the photo of the rejection {photo} is not kept") from error

    def reopen(self, collection: str, row: EnrolledPhotoRow) -> None:
        """Have the face looked at again."""
        seen = _seen_in(row)
        if seen is not None:
            self._answered.reopen(collection, *seen)

    def _rejection(self, collection: str, row: EnrolledPhotoRow) -> Rejection:
        seen = _seen_in(row)
        if seen is None:
            return Rejection(row, None, None, None)
        identification, face = seen
        found = self._answered.find(identification, face)
        is_here = found is not None and found.result["collection"] == collection
        return Rejection(row, identification, face, found.likeliest if found and is_here else None)


def _seen_in(row: EnrolledPhotoRow) -> tuple[str, int] | None:
    """The identification that saw a rejected face, and which of its faces it was."""
    named = _NAME.fullmatch(row.name)
    return None if named is None else (named[1], int(named[2]))


def file_name(found: AnsweredFace) -> str:
    """The name under which a rejected face is enrolled: the answer's, not the photo's, which may name somebody."""
    return f"{found.result['id']}-{found.index}.jpg"
