"""The calls about keys: who the caller is, and, for those who run the service, everybody's keys and the audit log."""

import datetime
from itertools import islice
from typing import Any

from flask import Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from face_common.contract import Code
from face_web import incoming
from face_web.access import Caller, Role
from face_web.audit import AuditEntry
from face_web.keys import KeyInfo, new_key_id
from face_web.routes import Absent, Routes
from face_web.services import Services

_MOST_COLLECTIONS = 100
_MOST_ENTRIES = 1000
_LONGEST_NAME = 100


class KeyAnswer(TypedDict):
    """A key, without what makes it usable."""

    key: str
    """The key's id."""
    name: str
    role: Role
    collections: list[str] | None
    """The collections that it is bound to; null for all of them."""
    rate: float | None
    """Requests a second, where that is not the usual limit."""
    created_at: str
    created_by: str
    expires_at: str | None
    used_at: str | None
    """To the minute; null when it never was used."""


class NewKeyAnswer(KeyAnswer):
    """A key that has just been made."""

    secret: str
    """The key's text, which is shown this once."""


class KeysAnswer(TypedDict):
    """All keys."""

    keys: list[KeyAnswer]


class MeAnswer(TypedDict):
    """Who the caller is."""

    key: str
    name: str
    role: Role
    collections: list[str] | None
    open: bool
    """Whether this service asks nobody for a key."""


class AuditAnswer(TypedDict):
    """A page of the audit log, the oldest first."""

    entries: list[AuditEntry]
    next: str | None
    """What `after` must be for the next page; null on the last one."""


class NewKeyBody(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        min_length=1, max_length=_LONGEST_NAME, pattern=incoming.LINE, description="Whose key it is, for people."
    )
    role: Role
    collections: list[incoming.CollectionName] | None = Field(
        None, min_length=1, max_length=_MOST_COLLECTIONS, description="Bind it to these; null for all collections."
    )
    rate: float | None = Field(None, gt=0, le=1e6, description="Requests a second, instead of the usual limit.")
    expires_at: incoming.Moment | None = None


class KeyPath(BaseModel):
    """A key in a path."""

    key: str = Field(max_length=32, description="The key's id.")


class AuditQuery(BaseModel):
    """Which part of the audit log."""

    after: incoming.JobId | Absent = Field(None, description="The last entry's id of the page before.")
    limit: int = Field(100, ge=1, le=_MOST_ENTRIES)
    action: str = Field("", max_length=40, description="Only what was done in this way, such as erase-person.")


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    calls = _KeyCalls(services)
    routes = Routes("keys", "/v1", tag="Keys", about="Who may do what, and who did.")
    role: dict[str, Any] = {"role": Role.ADMIN, "scope": "service"}
    wrong = (Code.PARAMETER_INVALID,)
    routes.add("GET", "/me", calls.me, id="get-me", answers={200: MeAnswer}, role=Role.SUBMIT, scope="caller")
    routes.add("GET", "/keys", calls.keys, id="list-keys", answers={200: KeysAnswer}, **role)
    made = {201: NewKeyAnswer}
    routes.add("POST", "/keys", calls.create, id="create-key", answers=made, **role)
    gone = (Code.NOT_FOUND, *wrong)
    routes.add("DELETE", "/keys/<key>", calls.revoke, id="revoke-key", answers={200: KeyAnswer}, errors=gone, **role)
    routes.add("GET", "/audit", calls.audit, id="list-audit", answers={200: AuditAnswer}, errors=wrong, **role)
    return routes


class _KeyCalls:
    """The calls."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def me(self) -> Response:
        """Who the caller is, and what the key is for."""
        caller = incoming.caller()
        return jsonify({**_shown(caller), "open": self._services.access.is_open})

    def keys(self) -> Response:
        """All keys, the oldest first."""
        return jsonify({"keys": [_listed(info) for info in self._services.keys.all()]})

    def create(self, body: NewKeyBody) -> tuple[Response, int]:
        """Make a key. Its text is in this answer only: the service keeps a hash of it."""
        collections = None if body.collections is None else frozenset(body.collections)
        (seed,) = incoming.ids(self._services, 1, request.get_data())
        caller = Caller("", body.name, body.role, collections, body.rate)
        who = incoming.caller().key
        expires_at = body.expires_at.timestamp() if body.expires_at else None
        info, text = self._services.keys.create(
            new_key_id(seed.encode()), caller, created_by=who, expires_at=expires_at
        )
        self._services.audit.record(who, "create-key", key=info.key.caller.key, role=body.role.value)
        return jsonify({**_listed(info), "secret": text}), 201

    def revoke(self, path: KeyPath) -> Response:
        """Revoke a key: on every web host within seconds."""
        found = {info.key.caller.key: info for info in self._services.keys.all()}
        self._services.keys.revoke(path.key)
        self._services.audit.record(incoming.caller().key, "revoke-key", key=path.key)
        return jsonify(_listed(found[path.key]))

    def audit(self, query: AuditQuery) -> Response:
        """Who did what to whose data, and when, the oldest first."""
        found = list(islice(self._services.audit.entries(query.after or "", query.action), query.limit + 1))
        page = found[: query.limit]
        return jsonify({"entries": page, "next": page[-1]["id"] if len(found) > query.limit else None})


def _shown(caller: Caller) -> dict[str, Any]:
    collections = None if caller.collections is None else sorted(caller.collections)
    return {"key": caller.key, "name": caller.name, "role": caller.role, "collections": collections}


def _listed(info: KeyInfo) -> dict[str, Any]:
    return {
        **_shown(info.key.caller),
        "rate": info.key.caller.rate,
        "created_at": _iso(info.created_at),
        "created_by": info.created_by,
        "expires_at": _iso(info.key.expires_at),
        "used_at": _iso(info.used_at),
    }


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="seconds")
