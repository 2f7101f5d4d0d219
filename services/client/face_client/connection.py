"""Requests that are tried again, and change nothing by that.

Every POST carries an Idempotency-Key of its own, the same in every try, so that the service does once what it is asked
several times. What may be tried again: a connection that failed, and the answers 429, 502, 503 and 504.
"""

import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

import httpx

from face_client.errors import FaceServiceError

_AGAIN = frozenset({429, 502, 503, 504})
_FINAL = frozenset({"not-processed"})  # the result of a job, which another try would only be told once more
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 8.0
_PATIENCE = 60.0  # a service that asks for a longer pause is not waited for

Parameters = Mapping[str, str | int | float | bool | None]


class Connection:
    """A service's address with connections to it. Thread-safe."""

    def __init__(
        self,
        http: httpx.Client,
        *,
        retries: int,
        pause: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`retries`: how often a request is tried again; `pause` waits for seconds; `chance` is from 0 to 1."""
        self._http = http
        self._retries = retries
        self._chance = chance
        self.pause = pause

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def call(self, method: str, path: str, params: Parameters | None = None, **body: Any) -> Any:
        """The JSON that a request is answered with; FaceServiceError when it is refused.

        `body` is one of httpx's: `json`, `files`, or `content` with its media type as `kind`.
        """
        return self.answer(method, path, params, **body).json()

    def answer(
        self,
        method: str,
        path: str,
        params: Parameters | None = None,
        *,
        accepts: Callable[[httpx.Response], bool] = lambda answer: answer.is_success,
        **body: Any,
    ) -> httpx.Response:
        """The answer to a request; `accepts` tells a good one from a refusal, which is a FaceServiceError."""
        answer = self._tried(method, path, params, body, accepts)
        answer.read()
        return answer

    @contextmanager
    def stream(self, method: str, path: str, params: Parameters | None = None, **body: Any) -> Iterator[httpx.Response]:
        """An answer whose body is read bit by bit inside the block."""
        answer = self._tried(method, path, params, body, lambda answer: answer.is_success)
        try:
            yield answer
        finally:
            answer.close()

    def save(self, path: str, to: BinaryIO, params: Parameters | None = None) -> int:
        """Write the body of a GET's answer to an open file; how many bytes it has."""
        with self.stream("GET", path, params) as answer:
            return sum(to.write(chunk) for chunk in answer.iter_bytes())

    def lines(self, path: str, params: Parameters | None = None) -> Iterator[str]:
        """The lines of a GET's answer, as they come."""
        with self.stream("GET", path, params) as answer:
            yield from filter(None, answer.iter_lines())

    def pages(self, path: str, field: str, params: Parameters | None = None) -> Iterator[Any]:
        """The entries of a list that comes in pages, each of which names the next one."""
        after: str | None = None
        while True:
            page = self.call("GET", path, {**(params or {}), "after": after})
            yield from page[field]
            after = page.get("next")
            if not after:
                return

    def _tried(
        self,
        method: str,
        path: str,
        params: Parameters | None,
        body: dict[str, Any],
        accepts: Callable[[httpx.Response], bool],
    ) -> httpx.Response:
        headers = _headers(method, body)
        given = {name: _text(value) for name, value in (params or {}).items() if value is not None}
        for number in range(self._retries + 1):
            last = number == self._retries
            _rewind(body.get("content"))
            request = self._http.build_request(method, path, params=given, headers=headers, **body)
            try:
                answer = self._http.send(request, stream=True)
            except httpx.TransportError as fault:
                if last or isinstance(fault, httpx.ReadTimeout):  # minutes went by without an answer: enough
                    raise
                self.pause(self._backoff(number))
                continue
            if accepts(answer):
                return answer
            error = _refusal(answer)
            if last or not _worth_another(error):
                raise error
            self.pause(error.retry_after or self._backoff(number))
        raise AssertionError("the last try ends in an answer or an error")

    def _backoff(self, number: int) -> float:
        """Seconds before the next try: twice as long each time, and never the same for two clients."""
        return float(min(_FIRST_PAUSE * 2**number, _LONGEST_PAUSE) * (0.5 + self._chance() / 2))


def _headers(method: str, body: dict[str, Any]) -> dict[str, str]:
    """The same in every try, down to the boundaries between files."""
    headers = {"Idempotency-Key": secrets.token_hex(16)} if method == "POST" else {}
    kind = body.pop("kind", "")
    if "files" in body:
        kind = f"multipart/form-data; boundary={secrets.token_hex(16)}"
    return {**headers, "Content-Type": kind} if kind else headers


def _worth_another(error: FaceServiceError) -> bool:
    patient = error.retry_after is None or error.retry_after <= _PATIENCE
    return error.status in _AGAIN and error.code not in _FINAL and patient


def _refusal(answer: httpx.Response) -> FaceServiceError:
    answer.read()
    try:
        problem = answer.json()
        code, detail = problem["code"], problem["detail"]
    except (ValueError, KeyError, TypeError):  # not from the service itself: a proxy, or another server
        problem, code, detail = {}, "no-problem", answer.text[:200]
    return FaceServiceError(
        answer.status_code, code, detail, retry_after=_seconds(answer.headers.get("Retry-After")), job=problem.get("id")
    )


def _seconds(header: str | None) -> float | None:
    """What Retry-After says: seconds, or a date."""
    if header is None:
        return None
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _rewind(content: Any) -> None:
    if hasattr(content, "seek"):
        content.seek(0)


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
