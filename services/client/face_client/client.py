"""The service's calls as methods."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from face_common.contract import EnrolledPhoto, Result

_PATIENCE = httpx.Timeout(10.0, read=330.0)  # an enrolment may wait five minutes for a worker


class FaceServiceError(Exception):
    """The service refused or failed; `code` is stable and documented, `detail` is for people."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{code} ({status}): {detail}")
        self.status = status
        self.code = code
        self.detail = detail


class FaceClient:
    """A connection to one service. Thread-safe; use it in a `with` block or close it."""

    def __init__(self, url: str, *, collection: str = "default", transport: httpx.BaseTransport | None = None) -> None:
        """`url` is the service's address, such as http://127.0.0.1:8080; `transport` replaces the network in tests."""
        self._http = httpx.Client(
            base_url=url,
            timeout=_PATIENCE,
            params={"collection": collection},
            transport=transport,
            trust_env=False,
            limits=httpx.Limits(max_connections=None),
        )

    def identify(self, photo: Path, *, name: str = "", wait: float = 30.0, top: int = 3) -> Result:
        """Who is in the photo, sent under its own name or another.

        Without an answer in `wait` seconds its state is "queued" and it has no faces yet: ask `identification` later.
        """
        files = {"image": (name or photo.name, photo.read_bytes())}
        result: Result = self._call("POST", "/v1/identifications", files=files, params={"wait": wait, "top": top})
        return result

    def identification(self, job_id: str) -> Result:
        """An earlier identification."""
        return self._look_up("identifications", job_id)

    def verify(self, first: Path, second: Path, *, wait: float = 30.0) -> Result:
        """Whether the main faces of two photos are one person's: see the result's `verification`.

        Without an answer in `wait` seconds its state is "queued": ask `verification` later.
        """
        files = [("image", (photo.name, photo.read_bytes())) for photo in (first, second)]
        result: Result = self._call("POST", "/v1/verifications", files=files, params={"wait": wait})
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
        result: Result = self._call("POST", "/v1/detections", files=files, params=params)
        return result

    def detection(self, job_id: str) -> Result:
        """An earlier detection."""
        return self._look_up("detections", job_id)

    def classic(self, photo: Path, *, name: str = "") -> str:
        """The classic form's line, `<file name without extension>:<person>`."""
        answer = self._http.post("/", files={"inputFile": (name or photo.name, photo.read_bytes())})
        self._raise_for(answer)
        return answer.text

    def enrol(self, person: str, photos: Sequence[Path], *, insist: bool = False) -> list[EnrolledPhoto]:
        """Enrol photos of a person, each showing that person alone; a verdict for each, also when none was accepted.

        `insist` enrols photos even if they look like another person, or unlike this person's others.
        """
        files = [("image", (photo.name, photo.read_bytes())) for photo in photos]
        params = {"insist": "true"} if insist else {}
        answer = self._call("POST", f"{_person(person)}/photos", files=files, params=params)
        verdicts: list[EnrolledPhoto] = answer["photos"]
        return verdicts

    def people(self) -> dict[str, int]:
        """Everyone enrolled, with the number of their photos."""
        return {entry["person"]: entry["photos"] for entry in self._call("GET", "/v1/people")["people"]}

    def photos(self, person: str) -> list[dict[str, Any]]:
        """A person's enrolled photos."""
        photos: list[dict[str, Any]] = self._call("GET", _person(person))["photos"]
        return photos

    def forget(self, person: str) -> dict[str, Any]:
        """Remove a person with all their photos; what was removed."""
        receipt: dict[str, Any] = self._call("DELETE", _person(person))
        return receipt

    def forget_photo(self, person: str, photo: str) -> dict[str, Any]:
        """Remove one photo of a person."""
        receipt: dict[str, Any] = self._call("DELETE", f"{_person(person)}/photos/{quote(photo, safe='')}")
        return receipt

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _look_up(self, answers: str, job_id: str) -> Result:
        result: Result = self._call("GET", f"/v1/{answers}/{quote(job_id, safe='')}")
        return result

    def _call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._http.request(method, path, **options)
        if answer.status_code == 422 and "photos" in answer.json():
            return answer.json()  # an enrolment without an accepted photo still has its verdicts
        self._raise_for(answer)
        return answer.json()

    @staticmethod
    def _raise_for(answer: httpx.Response) -> None:
        if answer.is_success:
            return
        try:
            problem = answer.json()
        except ValueError:
            problem = {}
        code, detail = problem.get("code", "no-problem"), problem.get("detail", answer.text[:200])
        raise FaceServiceError(answer.status_code, code, detail)


def _person(person: str) -> str:
    return f"/v1/people/{quote(person, safe='')}"
