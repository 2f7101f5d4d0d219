"""What is kept on a person beside photos and templates: consent, an end, and the names they had before."""

import datetime
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

from typing_extensions import TypedDict

from face_common.contract import Code, is_distractor
from face_common.errors import ObjectMissingError, ServiceError
from face_common.ports import Bucket
from face_web.traces import Alias, in_batches, side_by_side

PREFIX = "people/"
_ATTEMPTS = 8
_BATCH = 1000
_LONGEST_REFERENCE = 500


class Consent(TypedDict):
    """That a person agreed to be enrolled. Times are ISO 8601, in UTC."""

    reference: str
    """Where the operator finds it: a document's number, say."""
    given_at: str | None
    recorded_at: str
    recorded_by: str
    """Id of the key that recorded it."""


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """What is kept on one person."""

    person: str
    consent: Consent | None = None
    expires_at: float | None = None
    """When they are to be erased, in seconds since the epoch; None for never."""
    former_names: tuple[Alias, ...] = ()
    """Names that they had: answers of that time have them still."""
    batch: str = ""
    """Id of the import that recorded the consent; empty where somebody recorded it by itself."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept but the name."""
        return self.consent is None and self.expires_at is None and not self.former_names

    def was_called(self, name: str | None, at: float) -> bool:
        """Whether this was the person's name at that time, in seconds since the epoch."""
        is_former = (alias.name == name and (alias.until is None or at < alias.until) for alias in self.former_names)
        return name == self.person or any(is_former)

    def has_all_of(self, other: "PersonRecord") -> bool:
        """Whether the other's record was carried over to this one, and neither has changed since."""
        names = {alias.name for alias in self.former_names}
        terms = (self.consent, self.expires_at) == (other.consent, other.expires_at)
        return terms and other.person in names and set(other.former_names) <= set(self.former_names)


class Records:
    """Reads and writes the records. Thread-safe."""

    def __init__(self, store: Bucket, *, consent_required: bool, now: Callable[[], float]) -> None:
        """`now` is the wall clock in seconds since the epoch."""
        self._store = store
        self._consent_required = consent_required
        self._now = now
        self._expiries: dict[str, tuple[str, float | None]] = {}
        self._lock = threading.Lock()

    def find(self, collection: str, person: str) -> PersonRecord | None:
        """The person's record, if there is one."""
        return self._read(record_key(collection, person))

    def require_consent(self, collection: str, person: str) -> None:
        """ServiceError (consent-missing) where consent is required and none is recorded for this person."""
        if not self._consent_required:
            return
        if is_distractor(person):
            detail = "a rejected face is a stranger's, who has given no consent to be kept"
            raise ServiceError(Code.CONSENT_MISSING, detail)
        record = self.find(collection, person)
        if record is None or record.consent is None:
            detail = f"no consent of {person} is recorded: PUT /v1/people/<person> with 'consent' before enrolling them"
            raise ServiceError(Code.CONSENT_MISSING, detail)

    def record_consent(
        self, collection: str, person: str, reference: str, *, by: str, given_at: float | None = None, batch: str = ""
    ) -> PersonRecord:
        """Note that the person has agreed, in place of an earlier note; `given_at` in seconds since the epoch."""
        if not 0 < len(reference) <= _LONGEST_REFERENCE:
            detail = f"a reference to a consent has 1 to {_LONGEST_REFERENCE} characters"
            raise ServiceError(Code.PARAMETER_INVALID, detail)
        consent: Consent = {
            "reference": reference,
            "given_at": None if given_at is None else iso(given_at),
            "recorded_at": iso(self._now()),
            "recorded_by": by,
        }
        return self._change(collection, person, lambda record: replace(record, consent=consent, batch=batch))

    def expire(self, collection: str, person: str, expires_at: float | None) -> PersonRecord:
        """Have the person erased at this time, in seconds since the epoch, or never."""
        return self._change(collection, person, lambda record: replace(record, expires_at=expires_at))

    def carry_over(self, collection: str, person: str, name: str) -> PersonRecord:
        """Write what is kept on a person under another name too, or into what is kept under that name already.

        The names of before stay in it, so that an erasure finds what was answered under them. Of two ends the earlier
        one counts.
        """
        record = self.find(collection, person) or PersonRecord(person)
        former = (*record.former_names, Alias(person, self._now()))

        def joined(target: PersonRecord) -> PersonRecord:
            return replace(
                target,
                consent=target.consent or record.consent,
                batch=target.batch if target.consent else record.batch,
                expires_at=min(ends) if (ends := _ends(target, record)) else None,
                former_names=(*target.former_names, *former),
            )

        return self._change(collection, name, joined)

    def remove(self, collection: str, person: str) -> int:
        """Remove a record with all its versions; how many there were."""
        return self._store.purge([record_key(collection, person)])

    def all(self, collection: str) -> Iterator[PersonRecord]:
        """Everybody's record, in no order."""
        with side_by_side() as mapped:
            for entries in in_batches(self._store.entries(f"{PREFIX}{collection}/"), _BATCH):
                records: list[PersonRecord | None] = list(mapped(self._read, [entry.key for entry in entries]))
                yield from (record for record in records if record is not None)

    def expired(self) -> list[tuple[str, str]]:
        """Collection and name of everybody whose time has come. What has not changed is not read again."""
        with self._lock:
            self._expiries = self._read_expiries(self._expiries)
            due = [key for key, (_, at) in self._expiries.items() if at is not None and at <= self._now()]
        people = [(key.split("/")[1], self._read(key)) for key in due]
        return [(collection, record.person) for collection, record in people if record is not None]

    def _read_expiries(self, known: dict[str, tuple[str, float | None]]) -> dict[str, tuple[str, float | None]]:
        """When everybody's time comes, by key, each with the tag of the record that says so."""
        current: dict[str, tuple[str, float | None]] = {}
        with side_by_side() as mapped:
            for entries in in_batches(self._store.entries(PREFIX), _BATCH):
                changed = [entry for entry in entries if entry.key not in known or known[entry.key][0] != entry.tag]
                records = mapped(self._read, [entry.key for entry in changed])
                current |= {entry.key: known[entry.key] for entry in entries if entry.key in known}
                for entry, record in zip(changed, records, strict=True):
                    current[entry.key] = (entry.tag, record.expires_at if record else None)
        return current

    def _change(self, collection: str, person: str, change: Callable[[PersonRecord], PersonRecord]) -> PersonRecord:
        """Write a record anew, or for the first time, and lose nothing that others write at the same time."""
        key = record_key(collection, person)
        for _ in range(_ATTEMPTS):
            try:
                body, tag = self._store.get_tagged(key)
            except ObjectMissingError:
                record = change(PersonRecord(person))
                if self._store.put_new(key, _encode(record), "application/json"):
                    return record
                continue
            record = change(_decode(body))
            if self._store.put_over(key, _encode(record), "application/json", tag) is not None:
                return record
        raise ServiceError(Code.SERVER_BUSY, f"others change the record of {person} at the same time; try again")

    def _read(self, key: str) -> PersonRecord | None:
        try:
            return _decode(self._store.get(key))
        except ObjectMissingError:
            return None


def record_key(collection: str, person: str) -> str:
    """Where a person's record lies in the bucket."""
    return f"{PREFIX}{collection}/{hashlib.sha256(person.encode()).hexdigest()}.json"


def iso(at: float) -> str:
    """A time, in seconds since the epoch, as ISO 8601 in UTC."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="milliseconds")


def _ends(*records: PersonRecord) -> list[float]:
    return [record.expires_at for record in records if record.expires_at is not None]


def _encode(record: PersonRecord) -> bytes:
    fields = asdict(record)
    if not record.batch:
        del fields["batch"]  # hosts of an earlier release, which do not know it, may still be running
    return json.dumps(fields).encode()


def _decode(body: bytes) -> PersonRecord:
    fields = json.loads(body)
    return PersonRecord(**{**fields, "former_names": tuple(Alias(**alias) for alias in fields["former_names"])})
