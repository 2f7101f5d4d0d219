"""Erasures: what is known of a person, of one photo of theirs or of a whole collection goes, wherever it lies.

An erasure is an object in the bucket from before the first removal until after the last, so that whatever breaks one
host off, another goes on. What it stands for is found and noted there first and removed then, and removing a second
time changes nothing: each step may be done again.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, NotRequired, Protocol

from typing_extensions import TypedDict

from face_common.contract import Code
from face_common.errors import ObjectMissingError, ServiceError, TransientError
from face_common.ports import Bucket
from face_web.audit import Audit
from face_web.faults import told
from face_web.records import Records, iso
from face_web.traces import Alias

_log = logging.getLogger(__name__)
OPEN = "erasures/open/"
SKEW_SECONDS = 120.0
"""By which clocks may differ: those of web hosts, of workers and of the bucket."""
_RECEIPTS = "erasures/"
_CLAIM_SECONDS = 120.0  # without a sign of life from whoever works on an erasure
_RENEWAL_SECONDS = 10.0
_LOOK_SECONDS = 30.0  # how often erasures that other hosts have left are looked for
_RETRY_SECONDS = 5.0
_POLL_SECONDS = 0.2


class Receipt(TypedDict):
    """What an erasure removed. Answers given from `gallery_version` on do not know it any more."""

    id: str
    state: Literal["running", "done"]
    scope: Literal["person", "photo", "collection"]
    """What was to be erased."""
    person: NotRequired[str | None]
    """Only in the answer to whoever asks for the erasure: the receipt that is kept does not name them."""
    subject: str
    """Stands for the person in the audit log; empty for a whole collection."""
    collection: str
    photos: list[str]
    """Ids of the enrolled photos."""
    templates: int
    results: int
    """Answers that named the person, the enrolments among them."""
    probes: int
    """Other photos: those that the answers were about, and those that were the same files as enrolled ones."""
    versions: int
    """Objects in the bucket that went, their earlier versions included."""
    gallery_version: int
    began_at: str
    """ISO 8601, in UTC."""
    finished_at: str | None
    pending: int
    """Files of the gallery that a write may still need; they are looked at again after an hour."""


@dataclass(slots=True)
class Erasure:
    """An erasure under way, as it is stored."""

    id: str
    collection: str
    person: str
    """Empty for a whole collection."""
    photo: str
    """Empty for all photos."""
    subject: str
    who: str
    action: str
    began_at: float
    names: list[Alias]
    """Under which the person is looked for."""
    off_record: bool = False
    """Whether the person's record has gone: what is recorded from then on is about somebody new."""
    bound: bool = False
    """Whether whoever asked may work with some collections only: the inbox of others stays as it is then."""
    photos: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    """Of the enrolled photos, as the bucket has them."""
    encodings: list[str] = field(default_factory=list)
    """Their templates, as texts; of a whole collection none are needed."""
    templates: int = 0
    results: list[str] = field(default_factory=list)
    """Keys."""
    probes: list[str] = field(default_factory=list)
    """Keys."""
    versions: int = 0
    gallery_version: int = 0
    pending: int = 0
    waits_for: list[str] = field(default_factory=list)
    """Batches that hold files of the person until they end."""
    looks: int = 0
    """How often everything has been looked through."""
    step: int = 0
    """The next step of the look under way."""
    holder: str = ""
    """The host that works on it."""
    renewal: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether everybody in the collection goes."""
        return not self.person

    @property
    def looks_needed(self) -> int:
        """One photo is found at once; of people, answers may be on their way."""
        return 1 if self.photo else 2

    def receipt(self, finished_at: float | None) -> Receipt:
        """What is told of it, without the person's name."""
        return {
            "id": self.id,
            "state": "running" if finished_at is None else "done",
            "scope": "photo" if self.photo else "person" if self.person else "collection",
            "subject": self.subject,
            "collection": self.collection,
            "photos": self.photos,
            "templates": self.templates,
            "results": len(self.results),
            "probes": len(self.probes),
            "versions": self.versions,
            "gallery_version": self.gallery_version,
            "began_at": iso(self.began_at),
            "finished_at": None if finished_at is None else iso(finished_at),
            "pending": self.pending,
        }


class LostError(Exception):
    """Another host has taken the erasure over."""


Note = Callable[[], None]
"""Says that the erasure goes on, and stores what it has found so far now and then; raises LostError."""


class Removal(Protocol):
    """What an erasure consists of."""

    def gather(self, erasure: Erasure, *, late: bool) -> None:
        """Add to the erasure which photos and templates are enrolled now.

        With `late` only those that were on their way when it began: whoever is enrolled again later stays.
        """

    def withdraw(self, erasure: Erasure) -> None:
        """Take the gathered templates out of the gallery, so that nobody is named by them any more, and the record."""

    def waits(self, erasure: Erasure) -> bool:
        """Whether a batch that it waits for has not ended."""

    def steps(self) -> Sequence[Callable[[Erasure, Note, Note], None]]:
        """What else there is to do, in order; each takes the erasure, `save` and `go_on`."""


@dataclass(slots=True)
class _Claim:
    """An erasure that this host works on, and the tag of what it wrote last."""

    erasure: Erasure
    tag: str
    saved_at: float


class Erasures:
    """Begins erasures, goes on with them, and keeps their receipts. Thread-safe.

    Nobody compares clocks: a host that has seen an erasure unchanged for two minutes by its own clock takes it over.
    """

    def __init__(
        self,
        *,
        store: Bucket,
        removal: Removal,
        records: Records,
        audit: Audit,
        holder: str,
        settle_seconds: float,
        new_id: Callable[[], str],
        now: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`holder` names this run of this host; `now` is the wall clock in seconds since the epoch, `clock` monotonic.

        `settle_seconds`: how long workers may go on answering from a gallery that they have read before.
        """
        self._store = store
        self._removal = removal
        self._records = records
        self._audit = audit
        self._holder = holder
        self._settle_seconds = settle_seconds
        self._new_id = new_id
        self._now = now
        self._clock = clock
        self._seen: dict[str, tuple[str, float]] = {}
        self._settling: dict[str, float] = {}
        self._beginning: set[str] = set()
        self._receipts: dict[str, tuple[str, Receipt]] = {}
        self._wake = threading.Event()

    def begin(
        self,
        collection: str,
        person: str = "",
        photo: str = "",
        *,
        who: str,
        action: str = "",
        bound: bool = False,
        insist: bool = False,
    ) -> str:
        """Begin to erase a person, a photo of theirs or a whole collection; the erasure's id.

        When it returns, the gallery holds no template of theirs any more; the rest follows. An erasure of the same that
        is under way already is not begun again. `bound`: whether whoever asks is bound to collections; `insist`:
        whether a person is looked for who is neither enrolled nor on record. ServiceError with not-found when there is
        nothing to erase, or erasure-failed when a fault came in between: it goes on all the same.
        """
        erasure = replace(self._erasure(collection, person, photo, who, action), bound=bound)
        self._removal.gather(erasure, late=False)
        if not self._is_known(erasure):
            running = self._running(collection, person, photo)
            if running is not None:
                return running
            if photo or not insist:
                raise ServiceError(Code.NOT_FOUND, _nothing(collection, person, photo))
        self._beginning.add(erasure.id)
        try:
            self._withdraw(erasure)
        finally:
            self._beginning.discard(erasure.id)
            self._wake.set()
        return erasure.id

    def _erasure(self, collection: str, person: str, photo: str, who: str, action: str) -> Erasure:
        record = self._records.find(collection, person) if person else None
        return Erasure(
            id=self._new_id(),
            collection=collection,
            person=person,
            photo=photo,
            subject=self._audit.subject(collection, person) if person else "",
            who=who,
            action=action or ("erase-photo" if photo else "erase-person" if person else "erase-collection"),
            began_at=self._now(),
            names=[Alias(person), *(record.former_names if record else ())] if person else [],
            holder=self._holder,
        )

    def _is_known(self, erasure: Erasure) -> bool:
        """Whether there is something to erase. A collection is always worth a look."""
        if erasure.photos or erasure.is_whole:
            return True
        return not erasure.photo and self._records.find(erasure.collection, erasure.person) is not None

    def _running(self, collection: str, person: str, photo: str) -> str | None:
        """The erasure under way of the same, or of more."""
        for erasure, _ in self._open():
            if erasure.collection == collection and erasure.person == person and erasure.photo in ("", photo):
                return erasure.id
        return None

    def _withdraw(self, erasure: Erasure) -> None:
        self._store.put_new(_open_key(erasure.id), _encode(erasure), "application/json")
        try:
            self._audit.record(erasure.who, erasure.action, erasure.collection, erasure.subject, erasure=erasure.id)
            self._removal.withdraw(erasure)
            tag = self._store.get_tagged(_open_key(erasure.id))[1]
            _Turn(self._store, _Claim(erasure, tag, self._clock()), self._clock).save()
        except (TransientError, LostError) as error:
            detail = f"the erasure {erasure.id} has begun and goes on, but met a fault: {error}"
            raise ServiceError(Code.ERASURE_FAILED, detail) from error

    def wait(self, erasure_id: str, seconds: float) -> Receipt:
        """The receipt, waiting so many seconds for the end; as it is by then."""
        deadline = self._clock() + seconds
        while (receipt := self.find(erasure_id))["state"] != "done" and self._clock() < deadline:
            time.sleep(_POLL_SECONDS)
        return receipt

    def find(self, erasure_id: str) -> Receipt:
        """The receipt of an erasure, finished or not; ServiceError (not-found) when there was none.

        It has not finished before its own note is gone from the bucket: that one still names the person.
        """
        try:
            return _decode(self._store.get(_open_key(erasure_id))).receipt(None)
        except ObjectMissingError:
            receipt = self.kept(erasure_id)
        if receipt is None:
            raise ServiceError(Code.NOT_FOUND, f"there is no erasure {erasure_id}")
        return receipt

    def kept(self, erasure_id: str) -> Receipt | None:
        """The receipt of an erasure that has ended."""
        try:
            receipt: Receipt = json.loads(self._store.get(_receipt_key(erasure_id)))
        except ObjectMissingError:
            return None
        return receipt

    def receipts(self, after: str) -> list[Receipt]:
        """The receipts of the erasures behind this id that have ended. What has not changed is not read again."""
        entries = [entry for entry in self._store.entries(_RECEIPTS, after=_receipt_key(after)) if entry.key < OPEN]
        kept = self._receipts
        current: dict[str, tuple[str, Receipt]] = {}
        for entry in entries:
            known = kept.get(entry.key)
            if known is None or known[0] != entry.tag:
                known = (entry.tag, json.loads(self._store.get(entry.key)))
            current[entry.key] = known
        self._receipts = current
        return [receipt for _, receipt in current.values()]

    def settled(self, erasure_id: str) -> None:
        """Note that nothing of an erasure is pending any more."""
        receipt = self.kept(erasure_id)
        if receipt is not None:
            body = json.dumps({**receipt, "pending": 0}).encode()
            self._store.put(_receipt_key(erasure_id), body, "application/json")

    def work(self) -> None:
        """Wait until there may be something to do, and do it; the step of a loop."""
        self._wake.wait(self._pause())
        self._wake.clear()
        self.go_on()

    def go_on(self) -> None:
        """Do what can be done now for every erasure that nobody else works on."""
        for erasure, tag in list(self._open()):
            if erasure.id not in self._beginning and self._may_claim(erasure, tag):
                self._go_on(erasure, tag)

    def _pause(self) -> float:
        """Seconds until there may be something to do."""
        due = [at - self._clock() for at in self._settling.values()]
        return max(min([_LOOK_SECONDS, *due]), 0.0)

    def _open(self) -> Iterator[tuple[Erasure, str]]:
        for entry in self._store.entries(OPEN):
            try:
                body, tag = self._store.get_tagged(entry.key)
            except ObjectMissingError:  # it has just ended
                continue
            try:
                erasure = _decode(body)
            except (ValueError, TypeError, KeyError) as error:  # of another release
                _log.error("an erasure cannot be read", extra={"key": entry.key, **told(error)})
                continue
            yield erasure, tag

    def _may_claim(self, erasure: Erasure, tag: str) -> bool:
        """Whether it is this host's turn: the erasure is its own, and not waiting, or was left by another."""
        if erasure.holder == self._holder:
            return self._settling.get(erasure.id, 0.0) <= self._clock()
        if not erasure.holder:  # it has come back with a bucket that was restored
            return True
        seen, at = self._seen.get(erasure.id, ("", 0.0))
        if seen != tag:
            self._seen = {**self._seen, erasure.id: (tag, self._clock())}
            return False
        return self._clock() - at >= _CLAIM_SECONDS

    def _go_on(self, erasure: Erasure, tag: str) -> None:
        erasure.holder = self._holder
        turn = _Turn(self._store, _Claim(erasure, tag, self._clock()), self._clock)
        try:
            turn.save()
            self._look(erasure, turn)
        except LostError:
            _log.warning("another host goes on with an erasure", extra={"id": erasure.id})
            self._settling.pop(erasure.id, None)
        except Exception as error:  # whatever is wrong with one erasure must not hold up the others
            _log.warning("an erasure met a fault and will go on", extra={"id": erasure.id, **told(error)})
            self._settling[erasure.id] = self._clock() + _RETRY_SECONDS

    def _look(self, erasure: Erasure, turn: "_Turn") -> None:
        """Do what is left of a look through everything; then wait for the next one, or finish."""
        if erasure.step == 0:
            self._removal.gather(erasure, late=True)
            turn.save()  # before anything is removed: what was found is found again only here
            self._removal.withdraw(erasure)
            if erasure.looks >= erasure.looks_needed and self._removal.waits(erasure):
                self._settle(erasure, turn)
                return
        steps = self._removal.steps()
        for step in steps[erasure.step :]:
            step(erasure, turn.save, turn.go_on)
            erasure.step += 1
            turn.save()
        erasure.looks, erasure.step = erasure.looks + 1, 0
        if erasure.looks < erasure.looks_needed or erasure.waits_for:
            self._settle(erasure, turn)
            return
        turn.save()
        self._finish(erasure)

    def _settle(self, erasure: Erasure, turn: "_Turn") -> None:
        """Look again when workers have the new gallery, or a batch may have ended."""
        turn.save()
        self._settling[erasure.id] = self._clock() + self._settle_seconds

    def _finish(self, erasure: Erasure) -> None:
        receipt = erasure.receipt(self._now())
        counts = {name: receipt[name] for name in ("templates", "results", "probes", "versions")}
        if self._store.put_new(_receipt_key(erasure.id), json.dumps(receipt).encode(), "application/json"):
            facts = {"erasure": erasure.id, "photos": len(erasure.photos), **counts}
            self._audit.record(erasure.who, "erased", erasure.collection, erasure.subject, **facts)
        self._store.purge([_open_key(erasure.id)])
        self._settling.pop(erasure.id, None)
        _log.info("erased", extra={"id": erasure.id, "collection": erasure.collection, **counts})


class _Turn:
    """The work of this host on one erasure."""

    def __init__(self, store: Bucket, claim: _Claim, clock: Callable[[], float]) -> None:
        self._store = store
        self._claim = claim
        self._clock = clock

    def save(self) -> None:
        """Store the erasure; LostError when another host has taken it over."""
        claim = self._claim
        claim.erasure.renewal += 1  # so that each write has a tag of its own
        key = _open_key(claim.erasure.id)
        tag = self._store.put_over(key, _encode(claim.erasure), "application/json", claim.tag)
        if tag is None:
            raise LostError
        claim.tag, claim.saved_at = tag, self._clock()

    def go_on(self) -> None:
        """Store the erasure when it is time for a sign of life."""
        if self._clock() - self._claim.saved_at >= _RENEWAL_SECONDS:
            self.save()


def _open_key(erasure_id: str) -> str:
    return f"{OPEN}{erasure_id}.json"


def _receipt_key(erasure_id: str) -> str:
    return f"{_RECEIPTS}{erasure_id}.json"


def _encode(erasure: Erasure) -> bytes:
    return json.dumps(asdict(erasure)).encode()


def _decode(body: bytes) -> Erasure:
    fields = json.loads(body)
    return Erasure(**{**fields, "names": [Alias(**alias) for alias in fields["names"]]})


def _nothing(collection: str, person: str, photo: str) -> str:
    if photo:
        return f"{person} has no photo {photo}"
    detail = f"nobody called {person} is enrolled or on record in {collection}"
    return f"{detail}; with insist=true, answers and earlier versions that name them are erased all the same"
