"""Requests that are sent again, and change nothing by that.

An idempotency key fixes the ids of what its request makes. Sent again, the request does the same once more under the
same ids: photos are put where they are already, jobs run into the result that counts (the first), and the answer is
found or waited for. So nothing needs to be locked, and whatever broke the first request off, the second completes it.

What changes something that lies there already cannot be done twice like that: others may have gone on from where the
first request left it. Of such a change the outcome is written down under the request's id, and one request at a time
makes it.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from face_common.contract import Code
from face_common.errors import ObjectMissingError, ServiceError, TransientError
from face_common.ports import ObjectStore

KEY_PATTERN = "^[!-~]+$"
LONGEST_KEY = 255
_LONGEST_SECONDS = 600.0  # nginx gives a request up before; whoever has begun one and not ended it by then has died
_JSON = "application/json"
Outcome = Mapping[str, Any]
"""What a change came to, as JSON has it, in ids, counts and versions: no erasure looks for names in it."""


class Idempotency:
    """Remembers which ids belong to which idempotency key, and what was changed under them. Thread-safe."""

    def __init__(self, store: ObjectStore, new_id: Callable[[], str], now: Callable[[], float] = time.time) -> None:
        """`new_id` makes ULIDs, `now` is the wall clock in seconds since the epoch."""
        self._store = store
        self._new_id = new_id
        self._now = now

    def ids(self, key: str | None, scope: str, fingerprint: str, count: int) -> Sequence[str]:
        """So many ids: new ones, or those that this key had before.

        `scope` tells apart who uses the key and for which call; `fingerprint` tells one request from another.
        ServiceError with idempotency-key-invalid, or idempotency-key-reused when the request was another one then.
        """
        if key is None:
            return [self._new_id() for _ in range(count)]
        if len(key) > LONGEST_KEY or not re.fullmatch(KEY_PATTERN, key):
            detail = f"an idempotency key has 1 to {LONGEST_KEY} ASCII characters, all of them printable and no spaces"
            raise ServiceError(Code.IDEMPOTENCY_KEY_INVALID, detail)
        place = hashlib.sha256(f"{scope}\n{key}".encode()).hexdigest()
        kept = {"fingerprint": fingerprint, "ids": [self._new_id() for _ in range(count)]}
        object_key = f"idempotency/{place}.json"
        if not self._store.put_new(object_key, json.dumps(kept).encode(), _JSON):
            kept = json.loads(self._store.get(object_key))
        if kept["fingerprint"] != fingerprint:
            detail = "this idempotency key came with another request before; use a new one for each request"
            raise ServiceError(Code.IDEMPOTENCY_KEY_REUSED, detail)
        return list(kept["ids"])

    def once(self, request_id: str, change: Callable[[], Outcome], conclude: Callable[[Outcome], None]) -> Outcome:
        """The outcome of a change that is made a single time for this id, one of those above.

        `conclude` does what follows from the outcome, which may be done again: it is, until it has been done whole.
        ServiceError (server-busy) while another request makes the change.
        """
        key = f"idempotency/outcomes/{request_id}.json"
        kept = self._begin(key)
        if kept is None:
            kept = {"outcome": self._make(key, change), "concluded": False}
            self._store.put(key, json.dumps(kept).encode(), _JSON)
        if not kept["concluded"]:
            conclude(kept["outcome"])
            self._store.put(key, json.dumps({**kept, "concluded": True}).encode(), _JSON)
        outcome: Outcome = kept["outcome"]
        return outcome

    def _begin(self, key: str) -> dict[str, Any] | None:
        """What is written down of a change; None when this request is the one to make it."""
        begun = json.dumps({"begun": self._now()}).encode()
        if self._store.put_new(key, begun, _JSON):
            return None
        with suppress(ObjectMissingError):  # whoever had begun has failed just now
            body, tag = self._store.get_tagged(key)
            kept: dict[str, Any] = json.loads(body)
            if "outcome" in kept:
                return kept
            has_died = kept["begun"] + _LONGEST_SECONDS < self._now()
            if has_died and self._store.put_over(key, begun, _JSON, tag) is not None:
                return None
        raise ServiceError(Code.SERVER_BUSY, "the same request is under way; try again in a few seconds")

    def _make(self, key: str, change: Callable[[], Outcome]) -> Outcome:
        try:
            return change()
        except BaseException:
            with suppress(TransientError):
                self._store.delete([key])
            raise


def fingerprint(*parts: bytes | str) -> str:
    """What tells one request from another: a hash of hashes, so that it is no photo's own."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    return whole.hexdigest()
