"""The operator's override, as one small object in the bucket: every host may set it, and the leader acts on it."""

import logging
from dataclasses import replace

from pydantic import TypeAdapter, ValidationError

from face_common.errors import ObjectMissingError, TransientError
from face_common.ports import ObjectStore
from face_web.scaler.model import Override, Policy

KEY = "fleet/override.json"
_AS_JSON = TypeAdapter(Override)
_log = logging.getLogger(__name__)


class Overrides:
    """What the operator wants: the settings' policy, and the override of it that is in the bucket."""

    def __init__(self, store: ObjectStore, policy: Policy) -> None:
        """`policy` is what holds without an override."""
        self._store = store
        self._known: Override | None = None
        self.usual = policy
        """The policy without an override."""

    def policy(self, now: float) -> Policy:
        """The policy with the override of now; where that cannot be read, with the one that was read last."""
        try:
            self._known = self._read()
        except TransientError as error:
            _log.warning("the override cannot be read", extra={"reason": str(error)})
        return replace(self.usual, override=_if_in_force(self._known, now))

    def find(self, now: float) -> Override | None:
        """The override of now, if there is one. TransientError as the store's."""
        return _if_in_force(self._read(), now)

    def write(self, override: Override) -> None:
        """Set it, in place of any other; whoever leads acts on it in the next tick. TransientError as the store's."""
        self._store.put(KEY, _AS_JSON.dump_json(override), "application/json")

    def lift(self) -> None:
        """End it, if there is one. TransientError as the store's."""
        self._store.delete([KEY])

    def _read(self) -> Override | None:
        try:
            return _AS_JSON.validate_json(self._store.get(KEY))
        except ObjectMissingError:
            return None
        except ValidationError as error:
            _log.error("not an override", extra={"key": KEY, "reason": str(error)})
            return None


def _if_in_force(override: Override | None, now: float) -> Override | None:
    return override if override is not None and override.holds(now) else None
