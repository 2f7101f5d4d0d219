"""Who may do what: keys, their roles, the collections they are bound to, and how often they may ask."""

import hashlib
import hmac
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Literal, Protocol
from urllib.parse import urlsplit

from face_common.contract import Code
from face_common.errors import RateLimitedError, ServiceError

ADMIN_KEY = "admin"
"""Id of the first key, which the settings bring: `face_admin_<secret>`."""
_KEY = re.compile(r"face_([a-z0-9]{1,32})_([A-Za-z0-9_-]{20,128})")
_NOBODYS_HASH = hashlib.sha256(b"").hexdigest()
_LEAST_BURST = 5.0


Scope = Literal["collection", "object", "service", "caller"]


class Role(StrEnum):
    """What a key is for; each role may do what the ones before it may."""

    SUBMIT = "submit"
    """Ask about photos."""
    ENROL = "enrol"
    """Say who is enrolled."""
    ADMIN = "admin"
    """Everything."""

    def covers(self, other: "Role") -> bool:
        """Whether this role may do what the other may."""
        return _RANKS[self] >= _RANKS[other]


_RANKS = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a call asks of whoever makes it."""

    role: Role
    scope: Scope = "collection"
    """A call about the service as a whole needs a key that is bound to no collection; one about the caller none.

    One about an object, found by its id, needs a key for the collection that the object is of.
    """


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever makes a request."""

    key: str
    """Id of the key; "local" where no key is needed."""
    name: str
    role: Role
    collections: frozenset[str] | None = None
    """The collections that the key is bound to; None when it is bound to none and may see all."""
    rate: float | None = None
    """Requests a second that the key may make; None for the usual limit."""

    @property
    def is_bound(self) -> bool:
        """Whether there are collections that the key may not work with."""
        return self.collections is not None

    def sees(self, collection: str) -> bool:
        """Whether the key may work with the collection."""
        return self.collections is None or collection in self.collections

    def require(self, requirement: Requirement) -> None:
        """ServiceError (forbidden) unless the key may make such a call at all."""
        if not self.role.covers(requirement.role):
            raise ServiceError(Code.FORBIDDEN, f"this call needs a key of the role {requirement.role}, not {self.role}")
        if requirement.scope == "service" and self.is_bound:
            raise ServiceError(Code.FORBIDDEN, "this call needs a key that is bound to no collection")

    def require_collection(self, collection: str) -> None:
        """ServiceError (forbidden) unless the key may work with the collection."""
        if not self.sees(collection):
            raise ServiceError(Code.FORBIDDEN, "this key is bound to other collections")


LOCAL = Caller("local", "everybody on this machine", Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is stored: whoever reads it cannot use it."""

    caller: Caller
    secret_hash: str
    """SHA-256 of the secret, in hex. The secret is random and long, so that no slower hash is called for."""
    expires_at: float | None = None
    """Seconds since the epoch; None for a key without an end."""


class KeyRing(Protocol):
    """Where keys are looked up."""

    def find(self, key: str) -> Key | None:
        """The key of this id."""

    def used(self, key: str) -> None:
        """Note that the key has been used just now."""


class Headers(Protocol):
    """A request's headers."""

    def get(self, key: str, default: str) -> str:
        """The header of this name, in whatever case."""


class Refusals(Protocol):
    """Who is told of refused keys."""

    def refused(self, reason: str) -> None:
        """A request was refused."""


class Access:
    """Lets requests in. Thread-safe; costs a wrong key no more than a hash."""

    def __init__(
        self, *, keys: KeyRing, refusals: Refusals, rate: float, is_open: bool, now: Callable[[], float]
    ) -> None:
        """`rate` in requests a second and key; `is_open` where no key is needed; `now` in seconds since the epoch."""
        self._keys = keys
        self._refusals = refusals
        self._rate = rate
        self.is_open = is_open
        self._now = now
        self._buckets: dict[str, _TokenBucket] = {}
        self._lock = threading.Lock()

    def caller(self, headers: Headers) -> Caller:
        """Whoever sends these headers; ServiceError with key-missing, key-invalid or rate-limited."""
        if self.is_open:
            _refuse_other_sites(headers)
            return LOCAL
        try:
            key = self._key(headers.get("Authorization", ""))
        except ServiceError as error:
            self._refusals.refused(error.code)
            raise
        return self._admitted(key)

    def holder(self, key: str) -> Caller:
        """Whoever has signed in with the key of this id; ServiceError with key-invalid or rate-limited."""
        found = self._keys.find(key)
        if found is None or self._is_over(found):
            self._refusals.refused(Code.KEY_INVALID)
            raise ServiceError(Code.KEY_INVALID, "the key that you signed in with was revoked or has expired")
        return self._admitted(found)

    def _admitted(self, key: Key) -> Caller:
        self._slow_down(key.caller)
        self._keys.used(key.caller.key)
        return key.caller

    def _is_over(self, key: Key) -> bool:
        return key.expires_at is not None and key.expires_at <= self._now()

    def _key(self, header: str) -> Key:
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise ServiceError(Code.KEY_MISSING, "send a key of this service: 'Authorization: Bearer <key>'")
        parts = _KEY.fullmatch(text.strip())
        key = self._keys.find(parts[1]) if parts else None
        digest = hashlib.sha256(parts[2].encode() if parts else b"").hexdigest()
        right = hmac.compare_digest(digest, key.secret_hash if key else _NOBODYS_HASH)
        if not (right and key and parts) or self._is_over(key):
            raise ServiceError(Code.KEY_INVALID, "the key is unknown, revoked or expired")
        return key

    def _slow_down(self, caller: Caller) -> None:
        rate = caller.rate or self._rate
        with self._lock:
            bucket = self._buckets.get(caller.key)
            if bucket is None or bucket.rate != rate:
                bucket = self._buckets[caller.key] = _TokenBucket(rate, self._now())
            wait = bucket.take(self._now())
        if wait > 0:
            self._refusals.refused(Code.RATE_LIMITED)
            raise RateLimitedError(f"the key {caller.key} may make {rate:g} requests a second", retry_after=wait)


class _TokenBucket:
    """Allows so many requests a second, and as many at once after a quiet second."""

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._most = max(rate, _LEAST_BURST)
        self._tokens = self._most
        self._at = now

    def take(self, now: float) -> float:
        """Take a token; 0, or how many seconds are missing for one."""
        self._tokens = min(self._most, self._tokens + max(now - self._at, 0.0) * self.rate)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self.rate
        self._tokens -= 1
        return 0.0


def _refuse_other_sites(headers: Headers) -> None:
    """A page of another site, open in a browser on this machine, must not get in where no key is needed.

    ServiceError (forbidden) for a request that a browser sends for such a page, or under another name of this machine.
    """
    host = headers.get("Host", "")
    origin = headers.get("Origin", "")
    if not is_loopback(urlsplit(f"//{host}").hostname or "") or (origin and urlsplit(origin).netloc != host):
        raise ServiceError(Code.FORBIDDEN, "without keys this service answers to this machine alone")


def is_loopback(host: str) -> bool:
    """Whether the name or address is this machine's, for itself alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
