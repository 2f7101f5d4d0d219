"""The page on which faces are reviewed: three lists, and what can be done with what is in them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from face_web.access import Role
from tests.unit.test_access import made
from tests.unit.test_gallery_http import asked, clusters
from tests.unit.test_http import Service, enrol, running, send
from tests.unit.test_rejections import ADA, BOB, LOOKALIKE, NEAR_BOTH, PLACES, Eyes, identified, rejected, to_review

PART = {"HX-Request": "true"}


@pytest.fixture
def service() -> Iterator[Service]:
    with running(Service(keep_unknown=True)) as started:
        started.read = Eyes()
        yield started


@pytest.fixture
def client(service: Service) -> FlaskClient:
    found = service.app.test_client()
    assert enrol(found, "Ada", ADA).status_code == 201
    return found


def page(client: FlaskClient, which: str = "unknown") -> str:
    answer = client.get(f"/review?list={which}")
    assert answer.status_code == 200
    return answer.text


def post(client: FlaskClient, path: str, *, part: bool = True, **form: Any) -> TestResponse:
    return client.post(path, data=form, headers=PART if part else {})


def undo_form(answer: TestResponse) -> tuple[str, dict[str, list[str]]]:
    """Where the undo button of an answer leads, and what it sends."""
    action = re.search(r'action="([^"]+)"', answer.text)
    assert action
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', answer.text):
        fields.setdefault(name, []).append(value)
    return action[1], fields


def test_unknown_faces_are_shown_in_groups_with_whom_they_are_near_to(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PLACES, LOOKALIKE, 0.8)
    identification, _ = identified(client, LOOKALIKE)
    found = page(client)
    (group,) = clusters(client)
    assert f"/review/clusters/{group['cluster']}/naming" in found
    assert f"/v1/identifications/{identification}/image?face=0" in found
    assert re.search(r'<button name="person" value="Ada" data-key="1">', found)
    assert "<kbd>n</kbd> name" in found, "the keys are on the page"


def test_where_none_are_kept_it_is_told_how_to_keep_them(client: FlaskClient) -> None:
    assert "FACE_KEEP_UNKNOWN" in page(client)
    assert "No ambiguous faces" in page(client, "ambiguous")
    assert "The reject list is empty" in page(client, "rejected")
    assert "Unknown faces" in page(client, "of-something-else")


def test_a_group_is_named_and_the_naming_undone(client: FlaskClient) -> None:
    identified(client, BOB)
    (group,) = clusters(client)
    named = post(client, f"/review/clusters/{group['cluster']}/naming", person=" Bob ", once="x")
    assert (named.status_code, "1 face named Bob" in named.text) == (200, True)
    assert identified(client, BOB)[1]["person"] == "Bob"
    action, fields = undo_form(named)
    assert (action, fields["person"], len(fields["photo"])) == ("/review/namings/undo", ["Bob"], 1)
    undone = client.post(action, data=fields, headers=PART)
    assert "1 photo is not Bob any more" in undone.text
    assert identified(client, BOB)[1]["decision"] == "unknown"


def test_groups_that_were_joined_are_named_together(client: FlaskClient, service: Service) -> None:
    identified(client, BOB)
    service.read.last = 1.9  # type: ignore[attr-defined]
    send(client, "/v1/identifications", b"".join((NEAR_BOTH, b" ")))
    first, second = clusters(client)
    named = post(client, f"/review/clusters/{first['cluster']}/naming", person="Eve", joined=second["cluster"])
    assert "2 faces named Eve" in named.text
    assert clusters(client) == []


def test_a_group_is_dismissed(client: FlaskClient) -> None:
    identified(client, BOB)
    (group,) = clusters(client)
    gone = post(client, f"/review/clusters/{group['cluster']}/dismissal", part=False)
    assert (gone.status_code, gone.headers["Location"]) == (303, "/review?list=unknown")
    assert clusters(client) == []
    again = post(client, f"/review/clusters/{group['cluster']}/dismissal")
    assert (again.status_code, "not-found" in again.text) == (404, True)


@pytest.fixture
def ambiguous(client: FlaskClient) -> str:
    """The identification of a face that is as near to a rejected one."""
    rejected(client)
    return identified(client, NEAR_BOTH)[0]


def test_an_ambiguous_face_is_named_by_one_key(client: FlaskClient, ambiguous: str) -> None:
    found = page(client, "ambiguous")
    assert f"/review/faces/{ambiguous}/0/naming" in found
    assert 'value="Ada" data-key="1"' in found
    assert "Ada" in post(client, f"/review/faces/{ambiguous}/0/naming", person="Ada").text
    assert to_review(client) == []
    assert "No ambiguous faces" in page(client, "ambiguous")


def test_a_naming_that_is_refused_can_be_insisted_on(client: FlaskClient, ambiguous: str) -> None:
    refused = post(client, f"/review/faces/{ambiguous}/0/naming", person="Bob")
    assert refused.status_code == 422
    assert "looks like Ada" in refused.text
    action, fields = undo_form(refused)
    assert (action, fields) == (f"/review/faces/{ambiguous}/0/naming", {"person": ["Bob"], "insist": ["true"]})
    assert "1 face named Bob" in client.post(action, data=fields, headers=PART).text


def test_an_ambiguous_face_is_nobody_s(client: FlaskClient, ambiguous: str) -> None:
    answer = post(client, f"/review/faces/{ambiguous}/0/rejection")
    assert "Put on the reject list" in answer.text
    assert asked(client.get("/v1/rejections"))["total"] == 2
    action, fields = undo_form(answer)
    assert "Taken back" in client.post(action, data=fields, headers=PART).text
    assert asked(client.get("/v1/rejections"))["total"] == 1


def test_an_ambiguous_face_is_left_as_it_is(client: FlaskClient, ambiguous: str) -> None:
    assert post(client, f"/review/faces/{ambiguous}/0/dismissal", part=False).status_code == 303
    assert to_review(client) == []


def test_what_cannot_be_rejected_stays(client: FlaskClient, service: Service, ambiguous: str) -> None:
    service.read.blind = True  # type: ignore[attr-defined]
    answer = post(client, f"/review/faces/{ambiguous}/0/rejection")
    assert (answer.status_code, "no face was found" in answer.text) == (422, True)
    assert "Go on" in post(client, f"/review/faces/{ambiguous}/0/rejection", part=False).text


def test_the_reject_list_shows_whom_a_face_is_not_and_takes_it_back(client: FlaskClient) -> None:
    made = rejected(client, LOOKALIKE)
    found = page(client, "rejected")
    assert "Not Ada" in found
    assert f"/v1/rejections/{made['rejection']}/image" in found
    answer = post(client, f"/review/rejections/{made['rejection']}/undo", part=False)
    assert answer.headers["Location"] == "/review?list=rejected"
    assert asked(client.get("/v1/rejections"))["total"] == 0


def test_names_are_suggested_while_one_types(client: FlaskClient) -> None:
    enrol(client, "Bob", BOB)
    assert re.findall(r'value="(\w+)"', client.get("/review/names?person=a", headers=PART).text) == ["Ada"]
    assert re.findall(r'value="(\w+)"', client.get("/review/names", headers=PART).text) == ["Ada", "Bob"]


def test_a_name_that_is_none_is_told_in_its_place(client: FlaskClient, ambiguous: str) -> None:
    answer = post(client, f"/review/faces/{ambiguous}/0/naming", person="a:b")
    assert (answer.status_code, "person-invalid" in answer.text) == (400, True)


def test_the_page_is_for_those_who_enrol() -> None:
    with running(Service("keys")) as service:
        client = service.app.test_client()
        for role, status in ((Role.SUBMIT, 403), (Role.ENROL, 200)):
            key = {"Authorization": f"Bearer {made(service, role)}"}
            assert client.get("/review", headers=key).status_code == status
