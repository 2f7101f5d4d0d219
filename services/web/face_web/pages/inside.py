"""The service's own HTTP API, called from within: a page has no way to anything that a client has not.

Rights, checks, audit entries and idempotency come with the calls.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import quote

from flask import Flask, request
from werkzeug.datastructures import MultiDict
from werkzeug.test import EnvironBuilder, run_wsgi_app

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web import incoming
from face_web.admission import INSIDE

Query = Mapping[str, Any]
Upload = tuple[str, str, bytes]
"""A multipart file: its field, its name, its bytes."""
_PROBLEM = "application/problem+json"


class RefusedError(Exception):
    """A call was answered with a problem."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        """`problem`: as of RFC 9457, with the service's `code`."""
        super().__init__(problem["detail"])
        self.problem = problem
        self.status: int = problem["status"]
        self.code: str = problem["code"]
        self.detail: str = problem["detail"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered."""

    body: bytes

    @property
    def json(self) -> Any:
        """The body, where it is JSON."""
        return json.loads(self.body)


class Inside:
    """Makes calls for whoever makes the request under way."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that a GET answers; parameters that are None are left out. RefusedError when it is a problem."""
        return self.send("GET", path, query=query).json

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: Any = None,
        files: Sequence[Upload] = (),
        body: bytes | None = None,
        kind: str | None = None,
        once: str = "",
    ) -> Answer:
        """Make a call; RefusedError when it is answered with a problem.

        `path` is escaped: `at` makes one with names in it. `kind` is the media type of a body
        that has one. `once` is the Idempotency-Key, where one is wanted.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        uploads = MultiDict((name, (BytesIO(content), title)) for name, title, content in files)
        builder = EnvironBuilder(
            path=path,
            method=method,
            base_url=request.host_url,
            query_string={name: _written(value) for name, value in given.items()},
            json=json,
            data=uploads or body,
            content_type=kind,
            headers=[("Idempotency-Key", once)] if once else None,
        )
        environ = builder.get_environ() | {INSIDE: incoming.caller()}
        with self._app.app_context():  # what it notes is the inner request's
            pieces, _, headers = run_wsgi_app(self._app.wsgi_app, environ, buffered=True)
        builder.close()
        answer = Answer(b"".join(pieces))
        if headers.get("Content-Type", "").startswith(_PROBLEM):
            raise RefusedError(answer.json)
        return answer


def _written(value: Any) -> Any:
    """A parameter's value as the API takes it."""
    return str(value).lower() if isinstance(value, bool) else value


def at(*parts: str) -> str:
    """A path of these parts, each escaped; ServiceError (not-found) for one that no path has, as it names nothing."""
    if not all(parts) or any("/" in part for part in parts):
        raise ServiceError(Code.NOT_FOUND, "names and ids are not empty and have no slashes")
    return "/" + "/".join(quote(part, safe="") for part in parts)
