"""What all pages share, signing in, and Recognise."""

import gzip
import io
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from face_common.errors import ServiceError
from face_web.access import Caller, Key, Role
from face_web.application import create_app
from face_web.keys import new_key_id
from face_web.pages.inside import at
from face_web.pages.recognise import doubts, stages, why
from face_web.sessions import PREFIX
from tests.pictures import picture
from tests.unit.test_contract import ULID
from tests.unit.test_http import ADA, BOTH, BROKEN, NOBODY, Service, client, enrol, running, service

__all__ = ("client", "service")
PAGES = ("/recognise",)


@pytest.fixture
def guarded() -> Iterator[Service]:
    with running(Service("keys")) as started:
        yield started


def key(service: Service, role: Role, *collections: str) -> str:
    bound = frozenset(collections) or None
    return service.keys.create(new_key_id(), Caller("", "my key", role, bound), created_by="test")[1]


def sign_in(service: Service, role: Role, *collections: str) -> FlaskClient:
    browser = service.app.test_client()
    answer = browser.post("/sign-in", data={"key": key(service, role, *collections), "next": "/recognise"})
    assert (answer.status_code, answer.location) == (303, "/recognise")
    return browser


def token(page: TestResponse) -> str:
    found = re.search(r'data-csrf="([0-9a-f]{64})"', page.text)
    assert found
    return found[1]


def ask(client: FlaskClient, *photos: bytes, part: bool = True, **fields: Any) -> TestResponse:
    files = [(io.BytesIO(photo), f"photo {number}.png") for number, photo in enumerate(photos)]
    headers = {"HX-Request": "true"} if part else {}
    return client.post("/recognise", data={"image": files, **fields}, headers=headers)


def test_a_browser_is_led_to_the_pages_and_curl_is_not(client: FlaskClient) -> None:
    answer = client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (answer.status_code, answer.location) == (303, "/recognise")
    assert client.get("/", headers={"Accept": "*/*"}).mimetype == "text/plain"


def test_pages_let_nothing_in_from_elsewhere(client: FlaskClient) -> None:
    for page in (client.get("/recognise"), client.get("/sign-in"), client.get("/identifications/x")):
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Cache-Control"] == "no-store"
        assert not re.search(r"(?:src|href)=.https?:", page.text)
        assert not re.search(r"<[^>]* style=", page.text)


def test_files_are_packed_and_kept(client: FlaskClient) -> None:
    address = re.search(r"/static/style\.css\?v=\w+", client.get("/recognise").text)
    assert address
    packed = client.get(address[0], headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.data) == client.get(address[0]).data
    assert "immutable" in packed.headers["Cache-Control"]
    assert client.get("/static/style.css?v=old").headers["Cache-Control"] == "no-cache"
    assert client.get("/static/htmx.js").mimetype.endswith("javascript")
    assert client.get("/static/..%2f__init__.py").status_code == 404


def test_whoever_has_not_signed_in_is_asked_to(guarded: Service) -> None:
    browser = guarded.app.test_client()
    answer = browser.get("/identifications/x?collection=team")
    assert answer.status_code == 303
    assert answer.location == "/sign-in?next=%2Fidentifications%2Fx%3Fcollection%3Dteam"
    assert "Sign in" in browser.get(answer.location).text
    assert browser.get("/recognise", headers={"HX-Request": "true"}).status_code == 401
    assert browser.post("/sign-out").location == "/sign-in"  # nobody is led back to what only a form asks for


def test_one_signs_in_with_a_key_and_out_again(guarded: Service) -> None:
    browser = sign_in(guarded, Role.SUBMIT)
    page = browser.get("/recognise")
    assert page.status_code == 200
    cookie = browser.get_cookie("session")
    assert cookie is not None
    assert (cookie.http_only, cookie.same_site) == (True, "Strict")
    assert browser.post("/sign-out", data={"csrf": token(page)}).location == "/sign-in"
    browser.set_cookie("session", cookie.value)
    assert browser.get("/recognise").status_code == 303
    assert not guarded.house.store.tags(PREFIX)


def test_the_cookie_is_for_https_alone_where_that_is_spoken(guarded: Service) -> None:
    browser = guarded.app.test_client()
    answer = browser.post("/sign-in", data={"key": key(guarded, Role.SUBMIT)}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["Set-Cookie"]


def test_what_is_told_once_goes_by_https_alone_too(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    consent = {"data": {"reference": "file 7"}, "headers": {"X-Forwarded-Proto": "https"}}
    assert "; Secure;" in client.post("/people/Ada/consent", **consent).headers["Set-Cookie"]


def test_a_wrong_key_is_told_in_the_form(guarded: Service) -> None:
    browser = guarded.app.test_client()
    answer = browser.post("/sign-in", data={"key": "face_abc_" + "x" * 43})
    assert answer.status_code == 401
    assert "unknown, revoked or expired" in answer.text
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "address", ["https://example.com/", "//example.com", "/\\example.com", "//[", "x", "", "/a\nb"]
)
def test_nobody_is_led_elsewhere_after_signing_in(guarded: Service, address: str) -> None:
    browser = guarded.app.test_client()
    answer = browser.post("/sign-in", data={"key": key(guarded, Role.SUBMIT), "next": address})
    assert answer.location == "/recognise"


def test_another_site_cannot_sign_anybody_in(guarded: Service) -> None:
    answer = guarded.app.test_client().post(
        "/sign-in", data={"key": key(guarded, Role.SUBMIT)}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_a_session_ends_with_its_key(guarded: Service) -> None:
    browser = sign_in(guarded, Role.SUBMIT)
    (info,) = guarded.keys.all()
    guarded.keys.revoke(info.key.caller.key)
    assert browser.get("/recognise").status_code == 303


def test_a_session_ends_with_its_keys_secret(guarded: Service) -> None:
    browser = sign_in(guarded, Role.ADMIN)
    found = guarded.keys.find

    def changed(id_: str) -> Key | None:
        key = found(id_)
        return replace(key, secret_hash="0" * 64) if key else None

    with pytest.MonkeyPatch.context() as patch:  # as the first key's, when the settings bring another one
        patch.setattr(guarded.keys, "find", changed)
        assert browser.get("/recognise").location == "/sign-in?next=%2Frecognise"
    assert browser.get("/recognise").status_code == 200


def test_where_no_key_is_asked_for_no_session_is_looked_for(
    client: FlaskClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.set_cookie("session", "of another program on this machine")
    monkeypatch.setattr(service.services.sessions, "refresh", pytest.fail)
    assert client.get("/recognise").status_code == 200


def test_forms_and_calls_of_a_session_need_its_token(guarded: Service) -> None:
    browser = sign_in(guarded, Role.SUBMIT)
    right = token(browser.get("/recognise"))
    assert ask(browser, NOBODY).status_code == 403
    assert ask(browser, NOBODY, csrf="0" * 64).status_code == 403
    assert ask(browser, NOBODY, csrf=right).status_code == 200
    photo = {"query_string": {"name": "a.png"}, "data": NOBODY, "content_type": "image/png"}
    assert browser.post("/v1/identifications", **photo).status_code == 403
    assert browser.post("/v1/identifications", headers={"X-CSRF-Token": right}, **photo).status_code == 200
    assert browser.get("/v1/me").json == guarded.app.test_client().get(
        "/v1/me", headers={"Authorization": f"Bearer {key(guarded, Role.SUBMIT)}"}
    ).json | {"key": browser.get("/v1/me").json["key"]}


def test_a_header_with_a_key_counts_before_a_session(guarded: Service) -> None:
    browser = sign_in(guarded, Role.SUBMIT)
    assert browser.get("/v1/me", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_the_role_decides_what_is_shown(guarded: Service) -> None:
    few, all_ = (
        sign_in(guarded, Role.SUBMIT).get("/recognise").text,
        sign_in(guarded, Role.ADMIN).get("/recognise").text,
    )
    assert 'href="/people"' not in few
    assert 'href="/people"' in all_


def test_a_bound_key_sees_its_own_collections(guarded: Service) -> None:
    browser = sign_in(guarded, Role.ENROL, "team")
    refused = ask(browser, ADA, csrf=token(browser.get("/recognise")))
    assert "bound to other collections" in refused.text


def test_no_header_makes_a_request_one_from_within(guarded: Service) -> None:
    browser = guarded.app.test_client()
    assert browser.get("/v1/me", headers={"face.caller": "admin", "Face-Caller": "admin"}).status_code == 401


def test_the_people_in_a_photo_are_named_and_explained(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    shown = ask(client, BOTH).text
    assert "<!doctype" not in shown
    assert "Ada is at a distance of 0.000" in shown
    assert shown.count('<details class="face"') == 2
    assert re.search(r'<image href="/v1/identifications/\w{26}/image\?boxes=false" width="640"', shown)
    assert "This is" in shown
    assert "Not Ada" in shown


def test_without_scripts_a_photo_has_its_own_page(client: FlaskClient) -> None:
    answer = ask(client, NOBODY, part=False)
    assert (answer.status_code, answer.location[:17]) == (303, "/identifications/")
    page = client.get(answer.location)
    assert "There is no face in this photo." in page.text
    assert "<!doctype" in page.text
    several = ask(client, NOBODY, ADA, part=False)
    assert several.text.count("<article") == 2


def test_what_is_wrong_with_a_photo_is_told_beside_it(client: FlaskClient) -> None:
    shown = ask(client, BROKEN, b"no photo").text
    assert shown.count("<article") == 2
    assert "image-unreadable" in shown
    assert "type-unsupported" in shown
    assert "image-missing" in ask(client).text
    assert ask(client).status_code == 400


def test_a_form_that_sends_too_much_is_told_so_on_a_page(client: FlaskClient, guarded: Service) -> None:
    large = b"\0" * (client.application.config["MAX_CONTENT_LENGTH"] + 1)
    for browser in (client, sign_in(guarded, Role.SUBMIT)):  # where it is read: in the page, or for the token
        answer = ask(browser, large)
        assert (answer.status_code, answer.mimetype) == (413, "text/html")
        assert answer.text.startswith('<p class="problem" role="alert">All that one form sends may have 0.0625 MiB.')
        assert "<!doctype" in ask(browser, large, part=False).text


def test_a_photo_that_waits_is_asked_for_again() -> None:
    service = Service()
    idle = service.app.test_client()
    queued = idle.post("/v1/identifications?wait=0&name=a.png", data=picture("PNG", (10, 10))).json
    assert queued is not None
    shown = idle.get(f"/identifications/{queued['id']}").text
    assert "In the queue" in shown
    assert f'hx-get="/identifications/{queued["id"]}"' in shown


def test_photos_wait_together_no_longer_than_one() -> None:
    service = Service()  # without a worker
    service.services = replace(
        service.services, settings=service.services.settings.model_copy(update={"wait_seconds": 0.3})
    )
    browser, began = create_app(service.services).test_client(), time.monotonic()
    assert ask(browser, ADA, ADA, ADA, ADA).text.count("In the queue") == 4
    assert time.monotonic() - began < 1.0


def test_an_answer_that_is_not_there_is_a_page(client: FlaskClient) -> None:
    missing = client.get(f"/identifications/{ULID}?collection=team")
    assert missing.status_code == 404
    assert "not-found" in missing.text
    assert 'href="/recognise?collection=team"' in missing.text
    assert client.get("/identifications/x").status_code == 400


def test_an_address_that_is_not_there_is_a_page_for_browsers(client: FlaskClient) -> None:
    page = client.get("/nothing", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "There is nothing at this address" in page.text
    assert client.get("/sign-out", headers={"Accept": "text/html"}).status_code == 404
    refused = client.get("/sign-out")
    assert (refused.status_code, set(refused.headers["Allow"].split(", "))) == (405, {"POST", "OPTIONS"})
    assert client.get("/nothing").mimetype == "application/problem+json"


def test_a_number_is_looked_at_by_the_call_alone(client: FlaskClient) -> None:
    number = "9" * 5000  # more digits than Python reads
    assert client.post("/settings/gallery/restoration", data={"version": number}).status_code == 400
    pin = client.post("/fleet/override", data={"mode": "pin", "workers": number, "why": "a test"})
    assert pin.status_code == 400


def test_what_is_typed_stays_text(client: FlaskClient) -> None:
    typed = '"><script>alert(1)</script>'
    for address in ("/recognise", "/collections", "/people/import", "/sign-in"):
        assert "<script>alert" not in client.get(address, query_string={"collection": typed, "next": typed}).text
    client.set_cookie("said", "%3Cscript%3Ealert(1)%3C/script%3E")
    assert "&lt;script&gt;alert(1)" in client.get("/recognise").text
    enrol(client, "Ada%20%231", ADA)
    chooser = re.search(r'<form method="get"[^>]*><label>Collection', client.get("/people/Ada%20%231").text)
    assert chooser
    assert "#" not in chooser[0]


def test_collections_are_there_to_choose_from(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    shown = client.get("/collections?collection=team").text
    assert 'href="?collection=default"' in shown
    assert 'href="?collection=team" aria-current="true"' in shown


def test_names_survive_in_paths(client: FlaskClient) -> None:
    for name in ("Zoë #1", "100%", "a&b=c", "a+b", "岩"):
        assert enrol(client, at(name)[1:], ADA).status_code in (201, 422)
        assert at("v1", "people", name) == "/v1/people/" + at(name)[1:]


FACE: dict[str, Any] = {
    "decision": "match",
    "distance": 0.2,
    "margin": 0.3,
    "threshold": 0.4,
    "candidates": [{"person": "Ada", "distance": 0.2}, {"person": "Bob", "distance": 0.5}],
    "quality": {"reasons": ["small", "turned"]},
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "the next person is 0.300 farther"),
        ({"margin": None}, "nobody else is enrolled"),
        ({"decision": "ambiguous", "margin": 0.3}, "Ada and Bob are too close"),
        ({"decision": "ambiguous", "margin": 0.01}, "a face on the reject list is only 0.010 farther"),
        ({"decision": "ambiguous", "margin": 0.01, "candidates": []}, "a face on the reject list"),
        ({"decision": "unknown", "distance": 0.5}, "too far: the threshold of this collection is 0.400"),
        ({"decision": "unknown", "margin": -0.1}, "a face on the reject list is nearer still"),
        ({"decision": "unknown"}, "too small or too blurred"),
        ({"decision": "unknown", "distance": None, "candidates": []}, "Nobody is enrolled"),
    ],
)
def test_every_decision_is_explained(changes: dict[str, Any], words: str) -> None:
    assert words in why(FACE | changes)


def test_doubts_are_told_in_words() -> None:
    assert list(doubts(FACE)) == ["the face is small: under 40 pixels", "the face looks far to the side"]


def test_stages_follow_one_another() -> None:
    found = stages({"queued_ms": 10.0, "detect_ms": 30.0, "match_ms": 0.0, "total_ms": 50.0})
    assert [(stage.name, stage.left, stage.width) for stage in found] == [
        ("queued", 0.0, 25.0),
        ("detect", 25.0, 75.0),
        ("match", 100.0, 0.0),
    ]
    assert not stages({})


def test_one_form_takes_no_batch(client: FlaskClient) -> None:
    assert "At most 20 photos in one form" in ask(client, *[NOBODY] * 21).text


def test_a_name_with_a_slash_is_no_path() -> None:
    for parts in (("people", "a/b"), ("people", "")):
        with pytest.raises(ServiceError, match="not-found"):
            at(*parts)


def test_what_a_session_may_ask_for_stays_in_no_cache(client: FlaskClient) -> None:
    assert client.get("/v1/people").headers["Cache-Control"] == "private, no-store"
