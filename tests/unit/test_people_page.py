"""People: the pages about who is enrolled."""

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from face_web.access import Role
from tests.unit.test_contract import ULID
from tests.unit.test_http import (
    ADA,
    ADA_AGAIN,
    BOB,
    BOTH,
    BROKEN,
    NOBODY,
    Service,
    client,
    enrol,
    running,
    send,
    service,
)
from tests.unit.test_pages import sign_in, token
from tests.unit.test_worker import eventually

__all__ = ("client", "service")
PART = {"HX-Request": "true"}


@pytest.fixture
def guarded() -> Iterator[Service]:
    with running(Service("keys")) as started:
        yield started


def post(client: FlaskClient, path: str, *photos: bytes, part: bool = False, **fields: Any) -> TestResponse:
    files = [(io.BytesIO(photo), f"photo {number}.png") for number, photo in enumerate(photos)]
    uploads = {"image": files} if files else {}
    return client.post(path, data={**uploads, **fields}, headers=PART if part else {})


def names(page: TestResponse) -> list[str]:
    return re.findall(r'<span class="name">([^<]*)</span> <span class="muted small">\d+ photo', page.text)


def test_everybody_is_shown_with_a_face(client: FlaskClient) -> None:
    enrol(client, "Ada & Co", ADA, ADA_AGAIN)
    enrol(client, "Bob", BOB)
    page = client.get("/people")
    assert names(page) == ["Ada &amp; Co", "Bob"]
    assert "2 people are enrolled." in page.text
    faces = re.findall(r'<img src="([^"]+)"', page.text)
    assert len(faces) == 2
    assert {client.get(face).mimetype for face in faces} == {"image/jpeg"}
    assert 'href="/people/Ada%20%26%20Co"' in page.text
    assert not re.search(r"<[^>]* style=", page.text)


def test_an_empty_gallery_says_how_to_begin(client: FlaskClient) -> None:
    page = client.get("/people")
    assert "Nobody is enrolled in “default” yet" in page.text
    assert '<details class="card add" open>' in page.text
    assert "/people/import" in page.text
    assert "0 people" not in page.text


def test_a_search_is_a_part_for_scripts_and_a_page_for_others(client: FlaskClient) -> None:
    for person in ("Ada", "Adele", "Bob"):
        send(client, f"/v1/people/{person}/photos?insist=true", ADA)
    page, part = client.get("/people?search=AD"), client.get("/people?search=AD", headers=PART)
    assert names(page) == names(part) == ["Ada", "Adele"]
    assert ("<!doctype" in page.text, "<!doctype" in part.text) == (True, False)
    assert "2 people have “AD” in the name." in part.text
    assert 'value="AD"' in page.text
    assert "Nobody’s name has “&lt;x&gt;” in it" in client.get("/people?search=<x>").text
    back = client.get("/people?search=AD", headers={**PART, "HX-History-Restore-Request": "true"})
    assert "<!doctype" in back.text


def test_people_come_in_pages(client: FlaskClient, service: Service) -> None:
    enrol(client, "Person 000", ADA)
    (first,) = service.house.gallery.templates("default")
    more = [replace(first, person=f"Person {number:03}", photo=f"{ULID[:-3]}{number:03}") for number in range(1, 130)]
    service.house.gallery.add("default", more)
    pages = [client.get("/people")]
    while following := re.search(r'rel="next" href="([^"]+)"', pages[-1].text):
        pages.append(client.get(following[1].replace("&amp;", "&")))
    assert [len(names(page)) for page in pages] == [60, 60, 10]
    assert [name for page in pages for name in names(page)] == [f"Person {number:03}" for number in range(130)]
    assert ["Back to the start" in page.text for page in pages] == [False, True, True]


def test_a_name_is_suggested_for_either_field(client: FlaskClient) -> None:
    enrol(client, "Ada 'the' first", ADA)
    for field in ("person", "into"):
        assert 'value="Ada &#39;the&#39; first"' in client.get(f"/people/suggestions?{field}=ada").text
    assert client.get("/people/suggestions?person=").text == ""


def test_somebody_new_is_enrolled_with_their_consent(client: FlaskClient) -> None:
    answer = post(client, "/people", ADA, person=" Ada ", reference="form 12")
    assert (answer.status_code, answer.location) == (303, "/people/Ada")
    page = client.get(answer.location)
    assert "1 photo is enrolled." in page.text
    assert "form 12" in page.text
    assert client.get("/v1/people/Ada").get_json()["consent"]["reference"] == "form 12"


def test_what_is_wrong_with_a_form_is_told(client: FlaskClient) -> None:
    assert "name has 1 to 128 characters" in post(client, "/people", ADA, person=" ").text
    assert "Choose a photo first" in post(client, "/people", person="Ada").text
    refused = post(client, "/people", ADA, person="a/b", part=True)
    assert (refused.status_code, "<!doctype" in refused.text) == (400, False)
    assert client.get("/people/Nobody").status_code == 404


def test_each_photo_has_its_verdict_in_words(client: FlaskClient) -> None:
    shown = post(client, "/people", ADA, NOBODY, BROKEN, BOTH, ADA, person="Ada", part=True).text
    verdicts = re.findall(r'data-verdict="([a-z-]+)"', shown)
    assert verdicts == ["accepted", "no-face", "unreadable", "several-faces", "duplicate"]
    assert "There is no face in the photo." in shown
    assert "<!doctype" not in shown
    page = post(client, "/people/Ada/photos", NOBODY)
    assert "There is no face in the photo." in page.text
    assert 'href="/people/Ada"' in page.text
    unknown = post(client, "/people", NOBODY, person="Zoë")
    assert 'href="/people/Zo' not in unknown.text


def test_one_may_insist_on_a_face_that_looks_like_another(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    part = post(client, "/people", ADA_AGAIN, person="Bob", part=True).text
    assert 'data-verdict="looks-like-another"' in part
    assert '<button type="button" class="insist">' in part
    page = post(client, "/people", ADA_AGAIN, person="Bob")
    assert "choose the photo once more" in page.text
    again = post(client, "/people/Bob/photos", ADA_AGAIN, insist="true")
    assert (again.status_code, again.location) == (303, "/people/Bob")


def test_a_form_that_is_sent_twice_enrols_once(client: FlaskClient) -> None:
    for _ in range(2):
        assert post(client, "/people", ADA, person="Ada", once="abcdefgh").location == "/people/Ada"
    assert len(client.get("/v1/people/Ada").get_json()["photos"]) == 1


def test_a_person_has_photos_terms_and_rights(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA, ADA_AGAIN)
    page = client.get("/people/Ada").text
    assert page.count("Remove it") == 2
    assert "None is recorded." in page
    assert "They stay until somebody erases them." in page
    assert 'href="/v1/people/Ada/export"' in page
    part = client.get("/people/Ada", headers=PART).text
    assert (part.count("Remove it"), "<h1>" in part) == (2, False)


def test_a_photo_is_removed_and_with_the_last_one_the_person(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA, ADA_AGAIN)
    removals = re.findall(r'action="(/people/Ada/photos/\w+/removal)"', client.get("/people/Ada").text)
    first = client.post(removals[0])
    assert first.location == "/people/Ada"
    assert client.get("/people/Ada").text.count("Remove it") == 1
    assert client.post(removals[1]).location.startswith("/erasures/")
    assert client.get("/people/Ada").status_code == 404


def test_consent_end_and_name_are_changed(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    post(client, "/people/Ada/consent", reference="form 7", given_at="2026-03-01")
    post(client, "/people/Ada/expiry", expires_at="2100-02-03")
    page = client.get("/people/Ada").text
    assert ("1 Mar 2026" in page, "They are erased on 3 Feb 2100." in page) == (True, True)
    assert "past" in post(client, "/people/Ada/expiry", expires_at="2001-01-01").text
    post(client, "/people/Ada/expiry", expires_at="2100-02-03", never="true")
    assert client.get("/v1/people/Ada").get_json()["expires_at"] is None
    assert post(client, "/people/Ada/name", name="Zoë").location == "/people/Zo%C3%AB"
    enrol(client, "Bob", BOB)
    assert "Somebody called Bob is enrolled" in post(client, "/people/Zoë/name", name="Bob").text
    assert post(client, "/people/Zoë/merge", into="Bob").location == "/people/Bob"
    assert len(client.get("/v1/people/Bob").get_json()["photos"]) == 2


def test_the_answers_that_name_a_person_are_linked(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    asked = send(client, "/v1/identifications", BOTH).get_json()["id"]
    page, part = client.get("/people/Ada/identifications"), client.get("/people/Ada/identifications", headers=PART)
    for shown in (page, part):
        assert f'href="/identifications/{asked}#face-{asked}-1"' in shown.text
        assert "One answer was looked through." in shown.text
    assert ("<!doctype" in page.text, "<!doctype" in part.text) == (True, False)


def test_an_erasure_is_asked_for_and_has_a_receipt(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    send(client, "/v1/identifications", ADA)
    asked = client.get("/people/Ada/erasure").text
    assert "Erase Ada?" in asked
    assert "1 enrolled photo " in asked
    place = client.post("/people/Ada/erasure").location
    eventually(lambda: "Done" in client.get(place, headers=PART).text)
    receipt = client.get(place)
    assert "Ada" not in receipt.text
    assert "every 1s" not in receipt.text
    assert re.search(r"<dt>Templates</dt><dd>1</dd>", receipt.text)
    assert client.get("/erasures/01M8643AZZRKKJF8GJR7280001").status_code == 404


def test_an_archive_is_passed_on_without_scripts(client: FlaskClient) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("Ada/1.png", ADA)
    file.seek(0)
    answer = client.post("/people/import", data={"archive": (file, "people.zip"), "reference": "all signed"})
    assert answer.status_code == 303
    batch = answer.location.removeprefix("/jobs/imports/")
    assert client.get(f"/v1/imports/{batch}").status_code == 200
    assert "Choose a zip of photos first" in client.post("/people/import").text
    assert 'data-imports="/v1/imports"' in client.get("/people/import").text


def test_the_pages_are_for_whoever_may_enrol(guarded: Service) -> None:
    submits, enrols, admin = (sign_in(guarded, role) for role in (Role.SUBMIT, Role.ENROL, Role.ADMIN))
    assert submits.get("/people").status_code == 403
    page = enrols.get("/people")
    assert post(enrols, "/people", ADA, person="Ada").status_code == 403, "the form's token is missing"
    assert post(enrols, "/people", ADA, person="Ada", csrf=token(page)).status_code == 303
    assert ("/export" in enrols.get("/people/Ada").text, "/export" in admin.get("/people/Ada").text) == (False, True)
    assert submits.get("/people/Ada").status_code == 403


def test_a_bound_key_sees_its_own_people(guarded: Service) -> None:
    browser = sign_in(guarded, Role.ENROL, "team")
    assert browser.get("/people").status_code == 403
    page = browser.get("/people?collection=team")
    answer = post(browser, "/people?collection=team", ADA, person="Ada", csrf=token(page))
    assert answer.location == "/people/Ada?collection=team"
    face = re.search(r'<img src="([^"]+)"', browser.get("/people?collection=team").text)
    assert face
    assert browser.get(face[1].replace("&amp;", "&")).mimetype == "image/jpeg"
