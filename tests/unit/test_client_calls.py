"""Whether the client has every call of the service; those that operators and pages ask for, against the service."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from face_client import FaceClient, FaceServiceError
from face_common.loops import Loop
from tests.unit.test_http import ADA, Service, service  # noqa: F401 - a fixture
from tests.unit.test_redrives import dead
from tests.unit.test_worker import eventually

_LISTS = "batches imports people rejections entries keys dead_letters faces collections clusters decisions versions"
_ANSWER = {
    **{name: [] for name in _LISTS.split()},
    "webhooks": [],
    "photos": [{}],
    "override": None,
    "state": "done",
}
"""Enough for any call."""
_IMPLIED = {"HEAD", "OPTIONS"}


@pytest.fixture
def face(service: Service) -> Iterator[FaceClient]:  # noqa: F811
    with FaceClient("http://127.0.0.1", transport=httpx.WSGITransport(app=service.app)) as opened:  # type: ignore[arg-type]
        yield opened


def ask_about_photos(face: FaceClient, photo: Path) -> None:
    face.identify(photo)
    face.identification("J")
    face.identification_image("J")
    face.verify(photo, photo)
    face.verification("J")
    face.detect(photo)
    face.detection("J")
    face.search([0.0] * 128, "m")
    face.earlier_search("J")
    face.classic(photo)
    for bulks in (face.batches, face.imports):
        bulks.submit_prefix("inbox/")
        bulks.get("J")
        bulks.cancel("J")
        list(bulks.all())
        list(bulks.results("J"))


def ask_about_people(face: FaceClient, photo: Path) -> None:
    face.enrol("Ada", [photo])
    list(face.people())
    face.person("Ada")
    face.rename("Ada", "Bob")
    face.merge("Ada", "Bob")
    face.photo("Ada", "J")
    face.photo_face("Ada", "J")
    face.identifications_of("Ada")
    face.remove_photo("Ada", "J")
    face.erase("Ada")
    face.erasure("J")
    face.export_person("Ada", io.BytesIO())
    face.clusters.all()
    face.clusters.name("c", "Ada")
    face.clusters.dismiss("c")
    face.faces.all()
    face.faces.name("J", 0, "Ada")
    face.faces.dismiss("J", 0)
    list(face.rejections.all())
    face.rejections.add("J")
    face.rejections.image("J")
    face.rejections.undo("J")


def ask_about_the_service(face: FaceClient) -> None:
    face.gallery.describe()
    face.gallery.calibration()
    face.gallery.versions()
    face.gallery.restore(1)
    face.gallery.export(io.BytesIO())
    face.gallery.load(io.BytesIO())
    face.gallery.reencode()
    face.erase_collection()
    face.me()
    face.collections()
    face.fleet()
    face.decisions()
    face.what_if(visible=3)
    face.override.get()
    face.override.pin(1, "test")
    face.override.lift()
    list(face.dead_letters.all())
    face.dead_letters.redrive("J")
    face.dead_letters.discard("J")
    list(face.audit())
    face.settings()
    face.webhooks()
    face.keys.all()
    face.keys.create("shop", "submit")
    face.keys.revoke("k")


def test_the_client_has_every_call(service: Service, tmp_path: Path) -> None:  # noqa: F811
    photo = tmp_path / "ada.png"
    photo.write_bytes(ADA)
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path))
        return httpx.Response(200, json=_ANSWER)

    with FaceClient("http://service", transport=httpx.MockTransport(answer)) as face:
        ask_about_photos(face, photo)
        ask_about_people(face, photo)
        ask_about_the_service(face)
    routes = service.app.url_map.bind("service")
    made = {(method, routes.match(path, method)[0]) for method, path in asked}
    rules = [rule for rule in service.app.url_map.iter_rules() if rule.rule.startswith("/v1/")]
    calls = {(method, rule.endpoint) for rule in rules for method in rule.methods or () if method not in _IMPLIED}
    assert calls - made == set()


def test_the_fleet_is_pinned_paused_and_left_to_the_load_again(face: FaceClient, service: Service) -> None:  # noqa: F811
    service.scaling.now = time.time()
    assert face.override.get() is None
    pinned = face.override.pin(2, "load test", until="2100-01-01T00:00:00Z")
    assert (pinned["mode"], pinned["workers"], pinned["why"]) == ("pin", 2, "load test")
    assert pinned["until"] == "2100-01-01T00:00:00.000+00:00"
    service.scaling.tick()
    assert face.fleet()["override"] == face.override.get() == pinned
    paused = face.override.pause("maintenance")
    assert (paused["mode"], paused["workers"], paused["until"]) == ("pause", None, None)
    face.override.lift()
    face.override.lift()
    assert face.override.get() is None
    with pytest.raises(FaceServiceError, match="pin-too-large"):
        face.override.pin(6, "too many")


def test_what_the_plan_would_be_over_other_numbers(face: FaceClient, service: Service) -> None:  # noqa: F811
    service.scaling.tick()
    found = face.what_if(visible=0, arrival_rate=1.6, ready=1, boot_s=10)
    assert (found["plan"]["action"], found["plan"]["count"]) == ("start", 1)


def test_dead_letters_are_listed_sent_anew_and_discarded() -> None:
    idle = Service()  # without a worker: what is sent anew stays unanswered
    job = dead(idle, name="ada.jpg")
    with FaceClient("http://127.0.0.1", transport=httpx.WSGITransport(app=idle.app)) as face:  # type: ignore[arg-type]
        (letter,) = face.dead_letters.all()
        assert (letter["id"], letter["name"], letter["code"], letter["state"]) == (
            job,
            "ada.jpg",
            "not-processed",
            "dead",
        )
        face.dead_letters.redrive(job)
        assert [one["state"] for one in face.dead_letters.all()] == ["redriven"]
        face.dead_letters.discard(job)
        assert list(face.dead_letters.all()) == []
        with pytest.raises(FaceServiceError, match="not-found"):
            face.dead_letters.redrive(job)


def test_a_person_is_shown_with_the_answers_that_name_them(face: FaceClient, tmp_path: Path) -> None:
    photo = tmp_path / "ada.png"
    photo.write_bytes(ADA)
    (enrolled,) = face.enrol("Ada", [photo])
    asked = [face.identify(photo)["id"] for _ in range(2)]
    found = face.identifications_of("Ada")
    assert [one["id"] for one in found["identifications"]] == asked[::-1]
    assert (found["person"], found["complete"]) == ("Ada", True)
    part = face.identifications_of("Ada", limit=1)
    assert (len(part["identifications"]), part["complete"]) == (1, False)
    assert enrolled["photo"] is not None
    assert face.photo_face("Ada", enrolled["photo"], side=32).startswith(b"\xff\xd8")


def test_a_part_of_the_results_of_a_batch(service: Service, face: FaceClient, tmp_path: Path) -> None:  # noqa: F811
    photo = tmp_path / "ada.png"
    photo.write_bytes(ADA)
    batch = face.batches.submit_photos([(f"{number}.png", photo) for number in range(4)])["id"]
    runner = service.batching.runner
    runner._look_seconds = 0.02
    loop = Loop("batches", runner.step).start()
    eventually(lambda: face.batches.get(batch)["state"] == "done")
    runner.stop(5)
    loop.stop(5)
    assert [result["index"] for result in face.batches.results(batch)] == [0, 1, 2, 3]
    assert [result["index"] for result in face.batches.results(batch, after=0, limit=2)] == [1, 2]
    file = io.BytesIO()
    assert face.batches.save_results(batch, file, after=2) == len(file.getvalue())
    assert [line.split(b",")[0] for line in file.getvalue().splitlines()] == [b"index", b"3"]


def test_an_override_is_sent_as_it_is_meant() -> None:
    bodies: list[dict[str, object]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json={"override": None})

    with FaceClient("http://service", transport=httpx.MockTransport(answer)) as face:
        face.override.pin(0, "night", until="2100-01-01T00:00:00Z")
        face.override.pause("maintenance")
    assert bodies == [
        {"mode": "pin", "workers": 0, "why": "night", "until": "2100-01-01T00:00:00Z"},
        {"mode": "pause", "why": "maintenance", "until": None},
    ]
