"""One real photo through the public address: a person is enrolled, recognised in another photo, and forgotten again."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx

from deployment.access import key_text
from deployment.steps import DeployError
from face_client import FaceClient, FaceServiceError
from face_common.contract import Result
from local.samples import samples

PERSON = "Barack Obama"
_COLLECTION = "smoke-test"
_PATIENCE_SECONDS = 600.0  # the first photo waits for the first worker to boot
_PAUSE_SECONDS = 2.0
_T = TypeVar("_T")


def smoke(url: str, certificate: Path | None, key: Path) -> str:
    """Send a photo; who was named in it and how sure. DeployError when it is not the right person.

    `certificate` is the one to trust, where no authority that this machine knows has signed it; `key` is the file of a
    key that may enrol.
    """
    photos = samples()
    with client(url, certificate, key, _COLLECTION) as face:
        _patiently(lambda: face.set_consent(PERSON, "an official portrait, for a test"))  # where one is required
        verdicts = _patiently(lambda: face.enrol(PERSON, [photos / "obama.jpg"]))
        if verdicts[0]["verdict"] not in ("accepted", "duplicate"):
            raise DeployError(f"the smoke photo was not enrolled: {verdicts[0]['verdict']}, {verdicts[0]['detail']}")
        try:
            result = identified(face, photos / "obama2.jpg")
        finally:
            face.erase(PERSON)
    faces = result.get("faces", [])
    if [found["person"] for found in faces] != [PERSON]:
        named = [found["person"] or found["decision"] for found in faces]
        raise DeployError(f"the smoke photo shows {PERSON}, and the service says {named}")
    return f"{PERSON} (distance {faces[0]['distance']}, by {result['worker']})"


def client(url: str, certificate: Path | None, key: Path, collection: str) -> FaceClient:
    """A client with the key of a file, which trusts a certificate of one's own."""
    return FaceClient(url, key=key_text(key), collection=collection, certificate=certificate)


def identified(face: FaceClient, photo: Path) -> Result:
    """Who is in a photo, however long that takes."""
    result = _patiently(lambda: face.identify(photo, wait=60))
    job = result["id"]
    while result["state"] not in ("done", "failed"):
        time.sleep(_PAUSE_SECONDS)
        result = _patiently(lambda: face.identification(job))
    return result


def _patiently(call: Callable[[], _T]) -> _T:
    """Call, again and again while the service is only just coming up."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return call()
        except (httpx.TransportError, FaceServiceError) as error:
            final = isinstance(error, FaceServiceError) and error.status < 500
            if final or time.monotonic() > deadline:
                raise DeployError(f"the service does not answer as it should: {error}") from error
            time.sleep(_PAUSE_SECONDS)
