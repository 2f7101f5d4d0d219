"""The Settings pages: keys, thresholds, the gallery, retention, the audit log."""

import datetime
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from face_app.observed import observe
from face_common.calibrations import Calibration, calibration_key
from face_web.access import Role
from face_web.pages.settings import basis, bins, choices, key_wanted, lasting, percent, roc, spread
from face_web.pages.words import counted, day, minute, second
from tests.unit.test_enrolled import crowd
from tests.unit.test_http import ADA, BOB, Service, client, enrol, running, service
from tests.unit.test_pages import sign_in, token

__all__ = ("client", "service")
TABS = ("/settings", "/settings/thresholds", "/settings/gallery", "/settings/retention", "/settings/audit")


@pytest.fixture
def guarded() -> Iterator[Service]:
    with running(Service("keys")) as started:
        yield started


def filled(browser: FlaskClient, path: str, where: str = "/settings", **fields: Any) -> TestResponse:
    """Send a form of a page."""
    page = browser.get(where)
    csrf = re.search(r'data-csrf="([0-9a-f]+)"', page.text)
    return browser.post(path, data={"csrf": csrf[1] if csrf else "", "once": "1234", **fields})


def calibration(**changes: Any) -> Calibration:
    told: Any = {**observe(crowd(40, 3), "default", "model", at=0.0), **changes}
    return told  # type: ignore[no-any-return]


# Who sees what


def test_whoever_runs_the_service_sees_everything(guarded: Service) -> None:
    browser = sign_in(guarded, Role.ADMIN)
    for path in TABS:
        page = browser.get(path)
        assert page.status_code == 200, path
        assert page.text.count("<h1") == 1
        assert f'href="{path}" aria-current="page"' in page.text
        assert not re.search(r"<[^>]* style=", page.text)


def test_others_see_their_own_key_alone(guarded: Service) -> None:
    browser = sign_in(guarded, Role.ENROL, "team")
    page = browser.get("/settings?collection=team").text
    assert "Your key" in page
    assert "my key" in page
    assert "team" in page
    assert 'class="tabs"' not in page
    assert "Make a key" not in page
    for path in TABS[1:]:
        assert browser.get(f"{path}?collection=team").status_code == 403
    assert filled(browser, "/settings/keys", name="x", role="admin").status_code == 403


def test_an_admin_of_a_collection_sees_what_is_about_it(guarded: Service) -> None:
    browser = sign_in(guarded, Role.ADMIN, "team")
    page = browser.get("/settings?collection=team").text
    assert "/settings/gallery?collection=team" in page
    assert "/settings/audit" not in page
    assert "Make a key" not in page
    assert browser.get("/settings/gallery?collection=team").status_code == 200
    assert browser.get("/settings/gallery?collection=other").status_code == 403
    assert browser.get("/settings/audit?collection=team").status_code == 403


def test_where_no_key_is_needed_it_says_so(client: FlaskClient) -> None:
    assert "No key is needed here" in client.get("/settings").text


# Keys


def test_a_key_is_made_and_its_text_is_shown_once(guarded: Service) -> None:
    browser = sign_in(guarded, Role.ADMIN)
    fields = {
        "name": "Front door",
        "role": "submit",
        "collections": "team, visitors",
        "expires": "2099-12-31",
        "rate": "5",
    }
    made = filled(browser, "/settings/keys", **fields)
    secret = re.search(r'data-copy="(face_\w+_[\w-]+)"', made.text)
    assert secret
    assert made.headers["Cache-Control"] == "no-store"
    me = guarded.app.test_client().get("/v1/me", headers={"Authorization": f"Bearer {secret[1]}"}).json
    assert me is not None
    assert (me["name"], me["role"], me["collections"]) == ("Front door", "submit", ["team", "visitors"])
    page = browser.get("/settings").text
    assert "Front door" in page
    assert "31 Dec 2099, 23:59" in page
    assert secret[1] not in page
    again = filled(browser, "/settings/keys", **fields)
    assert "data-copy" not in again.text
    assert "was made by this request before" in again.text


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"role": "king"}, {"collections": "NO"}, {"expires": "soon"}, {"rate": "x"}]
)
def test_what_is_wrong_with_a_key_is_told_and_the_form_stays(guarded: Service, wrong: dict[str, str]) -> None:
    browser = sign_in(guarded, Role.ADMIN)
    answer = filled(browser, "/settings/keys", **{"name": "Ada &amp; co", "role": "enrol", **wrong})
    assert answer.status_code == 400
    assert 'class="problem" role="alert"' in answer.text
    assert "data-copy" not in answer.text
    if "name" not in wrong:
        assert 'value="Ada &amp;amp; co"' in answer.text


def test_keys_are_revoked_and_ones_own_is_marked(guarded: Service) -> None:
    browser = sign_in(guarded, Role.ADMIN)
    filled(browser, "/settings/keys", name="Other", role="submit")
    mine, other = sorted(guarded.keys.all(), key=lambda info: info.key.caller.name == "Other")
    page = browser.get("/settings").text
    assert page.count(">yours<") == 1
    assert "you are signed out" in page
    done = filled(browser, f"/settings/keys/{other.key.caller.key}/revocation")
    assert (done.status_code, done.location) == (303, "/settings")
    assert "The key Other is revoked." in browser.get("/settings").text
    assert filled(browser, "/settings/keys/nobody/revocation").status_code == 404
    filled(browser, f"/settings/keys/{mine.key.caller.key}/revocation")
    assert browser.get("/settings").location.startswith("/sign-in")


def test_keys_need_the_sessions_token(guarded: Service) -> None:
    browser = sign_in(guarded, Role.ADMIN)
    assert token(browser.get("/settings"))
    assert browser.post("/settings/keys", data={"name": "x", "role": "admin"}).status_code == 403


def test_an_expired_key_is_marked(guarded: Service) -> None:
    browser = sign_in(guarded, Role.ADMIN)
    filled(browser, "/settings/keys", name="Old", role="submit", expires="2020-01-01")
    assert ">expired<" in browser.get("/settings").text


def test_a_form_becomes_the_body_of_the_call() -> None:
    assert key_wanted({"name": " Ada ", "role": "submit"}) == {
        "name": "Ada", "role": "submit", "collections": None, "rate": None, "expires_at": None,
    }  # fmt: skip
    whole = {"name": "a", "role": "b", "collections": "x,y z", "rate": "2.5", "expires": "2030-01-02"}
    assert key_wanted(whole) == {
        "name": "a", "role": "b", "collections": ["x", "y", "z"], "rate": 2.5, "expires_at": "2030-01-02T23:59:59Z",
    }  # fmt: skip


# Thresholds


def test_while_nothing_is_measured_the_page_says_why(client: FlaskClient) -> None:
    assert "at least two people" in client.get("/settings/thresholds").text


def test_thresholds_are_drawn_and_told(service: Service, client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    enrol(client, "Bob", BOB)
    told = calibration()
    service.house.store.put(calibration_key("default"), json.dumps(told).encode(), "application/json")
    page = client.get("/settings/thresholds").text
    assert f"{told['threshold']:.3f}" in page
    assert page.count('role="img"') == 2
    assert 'class="vertical"' in page
    assert 'class="mark"' in page
    assert ">in force<" in page
    assert "They count 62 %" in page
    assert "by now the gallery is at version" not in page
    service.house.store.put(
        calibration_key("default"), json.dumps({**told, "gallery_version": 1, "curve": []}).encode(), "application/json"
    )
    page = client.get("/settings/thresholds").text
    assert "by now the gallery is at version 2" in page
    assert "Nobody has two photos yet" in page


def test_where_the_threshold_comes_from_is_a_sentence() -> None:
    assert "1.0 % of strangers" in basis(calibration())
    assert "learned from other people" in basis(calibration(own_weight=0.0))
    assert "FACE_THRESHOLD" in basis(calibration(fixed_threshold=0.3))


def test_charts_and_tables_tell_the_same() -> None:
    told = calibration()
    drawn, curve = spread(told), roc(told)
    assert {bar.name for bar in drawn.bars} == {"same", "different"}
    assert (len(drawn.verticals), drawn.across[0]) == (1, "0")
    assert curve is not None
    assert len(curve.marks) == 1
    rows = choices(told)
    assert [row["threshold"] for row in rows] == sorted(row["threshold"] for row in rows)
    assert [row["is_now"] for row in rows].count(True) == 1
    table = bins(told["genuine"], told["impostors"])
    assert sum(row[2] for row in table) == told["genuine"]["total"]
    assert sum(row[3] for row in table) == told["impostors"]["total"]
    assert roc(calibration(curve=[])) is None


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (None, "not known"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.007, "0.70 %"),
        (0.0712, "7.1 %"),
        (0.5, "50 %"),
        (0.9967, "99.67 %"),
        (1e-9, "0.000 %"),
    ],
)
def test_shares_are_told_as_people_read_them(share: float | None, words: str) -> None:
    assert percent(share) == words


# The gallery


def test_the_gallery_goes_back_to_a_version(service: Service, client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    enrol(client, "Bob", BOB)
    page = client.get("/settings/gallery").text
    assert "Undo the last change" in page
    assert 'name="version" value="1"' in page
    assert 'name="version" value="2"' not in page
    done = filled(client, "/settings/gallery/restoration", version="1")
    assert (done.status_code, done.location) == (303, "/settings/gallery")
    page = client.get("/settings/gallery").text
    assert "It is as it was at version 1: 1 photo removed, 0 photos back. This is version 3." in page
    assert list(service.house.gallery.people("default")) == ["Ada"]
    assert client.post("/settings/gallery/restoration", data={"version": "77"}).status_code == 404
    assert client.post("/settings/gallery/restoration", data={"version": "x"}).status_code == 400


def test_only_so_many_versions_are_shown_at_once(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_web.pages.settings._VERSIONS", 2)
    enrol(client, "Ada", ADA)
    enrol(client, "Bob", BOB)
    assert "All 3 versions" in client.get("/settings/gallery").text
    assert "All 3 versions" not in client.get("/settings/gallery?all=1").text


def test_what_is_exported_is_imported_by_a_form(service: Service, client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    file = client.get("/v1/gallery/export").get_data()
    sent = {"file": (io.BytesIO(file), "default.jsonl"), "once": "1234"}
    done = client.post("/settings/gallery/import?collection=team", data=sent)
    assert done.location == "/settings/gallery?collection=team"
    page = client.get(done.location).text
    assert "1 template of 1 person imported; 0 were there already." in page
    assert client.post("/settings/gallery/import", data={}).status_code == 400
    broken = {"file": (io.BytesIO(b"x"), "x.jsonl")}
    assert "gallery-file-invalid" in client.post("/settings/gallery/import", data=broken).text


def test_a_collection_without_anybody_has_a_page(client: FlaskClient) -> None:
    assert "Nobody was ever enrolled" in client.get("/settings/gallery?collection=none").text


# Retention and the audit log


def test_what_is_kept_is_told_in_words(client: FlaskClient) -> None:
    page = client.get("/settings/retention").text
    for words in ("30 days", "For ever, or until they are erased", "FACE_KEEP_PROBES_DAYS", "not required", "inbox/"):
        assert words in page
    assert "hash" not in page.lower()


@pytest.mark.parametrize(
    ("days", "besides", "words"),
    [(1, "", "1 day"), (2.5, "", "2.5 days"), (30, "or so", "30 days, or so"), (0, "or so", "For ever, or so")],
)
def test_a_time_is_told_in_words(days: float, besides: str, words: str) -> None:
    assert lasting(days, besides) == words
    assert "For ever" in lasting(0, "")
    assert counted(2, "person", "people") == "2 people"


def test_the_audit_log_is_read_page_by_page(
    service: Service, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("face_web.pages.settings._ENTRIES", 2)
    for number in range(3):
        service.services.audit.record("local", "enrol", "default", "subject", photos=number)
    service.services.audit.record("local", "revoke-key", key="abc")
    first = client.get("/settings/audit?since=2000-01-01").text
    assert first.count('<th scope="row">') == 2
    following = re.search(r'href="(/settings/audit\?[^"]*after=[^"]*)"', first)
    assert following
    second = client.get(following[1].replace("&amp;", "&")).text
    assert "revoke-key" in second
    assert "First page" in second
    only = client.get("/settings/audit?since=2000-01-01&action=revoke-key").text
    assert only.count('<th scope="row">') == 1
    assert "Nothing was done" in client.get("/settings/audit?since=2999-01-01").text
    assert client.get("/settings/audit?since=soon").status_code == 400
    assert client.get("/settings/audit").status_code == 200


def test_moments_are_told_in_utc() -> None:
    assert minute("2026-11-05T22:05:00+02:00") == "5 Nov 2026, 20:05"
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert minute(at.isoformat()) == minute(at.timestamp()) == "2 Jan 2026, 03:04"
    assert (day(at.timestamp()), second(at.isoformat())) == ("2 Jan 2026", "2 Jan 2026, 03:04:05 UTC")
    assert (day(None), minute(None), second(None)) == ("", "", "")
