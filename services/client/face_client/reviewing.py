"""Single faces of answers: which to look at, whose they are, and whose they are not."""

from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import quote

import httpx

from face_client.connection import Connection
from face_client.models import MadeRejection, Receipt, Rejection, ReviewedFace
from face_common.contract import EnrolledPhoto


class Faces:
    """Faces of identifications, each by the identification's id and its number, counted from 0."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(
        self, decision: Literal["match", "ambiguous", "unknown"] = "ambiguous", *, limit: int | None = None
    ) -> list[ReviewedFace]:
        """Faces of the newest answers that were so decided and that nobody has looked at, the newest first."""
        params = {"decision": decision, "limit": limit}
        found: list[ReviewedFace] = self._connection.call("GET", "/v1/identifications", params)["faces"]
        return found

    def name(self, identification: str, face: int, person: str, *, insist: bool = False) -> EnrolledPhoto:
        """Enrol a face as a person's; the verdict, also when it was not accepted. `insist`: as in an enrolment."""
        path, params = f"{_face(identification, face)}/naming", {"insist": True if insist else None}
        verdict: EnrolledPhoto = _told(self._connection, path, params, json={"person": person})["photos"][0]
        return verdict

    def dismiss(self, identification: str, face: int) -> None:
        """Leave a face as it was decided, and list it no more."""
        self._connection.answer("POST", f"{_face(identification, face)}/dismissal")


class Rejections:
    """The reject list of a collection: faces that are not whom they were named."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> Iterator[Rejection]:
        """The rejected faces, the newest first; fetched page by page."""
        return self._connection.pages("/v1/rejections", "rejections")

    def add(self, identification: str, face: int = 0) -> MadeRejection:
        """Say that a face is not the person that it was named; the verdict, also when no face was found in it."""
        body = {"identification": identification, "face": face}
        made: MadeRejection = _told(self._connection, "/v1/rejections", None, json=body)
        return made

    def image(self, rejection: str) -> bytes:
        """A rejected face as JPEG."""
        return self._connection.answer("GET", f"{_rejection(rejection)}/image").content

    def undo(self, rejection: str) -> Receipt:
        """Take a rejection back; the receipt of what is erased by that."""
        receipt: Receipt = self._connection.call("DELETE", _rejection(rejection))
        return receipt


def _told(connection: Connection, path: str, params: dict[str, Any] | None, **body: Any) -> Any:
    return connection.answer("POST", path, params, accepts=_has_verdict, **body).json()


def _has_verdict(answer: httpx.Response) -> bool:
    """A face that was not enrolled is answered with 422, and with its verdict all the same."""
    if answer.status_code != 422:
        return answer.is_success
    answer.read()
    found = answer.json()
    return "photos" in found or "verdict" in found


def _face(identification: str, face: int) -> str:
    return f"/v1/identifications/{quote(identification, safe='')}/faces/{face}"


def _rejection(rejection: str) -> str:
    return f"/v1/rejections/{quote(rejection, safe='')}"
