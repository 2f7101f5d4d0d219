"""The service's calls as methods."""

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self, Unpack, cast
from urllib.parse import quote

import httpx

from face_client.bulk import Bulks
from face_client.clusters import Clusters
from face_client.connection import Connection, Parameters
from face_client.dead_letters import DeadLetters
from face_client.errors import FaceServiceError
from face_client.gallery import Gallery
from face_client.keys import Keys
from face_client.models import (
    AuditEntry,
    CollectionSummary,
    Consent,
    Me,
    NamedFaces,
    Person,
    PersonSummary,
    Receipt,
    Supposition,
    Webhook,
)
from face_client.override import FleetOverride
from face_client.reviewing import Faces, Rejections
from face_client.uploads import Parts
from face_common.contract import Code, EnrolledPhoto, Result, is_person

_PATIENCE = httpx.Timeout(10.0, read=330.0)  # an enrolment may wait five minutes for a worker
_RETRIES = 4
_LOOK = 0.5  # seconds between two looks at something that goes on


class FaceClient:
    """A connection to one service. Thread-safe; use it in a `with` block or close it.

    Every call is tried again, with growing pauses, when the connection fails or the service is busy; what was done is
    not done twice by that. FaceServiceError when the service refuses, httpx.HTTPError when it cannot be reached.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        collection: str = "default",
        retries: int = _RETRIES,
        certificate: Path | None = None,
        timeout: float | httpx.Timeout = _PATIENCE,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`url` is the service's address, such as http://127.0.0.1:8080, and `key` a key of it.

        `retries` is how often a call is tried again; `certificate` is a file with the one to trust, for a service that
        has made its own; `timeout` is how long, in seconds, it may be silent. `transport` replaces the network in
        tests, and `pause` the waiting.
        """
        http = httpx.Client(
            base_url=url,
            timeout=timeout,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            params={"collection": collection},
            transport=transport,
            verify=ssl.create_default_context(cafile=certificate) if certificate else True,
            trust_env=False,
            limits=httpx.Limits(max_connections=None),
        )
        self._connection = Connection(http, retries=retries, pause=pause)
        self.batches, self.imports = Bulks(self._connection, "batches"), Bulks(self._connection, "imports")
        """Many photos to recognise, or to enrol."""
        self.clusters = Clusters(self._connection)
        """Faces that nobody has named yet."""
        self.faces, self.rejections = Faces(self._connection), Rejections(self._connection)
        """Single faces of answers; those of them that are not whom they were named."""
        self.gallery, self.keys = Gallery(self._connection), Keys(self._connection)
        """The collection as a whole; the service's keys."""
        self.override, self.dead_letters = FleetOverride(self._connection), DeadLetters(self._connection)
        """What an operator wants of the fleet for now; jobs that no worker could finish."""

    # Questions about photos

    def identify(
        self, photo: Path, *, name: str = "", wait: float = 30.0, top: int = 3, max_faces: int = 100, webhook: str = ""
    ) -> Result:
        """Who is in the photo, sent under its own name or another.

        Without an answer in `wait` seconds its state is "queued" and it has no faces yet: ask `identification` later,
        or let the service tell `webhook`, a destination that its operator has named.
        """
        params = {"wait": wait, "top": top, "max_faces": max_faces, "webhook": webhook or None}
        files = {"image": (name or photo.name, photo.read_bytes())}
        result: Result = self._connection.call("POST", "/v1/identifications", params, files=files)
        return result

    def identification(self, job_id: str) -> Result:
        """An earlier identification."""
        return self._look_up("identifications", job_id)

    def identification_image(self, job_id: str, *, face: int | None = None) -> bytes:
        """The photo of an identification as JPEG: with its faces framed, or the one face cut out of it."""
        path = f"/v1/identifications/{_part(job_id)}/image"
        return self._connection.answer("GET", path, {"face": face}).content

    def verify(self, first: Path, second: Path, *, wait: float = 30.0) -> Result:
        """Whether the main faces of two photos are one person's: see the result's `verification`.

        Without an answer in `wait` seconds its state is "queued": ask `verification` later.
        """
        files = [("image", (photo.name, photo.read_bytes())) for photo in (first, second)]
        result: Result = self._connection.call("POST", "/v1/verifications", {"wait": wait}, files=files)
        return result

    def verification(self, job_id: str) -> Result:
        """An earlier verification."""
        return self._look_up("verifications", job_id)

    def detect(self, photo: Path, *, wait: float = 30.0, max_faces: int = 100) -> Result:
        """Where faces are in the photo, the most prominent first, and how good they are.

        Without an answer in `wait` seconds its state is "queued" and it has no faces yet: ask `detection` later.
        """
        files = {"image": (photo.name, photo.read_bytes())}
        params = {"wait": wait, "max_faces": max_faces}
        result: Result = self._connection.call("POST", "/v1/detections", params, files=files)
        return result

    def detection(self, job_id: str) -> Result:
        """An earlier detection."""
        return self._look_up("detections", job_id)

    def search(self, encoding: Sequence[float], model: str, *, top: int = 3, wait: float = 30.0) -> Result:
        """Whose face an encoding of 128 numbers is; `model` is the one that made it, as results name it."""
        body = {"encoding": list(encoding), "model": model, "top": top}
        result: Result = self._connection.call("POST", "/v1/searches", {"wait": wait}, json=body)
        return result

    def earlier_search(self, job_id: str) -> Result:
        """An earlier search."""
        return self._look_up("searches", job_id)

    def classic(self, photo: Path, *, name: str = "") -> str:
        """The classic form's line, `<file name without extension>:<person>`."""
        files = {"inputFile": (name or photo.name, photo.read_bytes())}
        return self._connection.answer("POST", "/", files=files).text

    # People

    def enrol(self, person: str, photos: Sequence[Path], *, insist: bool = False) -> list[EnrolledPhoto]:
        """Enrol photos of a person, each showing that person alone; a verdict for each, also when none was accepted.

        `insist` enrols photos even if they look like another person, or unlike this person's others.
        """
        params = {"insist": True if insist else None}
        with Parts((photo.name, photo) for photo in photos) as parts:
            answer = self._connection.answer(
                "POST", f"{_person(person)}/photos", params, accepts=_has_verdicts, files=parts.files
            )
        verdicts: list[EnrolledPhoto] = answer.json()["photos"]
        return verdicts

    def people(self, search: str = "") -> Iterator[PersonSummary]:
        """Everyone enrolled, by name, or those whose names have `search` in them; fetched page by page."""
        return self._connection.pages("/v1/people", "people", {"search": search or None})

    def person(self, person: str) -> Person:
        """A person with their enrolled photos."""
        found: Person = self._connection.call("GET", _person(person))
        return found

    def rename(self, person: str, name: str) -> Person:
        """Give a person another name, which nobody else may have."""
        return self._change(person, name=name)

    def set_consent(self, person: str, reference: str, *, given_at: str = "", expires_at: str | None = None) -> Person:
        """Note where it is written that a person agreed; and, if given, when the person is to be erased."""
        consent: Consent = {"reference": reference}
        if given_at:
            consent["given_at"] = given_at
        return self._change(person, consent=consent, **({"expires_at": expires_at} if expires_at else {}))

    def set_expiry(self, person: str, expires_at: str | None) -> Person:
        """Say when a person is erased without anybody's doing; None for never."""
        return self._change(person, expires_at=expires_at)

    def merge(self, person: str, into: str) -> Person:
        """Make the photos of one person those of another, who stays."""
        merged: Person = self._connection.call("POST", f"{_person(person)}/merge", json={"into": into})
        return merged

    def photo(self, person: str, photo: str) -> bytes:
        """An enrolled photo as it was sent."""
        return self._connection.answer("GET", f"{_person(person)}/photos/{_part(photo)}").content

    def photo_face(self, person: str, photo: str, *, side: int | None = None) -> bytes:
        """The face of an enrolled photo as a square JPEG, `side` pixels across."""
        path = f"{_person(person)}/photos/{_part(photo)}/face"
        return self._connection.answer("GET", path, {"side": side}).content

    def identifications_of(self, person: str, *, limit: int | None = None) -> NamedFaces:
        """The newest answers that name a person, and whether those are all that do."""
        path = f"{_person(person)}/identifications"
        found: NamedFaces = self._connection.call("GET", path, {"limit": limit})
        return found

    def remove_photo(self, person: str, photo: str, *, patience: float = 600.0) -> Receipt:
        """Erase one photo of a person; see `erase`."""
        begun: Receipt = self._connection.call("DELETE", f"{_person(person)}/photos/{_part(photo)}")
        return self._erased(begun, patience)

    def erase(self, person: str, *, insist: bool = False, patience: float = 600.0) -> Receipt:
        """Erase all that is kept on a person; the receipt, for which it waits so many seconds.

        If it goes on for longer, its state is "running": ask `erasure` later. `insist`: look for answers that name them
        even if nobody of that name is enrolled any more.
        """
        params = {"insist": True} if insist else None
        return self._erased(self._connection.call("DELETE", _person(person), params), patience)

    def erase_collection(self, *, patience: float = 600.0) -> Receipt:
        """Erase the whole collection with everybody in it; see `erase`."""
        return self._erased(self._connection.call("DELETE", "/v1/gallery"), patience)

    def erasure(self, erasure_id: str) -> Receipt:
        """How far an erasure has come; its receipt in the end."""
        receipt: Receipt = self._connection.call("GET", f"/v1/erasures/{_part(erasure_id)}")
        return receipt

    def export_person(self, person: str, to: BinaryIO) -> int:
        """Write a zip of all that is kept on a person to an open file; how many bytes it has."""
        return self._connection.save(f"{_person(person)}/export", to)

    # The service

    def me(self) -> Me:
        """Who the service takes this client for."""
        found: Me = self._connection.call("GET", "/v1/me")
        return found

    def collections(self) -> list[CollectionSummary]:
        """The collections that this client's key may work with."""
        found: list[CollectionSummary] = self._connection.call("GET", "/v1/collections")["collections"]
        return found

    def fleet(self) -> dict[str, Any]:
        """Backlog, workers by state, rates, the last decision, and the override that is on."""
        found: dict[str, Any] = self._connection.call("GET", "/v1/fleet")
        return found

    def decisions(self, limit: int = 100) -> list[dict[str, Any]]:
        """What the scaling loop decided and why, the newest first."""
        found: list[dict[str, Any]] = self._connection.call("GET", "/v1/fleet/decisions", {"limit": limit})["decisions"]
        return found

    def what_if(self, **supposed: Unpack[Supposition]) -> dict[str, Any]:
        """What the scaling loop would decide if some numbers were others, whatever the override. Changes nothing."""
        found: dict[str, Any] = self._connection.call("GET", "/v1/fleet/what-if", cast("Parameters", supposed))
        return found

    def audit(self, *, action: str = "") -> Iterator[AuditEntry]:
        """Who did what, fetched page by page."""
        return self._connection.pages("/v1/audit", "entries", {"action": action or None})

    def settings(self) -> dict[str, Any]:
        """How the service is set up, without anything secret."""
        found: dict[str, Any] = self._connection.call("GET", "/v1/settings")
        return found

    def webhooks(self) -> list[Webhook]:
        """Where the service tells of results, and what it could not tell."""
        found: list[Webhook] = self._connection.call("GET", "/v1/webhooks")["webhooks"]
        return found

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _erased(self, begun: Receipt, patience: float) -> Receipt:
        receipt, deadline = begun, time.monotonic() + patience
        while receipt["state"] == "running" and time.monotonic() < deadline:
            self._connection.pause(_LOOK)
            receipt = self.erasure(receipt["id"])
        return receipt

    def _look_up(
        self, answers: Literal["identifications", "verifications", "detections", "searches"], job: str
    ) -> Result:
        result: Result = self._connection.call("GET", f"/v1/{answers}/{_part(job)}")
        return result

    def _change(self, person: str, **changes: Any) -> Person:
        changed: Person = self._connection.call("PUT", _person(person), json=changes)
        return changed


def _has_verdicts(answer: httpx.Response) -> bool:
    """An enrolment without an accepted photo is answered with 422, and with its verdicts all the same."""
    if answer.status_code != 422:
        return answer.is_success
    answer.read()
    return "photos" in answer.json()


def _part(text: str) -> str:
    return quote(text, safe="")


def _person(person: str) -> str:
    if not is_person(person):  # a slash or dots would lead elsewhere
        raise FaceServiceError(400, Code.PERSON_INVALID.value, f"{person!r} cannot be anybody's name")
    return f"/v1/people/{_part(person)}"
