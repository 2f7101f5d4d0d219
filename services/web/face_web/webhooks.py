"""Tells the operator's own services what has finished: signed, durable, and as often as it takes.

What is to be told is written down before it can happen, as `webhooks/pending/<destination>/<id>.json`; whoever of the
web hosts claims it by a conditional write delivers it. A delivery that is not confirmed comes again with the same id.
After https://github.com/standard-webhooks/standard-webhooks.
"""

import base64
import datetime
import hashlib
import hmac
import json
import logging
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from typing_extensions import TypedDict

from face_common.contract import Code
from face_common.errors import ObjectMissingError, ServiceError, TransientError
from face_common.ports import Bucket, Entry

_PENDING, _DEAD = "webhooks/pending/", "webhooks/dead/"
_JSON = "application/json"
_CLAIM_SECONDS = 60.0  # longer than a delivery takes
_LONGEST_SECONDS = 24 * 3600.0  # after which a delivery is given up
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 3600.0
_FIRST_LOOK, _LONGEST_LOOK = 1.0, 60.0  # for a result that is not there yet
_AT_ONCE = 8
_PATIENCE = 1.0  # of a turn with destinations that are slow
_MOST_MINE = 10_000
_log = logging.getLogger(__name__)


class DeliveryError(Exception):
    """A destination did not take a delivery."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One of the operator's services."""

    url: str
    secret: bytes
    """With which deliveries are signed."""


class Post(Protocol):
    """Sends a delivery."""

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """POST, once, and go where the answer leads nowhere else. DeliveryError unless it answers 2xx."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Something to be told."""

    id: str
    """Of the job or batch; the delivery's as well."""
    kind: str
    """What it is: an identification, a batch, and so on."""
    destination: str
    created_at: float
    """Seconds since the epoch."""
    attempts: int = 0
    not_before: float = 0.0
    reason: str = ""
    """Why the last attempt failed."""


class WebhookState(TypedDict):
    """A destination and what waits for it."""

    webhook: str
    url: str
    pending: int
    """Deliveries that are not confirmed yet, those among them whose job is still at work."""
    dead: int
    """Deliveries that were given up."""


class Ended(Protocol):
    """Where it is looked up what came of a job or batch."""

    def __call__(self, kind: str, id: str, /) -> tuple[str, Mapping[str, Any]] | None:  # noqa: A002
        """How it ended, in a word, and what there is to tell of it; None when it has not ended."""


class Webhooks:
    """Writes down and delivers. Thread-safe."""

    def __init__(
        self,
        *,
        store: Bucket,
        destinations: Mapping[str, Destination],
        post: Post,
        ended: Ended,
        now: Callable[[], float],
        count: Callable[[str, str], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`now` is the wall clock in seconds since the epoch.

        `count` is told of each attempt: its destination, and "delivered", "failed" or "dead".
        """
        self._store = store
        self._destinations = destinations
        self._post = post
        self._ended = ended
        self._now = now
        self._count = count
        self._chance = chance
        self._looks: dict[str, tuple[str, float, float]] = {}
        """By key: the tag it had, when to look at it again, and the pause before that."""
        self._mine: dict[str, str] = {}
        """Keys by the ids that this host expects itself."""
        self._lock = threading.Lock()
        self._prompted = threading.Event()
        self._threads = ThreadPoolExecutor(_AT_ONCE, "webhooks")
        self._turns: dict[str, Future[None]] = {}
        self._stopped = False

    def check(self, name: str) -> str:
        """The name of a destination; ServiceError (webhook-unknown) when there is none."""
        if name not in self._destinations:
            raise ServiceError(Code.WEBHOOK_UNKNOWN, "the operator of this service has set no such webhook up")
        return name

    def expect(self, destination: str, kind: str, id: str) -> None:  # noqa: A002
        """Tell the destination once the job or batch has ended. Call it before that can be. TransientError."""
        pending = Pending(id, kind, destination, self._now())
        self._store.put_new(_key(pending), _encode(pending), _JSON)
        with self._lock:
            self._mine[id] = _key(pending)
            if len(self._mine) > _MOST_MINE:
                del self._mine[next(iter(self._mine))]  # it is found by looking, too

    def answered(self, id: str) -> None:  # noqa: A002
        """A job or batch has ended just now: see whether somebody is to be told."""
        with self._lock:
            key = self._mine.pop(id, None)
            self._looks.pop(key or "", None)
        if key is not None:
            self._prompted.set()

    def wait(self, seconds: float) -> None:
        """Wait that long for something to tell."""
        self._prompted.wait(seconds)
        self._prompted.clear()

    def step(self) -> None:
        """Deliver what can be delivered now; the step of a loop. Destinations that are slow are not waited for."""
        if self._stopped:
            return
        for name in self._destinations:
            if name not in self._turns or self._turns[name].done():
                self._turns[name] = self._threads.submit(self._deliver_to, name)
        wait(self._turns.values(), _PATIENCE)
        for turn in self._turns.values():
            try:
                if turn.done():
                    turn.result()
            except TransientError as error:
                _log.warning("webhooks wait", extra={"reason": str(error)})

    def stop(self) -> None:
        """Leave what is not under way to other hosts, or to the next run of this one."""
        self._stopped = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def state(self) -> list[WebhookState]:
        """Every destination and its backlog."""
        return [
            {
                "webhook": name,
                "url": destination.url,
                "pending": sum(1 for _ in self._store.entries(f"{_PENDING}{name}/")),
                "dead": sum(1 for _ in self._store.entries(f"{_DEAD}{name}/")),
            }
            for name, destination in sorted(self._destinations.items())
        ]

    def _deliver_to(self, name: str) -> None:
        """One destination's deliveries, in order, until it refuses one: then the others need not try."""
        prefix, seen = f"{_PENDING}{name}/", set()
        for entry in self._store.entries(prefix):
            seen.add(entry.key)
            if self._stopped:
                return
            if not self._is_due(entry):
                continue
            try:
                self._deliver(entry)
            except DeliveryError:
                return
        with self._lock:
            for key in [key for key in self._looks if key.startswith(prefix) and key not in seen]:
                del self._looks[key]

    def _is_due(self, entry: Entry) -> bool:
        with self._lock:
            tag, at, _ = self._looks.get(entry.key, (entry.tag, 0.0, 0.0))
            return tag != entry.tag or at <= self._now()

    def _deliver(self, entry: Entry) -> None:
        """Deliver one, if it has ended and no other host is at it. DeliveryError when its destination fails."""
        try:
            body, tag = self._store.get_tagged(entry.key)
        except ObjectMissingError:  # another host has delivered it
            return
        pending, now = Pending(**json.loads(body)), self._now()
        if pending.not_before > now:
            self._look_again(entry.key, tag, pending.not_before - now)
            return
        if now - pending.created_at > _LONGEST_SECONDS:
            self._give_up(entry.key, pending)
            return
        ended = self._ended(pending.kind, pending.id)
        if ended is None:
            self._look_later(entry.key, tag)
            return
        claimed = replace(pending, not_before=now + _CLAIM_SECONDS)
        if self._store.put_over(entry.key, _encode(claimed), _JSON, tag) is None:
            return  # another host has claimed it
        try:
            self._send(pending, *ended)
        except DeliveryError as error:
            self._put_off(entry.key, claimed, str(error))
            raise
        self._store.delete([entry.key])
        self._count(pending.destination, "delivered")

    def _send(self, pending: Pending, state: str, what: Mapping[str, Any]) -> None:
        destination, now = self._destinations[pending.destination], int(self._now())
        at = datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat()
        body = json.dumps({"type": f"{pending.kind}.{state}", "timestamp": at, "data": what}, separators=(",", ":"))
        headers = {
            "content-type": _JSON,
            "webhook-id": pending.id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(destination.secret, pending.id, now, body.encode()),
        }
        self._post(destination.url, body.encode(), headers)

    def _put_off(self, key: str, pending: Pending, reason: str) -> None:
        """Try again later, each time after about twice as long. It is nobody else's while it is claimed."""
        pause = min(_FIRST_PAUSE * 2**pending.attempts, _LONGEST_PAUSE) * (0.75 + 0.5 * self._chance())
        later = replace(pending, attempts=pending.attempts + 1, not_before=self._now() + pause, reason=reason)
        self._store.put(key, _encode(later), _JSON)
        self._count(pending.destination, "failed")
        _log.warning("a webhook failed", extra={"id": pending.id, "webhook": pending.destination, "reason": reason})

    def _give_up(self, key: str, pending: Pending) -> None:
        reason = pending.reason or "it did not end"
        self._store.put(key.replace(_PENDING, _DEAD, 1), _encode(replace(pending, reason=reason)), _JSON)
        self._store.delete([key])
        self._count(pending.destination, "dead")
        _log.error("a webhook was given up", extra={"id": pending.id, "webhook": pending.destination, "reason": reason})

    def _look_later(self, key: str, tag: str) -> None:
        """It has not ended: look again after twice as long as the last time."""
        with self._lock:
            pause = self._looks.get(key, (tag, 0.0, _FIRST_LOOK / 2))[2]
        self._look_again(key, tag, min(2 * pause, _LONGEST_LOOK))

    def _look_again(self, key: str, tag: str, seconds: float) -> None:
        with self._lock:
            self._looks[key] = (tag, self._now() + seconds, seconds)


def signature(secret: bytes, id: str, at: int, body: bytes) -> str:  # noqa: A002
    """What proves to a destination that a delivery is this service's, and new; `at` in seconds since the epoch."""
    digest = hmac.new(secret, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(pending: Pending) -> str:
    return f"{_PENDING}{pending.destination}/{pending.id}.json"


def _encode(pending: Pending) -> bytes:
    return json.dumps(asdict(pending)).encode()
