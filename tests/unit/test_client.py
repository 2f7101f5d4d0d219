"""The client and the `face` command against the HTTP face in memory."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import pytest

from face_client import FaceClient, FaceServiceError, client, command, sentences
from face_common.contract import Candidate, Face
from tests.unit.test_http import ADA, BOB, BOTH, NOBODY, Service, nothing_until, service  # noqa: F401 - a fixture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, body in {
        "ada.png": ADA,
        "bob.png": BOB,
        "both.png": BOTH,
        "nobody.png": NOBODY,
        "text.png": b"text",
    }.items():
        (tmp_path / name).write_bytes(body)
    return tmp_path


@pytest.fixture
def connected(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaceClient]:  # noqa: F811
    transport = httpx.WSGITransport(app=service.app)  # type: ignore[arg-type]
    plain = client.httpx.Client

    def in_memory(**options: object) -> httpx.Client:
        return plain(**options | {"transport": transport})  # type: ignore[arg-type]

    monkeypatch.setattr(client.httpx, "Client", in_memory)
    with FaceClient("http://127.0.0.1") as opened:
        yield opened


def test_enrol_identify_list_and_erase(connected: FaceClient, photos: Path) -> None:
    assert [photo["verdict"] for photo in connected.enrol("Ada & Co", [photos / "ada.png", photos / "nobody.png"])] == [
        "accepted",
        "no-face",
    ]
    (listed,) = connected.people()
    assert (listed["person"], listed["photos"]) == ("Ada & Co", 1)
    result = connected.identify(photos / "both.png")
    assert [found["person"] for found in result["faces"]] == [None, "Ada & Co"]
    assert connected.identification(result["id"]) == result
    assert connected.classic(photos / "ada.png", name="renamed.png") == "renamed:Ada & Co"
    (photo,) = connected.person("Ada & Co")["photos"]
    assert photo["photo"] == listed["photo"]
    assert connected.remove_photo("Ada & Co", photo["photo"])["templates"] == 1
    with pytest.raises(FaceServiceError, match="not-found"):
        connected.erase("Ada & Co")


def test_verify_and_detect(connected: FaceClient, photos: Path) -> None:
    same, different = (connected.verify(photos / "ada.png", photos / name) for name in ("ada.png", "bob.png"))
    assert (same["verification"]["decision"], different["verification"]["decision"]) == ("same", "different")
    assert (different["image"]["name"], different["other_image"]["name"]) == ("ada.png", "bob.png")
    assert connected.verification(same["id"]) == same
    found = connected.detect(photos / "both.png")
    assert [face["quality"]["size"] for face in found["faces"]] == [100, 90]
    assert connected.detection(found["id"]) == found
    with pytest.raises(FaceServiceError, match="face-missing"):
        connected.verify(photos / "nobody.png", photos / "ada.png")


def test_verdicts_are_told_when_none_was_accepted(connected: FaceClient, photos: Path) -> None:
    assert connected.enrol("Ada", [photos / "nobody.png"])[0]["verdict"] == "no-face"


def test_who_insists_enrols_against_the_likeness(
    connected: FaceClient, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connected.enrol("Ada", [photos / "ada.png"])
    assert connected.enrol("Ada", [photos / "bob.png"])[0]["verdict"] == "inconsistent"
    assert command.main(["enrol", "Ada", str(photos / "bob.png")]) == 1
    assert command.main(["enrol", "--insist", "Ada", str(photos / "bob.png")]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "inconsistent  bob.png",
        "accepted  bob.png",
    ]


def test_errors_carry_the_code(connected: FaceClient, photos: Path) -> None:
    with pytest.raises(FaceServiceError) as caught:
        connected.identify(photos / "text.png")
    assert (caught.value.status, caught.value.code) == (415, "type-unsupported")


def test_the_command_enrols_submits_lists_and_erases(
    connected: FaceClient, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["enrol", "Ada", str(photos / "ada.png")]) == 0
    assert command.main(["people"]) == 0
    assert command.main(["submit", str(photos / "both.png"), str(photos / "nobody.png")]) == 0
    assert command.main(["erase", "--yes", "Ada"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:3] == ["accepted  ada.png: enrolled", "person  photos", "Ada          1"]
    assert re.search(r": unknown  distance \d\.\d\d, threshold \d\.\d\d  \(100x100 at 10,20\)$", printed[3])
    assert printed[4].strip() == "Ada  distance 0.00  (90x90 at 10,20)"
    assert printed[5].endswith("nobody.png: no face")
    assert printed[6].startswith("Ada: erased, receipt ")


def test_the_command_goes_on_after_a_bad_photo_and_says_so(
    connected: FaceClient, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["submit", str(photos / "text.png"), str(photos / "nobody.png")]) == 1
    out, err = capsys.readouterr()
    assert "no face" in out
    assert "type-unsupported" in err


@pytest.mark.parametrize(("other", "status"), [("ada.png", 0), ("bob.png", 1)])
def test_the_command_verifies(
    connected: FaceClient, photos: Path, capsys: pytest.CaptureFixture[str], other: str, status: int
) -> None:
    assert command.main(["verify", str(photos / "ada.png"), str(photos / other)]) == status
    printed = capsys.readouterr().out
    decision = ("same", "different")[status]
    assert re.fullmatch(rf"{decision}  distance \d\.\d\d, threshold \d\.\d\d\n", printed)


@pytest.mark.parametrize("other", ["nobody.png", "text.png", "missing.png"])
def test_no_answer_is_not_taken_for_different_people(
    connected: FaceClient, photos: Path, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    assert command.main(["verify", str(photos / "ada.png"), str(photos / other)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.startswith("face: ")) == ("", True)


def test_a_verification_that_is_still_queued_is_no_answer(
    connected: FaceClient,
    service: Service,  # noqa: F811
    photos: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    go_on = threading.Event()
    service.read = nothing_until(go_on)
    assert command.main(["verify", "--wait", "0", str(photos / "ada.png"), str(photos / "ada.png")]) == 2
    go_on.set()
    assert "queued, see /v1/verifications/" in capsys.readouterr().err


def test_the_command_detects(connected: FaceClient, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["detect", str(photos / "both.png"), str(photos / "text.png"), str(photos / "nobody.png")]) == 1
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{photos / 'both.png'}: 100x100 at 10,20  sharpness 120  yaw 0.00  score 0.90")
    assert second.strip().startswith("90x90 at 10,20  sharpness 120")
    assert third == f"{photos / 'nobody.png'}: no face"


FACE: Face = {
    "box": {"left": 1, "top": 2, "width": 30, "height": 40},
    "landmarks": [],
    "quality": {"size": 30, "sharpness": 20.0, "yaw": 0.7, "score": 0.9, "reasons": ["small", "turned"]},
}
CANDIDATES: list[Candidate] = [
    {"person": "Ada", "distance": 0.7, "l2_distance": 0.4},
    {"person": "Bob", "distance": 0.71, "l2_distance": 0.41},
]


@pytest.mark.parametrize(
    ("decided", "line"),
    [
        ({"decision": "match", "person": "Ada", "distance": 0.7}, "Ada  distance 0.70"),
        ({"decision": "unknown", "person": None, "distance": 0.9}, "unknown  distance 0.90, threshold 0.80"),
        ({"decision": "ambiguous", "person": None, "distance": 0.7}, "ambiguous  distance 0.70, Ada or Bob"),
        ({"decision": "ambiguous", "person": None, "distance": 0.7, "candidates": []}, "ambiguous  distance 0.70"),
        ({"decision": "unknown", "person": None, "distance": None}, "unknown  nobody to compare with"),
    ],
)
def test_a_face_is_told_with_the_reason_why_it_has_no_name(decided: dict[str, object], line: str) -> None:
    face = cast("Face", {**FACE, "threshold": 0.8, "candidates": CANDIDATES, **decided})
    assert sentences.describe(face) == f"{line}  (30x40 at 1,2, small, turned)"


def test_a_turned_photo_says_so(
    connected: FaceClient, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def turned(self: FaceClient, photo: Path, **_: object) -> dict[str, object]:
        return {"state": "done", "image": {"name": photo.name, "width": 4, "height": 3, "turned": 90}, "faces": [FACE]}

    monkeypatch.setattr(FaceClient, "detect", turned)
    assert command.main(["detect", str(photos / "ada.png")]) == 0
    assert capsys.readouterr().out == (
        f"{photos / 'ada.png'}, turned by 90 degrees: 30x40 at 1,2  sharpness 20  yaw 0.70  score 0.90  small, turned\n"
    )


def test_the_command_says_when_there_is_no_service(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--url", "http://127.0.0.1:9", "people"]) == 2
    assert "is it running" in capsys.readouterr().err


def test_the_command_says_when_there_is_no_such_file(connected: FaceClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["submit", "missing.jpg"]) == 2
    assert "missing.jpg" in capsys.readouterr().err
