"""The whole HTTP face over an in-memory cloud with a real worker loop and a made-up engine behind it."""

import io
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, get_args

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from face_app.recognition import Reading
from face_common.contract import Code, EnrolledPhoto, Result, Verdict, failed_result
from face_common.errors import PermanentError, TransientError
from face_common.loops import Loop
from face_common.ports import Counts
from face_web.access import Access
from face_web.answered import Answered
from face_web.application import create_app
from face_web.audit import Audit
from face_web.batches.assembly import build as build_batching
from face_web.batches.intake import ended
from face_web.galleries import Galleries
from face_web.idempotency import Idempotency
from face_web.keys import Keys
from face_web.metrics import WebMetrics
from face_web.problems import STATUS
from face_web.redrives import Redrives
from face_web.rejections import Rejections
from face_web.replies import ReplyRouter
from face_web.rights import build as build_rights
from face_web.services import Services
from face_web.sessions import Sessions
from face_web.settings import WebSettings
from face_web.strangers import Strangers
from face_web.submit import Submission, Submitter
from face_web.traffic import Traffic
from face_web.versions import GalleryVersions
from face_web.webhooks import Destination, Webhooks
from tests.fakes.inference import Read, face, reading
from tests.pictures import picture, png_claiming
from tests.unit.test_contract import ULID, job
from tests.unit.test_scaler import House as ScalingHouse
from tests.unit.test_worker import REPLIES, House, eventually

ADA, BOB = picture("PNG", (10, 10)), picture("PNG", (20, 10))
"""The made-up engine sees a different person in each."""
ADA_AGAIN = picture("PNG", (11, 11))
NOBODY, BROKEN, BOTH = picture("PNG", (30, 10)), picture("PNG", (40, 10)), picture("PNG", (50, 10))


def see(body: bytes, most: int) -> Reading:
    if body == BROKEN:
        raise PermanentError(Code.IMAGE_UNREADABLE, "damaged")
    if body == NOBODY:
        return reading()
    if body == BOTH:
        return reading(face(1.5), face(0.0, side=90))
    return reading(face(1.5 if body == BOB else 0.0))


def nothing_until(event: threading.Event) -> Read:
    """A made-up engine that sees nobody, once the event has happened."""

    def read(body: bytes, most: int) -> Reading:
        assert event.wait(10)
        return reading()

    return read


class Service:
    """The service in memory; `read` may be replaced to slow the worker down."""

    def __init__(self, access: Literal["open", "keys"] = "open", *, keep_unknown: bool = False) -> None:
        self.read: Read = see

        def read_as_told(body: bytes, most: int) -> Reading:
            return self.read(body, most)

        self.house = House(read_as_told, keep_unknown=keep_unknown)
        self.ready = True
        responses = self.house.queues(REPLIES)
        traffic = Traffic(time.time)
        metrics = WebMetrics()
        self.deliveries: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.webhooks = Webhooks(
            store=self.house.store,
            destinations={"till": Destination("https://till.example", b"secret")},
            post=lambda url, body, headers: self.deliveries.append((url, body, headers)),
            ended=lambda kind, found: ended(self.house.store, kind, found),
            now=time.time,
            count=metrics.webhook,
        )
        replies = ReplyRouter(responses, traffic, self.webhooks.answered)
        versions = GalleryVersions(self.house.gallery)
        settings = WebSettings(
            access=access,
            bucket="b",
            request_queue_url="memory://requests",
            response_queue_url=REPLIES,
            dead_letter_queue_url="memory://dead",
            max_body_bytes=64 * 1024,
            max_batch_bytes=2**20,
            max_batch_files=50,
            import_prefix="inbox/",
            erasure_settle_seconds=0,
            waiting_limit=4,
            classic_wait_seconds=1,
        )
        self.texts: dict[str, str] = {}
        """Of keys that tests have made."""
        self.numbers = iter(range(10_000))
        submitter = Submitter(
            store=self.house.store,
            requests=self.house.requests,
            replies=replies,
            versions=versions,
            traffic=traffic,
            response_queue_url=REPLIES,
            waiting_limit=settings.waiting_limit,
            uploads_limit=2,
            now=time.time,
        )

        def new_id() -> str:
            return f"{ULID[:-4]}{next(self.numbers):04d}"

        self.keys = Keys(self.house.store, "", time.time)
        audit = Audit(self.house.store, new_id, time.time)
        self.rights = build_rights(
            settings,
            store=self.house.store,
            gallery=self.house.gallery,
            versions=versions,
            audit=audit,
            new_id=new_id,
        )
        self.scaling = ScalingHouse()
        self.batching = build_batching(
            settings,
            store=self.house.store,
            gallery=self.house.gallery,
            submitter=submitter,
            versions=versions,
            consents=self.rights.records,
            webhooks=self.webhooks,
            metrics=metrics,
            predicted_wait=lambda: None,
        )
        answered = Answered(self.house.store, time.time)
        services = Services(
            version="1.2.3",
            settings=settings,
            access=Access(
                keys=self.keys,
                refusals=metrics,
                rate=settings.key_rate,
                is_open=settings.access == "open",
                now=time.time,
            ),
            keys=self.keys,
            sessions=Sessions(self.house.store, time.time),
            answered=answered,
            audit=audit,
            idempotency=Idempotency(self.house.store, new_id),
            submitter=submitter,
            batches=self.batching.intake,
            webhooks=self.webhooks,
            redrives=Redrives(
                store=self.house.store,
                sender=submitter,
                consents=self.rights.records,
                erasures=self.rights.erasures,
                audit=audit,
                now=time.time,
                count=metrics.dead_letter,
            ),
            people=self.rights.people,
            records=self.rights.records,
            rejections=Rejections(gallery=self.house.gallery, store=self.house.store, answered=answered),
            erasures=self.rights.erasures,
            exports=self.rights.exports,
            galleries=Galleries(
                gallery=self.house.gallery, store=self.house.store, versions=versions, consents=self.rights.records
            ),
            strangers=Strangers(store=self.house.store, gallery=self.house.gallery, versions=versions),
            versions=versions,
            metrics=metrics,
            scaler=self.scaling.scaler,
            is_alive=lambda: True,
            is_ready=lambda: self.ready,
        )
        self.services = services
        self.app = create_app(services)
        self.loop = Loop("replies", replies.receive)
        self.erasing = Loop("erasures", self.rights.erasures.work)


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """The service with its loops, and a worker."""
    # The fake queue's long poll would delay the end of the test.
    service.house.queues(REPLIES).receive = _impatient(service.house.queues(REPLIES).receive)  # type: ignore[method-assign]
    service.loop.start()
    service.erasing.start()
    with service.house.working():
        yield service
    service.loop.stop(5)
    service.erasing.stop(0)


@pytest.fixture
def service() -> Iterator[Service]:
    with running(Service()) as started:
        yield started


def _impatient(receive: Any) -> Any:
    return lambda limit, wait_seconds: receive(limit, 0.05)


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return service.app.test_client()


def send(client: FlaskClient, path: str, *photos: bytes, field: str = "image", name: str = "photo.png") -> TestResponse:
    files = [(io.BytesIO(photo), name) for photo in photos]
    return client.post(path, data={field: files}, content_type="multipart/form-data")


def assert_problem(response: TestResponse, code: Code) -> dict[str, Any]:
    body: dict[str, Any] = response.get_json(force=True)
    assert response.mimetype == "application/problem+json"
    assert (body["code"], body["status"]) == (code.value, response.status_code)
    assert response.status_code == STATUS[code][0]
    assert set(body) - {"id", "predicted_wait_s"} == {"type", "title", "status", "detail", "code"}
    return body


def enrol(client: FlaskClient, person: str, *photos: bytes) -> TestResponse:
    return send(client, f"/v1/people/{person}/photos", *photos)


def test_a_person_enrolled_is_found_by_the_next_request(client: FlaskClient) -> None:
    assert enrol(client, "Ada", ADA).status_code == 201
    answer = send(client, "/v1/identifications", ADA)
    assert answer.status_code == 200
    assert answer.json is not None
    (found,) = answer.json["faces"]
    assert (found["decision"], found["person"], found["threshold"]) == ("match", "Ada", 0.6)
    assert answer.json["image"] == {"name": "photo.png", "width": 640, "height": 480}


def test_all_faces_come_in_one_answer_and_strangers_stay_unknown(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    answer = send(client, "/v1/identifications", BOTH)
    assert answer.json is not None
    assert [(found["decision"], found["person"]) for found in answer.json["faces"]] == [
        ("unknown", None),
        ("match", "Ada"),
    ]


def test_a_raw_body_is_a_photo_too(client: FlaskClient) -> None:
    answer = client.post("/v1/identifications?name=raw.png", data=NOBODY, content_type="image/png")
    assert answer.json is not None
    assert (answer.json["image"]["name"], answer.json["faces"]) == ("raw.png", [])


def test_not_waiting_is_202_with_a_place_to_look(service: Service, client: FlaskClient) -> None:
    go_on = threading.Event()
    service.read = nothing_until(go_on)
    answer = send(client, "/v1/identifications?wait=0", NOBODY)
    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.json["state"] == "queued"
    place = answer.headers["Location"]
    looked = client.get(place)
    assert (looked.status_code, looked.json) == (200, answer.json)
    go_on.set()
    deadline = time.monotonic() + 5
    while client.get(place).get_json()["state"] == "queued":
        assert time.monotonic() < deadline
    assert client.get(place).get_json()["state"] == "done"


def test_the_parameters_reach_the_worker(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    enrol(client, "Bob", BOB)
    answer = send(client, "/v1/identifications?top=1&collection=default", ADA)
    assert answer.json is not None
    assert [candidate["person"] for candidate in answer.json["faces"][0]["candidates"]] == ["Ada"]
    elsewhere = send(client, "/v1/identifications?collection=other", ADA)
    assert elsewhere.json is not None
    assert elsewhere.json["faces"][0]["decision"] == "unknown"


@pytest.mark.parametrize(
    "query",
    ["wait=-1", "wait=x", "wait=nan", "wait=inf", "top=21", "top=1.5", "max_faces=0", "max_faces=a", "top="],
)
def test_wrong_parameters_are_named(client: FlaskClient, query: str) -> None:
    problem = assert_problem(send(client, f"/v1/identifications?{query}", ADA), Code.PARAMETER_INVALID)
    assert problem["detail"].startswith(query.split("=", maxsplit=1)[0])


def test_a_collection_must_have_a_plain_name(client: FlaskClient) -> None:
    for path in ("/v1/identifications", "/v1/verifications", "/v1/detections", "/v1/people/Ada/photos"):
        assert_problem(send(client, f"{path}?collection=../x", ADA, ADA), Code.COLLECTION_INVALID)
    assert_problem(client.get("/v1/people?collection=X"), Code.COLLECTION_INVALID)


@pytest.mark.parametrize(
    ("photo", "line"), [(ADA, "photo:Ada"), (BOB, "photo:unknown"), (NOBODY, "photo:no-face"), (BOTH, "photo:unknown")]
)
def test_the_classic_form_answers_one_line(client: FlaskClient, photo: bytes, line: str) -> None:
    enrol(client, "Ada", ADA)
    answer = send(client, "/", photo, field="inputFile")
    assert (answer.status_code, answer.text, answer.content_type) == (200, line, "text/plain; charset=utf-8")


def test_the_classic_form_keeps_inner_dots(client: FlaskClient) -> None:
    assert send(client, "/", NOBODY, field="inputFile", name="a.b.png").text == "a.b:no-face"


@pytest.mark.parametrize(
    ("path", "field"), [("/", "inputFile"), ("/v1/identifications", "image"), ("/v1/detections", "image")]
)
class TestBadPhotos:
    def test_missing(self, client: FlaskClient, path: str, field: str) -> None:
        assert_problem(client.post(path), Code.IMAGE_MISSING)
        assert_problem(send(client, path, ADA, field="wrong"), Code.IMAGE_MISSING)
        assert_problem(client.post(path, data={field: "text"}, content_type="multipart/form-data"), Code.IMAGE_MISSING)

    def test_two(self, client: FlaskClient, path: str, field: str) -> None:
        assert_problem(send(client, path, ADA, BOB, field=field), Code.PARAMETER_INVALID)

    def test_empty(self, client: FlaskClient, path: str, field: str) -> None:
        assert_problem(send(client, path, b"", field=field), Code.IMAGE_EMPTY)

    def test_text(self, client: FlaskClient, path: str, field: str) -> None:
        assert_problem(send(client, path, b"not a photo", field=field, name="a.jpg"), Code.TYPE_UNSUPPORTED)

    def test_bomb(self, client: FlaskClient, path: str, field: str) -> None:
        assert_problem(send(client, path, png_claiming(60_000, 60_000), field=field), Code.IMAGE_TOO_LARGE)

    @pytest.mark.parametrize("name", ["a:b.png", "../a.png", "a/b.png", ".."])
    def test_name(self, client: FlaskClient, path: str, field: str, name: str) -> None:
        assert_problem(send(client, path, ADA, field=field, name=name), Code.NAME_INVALID)

    def test_broken(self, client: FlaskClient, path: str, field: str) -> None:
        problem = assert_problem(send(client, path, BROKEN, field=field), Code.IMAGE_UNREADABLE)
        place = "/v1/identifications" if path == "/" else path
        assert client.get(f"{place}/{problem['id']}").get_json()["state"] == "failed"

    def test_large_body(self, client: FlaskClient, path: str, field: str) -> None:
        assert_problem(send(client, path, b"x" * 70_000, field=field), Code.BODY_TOO_LARGE)

    def test_large_raw_body(self, client: FlaskClient, path: str, field: str) -> None:
        response = client.post(path, data=b"x" * 70_000, content_type="image/jpeg")
        assert_problem(response, Code.BODY_TOO_LARGE)

    def test_malformed_multipart(self, client: FlaskClient, path: str, field: str) -> None:
        response = client.post(path, data=b"--x\r\n", content_type="multipart/form-data; boundary=y")
        assert_problem(response, Code.IMAGE_MISSING)


@pytest.mark.parametrize("person", ["a:b", "..", "unknown", "no-face", "%20", "a%C2%85b", "%E2%80%AEa", "x" * 129])
def test_names_that_are_no_persons(client: FlaskClient, person: str) -> None:
    assert_problem(enrol(client, person, ADA), Code.PERSON_INVALID)


def test_every_photo_of_an_enrolment_has_its_verdict(client: FlaskClient, service: Service) -> None:
    answer = enrol(client, "Ada", ADA, NOBODY, BROKEN, b"text", ADA, BOTH)
    assert answer.status_code == 201
    assert answer.json is not None
    verdicts = [photo["verdict"] for photo in answer.json["photos"]]
    assert verdicts == ["accepted", "no-face", "unreadable", "unreadable", "duplicate", "several-faces"]
    kept = [key for key in service.house.store.objects if key.startswith("photos/")]
    assert kept == [f"photos/{answer.json['photos'][0]['photo']}"], "photos that were not accepted are not kept"


def test_an_enrolment_without_an_accepted_photo_is_422_with_the_verdicts(client: FlaskClient) -> None:
    answer = enrol(client, "Ada", NOBODY)
    assert (answer.status_code, answer.get_json()["photos"][0]["verdict"]) == (422, "no-face")
    assert client.get("/v1/people").get_json()["people"] == []


@pytest.mark.parametrize("verdict", sorted(set(get_args(Verdict)) - {"queued"}))
def test_whatever_the_verdict_only_an_accepted_photo_is_kept(
    client: FlaskClient, service: Service, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    photo: EnrolledPhoto = {"photo": ULID, "name": "photo.png", "verdict": verdict, "detail": "why"}

    def decided(submission: Submission, deadline: float) -> Result:
        return {**failed_result(job(), Code.INTERNAL, ""), "operation": "enrol", "photo": photo}

    monkeypatch.setattr(Submission, "result", decided)
    answer = enrol(client, "Ada", ADA)
    assert answer.get_json() == {"person": "Ada", "photos": [photo]}
    assert answer.status_code == (201 if verdict == "accepted" else 422)
    kept = [key for key in service.house.store.objects if key.startswith("photos/")]
    assert len(kept) == (1 if verdict == "accepted" else 0)


@pytest.mark.parametrize(
    ("person", "photo", "verdict"), [("Bob", ADA_AGAIN, "looks-like-another"), ("Ada", BOB, "inconsistent")]
)
def test_who_insists_enrols_against_the_likeness(client: FlaskClient, person: str, photo: bytes, verdict: str) -> None:
    enrol(client, "Ada", ADA)
    refused = enrol(client, person, photo)
    assert (refused.status_code, refused.get_json()["photos"][0]["verdict"]) == (422, verdict)
    refused = send(client, f"/v1/people/{person}/photos?insist=false", photo)
    assert (refused.status_code, refused.get_json()["photos"][0]["verdict"]) == (422, verdict)
    accepted = send(client, f"/v1/people/{person}/photos?insist=true", photo)
    assert (accepted.status_code, accepted.get_json()["photos"][0]["verdict"]) == (201, "accepted")
    assert_problem(send(client, f"/v1/people/{person}/photos?insist=yes", photo), Code.PARAMETER_INVALID)


def test_people_are_listed_and_removed(client: FlaskClient, service: Service) -> None:
    enrol(client, "Ada", ADA)
    enrol(client, "Bob", BOB)
    first = {name: client.get(f"/v1/people/{name}").get_json()["photos"][0]["photo"] for name in ("Ada", "Bob")}
    assert client.get("/v1/people").get_json() == {
        "collection": "default",
        "people": [{"person": name, "photos": 1, "photo": photo} for name, photo in first.items()],
        "total": 2,
        "next": None,
    }
    (photo,) = client.get("/v1/people/Ada").get_json()["photos"]
    assert (set(photo), photo["name"]) == ({"photo", "name", "enrolled_at"}, "photo.png")
    receipt = client.delete("/v1/people/Ada").get_json()
    assert (receipt["templates"], receipt["photos"]) == (1, [photo["photo"]])
    assert f"photos/{photo['photo']}" not in service.house.store.objects
    assert send(client, "/v1/identifications", ADA).get_json()["faces"][0]["decision"] == "unknown"
    assert_problem(client.delete("/v1/people/Ada"), Code.NOT_FOUND)
    assert_problem(client.get("/v1/people/Ada"), Code.NOT_FOUND)


def test_one_photo_is_removed(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    enrol(client, "Ada", ADA_AGAIN)
    photo, other = (row["photo"] for row in client.get("/v1/people/Ada").get_json()["photos"])
    assert client.delete(f"/v1/people/Ada/photos/{photo}").get_json()["photos"] == [photo]
    assert client.get("/v1/people").get_json()["people"] == [{"person": "Ada", "photos": 1, "photo": other}]
    assert_problem(client.delete(f"/v1/people/Ada/photos/{photo}"), Code.NOT_FOUND)
    assert_problem(client.delete("/v1/people/Ada/photos/x"), Code.ID_INVALID)


def pair(
    client: FlaskClient, first: bytes, second: bytes, query: str = "", names: tuple[str, str] = ("a.png", "b.png")
) -> TestResponse:
    files = [(io.BytesIO(body), name) for body, name in zip((first, second), names, strict=True)]
    path = f"/v1/verifications{query}"
    return client.post(path, data={"image": files}, content_type="multipart/form-data")


class TestVerification:
    def test_one_person_is_the_same(self, client: FlaskClient) -> None:
        answer = pair(client, ADA, ADA)
        assert (answer.status_code, answer.get_json()["operation"]) == (200, "verify")
        found = answer.get_json()["verification"]
        assert set(found) == {"decision", "distance", "threshold", "expected_false_match_rate", "l2_distance"}
        assert (found["decision"], found["distance"], found["l2_distance"]) == ("same", 0, 0)

    def test_two_people_are_different(self, client: FlaskClient) -> None:
        body = pair(client, ADA, BOB).get_json()
        found = body["verification"]
        assert found["decision"] == "different"
        assert found["distance"] > found["threshold"] > 0
        assert (body["image"]["name"], body["other_image"]["name"]) == ("a.png", "b.png")
        assert [set(face) for face in body["faces"]] == [{"box", "landmarks", "quality"}] * 2

    def test_the_main_faces_count(self, client: FlaskClient) -> None:
        body = pair(client, BOTH, BOB).get_json()
        assert (body["verification"]["decision"], len(body["faces"])) == ("same", 2)
        assert [face["box"]["width"] for face in body["faces"]] == [100, 100]

    def test_the_gallery_says_nothing(self, client: FlaskClient) -> None:
        enrol(client, "Ada", ADA)
        assert pair(client, ADA, ADA, "?collection=other").get_json()["verification"]["decision"] == "same"
        assert "Ada" not in pair(client, ADA, ADA).text

    @pytest.mark.parametrize(
        ("first", "second", "which"), [(NOBODY, ADA, "first"), (ADA, NOBODY, "second")], ids=["first", "second"]
    )
    def test_a_photo_without_a_face(self, client: FlaskClient, first: bytes, second: bytes, which: str) -> None:
        problem = assert_problem(pair(client, first, second), Code.FACE_MISSING)
        assert f"the {which} photo" in problem["detail"]
        looked = client.get(f"/v1/verifications/{problem['id']}").get_json()
        assert (looked["state"], looked["error"]["code"]) == ("failed", "face-missing")

    @pytest.mark.parametrize(("first", "second"), [(BROKEN, ADA), (ADA, BROKEN)], ids=["first", "second"])
    def test_a_photo_that_cannot_be_read(self, client: FlaskClient, first: bytes, second: bytes) -> None:
        assert_problem(pair(client, first, second), Code.IMAGE_UNREADABLE)

    def test_a_pair_is_two_photos(self, client: FlaskClient) -> None:
        for response in (
            client.post("/v1/verifications"),
            client.post("/v1/verifications", data=ADA, content_type="image/png"),
            send(client, "/v1/verifications", ADA, ADA, field="photo"),
            send(client, "/v1/verifications", ADA),
        ):
            assert "twice" in assert_problem(response, Code.IMAGE_MISSING)["detail"]
        assert_problem(send(client, "/v1/verifications", ADA, ADA, ADA), Code.PARAMETER_INVALID)

    @pytest.mark.parametrize("turn", [1, -1])
    @pytest.mark.parametrize(
        ("body", "name", "code"),
        [
            (b"", "b.png", Code.IMAGE_EMPTY),
            (b"text", "b.png", Code.TYPE_UNSUPPORTED),
            (png_claiming(60_000, 60_000), "b.png", Code.IMAGE_TOO_LARGE),
            (ADA, "b:c.png", Code.NAME_INVALID),
        ],
        ids=lambda value: value.value if isinstance(value, Code) else "",
    )
    def test_a_pair_of_which_one_is_no_photo_stores_nothing(
        self, client: FlaskClient, service: Service, turn: int, body: bytes, name: str, code: Code
    ) -> None:
        bodies, names = (ADA, body)[::turn], ("a.png", name)[::turn]
        assert_problem(pair(client, bodies[0], bodies[1], names=(names[0], names[1])), code)
        assert (service.house.store.objects, service.house.requests.entries) == ({}, [])

    def test_the_limit_counts_both(self, client: FlaskClient) -> None:
        half = ADA + b"\0" * 40_000
        assert pair(client, ADA, half).status_code == 200
        assert_problem(pair(client, half, half), Code.BODY_TOO_LARGE)

    def test_the_longest_names(self, client: FlaskClient) -> None:
        assert pair(client, ADA, ADA, names=("é" * 127, "x" * 255)).status_code == 200

    def test_names_too_long_together(
        self, client: FlaskClient, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service.services.submitter, "_response_queue_url", "https://" + "q" * 300)
        problem = assert_problem(pair(client, ADA, ADA, names=("x" * 250, "y" * 250)), Code.NAME_INVALID)
        assert "500 bytes" in problem["detail"]
        assert service.house.store.objects == {}

    def test_not_waiting_and_looking_later(self, client: FlaskClient, service: Service) -> None:
        go_on = threading.Event()
        service.read = nothing_until(go_on)
        queued = pair(client, ADA, BOB, "?wait=0")
        assert (queued.status_code, queued.get_json()["state"]) == (202, "queued")
        place = queued.headers["Location"]
        assert place == f"/v1/verifications/{queued.get_json()['id']}"
        assert client.get(place).get_json() == queued.get_json()
        go_on.set()
        eventually(lambda: client.get(place).get_json()["state"] == "failed")
        assert client.get(place).get_json()["error"]["code"] == "face-missing"


class TestDetection:
    def test_faces_have_a_place_and_no_name(self, client: FlaskClient) -> None:
        enrol(client, "Ada", ADA)
        answer = send(client, "/v1/detections", BOTH)
        assert (answer.status_code, answer.get_json()["operation"]) == (200, "detect")
        faces = answer.get_json()["faces"]
        assert [set(face) for face in faces] == [{"box", "landmarks", "quality"}] * 2
        identified = send(client, "/v1/identifications", BOTH).get_json()["faces"]
        assert [face["box"] for face in faces] == [face["box"] for face in identified]
        assert "Ada" not in answer.text

    def test_a_photo_without_faces(self, client: FlaskClient) -> None:
        assert send(client, "/v1/detections", NOBODY).get_json()["faces"] == []

    def test_a_raw_body(self, client: FlaskClient) -> None:
        answer = client.post("/v1/detections?name=raw.png&max_faces=1", data=BOTH, content_type="image/png")
        assert (answer.status_code, answer.get_json()["image"]["name"]) == (200, "raw.png")

    def test_the_most_faces_reach_the_worker(self, client: FlaskClient, service: Service) -> None:
        asked: list[int] = []

        def read(body: bytes, most: int) -> Reading:
            asked.append(most)
            return see(body, most)

        service.read = read
        send(client, "/v1/detections?max_faces=7", ADA)
        assert asked == [7]
        assert_problem(send(client, "/v1/detections?max_faces=0", ADA), Code.PARAMETER_INVALID)

    def test_not_waiting_and_looking_later(self, client: FlaskClient) -> None:
        queued = send(client, "/v1/detections?wait=0", ADA)
        if queued.status_code == 202:  # a worker may be quicker
            assert queued.headers["Location"] == f"/v1/detections/{queued.get_json()['id']}"
        place = f"/v1/detections/{queued.get_json()['id']}"
        eventually(lambda: client.get(place).get_json()["state"] == "done")


def test_an_answer_is_found_under_its_own_operation_alone(client: FlaskClient) -> None:
    photo = enrol(client, "Ada", ADA).get_json()["photos"][0]["photo"]
    answers = {
        "identification": send(client, "/v1/identifications", ADA).get_json(),
        "verification": pair(client, ADA, ADA).get_json(),
        "detection": send(client, "/v1/detections", ADA).get_json(),
    }
    for noun in answers:
        for other, result in answers.items():
            looked = client.get(f"/v1/{noun}s/{result['id']}")
            if other == noun:
                assert (looked.status_code, looked.get_json()) == (200, result)
            else:
                assert noun in assert_problem(looked, Code.NOT_FOUND)["detail"]
        assert_problem(client.get(f"/v1/{noun}s/{photo}"), Code.NOT_FOUND)
        assert_problem(client.get(f"/v1/{noun}s/{photo}-other"), Code.ID_INVALID)


@pytest.mark.parametrize("answers", ["identifications", "verifications", "detections"])
@pytest.mark.parametrize(("job_id", "code"), [("x", Code.ID_INVALID), (ULID, Code.NOT_FOUND)])
def test_ids_that_lead_nowhere(client: FlaskClient, answers: str, job_id: str, code: Code) -> None:
    assert_problem(client.get(f"/v1/{answers}/{job_id}"), code)


def test_paths_and_methods_that_do_not_exist(client: FlaskClient) -> None:
    assert_problem(client.get("/nowhere"), Code.NOT_FOUND)
    response = client.delete("/v1/identifications")
    assert_problem(response, Code.METHOD_NOT_ALLOWED)
    assert "POST" in response.headers["Allow"]


def test_no_answer_in_time(service: Service, client: FlaskClient) -> None:
    go_on = threading.Event()
    service.read = nothing_until(go_on)
    problem = assert_problem(send(client, "/", ADA, field="inputFile"), Code.WAIT_TIMEOUT)
    assert re.search(r"/v1/identifications/[0-9A-Z]{26}$", problem["detail"])
    go_on.set()


def test_more_waiting_requests_than_places(service: Service) -> None:
    go_on = threading.Event()
    service.read = nothing_until(go_on)
    threads = [
        threading.Thread(target=lambda: send(service.app.test_client(), "/", NOBODY, field="inputFile"))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while "face_web_waiting 4.0" not in service.app.test_client().get("/metrics").text:
        assert time.monotonic() < deadline
    busy = send(service.app.test_client(), "/", NOBODY, field="inputFile")
    assert_problem(busy, Code.SERVER_BUSY)
    assert int(busy.headers["Retry-After"]) > 0
    assert send(service.app.test_client(), "/v1/identifications", NOBODY).status_code == 202
    assert service.app.test_client().get("/healthz").status_code == 200
    go_on.set()
    for thread in threads:
        thread.join()


def test_storage_out_of_reach_is_503(service: Service, client: FlaskClient) -> None:
    service.house.store.fault = TransientError(Code.STORAGE_UNAVAILABLE, "away")
    assert_problem(send(client, "/v1/identifications", ADA), Code.STORAGE_UNAVAILABLE)


def test_a_fault_of_the_service_tells_nothing_of_its_inside(service: Service, client: FlaskClient) -> None:
    service.house.store.fault = RuntimeError("secret")
    response = send(client, "/v1/identifications", ADA)
    assert "secret" not in assert_problem(response, Code.INTERNAL)["detail"]


def test_health_and_readiness(service: Service, client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "ok", "version": "1.2.3"}
    assert client.get("/readyz").status_code == 200
    service.ready = False
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_metrics_count_requests_and_decisions(client: FlaskClient) -> None:
    send(client, "/v1/identifications", ADA)
    text = client.get("/metrics").text
    assert 'face_web_faces_total{decision="unknown"} 1.0' in text
    assert 'face_web_requests_total{endpoint="identifications.identify",status="200"} 1.0' in text
    assert 'face_web_jobs_total{operation="identify",state="done"} 1.0' in text


def test_metrics_count_every_operation(client: FlaskClient) -> None:
    send(client, "/v1/detections", ADA)
    pair(client, ADA, ADA)
    pair(client, ADA, NOBODY)
    text = client.get("/metrics").text
    assert 'face_web_jobs_total{operation="detect",state="done"} 1.0' in text
    assert 'face_web_jobs_total{operation="verify",state="done"} 1.0' in text
    assert 'face_web_jobs_total{operation="verify",state="failed"} 1.0' in text
    assert 'face_web_verifications_total{decision="same"} 1.0' in text
    assert 'face_web_requests_total{endpoint="verifications.verify",status="422"} 1.0' in text
    assert "face_web_faces_total{" not in text


def test_the_front_door_says_what_it_does(client: FlaskClient) -> None:
    assert "curl -F image=@photo.jpg http://localhost/v1/identifications" in client.get("/").text


def test_an_enrolment_with_a_wrong_name_enrols_nobody(client: FlaskClient, service: Service) -> None:
    files = [(io.BytesIO(ADA), "a.png"), (io.BytesIO(BOB), "b:c.png")]
    answer = client.post("/v1/people/Ada/photos", data={"image": files}, content_type="multipart/form-data")
    assert_problem(answer, Code.NAME_INVALID)
    assert service.house.store.objects == {}
    assert service.house.requests.entries == []


def test_an_enrolment_that_nobody_takes_in_time_is_queued_not_failed(service: Service, client: FlaskClient) -> None:
    go_on = threading.Event()
    service.read = nothing_until(go_on)
    answer = enrol(client, "Ada", ADA)
    assert answer.status_code == 202
    (photo,) = answer.get_json()["photos"]
    assert (photo["verdict"], photo["name"]) == ("queued", "photo.png")
    go_on.set()


def test_storage_that_fails_half_way_through_an_enrolment(
    service: Service, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = service.house.store.put, iter(range(10))

    def failing_second(key: str, body: bytes, content_type: str) -> None:
        if next(calls) == 1:
            raise TransientError(Code.STORAGE_UNAVAILABLE, "away")
        put(key, body, content_type)

    monkeypatch.setattr(service.house.store, "put", failing_second)
    answer = enrol(client, "Ada", ADA, BOB)
    assert [photo["verdict"] for photo in answer.get_json()["photos"]] == ["accepted", "failed"]


def test_an_erasure_goes_on_after_a_fault(
    service: Service, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(client, "Ada", ADA)

    def away(collection: str, person: str, photo: object = None) -> int:
        raise TransientError(Code.STORAGE_UNAVAILABLE, "away")

    with monkeypatch.context() as patched:
        patched.setattr(service.house.gallery, "remove", away)
        assert_problem(client.delete("/v1/people/Ada"), Code.ERASURE_FAILED)
    eventually(lambda: not any(key.startswith("erasures/open/") for key in service.house.store.objects), seconds=10)
    assert_problem(client.delete("/v1/people/Ada"), Code.NOT_FOUND)
    left = {key.partition("/")[0] for key in service.house.store.objects}
    assert left == {"audit", "erasures"}, "neither photo nor result of the enrolment is left"


def test_the_fleet_and_its_decisions_are_told(service: Service, client: FlaskClient) -> None:
    assert_problem(client.get("/v1/fleet"), Code.FLEET_UNKNOWN)  # nobody has led yet
    service.scaling.queue.counted = Counts(30, 2)
    service.scaling.tick(3)
    body = client.get("/v1/fleet").get_json()
    assert body["backlog"] == {"visible": 30, "in_flight": 2, "oldest_s": None}
    assert body["workers"] == {"booting": 5, "running": 0, "draining": 0, "stopped": 0, "outdated": 0}
    assert (body["desired"], body["leader"], body["decision"]["action"]) == (5, "web-1", "hold")
    found = client.get("/v1/fleet/decisions?limit=2").get_json()["decisions"]
    assert [line["action"] for line in found] == ["hold", "hold"]
    assert found[0]["now"] > found[1]["now"]
    everything = client.get("/v1/fleet/decisions").get_json()["decisions"]
    assert (everything[-1]["action"], everything[-1]["count"]) == ("start", 5)
    assert_problem(client.get("/v1/fleet/decisions?limit=0"), Code.PARAMETER_INVALID)


def test_the_fleet_is_paused_pinned_and_left_to_the_load_again(service: Service, client: FlaskClient) -> None:
    service.scaling.now = time.time()
    assert client.get("/v1/fleet/override").get_json() == {"override": None}
    pin = {"mode": "pin", "workers": 2, "why": "load test", "until": "2100-01-01T00:00:00+01:00"}
    set_ = client.put("/v1/fleet/override", json=pin)
    assert set_.status_code == 200, set_.text
    override = set_.get_json()["override"]
    assert client.get("/v1/fleet/override").get_json()["override"] == override
    assert (override["workers"], override["by"], override["until"]) == (2, "local", "2099-12-31T23:00:00.000+00:00")
    service.scaling.tick()
    assert client.get("/v1/fleet").get_json()["override"] == override
    assert service.scaling.fleet.calls == ["launch 2"]
    client.put("/v1/fleet/override", json={"mode": "pause", "why": "maintenance"})
    service.scaling.tick()
    assert client.get("/v1/fleet").get_json()["decision"]["cause"] == "paused"
    for _ in range(2):
        assert client.delete("/v1/fleet/override").get_json() == {"override": None}
    service.scaling.tick()
    assert client.get("/v1/fleet").get_json()["override"] is None
    entries = client.get("/v1/audit").get_json()["entries"]
    assert [entry["action"] for entry in entries] == ["set-override"] * 2 + ["lift-override"] * 2
    assert entries[0]["facts"] == {"mode": "pin", "workers": 2, "until": "2099-12-31T23:00:00.000+00:00"}
    assert "load test" not in str(entries)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"mode": "pin", "workers": 6, "why": "w"}, Code.PIN_TOO_LARGE),
        ({"mode": "pause", "why": "w", "until": "2001-01-01T00:00:00Z"}, Code.MOMENT_PAST),
        ({"mode": "pause", "why": "w", "until": "2001-01-01T00:00:00"}, Code.REQUEST_INVALID),
        ({"mode": "pause", "workers": 1, "why": "w"}, Code.REQUEST_INVALID),
        ({"mode": "pause", "why": ""}, Code.REQUEST_INVALID),
        ({"mode": "pause", "why": "one\ntwo"}, Code.REQUEST_INVALID),
        ({"mode": "pin", "why": "w"}, Code.REQUEST_INVALID),
        ({"mode": "pin", "workers": -1, "why": "w"}, Code.REQUEST_INVALID),
        ({"mode": "stop", "why": "w"}, Code.REQUEST_INVALID),
        ({}, Code.REQUEST_INVALID),
        ([], Code.REQUEST_INVALID),
    ],
)
def test_an_override_that_makes_no_sense_is_not_set(client: FlaskClient, body: object, code: Code) -> None:
    assert_problem(client.put("/v1/fleet/override", json=body), code)
    assert client.get("/v1/fleet/override").get_json() == {"override": None}


def test_what_if_answers_what_would_be_decided(service: Service, client: FlaskClient) -> None:
    assert_problem(client.get("/v1/fleet/what-if"), Code.FLEET_UNKNOWN)
    service.scaling.queue.counted = Counts(30, 0)
    service.scaling.tick()
    body = client.get("/v1/fleet/what-if?visible=0&arrival_rate=1.6&ready=1&boot_s=10").get_json()
    assert set(body) == {"observed", "policy", "plan", "wait_s"}
    assert (body["plan"]["action"], body["plan"]["count"], body["plan"]["desired"]) == ("start", 1, 2)
    assert body["plan"]["reason"].startswith("Starting 1: photos waiting: 0")
    assert body["policy"]["max"] == 5
    for wrong in ("visible=-1", "arrival_rate=nan", "service_s=inf", "utilisation=0", "max=many", "drain_s=0"):
        assert_problem(client.get(f"/v1/fleet/what-if?{wrong}"), Code.PARAMETER_INVALID)


@pytest.mark.parametrize(
    ("path", "field", "photos"),
    [
        ("/", "inputFile", 1),
        ("/v1/identifications", "image", 1),
        ("/v1/detections", "image", 1),
        ("/v1/verifications", "image", 2),
        ("/v1/people/Ada/photos", "image", 1),
    ],
)
def test_a_photo_that_would_wait_too_long_is_refused(
    service: Service, client: FlaskClient, path: str, field: str, photos: int
) -> None:
    service.scaling.now = time.time()
    service.scaling.queue.counted = Counts(5000, 0)
    service.scaling.tick()
    answer = send(client, path, *[ADA] * photos, field=field)
    body = assert_problem(answer, Code.OVERLOADED)
    assert "would wait about" in body["detail"]
    assert int(answer.headers["Retry-After"]) == pytest.approx(40 + 5000 / 5 - 300, abs=5)
    assert "face_web_refused_total 1.0" in client.get("/metrics").text
    service.scaling.queue.counted = Counts(10, 0)
    service.scaling.tick()
    assert send(client, path, *[ADA] * photos, field=field).status_code < 300


def test_without_a_fleet_there_is_none_to_tell_of(service: Service) -> None:
    fixed = create_app(replace(service.services, scaler=None)).test_client()
    for path in ("/v1/fleet", "/v1/fleet/decisions", "/v1/fleet/override", "/v1/fleet/what-if"):
        assert "FACE_LAUNCH_TEMPLATE" in assert_problem(fixed.get(path), Code.NOT_FOUND)["detail"]
    assert fixed.get("/metrics").status_code == 200


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+09:00"])
def test_times_that_are_none_in_some_zone_harm_nobody(client: FlaskClient, moment: str) -> None:
    assert client.post("/v1/keys", json={"name": "n", "role": "submit", "expires_at": moment}).status_code == 201
    assert client.get("/v1/keys").status_code == 200
    assert client.put("/v1/people/Ada", json={"consent": {"reference": "r", "given_at": moment}}).status_code == 200
    if moment > "2":
        ends = client.put("/v1/people/Ada", json={"expires_at": moment}).get_json()["expires_at"]
        assert ends.startswith("9998-12-31T23:59:59")
    assert client.get("/v1/people/Ada").status_code == 200


def test_json_that_is_nested_without_end_is_refused(client: FlaskClient) -> None:
    body = b"[" * 50_000
    assert_problem(client.post("/v1/keys", data=body, content_type="application/json"), Code.REQUEST_INVALID)


@pytest.mark.parametrize(
    "head", [b"", b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\na\r\n--x--']
)
def test_what_belongs_to_no_file_of_a_form_is_not_kept(client: FlaskClient, head: bytes) -> None:
    body = head + b"." * 3_000_000
    answer = client.post("/v1/batches", data=body, content_type="multipart/form-data; boundary=x")
    assert_problem(answer, Code.BODY_TOO_LARGE)


def test_a_file_without_a_field_is_refused(client: FlaskClient) -> None:
    body = b'--x\r\nContent-Disposition: form-data; filename="a.png"\r\n\r\na\r\n--x--\r\n'
    answer = client.post("/v1/batches", data=body, content_type="multipart/form-data; boundary=x")
    assert_problem(answer, Code.REQUEST_INVALID)


def test_what_may_be_left_out_is_not_said_to_be_null(client: FlaskClient) -> None:
    assert '"default":null' not in client.get("/openapi.json").text


def test_every_call_is_in_the_document(service: Service) -> None:
    paths = service.app.api_doc["paths"]
    documented = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    declared = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in service.app.url_map.iter_rules()
        for method in rule.methods or ()
        if rule.rule.startswith("/v1/") and method not in ("HEAD", "OPTIONS")
    }
    assert declared
    assert declared <= documented
