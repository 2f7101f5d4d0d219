"""Faces that are not whom they were named: rejected, listed, taken back; and single faces that are named."""

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import PIL.Image
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from face_app.recognition import Reading
from face_client import FaceClient, FaceServiceError
from face_common.contract import Code, distractor, is_distractor, is_person, result_key
from face_common.errors import PermanentError, ServiceError
from face_web.access import Role
from face_web.answered import Answered
from face_web.gallery_file import read as read_file
from face_web.traces import asked_at
from tests.fakes.inference import face, reading
from tests.pictures import saved, scene
from tests.unit.test_access import made
from tests.unit.test_contract import ULID
from tests.unit.test_gallery_http import asked, audited
from tests.unit.test_http import Service, assert_problem, enrol, running, send

ADA, LOOKALIKE, NEXT, BOB, NEAR_BOTH = (saved(scene(width, 120), "PNG") for width in (100, 120, 140, 160, 180))
PLACES = {ADA: 0.0, LOOKALIKE: 0.4, NEXT: 0.45, BOB: 1.2, NEAR_BOTH: 0.2}
"""How far each photo's face is from Ada's."""


class Eyes:
    """Sees what is in the photos above, and in a face that was cut out of one whatever was seen last."""

    def __init__(self) -> None:
        self.last = 0.0
        self.blind = False
        self.fault: Exception | None = None

    def __call__(self, body: bytes, _: int) -> Reading:
        if body in PLACES:
            self.last = PLACES[body]
        elif self.fault:
            raise self.fault
        elif self.blind:
            return reading()
        return reading(face(self.last, side=60))


@pytest.fixture
def eyes() -> Eyes:
    return Eyes()


@pytest.fixture
def service(eyes: Eyes) -> Iterator[Service]:
    with running(Service(keep_unknown=True)) as started:
        started.read = eyes
        yield started


@pytest.fixture
def client(service: Service) -> FlaskClient:
    found = service.app.test_client()
    assert enrol(found, "Ada", ADA).status_code == 201
    return found


def identified(client: FlaskClient, photo: bytes) -> tuple[str, dict[str, Any]]:
    answer = asked(send(client, "/v1/identifications", photo))
    return answer["id"], answer["faces"][0]


def reject(client: FlaskClient, identification: str, face: int = 0, **options: Any) -> TestResponse:
    return client.post("/v1/rejections", json={"identification": identification, "face": face}, **options)


def rejected(client: FlaskClient, photo: bytes = LOOKALIKE) -> dict[str, Any]:
    found: dict[str, Any] = asked(reject(client, identified(client, photo)[0]), 201)
    return found


def name(client: FlaskClient, identification: str, person: str, query: str = "", face: int = 0) -> TestResponse:
    return client.post(f"/v1/identifications/{identification}/faces/{face}/naming{query}", json={"person": person})


def to_review(client: FlaskClient, decision: str = "ambiguous") -> list[tuple[str, int]]:
    found = asked(client.get(f"/v1/identifications?decision={decision}"))["faces"]
    return [(entry["identification"], entry["face"]) for entry in found]


def test_no_person_can_be_called_like_a_rejected_face() -> None:
    assert is_distractor(distractor(ULID))
    assert not is_person(distractor(ULID))
    assert not any(map(is_distractor, ("not:", "not:Ada", "Ada", ULID)))


def test_a_rejected_face_is_not_named_so_again_nor_is_the_next_one_like_it(client: FlaskClient) -> None:
    identification, before = identified(client, LOOKALIKE)
    assert (before["decision"], before["person"]) == ("match", "Ada")
    made = asked(reject(client, identification), 201)
    assert (made["identification"], made["face"], made["person"]) == (identification, 0, "Ada")
    assert made["verdict"] == "accepted"
    for photo in (LOOKALIKE, NEXT):
        _, after = identified(client, photo)
        assert (after["decision"], after["person"]) == ("unknown", None)
        assert [near["person"] for near in after["candidates"]] == ["Ada"], "nobody is called like a rejected face"
        assert after["distance"] <= after["threshold"], "the distance is that of the person"
        assert after["margin"] < 0
    assert identified(client, ADA)[1]["person"] == "Ada"


def test_a_face_as_near_to_a_rejected_one_is_nobody_s(client: FlaskClient) -> None:
    rejected(client)
    _, found = identified(client, NEAR_BOTH)
    assert (found["decision"], found["person"]) == ("ambiguous", None)


def test_a_rejected_face_is_enrolled_however_bad_it_is_and_with_other_faces_beside_it(
    client: FlaskClient, service: Service
) -> None:
    identification, _ = identified(client, LOOKALIKE)
    service.read = lambda body, _: reading(face(0.4, side=25), face(1.0, side=24))
    assert asked(reject(client, identification), 201)["verdict"] == "accepted"


def test_where_no_face_is_found_in_what_was_cut_out_nothing_is_rejected(
    client: FlaskClient, service: Service, eyes: Eyes
) -> None:
    identification, _ = identified(client, LOOKALIKE)
    kept = {key for key in service.house.store.objects if key.startswith("photos/")}
    eyes.blind = True
    assert asked(reject(client, identification), 422)["verdict"] == "no-face"
    eyes.fault = PermanentError(Code.IMAGE_UNREADABLE, "no photo")
    assert asked(reject(client, identification), 422)["verdict"] == "unreadable"
    assert {key for key in service.house.store.objects if key.startswith("photos/")} == kept
    assert asked(client.get("/v1/rejections"))["total"] == 0


def test_only_what_was_named_can_be_rejected(client: FlaskClient) -> None:
    identification, found = identified(client, BOB)
    assert found["decision"] == "unknown"
    assert_problem(reject(client, identification), Code.FACE_UNNAMED)
    named, _ = identified(client, ADA)
    assert_problem(reject(client, named, face=1), Code.NOT_FOUND)
    assert_problem(reject(client, named, face=-1), Code.REQUEST_INVALID)
    assert_problem(reject(client, ULID), Code.NOT_FOUND)
    assert_problem(reject(client, "x"), Code.ID_INVALID)
    assert_problem(reject(client, named, query_string={"collection": "other"}), Code.NOT_FOUND)


def test_the_photo_must_be_kept(client: FlaskClient, service: Service) -> None:
    identification, _ = identified(client, ADA)
    del service.house.store.objects[f"images/{identification}"]
    assert_problem(reject(client, identification), Code.NOT_FOUND)
    assert_problem(name(client, identification, "Bob"), Code.NOT_FOUND)


def test_the_reject_list_is_paged_and_shows_the_faces(client: FlaskClient) -> None:
    ids = [rejected(client, ADA)["rejection"]]
    enrol(client, "Bob", BOB)
    ids.append(rejected(client, BOB)["rejection"])
    first = asked(client.get("/v1/rejections?limit=1"))
    assert [entry["rejection"] for entry in first["rejections"]] == ids[1:]
    assert (first["rejections"][0]["person"], first["rejections"][0]["face"], first["total"]) == ("Bob", 0, 2)
    second = asked(client.get(f"/v1/rejections?limit=1&after={first['next']}"))
    assert [entry["rejection"] for entry in second["rejections"]] == ids[:1]
    assert second["next"] is None
    image = client.get(f"/v1/rejections/{ids[0]}/image")
    assert (image.mimetype, PIL.Image.open(io.BytesIO(image.data)).format) == ("image/jpeg", "JPEG")
    assert_problem(client.get(f"/v1/rejections/{ids[0]}/image?collection=other"), Code.NOT_FOUND)
    assert_problem(client.get(f"/v1/rejections/{ULID}/image"), Code.NOT_FOUND)


def test_a_rejection_is_taken_back_and_nothing_is_left_of_it(client: FlaskClient, service: Service) -> None:
    made = rejected(client)
    receipt = asked(client.delete(f"/v1/rejections/{made['rejection']}"))
    assert (receipt["state"], receipt["photos"]) == ("done", [made["rejection"]])
    assert not [key for key in service.house.store.objects if made["rejection"] in key and "idempotency" not in key]
    assert identified(client, LOOKALIKE)[1]["person"] == "Ada"
    assert_problem(client.delete(f"/v1/rejections/{made['rejection']}"), Code.NOT_FOUND)
    assert audited(service)[-1]["action"] in ("undo-rejection", "erased")


def test_nothing_that_is_kept_of_a_rejection_names_anybody(client: FlaskClient, service: Service) -> None:
    made = rejected(client)
    (row,) = service.house.gallery.distractors("default")
    assert (row.person, row.name) == (distractor(made["rejection"]), f"{made['identification']}-0.jpg")
    assert "Ada" not in service.house.store.objects[result_key(made["rejection"])].decode()
    entry = next(entry for entry in audited(service) if entry["action"] == "reject-face")
    assert entry["subject"]
    assert "Ada" not in json.dumps(entry)
    del service.house.store.objects[result_key(made["identification"])]
    (kept,) = asked(client.get("/v1/rejections"))["rejections"]
    assert kept["person"] is None


def test_rejected_faces_are_not_among_the_people(client: FlaskClient) -> None:
    made = rejected(client)
    assert [entry["person"] for entry in asked(client.get("/v1/people"))["people"]] == ["Ada"]
    described = asked(client.get("/v1/gallery"))
    assert (described["people"], described["photos"], described["templates"]) == (1, 1, 1)
    (collection,) = asked(client.get("/v1/collections"))["collections"]
    assert collection["people"] == 1
    reserved = distractor(made["rejection"])
    assert_problem(client.get(f"/v1/people/{reserved}"), Code.PERSON_INVALID)
    assert_problem(client.delete(f"/v1/people/{reserved}"), Code.PERSON_INVALID)


def test_a_gallery_file_carries_them_along(client: FlaskClient) -> None:
    made = rejected(client)
    exported = client.get("/v1/gallery/export").data
    _, rows = read_file(io.BytesIO(exported))
    assert sorted(row.person for row in rows) == ["Ada", distractor(made["rejection"])]
    imported = asked(
        client.post("/v1/gallery/imports?collection=copy", data=exported, content_type="application/jsonl")
    )
    assert (imported["people"], imported["templates"]) == (1, 2)
    (kept,) = asked(client.get("/v1/rejections?collection=copy"))["rejections"]
    assert kept["person"] is None, "the answer is another collection's"
    found = asked(send(client, "/v1/identifications?collection=copy", LOOKALIKE))["faces"][0]
    assert found["decision"] == "unknown"


def test_a_request_that_is_sent_again_rejects_once(client: FlaskClient) -> None:
    identification, _ = identified(client, LOOKALIKE)
    again = {"Idempotency-Key": "once"}
    first, second = (asked(reject(client, identification, headers=again), 201) for _ in range(2))
    assert first == second
    assert asked(client.get("/v1/rejections"))["total"] == 1


def test_without_consent_no_stranger_is_kept(client: FlaskClient, service: Service) -> None:
    identification, _ = identified(client, LOOKALIKE)
    service.services.records._consent_required = True
    problem = assert_problem(reject(client, identification), Code.CONSENT_MISSING)
    assert "stranger" in problem["detail"]
    assert_problem(name(client, identification, "Bob"), Code.CONSENT_MISSING)


def test_whoever_is_erased_is_erased_as_a_rejected_face_too(client: FlaskClient) -> None:
    rejected(client)
    asked(client.delete("/v1/people/Ada?wait=30"))
    assert asked(client.get("/v1/rejections"))["total"] == 0


def test_a_stranger_s_face_stays_rejected_whoever_is_erased(client: FlaskClient) -> None:
    rejected(client)
    enrol(client, "Bob", BOB)
    asked(client.delete("/v1/people/Bob?wait=30"))
    assert asked(client.get("/v1/rejections"))["total"] == 1


def test_a_whole_collection_is_erased_with_its_rejected_faces(client: FlaskClient, service: Service) -> None:
    rejected(client)
    asked(client.delete("/v1/gallery?wait=30"))
    assert asked(client.get("/v1/rejections"))["total"] == 0
    assert not [key for key in service.house.store.objects if key.startswith(("photos/", "unknown/"))]


# Single faces


def test_a_face_of_an_answer_is_named_and_no_longer_among_the_unknown(client: FlaskClient, service: Service) -> None:
    identification, _ = identified(client, BOB)
    assert len(asked(client.get("/v1/clusters"))["clusters"]) == 1
    named = asked(name(client, identification, "Bob"), 201)
    assert (named["person"], named["photos"][0]["verdict"], named["photos"][0]["name"]) == (
        "Bob",
        "accepted",
        "photo.png",
    )
    assert identified(client, BOB)[1]["person"] == "Bob"
    assert asked(client.get("/v1/clusters"))["clusters"] == []
    photo = client.get(f"/v1/people/Bob/photos/{named['photos'][0]['photo']}")
    assert photo.mimetype == "image/jpeg"
    assert (entry := audited(service)[-1])["action"] == "name-face"
    assert "Bob" not in json.dumps(entry)


def test_a_naming_gets_the_verdict_of_an_enrolment(client: FlaskClient) -> None:
    identification, _ = identified(client, LOOKALIKE)
    refused = asked(name(client, identification, "Bob"), 422)["photos"][0]
    assert refused["verdict"] == "looks-like-another"
    assert asked(name(client, identification, "Bob", "?insist=true"), 201)["photos"][0]["verdict"] == "accepted"
    assert_problem(name(client, identification, "a:b"), Code.PERSON_INVALID)
    assert_problem(name(client, identification, "Bob", face=7), Code.NOT_FOUND)


def test_faces_to_look_at_are_listed_until_somebody_has(client: FlaskClient) -> None:
    rejected(client)
    ids = [identified(client, NEAR_BOTH)[0] for _ in range(4)]
    assert to_review(client) == [(one, 0) for one in reversed(ids)], "the newest first"
    assert asked(client.get("/v1/identifications?limit=1"))["faces"][0]["candidates"][0]["person"] == "Ada"
    assert asked(client.post(f"/v1/identifications/{ids[0]}/faces/0/dismissal")) == {
        "identification": ids[0],
        "face": 0,
    }
    asked(name(client, ids[1], "Ada"), 201)
    asked(reject(client, ids[2]), 201)
    assert to_review(client) == [(ids[3], 0)]
    rejection = asked(client.get("/v1/rejections"))["rejections"][0]["rejection"]
    asked(client.delete(f"/v1/rejections/{rejection}?wait=0"), 202)
    assert to_review(client) == [(ids[3], 0), (ids[2], 0)], "what is taken back is to be looked at again"
    assert to_review(client, "match") == []
    assert_problem(client.get("/v1/identifications?decision=none"), Code.PARAMETER_INVALID)
    assert asked(client.get("/v1/identifications?collection=other"))["faces"] == []


def test_a_bound_key_reaches_its_own_collections_only() -> None:
    with running(Service("keys")) as service:
        service.read = Eyes()
        client = service.app.test_client()
        admin, bound = (
            {"Authorization": f"Bearer {made(service, role, *collections)}"}
            for role, collections in ((Role.ADMIN, ()), (Role.ENROL, ("team",)))
        )
        found = client.post("/v1/identifications", data=ADA, content_type="image/png", headers=admin)
        path = f"/v1/identifications/{found.get_json()['id']}/faces/0"
        assert_problem(client.post(f"{path}/naming", json={"person": "Eve"}, headers=bound), Code.FORBIDDEN)
        assert_problem(client.post(f"{path}/dismissal", headers=bound), Code.FORBIDDEN)
        assert_problem(client.get("/v1/rejections", headers=bound), Code.FORBIDDEN)


def test_answers_of_other_kinds_have_no_such_faces(service: Service) -> None:
    client = service.app.test_client()
    detection = asked(send(client, "/v1/detections", ADA))["id"]
    assert_problem(name(client, detection, "Ada"), Code.NOT_FOUND)


def test_the_newest_answers_are_found_however_old_they_are(service: Service) -> None:
    client = service.app.test_client()
    enrol(client, "Ada", ADA)
    identification, _ = identified(client, ADA)
    for later in (0.0, 1e3, 1e5, 1e7, 1e9):
        clock = asked_at(identification) + later
        answers, found = Answered(service.house.store, lambda at=clock: at).newest("default", "match", 5)
        assert (answers, [one.result["id"] for one in found]) == (1, [identification])


def test_an_answer_is_read_once_and_again_when_it_has_changed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, store = service.app.test_client(), service.house.store
    enrol(client, "Ada", ADA)
    identification, _ = identified(client, ADA)
    answered, read, real = service.services.answered, [], store.get
    monkeypatch.setattr(store, "get", lambda key: read.append(key) or real(key))
    key = f"results/{identification}.json"
    for _ in range(3):
        assert answered.newest("default", "match", 5)[0] == 1
    assert read.count(key) == 1
    store.put(key, real(key).replace(b'"match"', b'"unknown"'), "application/json")
    assert answered.newest("default", "match", 5)[1] == []
    store.delete([key])
    assert answered.newest("default", "unknown", 5) == (0, [])


def test_a_face_that_is_not_there_is_none(service: Service) -> None:
    with pytest.raises(ServiceError):
        service.services.answered.face(ULID, 0)
    assert service.services.answered.find(ULID, 0) is None


def test_the_client_reviews(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, transport = httpx.Client, httpx.WSGITransport(app=service.app)  # type: ignore[arg-type]
    monkeypatch.setattr(httpx, "Client", lambda **options: plain(**options | {"transport": transport}))
    client = service.app.test_client()
    enrol(client, "Ada", ADA)
    with FaceClient("http://127.0.0.1") as found:
        made = found.rejections.add(identified(client, LOOKALIKE)[0])
        assert (made["verdict"], made["person"]) == ("accepted", "Ada")
        assert [entry["rejection"] for entry in found.rejections.all()] == [made["rejection"]]
        assert PIL.Image.open(io.BytesIO(found.rejections.image(made["rejection"]))).format == "JPEG"
        first, second = (identified(client, NEAR_BOTH)[0] for _ in range(2))
        assert [entry["identification"] for entry in found.faces.all(limit=5)] == [second, first]
        assert found.faces.name(first, 0, "Bob")["verdict"] == "looks-like-another"
        assert found.faces.name(first, 0, "Bob", insist=True)["verdict"] == "accepted"
        found.faces.dismiss(second, 0)
        assert found.faces.all() == []
        assert found.rejections.undo(made["rejection"])["photos"] == [made["rejection"]]
        with pytest.raises(FaceServiceError, match="face-unnamed"):
            found.rejections.add(identified(client, BOB)[0])
