"""Going back to an earlier version of a collection, with all that follows from it outside the gallery."""

from collections.abc import Iterable, Sequence

from face_web.audit import Audit
from face_web.galleries import Galleries
from face_web.idempotency import Outcome
from face_web.records import Records


class Undoing:
    """Goes back once for each request. Thread-safe."""

    def __init__(self, galleries: Galleries, records: Records, audit: Audit) -> None:
        self._galleries = galleries
        self._records = records
        self._audit = audit

    def restore(self, collection: str, version: int) -> Outcome:
        """Make a version that is like an earlier one; what that has changed, without a name.

        ServiceError (version-unknown) when the earlier one is not kept.
        """
        before = self._galleries.owners(collection)
        done = self._galleries.restore(collection, version)
        after = self._galleries.owners(collection)
        moved = {(before[photo], after[photo]) for photo in before.keys() & after.keys()}
        return {
            "gallery_version": done.version,
            "removed": done.removed,
            "added": done.added,
            "moved": sorted(
                [self._audit.subject(collection, person), self._audit.subject(collection, owner)]
                for person, owner in moved
                if person != owner
            ),
        }

    def conclude(self, collection: str, done: Outcome) -> None:
        """What follows from such a change. Done twice, it is the same."""
        self._galleries.remove_photos(collection, done["removed"])
        if done["moved"]:
            self._carry_back(collection, done["moved"])

    def _carry_back(self, collection: str, moved: Iterable[Sequence[str]]) -> None:
        """Give what is kept on people to those who have their photos again, by the subjects that stand for them."""
        enrolled = set(self._galleries.owners(collection).values())
        known = enrolled.union(record.person for record in self._records.all(collection))
        people = {self._audit.subject(collection, person): person for person in known}
        pairs = [(people[person], people[owner]) for person, owner in moved if person in people and owner in people]
        for person, owner in pairs:
            self._records.carry_over(collection, person, owner)
        for person in {person for person, _ in pairs} - enrolled:
            self._records.remove(collection, person)
