"""The live service against its own OpenAPI document, with requests that somebody else thinks up."""

import base64
import hashlib
import io
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from face_client import FaceClient
from local.stack import ROOT, Stack
from tests.api import hooks
from tests.stacks import running_stack

_EXAMPLES = 100
_SEED = 1  # what is thought up is the same in each run, so that a failure is of the change that was made
_SECONDS = 2000
_GROWING = (
    "list-audit",
    "list-batches",
    "list-imports",
    "list-faces",
    "list-person-identifications",
    "export-person",
    "erase-gallery",
)
"""Calls that read what the others leave behind: they are tried while there is little of it."""
_SECRET = secrets.token_urlsafe(32)
_KEY = f"face_admin_{_SECRET}"
_COLLECTION = "known"
_SETTINGS = {
    "FACE_ACCESS": "keys",
    "FACE_ADMIN_KEY_HASH": hashlib.sha256(_SECRET.encode()).hexdigest(),
    "FACE_KEY_RATE": "10000",
    "FACE_KEEP_UNKNOWN": "true",
    "FACE_WAIT_SECONDS": "10",
    "FACE_CLASSIC_WAIT_SECONDS": "10",
    "FACE_ERASURE_SETTLE_SECONDS": "0.2",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service of its own that asks for keys."""
    with running_stack(tmp_path_factory.mktemp("api"), _SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def known(stack: Stack, samples: Path) -> dict[str, dict[str, str]]:
    """Something behind each kind of path, in a collection that nobody erases; see hooks.KNOWN."""
    with FaceClient(stack.url, key=_KEY, collection=_COLLECTION) as face:
        portraits = [samples / "obama.jpg", samples / "obama2.jpg"]
        photos = [str(photo["photo"]) for photo in face.enrol("Ada", portraits)]
        face.enrol("Eva", [samples / "biden.jpg"])
        identified, stranger = (face.identify(samples / name)["id"] for name in ("obama.jpg", "astronaut.png"))
        verified = face.verify(*portraits)["id"]
        detected = face.detect(samples / "obama.jpg")["id"]
        encoding, model = _encoding(face)
        searched = face.search(encoding, model)["id"]
        assert face.identification(stranger)["state"] == "done"
        cluster = face.clusters.all()[0]["cluster"]
        rejected = face.rejections.add(identified)["rejection"]
        erased = face.erase("Eva")["id"]
        batch = face.batches.submit_photos([("a.jpg", portraits[0])])["id"]
        enrolled = face.imports.submit_photos([("Bob/b.jpg", samples / "biden.jpg")])["id"]
        key = face.keys.create("of somebody", "submit")["key"]
    return {
        "*": {"collection": _COLLECTION},
        "erase-gallery": {"collection": "another"},
        "get-identification": {"job_id": identified},
        "get-identification-image": {"job_id": identified},
        "get-verification": {"job_id": verified},
        "get-detection": {"job_id": detected},
        "get-search": {"job_id": searched},
        "enrol": {"person": "Ada"},
        "get-person": {"person": "Ada"},
        "change-person": {"person": "Ada"},
        "export-person": {"person": "Ada"},
        "get-photo": {"person": "Ada", "photo": photos[0]},
        "get-photo-face": {"person": "Ada", "photo": photos[0]},
        "list-person-identifications": {"person": "Ada"},
        "erase-photo": {"person": "Ada", "photo": photos[1]},
        "erase-person": {"person": "Bob"},
        "get-erasure": {"erasure": erased},
        "name-face": {"job_id": stranger, "face": "0"},
        "dismiss-face": {"job_id": identified, "face": "0"},
        "get-rejection-image": {"rejection": rejected},
        "undo-rejection": {"rejection": rejected},
        "dismiss-cluster": {"cluster": cluster},
        "name-cluster": {"cluster": cluster},
        "get-batch": {"batch_id": batch},
        "cancel-batch": {"batch_id": batch},
        "get-batch-results": {"batch_id": batch},
        "get-import": {"batch_id": enrolled},
        "cancel-import": {"batch_id": enrolled},
        "get-import-results": {"batch_id": enrolled},
        "revoke-key": {"key": key},
    }


def _encoding(face: FaceClient) -> tuple[list[float], str]:
    """That of somebody in the gallery, and its model."""
    exported = io.BytesIO()
    face.gallery.export(exported)
    row = json.loads(exported.getvalue().splitlines()[1])
    return np.frombuffer(base64.b64decode(row["encoding"]), "<f4").tolist(), row["model"]


@pytest.mark.timeout(_SECONDS + 120)
@pytest.mark.parametrize("selection", ["include", "exclude"], ids=["calls-that-grow-slower", "all-others"])
def test_the_service_does_what_its_document_says(
    stack: Stack, known: dict[str, dict[str, str]], tmp_path: Path, selection: str
) -> None:
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(_here("schemathesis.toml"))]
    command += ["run", f"{stack.url}/openapi.json", "--max-examples", str(_EXAMPLES), "--no-color"]
    command += ["--checks", "all", "--seed", str(_SEED), "--header", f"Authorization: Bearer {_KEY}"]
    command += ["--continue-on-failure", "--request-timeout", "60", "--report", "junit", "--report-dir", str(tmp_path)]
    command += [part for call in _GROWING for part in (f"--{selection}-operation-id", call)]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": hooks.__name__,
        "PYTHONPATH": str(ROOT),
        hooks.KNOWN: json.dumps(known),
    }
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    (tmp_path / "schemathesis.txt").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    print(done.stdout[-3_000:])


def test_the_document_is_complete(stack: Stack) -> None:
    document = httpx.get(f"{stack.url}/openapi.json", trust_env=False).json()
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            assert call["summary"].endswith("."), f"{method} {path} has no sentence of its own"
            assert "description" in call["responses"].get("400", {"description": ""}), f"{method} {path}"


def _here(name: str) -> Path:
    return Path(__file__).with_name(name)
