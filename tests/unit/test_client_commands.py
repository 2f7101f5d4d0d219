"""Every command against a service that answers as the real one does: JSON that can be read, exit codes, questions."""

import base64
import csv
import io
import itertools
import json
import struct
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import cast

import httpx
import pytest

from face_client import command
from face_client.command.asking import ask
from face_client.command.photos import read_encoding
from face_client.models import Override
from face_client.sentences import overridden
from face_common.contract import Result

AT = "2026-11-24T20:00:00+00:00"
FACE = {
    "box": {"left": 1, "top": 2, "width": 30, "height": 40},
    "landmarks": [],
    "quality": {"size": 30, "sharpness": 20.0, "yaw": 0.1, "score": 0.9, "reasons": []},
    "decision": "match",
    "person": "Ada",
    "distance": 0.2,
    "threshold": 0.3,
    "candidates": [],
}
IMAGE = {"name": "ada.jpg", "width": 4, "height": 3}
RESULT = {"id": "J", "operation": "identify", "state": "done", "image": IMAGE, "faces": [FACE], "error": None}
VERIFICATION = {"decision": "same", "distance": 0.2, "threshold": 0.4}
PERSON = {
    "person": "Ada",
    "collection": "default",
    "photos": [{"photo": "P", "name": "ada.jpg", "enrolled_at": 1.5}],
    "consent": {"reference": "form 7", "given_at": AT},
    "expires_at": AT,
}
RECEIPT = {
    "id": "E", "state": "done", "subject": "ab", "collection": "default", "photos": ["P"], "templates": 1, "results": 2,
    "probes": 0, "versions": 4, "gallery_version": 3, "began_at": AT, "finished_at": AT, "pending": 0,
}  # fmt: skip
BULK = {
    "id": "B", "kind": "batch", "collection": "default", "state": "done", "total": 1, "finished": 1,
    "outcomes": {"done": 1}, "created_at": AT, "started_at": AT, "finished_at": AT, "rate_per_s": 2.0, "eta_s": None,
    "error": None,
}  # fmt: skip
LINE = {"index": 0, "name": "ada.jpg", "outcome": "done", "detail": "", "id": "J", "result": RESULT}
KEY = {
    "key": "k", "name": "shop", "role": "submit", "collections": None, "rate": None, "created_at": AT,
    "created_by": "local", "expires_at": None, "used_at": None,
}  # fmt: skip
DECISION = {"at": AT, "action": "start", "count": 2, "reason": "Starting 2."}
FLEET = {
    "at": AT,
    "backlog": {"visible": 3, "in_flight": 1, "oldest_s": 2.5},
    "workers": {"booting": 1, "running": 2, "draining": 0, "stopped": 0, "outdated": 1},
    "desired": 3,
    "leader": "web-1",
    "wait_s": 2.0,
    "limits": {"min": 0, "max": 5, "warm": 0},
    "measured": {"arrival_rate": 1.0, "service_s": 0.2},
    "photos_per_s": 9.0,
    "decision": DECISION,
}
OVERRIDE = {"mode": "pin", "workers": 3, "why": "trade fair", "by": "local", "at": AT, "until": AT}
LETTER = {
    "id": "J", "operation": "identify", "collection": "default", "name": "ada.jpg", "at": AT, "code": "not-processed",
    "detail": "no worker could finish it", "state": "dead",
}  # fmt: skip
DESCRIPTION = {"collection": "default", "people": 1, "photos": 1, "templates": 1, "version": 3, "models": ["m"]}
ANSWERS: dict[tuple[str, str], object] = {
    ("POST", "/"): "ada:Ada",
    ("POST", "/v1/identifications"): RESULT,
    ("POST", "/v1/detections"): RESULT,
    ("POST", "/v1/searches"): {"id": "J", "operation": "search", "state": "done", "match": FACE, "error": None},
    ("POST", "/v1/verifications"): {**RESULT, "verification": VERIFICATION},
    ("GET", "/v1/people"): {"people": [{"person": "Ada", "photos": 1}], "next": None},
    ("GET", "/v1/people/Ada"): PERSON,
    ("PUT", "/v1/people/Ada"): PERSON,
    ("DELETE", "/v1/people/Ada"): RECEIPT,
    ("DELETE", "/v1/people/Ada/photos/P"): RECEIPT,
    ("GET", "/v1/people/Ada/photos/P"): b"photo",
    ("POST", "/v1/people/Ada/merge"): PERSON,
    ("POST", "/v1/people/Ada/photos"): {
        "person": "Ada",
        "photos": [{"photo": "P", "name": "ada.jpg", "verdict": "accepted", "detail": "enrolled"}],
    },
    ("GET", "/v1/people/Ada/export"): b"PK",
    ("POST", "/v1/batches"): BULK,
    ("GET", "/v1/batches"): {"batches": [BULK], "next": None},
    ("GET", "/v1/batches/B"): BULK,
    ("DELETE", "/v1/batches/B"): {**BULK, "state": "cancelled"},
    ("GET", "/v1/batches/B/results"): json.dumps(LINE) + "\n",
    ("POST", "/v1/imports"): {**BULK, "id": "I", "kind": "import"},
    ("GET", "/v1/imports"): {"imports": [], "next": None},
    ("GET", "/v1/imports/I"): {**BULK, "id": "I", "kind": "import", "outcomes": {"accepted": 1}},
    ("GET", "/v1/imports/I/results"): json.dumps({**LINE, "outcome": "no-face", "detail": "none was found"}) + "\n",
    ("GET", "/v1/clusters"): {"clusters": [{"cluster": "c", "size": 2, "faces": [{"identification": "J"}]}]},
    ("POST", "/v1/clusters/c"): {"person": "Ada", "photos": [{"verdict": "accepted"}]},
    ("DELETE", "/v1/clusters/c"): {"cluster": "c", "faces": 2},
    ("GET", "/v1/gallery"): DESCRIPTION,
    ("DELETE", "/v1/gallery"): RECEIPT,
    ("GET", "/v1/gallery/versions"): {"versions": [{"version": n, "at": AT, "rows": n} for n in (2, 3, 1)]},
    ("POST", "/v1/gallery/restorations"): {
        "collection": "default",
        "restored": 2,
        "gallery_version": 4,
        "removed": ["P"],
        "added": [],
    },
    ("GET", "/v1/gallery/export"): '{"format": "elastic-face-gallery"}\n',
    ("POST", "/v1/gallery/imports"): {"collection": "default", "people": 1},
    ("POST", "/v1/gallery/reencodings"): {**BULK, "kind": "reencoding"},
    ("GET", "/v1/keys"): {"keys": [KEY, {**KEY, "collections": ["a", "b"], "used_at": AT}]},
    ("POST", "/v1/keys"): {**KEY, "secret": "face_k_secret"},
    ("DELETE", "/v1/keys/k"): KEY,
    ("GET", "/v1/audit"): {
        "entries": [
            {"id": "A", "at": AT, "who": "k", "action": "enrol", "collection": "c", "subject": "ab", "facts": {"n": 1}}
        ],
        "next": None,
    },
    ("GET", "/v1/me"): {"key": "local", "name": "all", "role": "admin", "collections": None, "open": True},
    ("GET", "/v1/collections"): {"collections": [DESCRIPTION]},
    ("GET", "/v1/fleet"): FLEET,
    ("GET", "/v1/fleet/decisions"): {"decisions": [DECISION, {**DECISION, "ticks": 4}]},
    ("PUT", "/v1/fleet/override"): {"override": OVERRIDE},
    ("DELETE", "/v1/fleet/override"): {"override": None},
    ("GET", "/v1/dead-letters"): {"dead_letters": [LETTER], "total": 1, "next": None},
    ("POST", "/v1/dead-letters/J/redrive"): {"id": "J", "state": "queued"},
    ("DELETE", "/v1/dead-letters/J"): {"id": "J"},
    ("GET", "/v1/webhooks"): {"webhooks": [{"webhook": "shop", "url": "https://x", "pending": 1, "dead": 0}]},
}


class Service:
    """Answers as the real one does, or as a test has it."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers = dict(ANSWERS)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self.answers.get((request.method, request.url.path))
        if answer is None:
            return httpx.Response(404, json={"code": "not-found", "detail": f"no {request.url.path}"})
        if isinstance(answer, httpx.Response):
            return answer
        if isinstance(answer, str | bytes):
            return httpx.Response(200, content=answer)
        return httpx.Response(200, json=answer)

    def last(self, method: str) -> httpx.Request:
        return next(request for request in reversed(self.requests) if request.method == method)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Service:
    service, plain = Service(), httpx.Client

    def in_memory(**options: object) -> httpx.Client:
        return plain(**options | {"transport": httpx.MockTransport(service)})  # type: ignore[arg-type]

    monkeypatch.setattr(httpx, "Client", in_memory)
    monkeypatch.chdir(tmp_path)
    for name in ("FACE_URL", "FACE_KEY", "FACE_COLLECTION", "FACE_CERTIFICATE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tree" / "Ada").mkdir(parents=True)
    (tmp_path / "tree" / "Ada" / "ada.jpg").write_bytes(b"photo")
    (tmp_path / "ada.jpg").write_bytes(b"photo")
    (tmp_path / "encoding.json").write_text(json.dumps({"encoding": [0.0] * 128, "model": "m"}))
    (tmp_path / "gallery.jsonl").write_text("{}\n")
    (tmp_path / "manifest").write_text('{"source-ref": "s3://b/ada.jpg", "external-image-id": "Ada"}\n')
    return service


COMMANDS = [
    "submit ada.jpg",
    "submit tree",
    "submit --batch tree",
    "submit --batch --no-wait tree",
    "detect ada.jpg",
    "verify ada.jpg ada.jpg",
    "search encoding.json",
    "enrol Ada ada.jpg",
    "enrol tree",
    "people",
    "people ad",
    "person Ada",
    "person Ada --photo P",
    "rename Ada Bob",
    "merge Ada Bob",
    "consent Ada",
    "consent Ada form-7 --expires-at never",
    "export Ada",
    "erase Ada --yes",
    "erase Ada --photo P --yes",
    "batches",
    "batches --imports",
    "batch B",
    "batch B --follow",
    "batch B --results",
    "batch B --cancel",
    "batch I",
    "watch --once",
    "fleet",
    "fleet --decisions 2",
    "audit",
    "me",
    "webhooks",
    "load --photos ada.jpg --requests 3 --clients 2",
    "load --photos ada.jpg --requests 3 --clients 2 --form v1 --rate 1000",
    "gallery show",
    "gallery versions",
    "gallery undo",
    "gallery export",
    "gallery import gallery.jsonl",
    "gallery reencode",
    "gallery erase --yes",
    "clusters list",
    "clusters name c Ada",
    "clusters dismiss c",
    "keys list",
    "keys create shop",
    "keys revoke k",
    "override pin 3 --why fair --for 1h",
    "override pause --why fair",
    "override lift",
    "dead-letters list",
    "dead-letters redrive J",
    "dead-letters discard J",
    "migrate compreface tree",
    "migrate compreface tree --dry-run",
    "migrate rekognition manifest",
]
EMPTY = {"batches --imports"}


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_answers_in_json_wherever_that_is_asked_for(
    service: Service, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    for arguments in (["--json", *line.split()], [*line.split(), "--json"]):
        assert command.main(arguments) == 0
        out, _ = capsys.readouterr()
        values = [json.loads(one) for one in out.splitlines()]
        assert all(isinstance(value, dict) for value in values)
        assert bool(values) is (line not in EMPTY)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_speaks_plainly_to_people(
    service: Service, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert command.main(line.split()) == 0
    out, _ = capsys.readouterr()
    assert "\x1b" not in out
    assert all(not one.startswith(("{", "[")) for one in out.splitlines())
    assert all(one == one.rstrip() for one in out.splitlines())


@pytest.mark.parametrize("line", [one for one in COMMANDS if not one.startswith("load")])
def test_a_refusal_is_one_line_with_its_code(service: Service, capsys: pytest.CaptureFixture[str], line: str) -> None:
    refusal = {"code": "key-missing", "detail": "send a key"}
    service.answers = dict.fromkeys(ANSWERS, httpx.Response(401, json=refusal))
    if "--dry-run" in line:
        return
    assert command.main(line.split()) == (2 if line.startswith("verify") else 1)
    out, err = capsys.readouterr()
    told = [one for one in err.splitlines() if "key-missing" in one]
    assert out == ""
    assert told
    assert all(one.startswith("face: ") for one in told)


def test_where_it_asks_is_said_before_or_after_the_command_or_by_the_environment(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACE_URL", "http://one")
    monkeypatch.setenv("FACE_KEY", "face_a_b")
    command.main(["people"])
    command.main(["--url", "http://two", "--collection", "staff", "people"])
    command.main(["--url", "http://two", "people", "--url", "http://three"])
    assert [request.url.host for request in service.requests] == ["one", "two", "three"]
    assert [request.url.params["collection"] for request in service.requests] == ["default", "staff", "default"]
    assert {request.headers["Authorization"] for request in service.requests} == {"Bearer face_a_b"}


@pytest.mark.parametrize(
    "line",
    [
        "frobnicate",
        "submit",
        "submit missing.jpg",
        "people --limit x",
        "enrol missing-folder",
        "search ada.jpg",
        "--url ftp://x people",
        "keys create shop --role king",
        "override pin 3",
        "override pin many --why fair",
        "override pause --why fair --for soon",
    ],
)
def test_wrong_use_ends_with_two_and_a_line(service: Service, capsys: pytest.CaptureFixture[str], line: str) -> None:
    if line.startswith("--url"):
        service.answers = {}
    status = command.main(line.split())
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines()), err.startswith("face: ")) == ("", 1, True)
    assert status == (1 if line.startswith("--url") else 2)  # the transport in memory takes any address


def test_a_photo_that_fails_does_not_stop_the_others_and_is_told(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = {**RESULT, "state": "failed", "faces": [], "error": {"code": "image-unreadable", "detail": "no photo"}}
    service.answers["POST", "/v1/identifications"] = {"id": "J", "state": "queued"}
    service.answers["GET", "/v1/identifications/J"] = failed
    assert command.main(["submit", "ada.jpg", "ada.jpg"]) == 1
    assert capsys.readouterr().err.count("image-unreadable: no photo") == 2
    assert command.main(["--json", "submit", "ada.jpg"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "image-unreadable"


def test_faces_as_csv(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["submit", "--csv", "ada.jpg"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["file"], row["person"], row["left"], row["id"]) == ("ada.jpg", "Ada", "1", "J")


def test_an_import_tells_of_what_was_not_accepted_and_fails_by_it(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.answers["GET", "/v1/imports/I"] = {**BULK, "id": "I", "kind": "import", "outcomes": {"no-face": 1}}
    assert command.main(["enrol", "tree", "--consent", "form 7", "--insist"]) == 1
    assert "no-face  ada.jpg: none was found" in capsys.readouterr().out
    assert dict(service.last("POST").url.params) == {"collection": "default", "insist": "true", "consent": "form 7"}


def test_consent_is_on_record_before_the_photos_are_sent(service: Service) -> None:
    assert command.main(["enrol", "Ada", "ada.jpg", "--consent", "form 7"]) == 0
    assert [request.method for request in service.requests] == ["PUT", "POST"]
    assert json.loads(service.requests[0].content) == {"consent": {"reference": "form 7"}}


def test_nobody_is_erased_by_an_oversight(
    service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for said in ("n\n", "\n", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(said))
        assert command.main(["erase", "Ada"]) == 1
        assert command.main(["gallery", "erase"]) == 1
    assert service.requests == []
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert command.main(["erase", "Ada"]) == 0
    assert "erased, receipt E" in capsys.readouterr().out


def test_undo_goes_back_one_version_unless_another_is_named(service: Service) -> None:
    for arguments, version in ((["gallery", "undo"], 2), (["gallery", "undo", "1"], 1)):
        assert command.main(arguments) == 0
        assert json.loads(service.last("POST").content) == {"version": version}


def test_what_is_exported_is_for_its_owner_alone_and_whole_or_not_there(service: Service, tmp_path: Path) -> None:
    assert command.main(["export", "Ada", "--to", "a.zip"]) == 0
    assert (tmp_path / "a.zip").read_bytes() == b"PK"
    assert (tmp_path / "a.zip").stat().st_mode & 0o777 == 0o600
    del service.answers["GET", "/v1/people/Ada/export"]
    assert command.main(["export", "Ada", "--to", "b.zip"]) == 1
    assert [path.name for path in tmp_path.iterdir() if "b.zip" in path.name] == []


def test_the_text_of_a_key_alone_is_on_stdout(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    line = "keys create shop --bound-to a --bound-to b --role enrol --rate 5"
    assert command.main(line.split()) == 0
    assert capsys.readouterr().out == "face_k_secret\n"
    assert json.loads(service.last("POST").content) == {
        "name": "shop",
        "role": "enrol",
        "collections": ["a", "b"],
        "rate": 5.0,
    }


def test_a_load_that_meets_errors_counts_them_by_code_and_fails(
    service: Service, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    service.answers["POST", "/"] = httpx.Response(429, json={"code": "overloaded", "detail": "later"})
    assert command.main(["--json", "load", "--photos", "ada.jpg", "--requests", "4", "--clients", "2"]) == 1
    figures = json.loads(capsys.readouterr().out)
    assert (figures["requests"], figures["errors"], len(service.requests)) == (4, {"overloaded": 4}, 4)
    service.answers["POST", "/"] = "ada:Bob"
    (tmp_path / "right.csv").write_text("Image,Results\nada,Ada\n")
    assert command.main(["load", "--photos", "ada.jpg", "--requests", "4", "--expected", "right.csv"]) == 1
    assert "right: 0 of 4\n       4  Ada -> Bob\n" in capsys.readouterr().out


def test_the_fleet_in_words(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["watch", "--once"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "photos   3 waiting, 1 in work, oldest 2.5 s, waits 2.0 s",
        "workers  2 running, 1 booting, 0 draining, 0 stopped, 1 outdated, 3 wanted of 0 to 5",
        "rates    1.0 photos/s arrive, 9.0/s can be done, 200 ms a photo",
        "leader   web-1",
        "",
        "20:00:00  start   Starting 2.",
        "20:00:00  start   Starting 2. (4 times)",
    ]


def test_the_fleet_says_when_it_is_overruled(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.answers["GET", "/v1/fleet"] = {**FLEET, "override": OVERRIDE}
    assert command.main(["fleet"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "override pinned to 3 workers until 2026-11-24 20:00:00, by local: trade fair"
    )
    service.answers["GET", "/v1/fleet"] = {**FLEET, "override": None}
    assert command.main(["fleet"]) == 0
    assert "override" not in capsys.readouterr().out


def test_an_override_in_words() -> None:
    told = [
        overridden(cast("Override", {**OVERRIDE, **changed}))
        for changed in ({"workers": 1}, {"mode": "pause", "workers": None, "until": None})
    ]
    assert told == [
        "pinned to 1 worker until 2026-11-24 20:00:00, by local: trade fair",
        "paused until it is lifted, by local: trade fair",
    ]


@pytest.mark.parametrize(
    ("lasting", "seconds"), [("--for 90s", 90), ("--for 30m", 1800), ("--for 1h", 3600), ("--for 2d", 172_800)]
)
def test_an_override_ends_by_itself_if_that_is_said(service: Service, lasting: str, seconds: int) -> None:
    began = time.time()
    assert command.main(f"override pause --why fair {lasting}".split()) == 0
    until = json.loads(service.last("PUT").content)["until"]
    assert seconds <= datetime.fromisoformat(until).timestamp() - began < seconds + 30
    assert command.main(["override", "pin", "2", "--why", "fair"]) == 0
    body = {"mode": "pin", "workers": 2, "why": "fair", "until": None}
    assert json.loads(service.last("PUT").content) == body


def test_an_encoding_is_read_as_numbers_or_as_galleries_are_exported() -> None:
    numbers = [number / 128 for number in range(128)]
    packed = base64.b64encode(struct.pack("<128f", *numbers)).decode()
    assert read_encoding(json.dumps({"encoding": packed, "model": "m"}), "") == (numbers, "m")
    assert read_encoding(json.dumps(numbers), "n") == (numbers, "n")
    for wrong in ("{}", json.dumps(numbers)):
        with pytest.raises(ValueError, match="encoding"):
            read_encoding(wrong, "")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("face ")


def test_a_batch_as_csv_is_nothing_but_csv(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.answers["GET", "/v1/batches/B/results"] = "index,name,outcome\n0,ada.jpg,done\n"
    assert command.main(["submit", "ada.jpg", "--batch", "--csv"]) == 0
    out, err = capsys.readouterr()
    assert out == "index,name,outcome\n0,ada.jpg,done\n"
    assert "batch B: done" in err


def test_a_photo_that_is_still_queued_is_told_from_one_without_a_face(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.answers["POST", "/v1/identifications"] = {"id": "J", "state": "queued"}
    assert command.main(["submit", "ada.jpg", "--csv", "--wait", "0"]) == 1
    assert capsys.readouterr().out.splitlines()[1].endswith("J,queued")


@pytest.mark.parametrize(("verdicts", "status"), [("accepted duplicate", 0), ("accepted no-face", 1), ("duplicate", 0)])
def test_one_person_is_enrolled_well_when_each_photo_is_there(service: Service, verdicts: str, status: int) -> None:
    photos = [{"photo": "P", "name": "n", "verdict": verdict, "detail": ""} for verdict in verdicts.split()]
    service.answers["POST", "/v1/people/Ada/photos"] = {"person": "Ada", "photos": photos}
    assert command.main(["enrol", "Ada", "ada.jpg"]) == status


@pytest.mark.parametrize("line", ["search encoding.json --wait 0", "gallery erase --yes --wait 0"])
def test_what_has_not_ended_is_no_success(service: Service, capsys: pytest.CaptureFixture[str], line: str) -> None:
    service.answers["POST", "/v1/searches"] = {"id": "J", "state": "queued"}
    service.answers["DELETE", "/v1/gallery"] = {**RECEIPT, "state": "running"}
    assert command.main(line.split()) == 1


def test_whoever_stops_asking_waits_for_nobody() -> None:
    may_end, asked = threading.Event(), itertools.count()

    def question(photo: Path) -> Result:
        if next(asked):
            may_end.wait(20)
        return cast("Result", RESULT)

    answers = ask(itertools.repeat(Path("ada.jpg"), 100), question, clients=1)
    assert next(answers).is_good
    began = time.monotonic()
    answers.close()
    assert time.monotonic() - began < 5
    may_end.set()
