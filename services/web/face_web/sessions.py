"""Signing in with a key: a browser holds a random token instead of the key, and the bucket says whose it is.

All there is to know of a session stands in the name of its object, so that one listing tells a host every session.
Nobody can sign in with what is stored: it has the token's hash. A session ends with its key, and when the key's secret
becomes another one.
"""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

from face_common.ports import ObjectStore
from face_web.access import Key

COOKIE = "session"
PREFIX = "access/sessions/"
SECONDS = 12 * 3600.0
"""How long a session lasts."""
_TOKEN_BYTES = 32
_SEAL_LENGTH = 16
_LOOK_SECONDS = 1.0  # unknown tokens lead to no more than a listing in such a time


@dataclass(frozen=True, slots=True)
class Session:
    """Who has signed in."""

    key: str
    """Id of the key."""
    seal: str
    """Follows from the key's secret: the first key keeps its id when the settings bring another secret."""
    until: int
    """Seconds since the epoch."""

    def is_of(self, key: Key) -> bool:
        """Whether the key, as it is now, is the one that began the session."""
        return self.key == key.caller.key and self.seal == _seal(key)


class Sessions:
    """Begins, finds and ends sessions. Thread-safe."""

    def __init__(self, store: ObjectStore, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._lock = threading.Lock()
        self._known: dict[str, Session] = {}
        self._looked_at = 0.0

    def begin(self, key: Key) -> str:
        """A new session of the key; its token. TransientError as the store's."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        session = Session(key.caller.key, _seal(key), int(self._now() + SECONDS))
        self._store.put(_name(_hash(token), session), b"", "text/plain")
        with self._lock:
            self._known[_hash(token)] = session
        return token

    def find(self, token: str) -> Session | None:
        """The session with this token; None when there is none, or it is over. TransientError as the store's."""
        session = self._known.get(_hash(token))
        if session is None and self._now() - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = self._now()
            self.refresh()  # another host has perhaps begun it just now
            session = self._known.get(_hash(token))
        return session if session is not None and session.until > self._now() else None

    def end(self, token: str) -> None:
        """End a session for good; nothing happens when there is none. TransientError as the store's: it goes on."""
        session = self._known.get(_hash(token))
        if session is not None:
            self._store.delete([_name(_hash(token), session)])
            with self._lock:
                self._known.pop(_hash(token), None)

    def refresh(self) -> None:
        """Read which sessions there are, and remove those that are over; the step of a loop."""
        with self._lock:
            before = set(self._known)
        listed = {name: _parsed(name) for name in self._store.tags(PREFIX)}
        over = [name for name, (_, session) in listed.items() if session.until <= self._now()]
        if over:
            self._store.delete(over)
        with self._lock:
            begun = {digest: session for digest, session in self._known.items() if digest not in before}
            there = {digest: session for name, (digest, session) in listed.items() if name not in over}
            self._known = begun | there  # what has begun here meanwhile is perhaps not listed


def csrf_token(token: str) -> str:
    """What a form of the session must carry: no other site can read it out of a page."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _seal(key: Key) -> str:
    return hashlib.sha256(key.secret_hash.encode()).hexdigest()[:_SEAL_LENGTH]


def _name(digest: str, session: Session) -> str:
    return f"{PREFIX}{session.until}-{session.key}-{session.seal}-{digest}"


def _parsed(name: str) -> tuple[str, Session]:
    until, key, seal, digest = name.removeprefix(PREFIX).split("-")
    return digest, Session(key, seal, int(until))
