"""The audit log: who did what to whose data, and when. Entries are only ever added."""

import datetime
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from typing_extensions import TypedDict

from face_common.ports import Bucket

_PREFIX = "audit/entries/"
_SALT = "audit/salt"
_SUBJECT_LENGTH = 32
_KEPT = 10_000  # entries in memory, of some 400 bytes each


class AuditEntry(TypedDict):
    """One thing that was done."""

    id: str
    at: str
    """ISO 8601, in UTC."""
    who: str
    """Id of the key; "local" where no key is needed, "service" for what the service does by itself."""
    action: str
    collection: str
    subject: str
    """Stands for a person: the same for a name and a collection, but the name does not follow from it."""
    facts: dict[str, Any]


class Audit:
    """Writes and reads the log. Thread-safe. No entry ever holds a person's name or an encoding.

    Each entry is an object of its own, written before what it tells of is answered.
    """

    def __init__(self, store: Bucket, new_id: Callable[[], str], now: Callable[[], float]) -> None:
        """`new_id` makes ULIDs, `now` is the wall clock in seconds since the epoch."""
        self._store = store
        self._new_id = new_id
        self._now = now
        self._salt: bytes | None = None
        self._lock = threading.Lock()
        self._entry = lru_cache(_KEPT)(self._read)

    def record(self, who: str, action: str, collection: str = "", subject: str = "", **facts: Any) -> None:
        """Add an entry; `subject` is of the method below. TransientError as the store's."""
        at = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
        entry_id = self._new_id()
        entry: AuditEntry = {
            "id": entry_id,
            "at": at.isoformat(timespec="milliseconds"),
            "who": who,
            "action": action,
            "collection": collection,
            "subject": subject,
            "facts": facts,
        }
        self._store.put_new(f"{_PREFIX}{entry_id}.json", json.dumps(entry).encode(), "application/json")

    def subject(self, collection: str, person: str) -> str:
        """What stands for a person in the log; whoever knows the name and the deployment's salt can find it again."""
        message = f"{collection}\n{person}".encode()
        return hmac.new(self._secret(), message, hashlib.sha256).hexdigest()[:_SUBJECT_LENGTH]

    def entries(self, after: str = "", action: str = "") -> Iterator[AuditEntry]:
        """What was done, the oldest first, behind the entry of this id."""
        for found in self._store.entries(_PREFIX, after=f"{_PREFIX}{after}.json" if after else ""):
            entry = self._entry(found.key)
            if not action or entry["action"] == action:
                yield entry

    def _read(self, key: str) -> AuditEntry:
        """An entry; as none ever changes, it is read once."""
        entry: AuditEntry = json.loads(self._store.get(key))
        return entry

    def _secret(self) -> bytes:
        with self._lock:
            if self._salt is None:
                self._store.put_new(_SALT, secrets.token_bytes(32), "application/octet-stream")
                self._salt = self._store.get(_SALT)
            return self._salt
