"""The client and the `face` command against the HTTP face in memory."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from face_client import FaceClient, FaceServiceError, client, command
from tests.unit.test_http import ADA, BOTH, NOBODY, Service, service  # noqa: F401 - a fixture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, body in {"ada.png": ADA, "both.png": BOTH, "nobody.png": NOBODY, "text.png": b"text"}.items():
        (tmp_path / name).write_bytes(body)
    return tmp_path


@pytest.fixture
def connected(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaceClient]:  # noqa: F811
    transport = httpx.WSGITransport(app=service.app)  # type: ignore[arg-type]
    plain = client.httpx.Client

    def in_memory(**options: object) -> httpx.Client:
        return plain(**options | {"transport": transport})  # type: ignore[arg-type]

    monkeypatch.setattr(client.httpx, "Client", in_memory)
    with FaceClient("http://service") as opened:
        yield opened


def test_enrol_identify_list_and_forget(connected: FaceClient, photos: Path) -> None:
    assert [photo["verdict"] for photo in connected.enrol("Ada & Co", [photos / "ada.png", photos / "nobody.png"])] == [
        "accepted",
        "no-face",
    ]
    assert connected.people() == {"Ada & Co": 1}
    result = connected.identify(photos / "both.png")
    assert [found["person"] for found in result["faces"]] == [None, "Ada & Co"]
    assert connected.identification(result["id"]) == result
    assert connected.classic(photos / "ada.png", name="renamed.png") == "renamed:Ada & Co"
    (photo,) = connected.photos("Ada & Co")
    assert connected.forget_photo("Ada & Co", photo["photo"])["templates"] == 1
    with pytest.raises(FaceServiceError, match="not-found"):
        connected.forget("Ada & Co")


def test_verdicts_are_told_when_none_was_accepted(connected: FaceClient, photos: Path) -> None:
    assert connected.enrol("Ada", [photos / "nobody.png"])[0]["verdict"] == "no-face"


def test_errors_carry_the_code(connected: FaceClient, photos: Path) -> None:
    with pytest.raises(FaceServiceError) as caught:
        connected.identify(photos / "text.png")
    assert (caught.value.status, caught.value.code) == (415, "type-unsupported")


def test_the_command_enrols_identifies_lists_and_forgets(
    connected: FaceClient, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["enrol", "Ada", str(photos / "ada.png")]) == 0
    assert command.main(["people"]) == 0
    assert command.main(["identify", str(photos / "both.png"), str(photos / "nobody.png")]) == 0
    assert command.main(["forget", "Ada"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["ada.png: accepted, enrolled", "Ada\t1"]
    assert re.search(r": unknown  distance \d\.\d\d, threshold \d\.\d\d  \(100x100 at 10,20\)$", printed[2])
    assert printed[3].strip() == "Ada  distance 0.00  (90x90 at 10,20)"
    assert printed[4].endswith("nobody.png: no face")
    assert printed[5] == "Ada: 1 template(s) and 1 photo(s) removed"


def test_the_command_goes_on_after_a_bad_photo_and_says_so(
    connected: FaceClient, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["identify", str(photos / "text.png"), str(photos / "nobody.png")]) == 1
    out, err = capsys.readouterr()
    assert "no face" in out
    assert "type-unsupported" in err


def test_the_command_says_when_there_is_no_service(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--url", "http://127.0.0.1:9", "people"]) == 1
    assert "is it running?" in capsys.readouterr().err


def test_the_command_says_when_there_is_no_such_file(connected: FaceClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["identify", "missing.jpg"]) == 1
    assert "missing.jpg" in capsys.readouterr().err
