"""The keys of a service, for who administers it."""

from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

from face_client.connection import Connection
from face_client.models import Key, NewKey


class Keys:
    """Makes, lists and revokes keys."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> list[Key]:
        """Every key, the oldest first, without its text."""
        found: list[Key] = self._connection.call("GET", "/v1/keys")["keys"]
        return found

    def create(
        self,
        name: str,
        role: Literal["submit", "enrol", "admin"],
        *,
        collections: Sequence[str] | None = None,
        expires_at: str | None = None,
        rate: float | None = None,
    ) -> NewKey:
        """A new key; its text, `secret`, is shown this once.

        `collections` are those that it is bound to, None for all; `rate` is how many requests a second it may make.
        """
        wanted = {
            "name": name,
            "role": role,
            "collections": None if collections is None else list(collections),
            "expires_at": expires_at,
            "rate": rate,
        }
        body = {field: value for field, value in wanted.items() if value is not None}
        made: NewKey = self._connection.call("POST", "/v1/keys", json=body)
        return made

    def revoke(self, key: str) -> Key:
        """End a key, named by its id."""
        ended: Key = self._connection.call("DELETE", f"/v1/keys/{quote(key, safe='')}")
        return ended
