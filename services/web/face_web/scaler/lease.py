"""Which web host leads, or does another piece of work: a lease object in the bucket, by conditional writes."""

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from face_common.errors import ObjectMissingError, TransientError
from face_common.ports import ObjectStore

KEY = "fleet/leader.json"
_log = logging.getLogger(__name__)


class Lease:
    """One host's hold on the lease, and what the leader publishes with it.

    The object holds the leader's name, a fencing number that grows with every change of leader, and what the leader
    tells the others. Nobody compares clocks: a host that has seen the object unchanged for the whole of the lease's
    time, by its own clock, takes over. A leader stops to act when it could not renew for nearly that long.
    """

    def __init__(
        self, store: ObjectStore, holder: str, seconds: float, clock: Callable[[], float], key: str = KEY
    ) -> None:
        """`holder` names this run of this host; `clock` is monotonic, in seconds; `key` is the lease object's."""
        self._store = store
        self._key = key
        self._holder = holder
        self._seconds = seconds
        self._clock = clock
        self._tag: str | None = None
        self._seen_at = 0.0
        self._looked_at: float | None = None
        self._renewed_at: float | None = None
        self._renewals = 0
        self.fence = 0
        """The fencing number of the leader that was seen last."""
        self.leader: str | None = None
        """The leader that was seen last; this host's own name while it leads."""
        self.published: Mapping[str, Any] = {}
        """What the leader that was seen last has published."""

    @property
    def leading(self) -> bool:
        """Whether this host may act: it leads, and nobody can have taken over yet."""
        renewed_at = self._renewed_at  # once: other threads ask, too
        return renewed_at is not None and self._clock() - renewed_at < 0.8 * self._seconds

    @property
    def news_age(self) -> float:
        """Seconds since what was published last was written, as far as this host's own clock can tell."""
        renewed_at = self._renewed_at
        return self._clock() - (self._seen_at if renewed_at is None else renewed_at)

    @property
    def held(self) -> bool:
        """Whether this host leads as far as it knows."""
        return self._renewed_at is not None

    @property
    def due(self) -> bool:
        """Whether it is time to renew, or to look who leads."""
        last = self._looked_at if self._renewed_at is None else self._renewed_at
        return last is None or self._clock() - last >= 0.2 * self._seconds

    def peek(self) -> None:
        """See who leads, and leave it at that. TransientError as the store's."""
        with suppress(ObjectMissingError):
            self._read(self._store.get(self._key))

    def renew(self, publish: Mapping[str, Any]) -> None:
        """Go on leading, and publish; whoever finds that another leads stops. TransientError as the store's."""
        began = self._clock()
        assert self._tag is not None  # whoever leads has written the object
        tag = self._store.put_over(self._key, self._body(self._holder, publish), "application/json", self._tag)
        if tag is None:
            _log.warning("another host leads", extra={"lease": self._key, "holder": self._holder, "fence": self.fence})
            self._renewed_at = None
            self.look()
            return
        self._tag, self._renewed_at, self.published = tag, began, publish

    def look(self) -> None:
        """See who leads, and take over when nobody does. TransientError as the store's."""
        began = self._looked_at = self._clock()
        try:
            body, tag = self._store.get_tagged(self._key)
        except ObjectMissingError:
            self.fence = 1
            if self._store.put_new(self._key, self._body(self._holder, {}), "application/json"):
                self._lead(self._store.get_tagged(self._key)[1], began)
            return
        self._read(body)
        if tag != self._tag:
            self._tag, self._seen_at = tag, began
        if self.leader == self._holder:  # a write of ours whose answer was lost; only a new one says that we lead
            self._claim(tag, began)
        elif self.leader is None or began - self._seen_at >= self._seconds:
            self.fence += 1
            self._claim(tag, began)

    def release(self) -> None:
        """Let another host lead at once."""
        if self._renewed_at is None or self._tag is None:
            return
        self._renewed_at = None
        try:
            self._store.put_over(self._key, self._body(None, self.published), "application/json", self._tag)
        except TransientError as error:
            _log.warning("the lease was not released and will run out", extra={"reason": str(error)})

    def _read(self, body: bytes) -> None:
        try:
            seen = json.loads(body)
            self.fence, self.leader, self.published = seen["fence"], seen["holder"], seen["published"]
        except (ValueError, KeyError, TypeError):  # nobody's: its time runs out like that of a dead leader
            _log.error("the lease object is damaged and will be replaced")
            self.leader, self.published = "", {}

    def _claim(self, tag: str, began: float) -> None:
        newer = self._store.put_over(self._key, self._body(self._holder, self.published), "application/json", tag)
        if newer is not None:
            self._lead(newer, began)

    def _lead(self, tag: str, began: float) -> None:
        self._tag, self._renewed_at, self.leader = tag, began, self._holder
        _log.info("leading", extra={"lease": self._key, "holder": self._holder, "fence": self.fence})

    def _body(self, holder: str | None, publish: Mapping[str, Any]) -> bytes:
        self._renewals += 1  # so that each write has a tag of its own
        body = {"holder": holder, "fence": self.fence, "renewal": self._renewals, "published": publish}
        return json.dumps(body).encode()
