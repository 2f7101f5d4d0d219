"""What an operator wants of the fleet for now, whatever the load."""

from typing import Any

from face_client.connection import Connection
from face_client.models import Override

_PATH = "/v1/fleet/override"


class FleetOverride:
    """The override of a service: at most one is on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self) -> Override | None:
        """The one that is on; None: the load decides."""
        found: Override | None = self._connection.call("GET", _PATH)["override"]
        return found

    def pin(self, workers: int, why: str, *, until: str | None = None) -> Override:
        """Keep so many workers, for a reason in one line that names nobody; see `pause`."""
        return self._set({"mode": "pin", "workers": workers, "why": why, "until": until})

    def pause(self, why: str, *, until: str | None = None) -> Override:
        """Neither start nor retire any worker.

        `until`: when it ends by itself, ISO 8601 with an offset; None: when it is lifted. It takes the place of one
        that is on.
        """
        return self._set({"mode": "pause", "why": why, "until": until})

    def lift(self) -> None:
        """End the override, if there is one: the load decides again."""
        self._connection.answer("DELETE", _PATH)

    def _set(self, wish: dict[str, Any]) -> Override:
        override: Override = self._connection.call("PUT", _PATH, json=wish)["override"]
        return override
