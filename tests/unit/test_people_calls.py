"""The calls about people, over HTTP."""

import io
import json
import zipfile

import PIL.Image
import pytest
from flask.testing import FlaskClient

from face_common.contract import Code, photo_key
from tests.unit.test_http import ADA, ADA_AGAIN, BOB, BOTH, Service, assert_problem, client, enrol, send, service

__all__ = ["client", "service"]


@pytest.fixture
def ada(client: FlaskClient) -> str:
    """The id of an enrolled photo."""
    photo: str = enrol(client, "Ada", ADA).get_json()["photos"][0]["photo"]
    return photo


def test_consent_end_and_name_are_changed_in_one_call(client: FlaskClient, ada: str) -> None:
    changes = {"name": "Zoë", "consent": {"reference": "form 12"}, "expires_at": "2100-01-01T00:00:00Z"}
    changed = client.put("/v1/people/Ada", json=changes).get_json()
    assert (changed["person"], changed["photos"][0]["photo"]) == ("Zoë", ada)
    assert (changed["consent"]["reference"], changed["consent"]["recorded_by"]) == ("form 12", "local")
    assert changed["expires_at"] == "2100-01-01T00:00:00.000+00:00"
    assert client.get("/v1/people/Zoë").get_json() == changed
    assert_problem(client.get("/v1/people/Ada"), Code.NOT_FOUND)
    kept = client.put("/v1/people/Zoë", json={"expires_at": None}).get_json()
    assert (kept["expires_at"], kept["consent"]) == (None, changed["consent"])
    assert send(client, "/v1/identifications", ADA).get_json()["faces"][0]["person"] == "Zoë"


def test_what_cannot_be_changed_is_refused(client: FlaskClient, ada: str) -> None:
    enrol(client, "Bob", BOB)
    assert_problem(client.put("/v1/people/Ada", json={"name": "Bob"}), Code.PERSON_EXISTS)
    assert_problem(client.put("/v1/people/Nobody", json={"name": "Eve"}), Code.NOT_FOUND)
    assert_problem(client.put("/v1/people/Ada", json={"expires_at": "2001-01-01T00:00:00Z"}), Code.MOMENT_PAST)
    assert_problem(client.put("/v1/people/Ada", json={"consent": {}}), Code.REQUEST_INVALID)
    assert_problem(client.put("/v1/people/Ada", json={"name": "a/b"}), Code.PERSON_INVALID)


def test_a_photo_is_given_back_as_it_was_sent(client: FlaskClient, ada: str) -> None:
    answer = client.get(f"/v1/people/Ada/photos/{ada}")
    assert (answer.data, answer.mimetype) == (ADA, "image/png")
    assert answer.headers["Content-Disposition"] == f"attachment; filename=\"{ada}\"; filename*=UTF-8''photo.png"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    enrol(client, "Bob", BOB)
    assert_problem(client.get(f"/v1/people/Bob/photos/{ada}"), Code.NOT_FOUND)


def test_an_erasure_that_is_not_waited_for_is_looked_up(client: FlaskClient, ada: str) -> None:
    begun = client.delete("/v1/people/Ada?wait=0")
    assert begun.status_code in (200, 202)
    assert (begun.get_json()["person"], begun.get_json()["photos"]) == ("Ada", [ada])
    place = begun.headers["Location"]
    assert send(client, "/v1/identifications", ADA).get_json()["faces"][0]["decision"] == "unknown"
    assert "person" not in client.get(place).get_json()
    assert_problem(client.get("/v1/erasures/x"), Code.ID_INVALID)


def test_an_export_is_a_zip(client: FlaskClient, service: Service, ada: str) -> None:
    answer = client.get("/v1/people/Ada/export")
    body = answer.data
    answer.close()
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.read(f"photos/{ada}.png") == ADA
        assert json.loads(archive.read("person.json"))["person"] == "Ada"
    assert [entry["action"] for entry in service.services.audit.entries()][-1] == "export-person"
    assert_problem(client.get("/v1/people/Nobody/export"), Code.NOT_FOUND)


def test_a_listing_tells_everybodys_first_photo(client: FlaskClient, ada: str) -> None:
    enrol(client, "Ada", ADA_AGAIN)
    enrol(client, "Bob", BOB)
    listed = client.get("/v1/people").get_json()["people"]
    assert [(one["person"], one["photos"]) for one in listed] == [("Ada", 2), ("Bob", 1)]
    assert listed[0]["photo"] == ada


def test_a_face_is_a_small_square_that_a_browser_keeps_for_a_while(client: FlaskClient, ada: str) -> None:
    answer = client.get(f"/v1/people/Ada/photos/{ada}/face?side=48")
    assert answer.mimetype == "image/jpeg"
    assert PIL.Image.open(io.BytesIO(answer.data)).size == (48, 48)
    assert answer.headers["Cache-Control"] == "private, max-age=600"
    again = client.get(f"/v1/people/Ada/photos/{ada}/face?side=48", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])
    larger = client.get(f"/v1/people/Ada/photos/{ada}/face", headers={"If-None-Match": answer.headers["ETag"]})
    assert PIL.Image.open(io.BytesIO(larger.data)).size == (160, 160)


def test_a_face_is_its_own_persons_alone(client: FlaskClient, service: Service, ada: str) -> None:
    second = enrol(client, "Ada", ADA_AGAIN).get_json()["photos"][0]["photo"]
    enrol(client, "Bob", BOB)
    assert client.get(f"/v1/people/Ada/photos/{second}/face").status_code == 200
    tag = client.get(f"/v1/people/Ada/photos/{ada}/face").headers["ETag"]
    for photo in (ada, second):
        stolen = client.get(f"/v1/people/Bob/photos/{photo}/face", headers={"If-None-Match": tag})
        assert_problem(stolen, Code.NOT_FOUND)
    assert_problem(client.get(f"/v1/people/Ada/photos/{ada}/face?collection=other"), Code.NOT_FOUND)
    assert_problem(client.get(f"/v1/people/Ada/photos/{ada}/face?side=5000"), Code.PARAMETER_INVALID)
    service.house.store.delete([photo_key(ada)])
    assert_problem(client.get(f"/v1/people/Ada/photos/{ada}/face"), Code.NOT_FOUND)


def test_a_face_that_cannot_be_drawn_is_refused(client: FlaskClient, service: Service, ada: str) -> None:
    service.house.store.put(photo_key(ada), b"no photo", "image/png")
    assert_problem(client.get(f"/v1/people/Ada/photos/{ada}/face"), Code.TYPE_UNSUPPORTED)


def test_the_answers_that_name_a_person_are_listed_the_newest_first(client: FlaskClient, ada: str) -> None:
    first, second = (send(client, "/v1/identifications", photo).get_json()["id"] for photo in (ADA, BOTH))
    send(client, "/v1/identifications", BOB)
    send(client, "/v1/detections", ADA)
    named = client.get("/v1/people/Ada/identifications").get_json()
    assert [(one["id"], one["face"]) for one in named["identifications"]] == [(second, 1), (first, 0)]
    assert (named["looked_at"], named["complete"]) == (3, True)
    assert named["identifications"][0]["distance"] == pytest.approx(0.0)
    short = client.get("/v1/people/Ada/identifications?limit=1").get_json()
    assert ([one["id"] for one in short["identifications"]], short["complete"]) == ([second], False)
    assert_problem(client.get("/v1/people/Nobody/identifications"), Code.NOT_FOUND)


def test_answers_go_with_a_person_to_another_name(client: FlaskClient, ada: str) -> None:
    asked = send(client, "/v1/identifications", ADA).get_json()["id"]
    client.put("/v1/people/Ada", json={"name": "Zoë"})
    enrol(client, "Ada", BOB)
    (named,) = client.get("/v1/people/Zoë/identifications").get_json()["identifications"]
    assert named["id"] == asked
