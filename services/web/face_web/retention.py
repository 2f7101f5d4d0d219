"""What is not to be kept for ever goes when its time has come. One web host at a time sees to it."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from typing import Protocol

from face_common.contract import is_id
from face_common.errors import ServiceError, TransientError
from face_common.ports import Bucket
from face_common.templates import PurgeReport
from face_web.answered import settled_prefix
from face_web.audit import Audit
from face_web.dead_letters import PREFIX as DEAD_LETTERS
from face_web.erasure import Erasures, Receipt
from face_web.forgetting import Enrolled, is_late, not_enrolled
from face_web.records import Records
from face_web.traces import asked_at, first_id, in_batches

_log = logging.getLogger(__name__)
_PHOTOS, _UNKNOWN = "photos/", "unknown/"
_DAY = 86_400.0
_LATE_SECONDS = 14 * _DAY  # the longest that a queue keeps a job
_PENDING_SECONDS = 3_700.0  # after which what no write has come back to may go
_PURGED = 50  # photos at a time
_WHO = "service"


@dataclass(frozen=True, slots=True)
class Keeping:
    """For how many days objects are kept; 0 for ever."""

    probes: float
    results: float
    unknown: float
    photos: float


class Hold(Protocol):
    """One host's hold on a piece of work; see Lease."""

    @property
    def leading(self) -> bool:
        """Whether this host may act."""

    @property
    def held(self) -> bool:
        """Whether this host leads as far as it knows."""

    def look(self) -> None:
        """See who leads, and take over when nobody does."""

    def renew(self, publish: Mapping[str, object]) -> None:
        """Go on leading."""


class RetentionGallery(Enrolled, Protocol):
    """The gallery, as far as it is looked through."""

    def version(self, collection: str) -> int:
        """The latest version."""

    def purge_history(self, collection: str) -> PurgeReport:
        """Remove every earlier version."""


class Retention:
    """Looks through the bucket now and then.

    Ids sort by time, so that it begins with the oldest and stops at the first that may stay.
    """

    def __init__(
        self,
        *,
        store: Bucket,
        gallery: RetentionGallery,
        records: Records,
        erasures: Erasures,
        audit: Audit,
        hold: Hold,
        keeping: Keeping,
        every_seconds: float,
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """`now` is the wall clock in seconds since the epoch, `clock` a monotonic one."""
        self._store = store
        self._gallery = gallery
        self._records = records
        self._erasures = erasures
        self._audit = audit
        self._hold = hold
        self._keeping = keeping
        self._every_seconds = every_seconds
        self._now = now
        self._clock = clock
        self._swept_at: float | None = None
        self._compared_at: float | None = None
        self._looked: dict[str, int] = {}

    def step(self) -> None:
        """Hold on to the work, and do it when it is time to; the step of a loop. TransientError as the store's."""
        if self._hold.held:
            self._hold.renew({})
        else:
            self._hold.look()
        if not self._hold.leading:
            return
        self._erase_expired()
        self._erase_late()
        if self._swept_at is None or self._clock() - self._swept_at >= self._every_seconds:
            self._sweep()
            self._swept_at = self._clock()

    def _sweep(self) -> None:
        """Remove what is older than it may be."""
        keeping = self._keeping
        ages = [("images/", keeping.probes), ("results/", keeping.results), ("photos/", keeping.photos)]
        ages += [(DEAD_LETTERS, keeping.results)]
        for collection in self._with_unknown():
            ages += [(f"{_UNKNOWN}{collection}/", keeping.unknown), (settled_prefix(collection), keeping.results)]
        for prefix, days in ages:
            if not days:
                continue
            gone = self._store.purge_until(prefix, prefix + first_id(self._now() - days * _DAY))
            if gone:
                self._audit.record(_WHO, "kept-long-enough", prefix=prefix, versions=gone)
                _log.info("kept long enough", extra={"prefix": prefix, "versions": gone})
        if self._compared_at is None or self._clock() - self._compared_at >= _DAY:
            self._remove_refused()
            self._compared_at = self._clock()
        for receipt in self._receipts():
            if receipt["pending"]:
                self._purge_again(receipt)

    def _with_unknown(self) -> Iterator[str]:
        """Every collection with unknown faces, somebody enrolled in it or not."""
        after = ""
        while (entry := next(self._store.entries(_UNKNOWN, after=after), None)) is not None:
            collection = entry.key.removeprefix(_UNKNOWN).partition("/")[0]
            yield collection
            after = f"{_UNKNOWN}{collection}0"  # the character behind the slash

    def _remove_refused(self) -> None:
        """Remove photos that were to be enrolled and are not: refused with nobody there to remove them, or lost.

        Once a day: it takes a look at every enrolled photo.
        """
        end = self._now() - _LATE_SECONDS
        old = takewhile(lambda entry: entry.key < _PHOTOS + first_id(end), self._store.entries(_PHOTOS))
        photos = [entry.key for entry in old if is_id(entry.key.removeprefix(_PHOTOS)) and entry.modified_at < end]
        if not photos:
            return
        refused = not_enrolled(self._gallery, photos)  # looked at last: what was enrolled meanwhile is in there
        gone = sum(self._store.purge(keys) for keys in in_batches(refused, _PURGED))
        if gone:
            self._audit.record(_WHO, "never-enrolled", prefix=_PHOTOS, versions=gone)
            _log.info("never enrolled", extra={"prefix": _PHOTOS, "versions": gone})

    def _erase_expired(self) -> None:
        """Erase the people whose time has come."""
        for collection, person in self._records.expired():
            self._erase(collection, person, "", "expired")

    def _erase_late(self) -> None:
        """Erase what was enrolled after an erasure by a job that had been sent before it.

        A person's name is not kept with the erasure, but whoever has it now is known by what stands for it.
        """
        by_collection: dict[str, dict[str, str]] = {}
        for receipt in self._receipts():
            if receipt["scope"] != "photo":
                by_collection.setdefault(receipt["collection"], {})[receipt["subject"]] = receipt["id"]
        for collection, erased in by_collection.items():
            version = self._gallery.version(collection)
            if version != self._looked.get(collection):
                for person, photo in self._late(collection, erased):
                    self._erase(collection, person, photo, "erase-late")
                self._looked[collection] = version

    def _late(self, collection: str, erased: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Photos that were sent before their person was erased and enrolled after that; `erased`: ids by subject.

        Where there is nothing else of somebody, they go as a whole: answers may have named them. A person who has got
        the name since by a renaming is somebody else.
        """
        for person, rows in groupby(self._gallery.photos(collection), lambda row: row.person):  # sorted by person
            photos = list(rows)
            erasure = max(erased.get(self._audit.subject(collection, person), ""), erased.get("", ""))
            late = [row.photo for row in photos if is_late(row, erasure, asked_at(erasure))]
            record = self._records.find(collection, person) if late else None
            if not late or (record is not None and record.former_names):
                continue
            is_anew = record is not None and not "" < record.batch < erasure  # what an import recorded is late, too
            is_whole = len(late) == len(photos) and not is_anew
            yield from ((person, photo) for photo in ([""] if is_whole else late))

    def _erase(self, collection: str, person: str, photo: str, action: str) -> None:
        try:
            self._erasures.begin(collection, person, photo, who=_WHO, action=action)
        except TransientError:
            raise
        except ServiceError as error:  # another host has begun, or goes on
            _log.info("not erased now", extra={"collection": collection, "reason": error.code})

    def _receipts(self) -> Sequence[Receipt]:
        return self._erasures.receipts(first_id(self._now() - _LATE_SECONDS))

    def _purge_again(self, receipt: Receipt) -> None:
        """Remove what a write that never ended has left in the gallery, once it is old enough."""
        if asked_at(receipt["id"]) + _PENDING_SECONDS < self._now():
            self._gallery.purge_history(receipt["collection"])
            self._store.purge_older(f"gallery/{receipt['collection']}.lance/")
            self._erasures.settled(receipt["id"])
