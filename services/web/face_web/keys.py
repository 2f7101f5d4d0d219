"""The keys of a deployment: one small object each in the bucket, of which every web host keeps a copy in memory."""

import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from face_common.contract import Code
from face_common.errors import ObjectMissingError, ServiceError
from face_common.ports import ObjectStore
from face_web.access import ADMIN_KEY, Caller, Key, Role

_PREFIX = "access/keys/"
_USED = "access/used/"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_ID_LENGTH = 12
_SECRET_BYTES = 32
_USED_SECONDS = 60.0  # how exactly it is known when a key was used last


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as it is listed. Times are seconds since the epoch."""

    key: Key
    created_at: float
    created_by: str
    used_at: float | None = None
    """When it was used last, to the minute; None when it never was."""


class Keys:
    """Makes, lists, revokes and finds keys. Thread-safe.

    What another host has made or revoked is known after the next refresh.
    """

    def __init__(self, store: ObjectStore, admin_hash: str, now: Callable[[], float]) -> None:
        """`admin_hash`: SHA-256, in hex, of the secret of the first admin key, or nothing for none."""
        self._store = store
        self._now = now
        self._lock = threading.Lock()
        self._tags: Mapping[str, str] = {}
        self._known: dict[str, KeyInfo] = {}
        self._used: dict[str, float] = {}
        self._noted: dict[str, float] = {}
        self._first: dict[str, Key] = {}
        if admin_hash:
            caller = Caller(ADMIN_KEY, "the deployment's first key", Role.ADMIN)
            self._first = {ADMIN_KEY: Key(caller, admin_hash.lower())}

    def find(self, key: str) -> Key | None:
        """See KeyRing."""
        info = self._known.get(key)
        return info.key if info else self._first.get(key)

    def used(self, key: str) -> None:
        """See KeyRing."""
        self._used[key] = self._now()

    def create(
        self,
        key: str,
        caller: Caller,
        *,
        created_by: str,
        expires_at: float | None = None,
    ) -> tuple[KeyInfo, str]:
        """Store a new key under an id of `new_key_id`; what is known of it, and its text, which nobody sees again.

        ServiceError (idempotency-key-reused) when there is a key of this id: its text was shown once.
        """
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        made = Key(replace(caller, key=key), hashlib.sha256(secret.encode()).hexdigest(), expires_at)
        info = KeyInfo(made, self._now(), created_by)
        if not self._store.put_new(_PREFIX + key + ".json", _encoded(info), "application/json"):
            detail = f"the key {key} was made by this request before; what it is was shown then only: revoke it"
            raise ServiceError(Code.IDEMPOTENCY_KEY_REUSED, detail)
        with self._lock:
            self._known[key] = info
        return info, f"face_{key}_{secret}"

    def revoke(self, key: str) -> None:
        """Remove a key for good; ServiceError (not-found) when there is none of this id."""
        self.refresh()
        if key not in self._known:
            detail = "the first key ends with the setting that brings it" if key in self._first else f"no key {key}"
            raise ServiceError(Code.NOT_FOUND, detail)
        self._store.delete([_PREFIX + key + ".json", _USED + key + ".json"])
        with self._lock:
            del self._known[key]

    def all(self) -> Sequence[KeyInfo]:
        """Every key that was made, the oldest first, as all hosts know it. TransientError as the store's."""
        self.refresh()
        found = sorted(self._known.values(), key=lambda info: info.created_at)
        return [replace(info, used_at=self._last_used(info.key.caller.key)) for info in found]

    def refresh(self) -> None:
        """Read what has changed, and note what was used; the step of a loop. TransientError as the store's."""
        tags = self._store.tags(_PREFIX)
        changed = [object_key for object_key, tag in tags.items() if self._tags.get(object_key) != tag]
        read = {_id(object_key): self._read(object_key) for object_key in changed}
        there = {_id(object_key) for object_key in tags}
        with self._lock:
            kept = {key: info for key, info in self._known.items() if key in there}
            self._known = kept | {key: info for key, info in read.items() if info is not None}
            self._tags = tags
        self._note_use()

    def _note_use(self) -> None:
        for key, at in list(self._used.items()):
            if key in self._known and at - self._noted.get(key, 0.0) >= _USED_SECONDS:
                self._store.put(_USED + key + ".json", json.dumps({"at": at}).encode(), "application/json")
                self._noted[key] = at

    def _last_used(self, key: str) -> float | None:
        try:
            noted: float | None = json.loads(self._store.get(_USED + key + ".json"))["at"]
        except ObjectMissingError:
            noted = None
        return max(filter(None, (noted, self._used.get(key))), default=None)

    def _read(self, object_key: str) -> KeyInfo | None:
        try:
            return _decoded(json.loads(self._store.get(object_key)))
        except ObjectMissingError:  # revoked meanwhile
            return None


def new_key_id(seed: bytes | None = None) -> str:
    """An id for a key: a random one, or always the same one for the same seed."""
    number = int.from_bytes(hashlib.sha256(seed or secrets.token_bytes(32)).digest())
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_ID_LENGTH))


def _id(object_key: str) -> str:
    return object_key.removeprefix(_PREFIX).removesuffix(".json")


def _encoded(info: KeyInfo) -> bytes:
    key, caller = info.key, info.key.caller
    fields = {
        "id": caller.key,
        "name": caller.name,
        "role": caller.role.value,
        "collections": None if caller.collections is None else sorted(caller.collections),
        "rate": caller.rate,
        "secret_hash": key.secret_hash,
        "expires_at": key.expires_at,
        "created_at": info.created_at,
        "created_by": info.created_by,
    }
    return json.dumps(fields).encode()


def _decoded(fields: Mapping[str, Any]) -> KeyInfo:
    bound = fields["collections"]
    collections = None if bound is None else frozenset(bound)
    caller = Caller(fields["id"], fields["name"], Role(fields["role"]), collections, fields["rate"])
    key = Key(caller, fields["secret_hash"], fields["expires_at"])
    return KeyInfo(key, fields["created_at"], fields["created_by"])
