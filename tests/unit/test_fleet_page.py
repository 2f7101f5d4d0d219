"""The page about the fleet."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from face_common.ports import Counts
from face_web.access import Role
from face_web.application import create_app
from face_web.pages.fleet import duration, folded, samples, sliders
from face_web.scaler.decisions import moment
from tests.unit.test_http import Service, client, running, service
from tests.unit.test_pages import sign_in, token

__all__ = ("client", "service")
PART = {"HX-Request": "true"}


@pytest.fixture
def guarded() -> Iterator[Service]:
    with running(Service("keys")) as started:
        yield started


def line(now: float, action: str = "hold", cause: str = "steady", **others: Any) -> dict[str, Any]:
    return {"now": now, "at": moment(now), "action": action, "cause": cause, "ticks": 1, **others}


def scaling(service: Service) -> Service:
    """The service, with a fleet that has something to do."""
    service.scaling.now = time.time() - 60
    service.scaling.queue.counted = Counts(30, 2)
    service.scaling.tick(50)
    return service


def test_the_page_shows_numbers_charts_sentences_and_instances(service: Service, client: FlaskClient) -> None:
    page = client.get("/fleet") if scaling(service) else None
    assert page is not None
    assert page.status_code == 200
    assert re.search(r"<dt>Waiting</dt><dd>30</dd>", page.text)
    assert re.search(r"<dt>Booting</dt><dd>5</dd>", page.text)
    assert page.text.count('role="img"') == 4
    assert "Starting 5: photos waiting: 30" in page.text
    assert "Held 49 times since" in page.text
    assert "<code>i-4</code>" in page.text
    assert "undefined" not in page.text.lower()
    assert not re.search(r"<[^>]* style=|<script>|hx-on", page.text)


def test_what_changes_is_asked_for_by_itself(service: Service, client: FlaskClient) -> None:
    part = scaling(service).app.test_client().get("/fleet/now", headers=PART)
    assert part.status_code == 200
    assert "<html" not in part.text
    assert re.findall(r'id="([a-z-]+)" hx-swap-oob', part.text) == ["decision-list", "instance-list"]


def test_a_fixed_fleet_and_one_that_was_not_seen_yet_are_told_plainly(service: Service, client: FlaskClient) -> None:
    early = client.get("/fleet")
    assert (early.status_code, "was not seen yet" in early.text) == (200, True)
    fixed = create_app(replace(service.services, scaler=None)).test_client()
    page = fixed.get("/fleet")
    assert page.status_code == 200
    assert "does not scale" in page.text
    assert "hx-trigger" not in page.text.partition("<main")[2]
    assert fixed.get("/fleet/now", headers=PART).status_code == 404


def test_what_if_is_a_part_by_script_and_a_page_without(service: Service, client: FlaskClient) -> None:
    scaling(service)
    part = client.get("/fleet/what-if?arrival_rate=0&visible=0&in_flight=0&ready=3&max=4", headers=PART)
    assert part.status_code == 200
    assert "Retiring 3 of 3" in part.text
    assert "<html" not in part.text
    for path in ("/fleet", "/fleet/what-if"):
        page = client.get(f"{path}?arrival_rate=0&visible=0&in_flight=0&ready=3&max=4")
        assert "Retiring 3 of 3" in page.text
        assert re.search(r'name="ready"[^>]* value="3"', page.text)
        assert re.search(r'name="max"[^>]* value="4"', page.text)
    wrong = client.get("/fleet/what-if?visible=-1", headers=PART)
    assert (wrong.status_code, "parameter-invalid" in wrong.text) == (400, True)


def test_the_fleet_is_pinned_paused_and_left_to_the_load_again(service: Service, client: FlaskClient) -> None:
    scaling(service)
    wish = {"mode": "pin", "workers": "2", "why": "load test", "term": "3600"}
    answer = client.post("/fleet/override", data=wish)
    assert (answer.status_code, answer.location) == (303, "/fleet")
    page = client.get("/fleet")
    assert "The fleet is kept at 2 workers: load test." in page.text
    assert "The fleet is pinned." in page.text
    assert "ends on" in page.text
    assert client.post("/fleet/override", data={"mode": "pause", "why": "rest", "term": ""}).status_code == 303
    assert "Nothing is started and nothing retired: rest." in client.get("/fleet/now", headers=PART).text
    assert client.post("/fleet/override/lift").status_code == 303
    assert "banner" not in client.get("/fleet").text


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"workers": "900"}, "pin-too-large"),
        ({"workers": "many"}, "request-invalid"),
        ({"why": " "}, "request-invalid"),
        ({"mode": "stop"}, "request-invalid"),
    ],
)
def test_a_wish_that_makes_no_sense_is_told_where_it_was_made(
    service: Service, client: FlaskClient, change: dict[str, str], code: str
) -> None:
    scaling(service)
    answer = client.post("/fleet/override", data={"mode": "pin", "workers": "2", "why": "w", "term": "600"} | change)
    assert answer.status_code >= 400
    assert code in answer.text
    assert 'aria-labelledby="override"' in answer.text


def test_only_those_who_run_the_service_may_override(guarded: Service) -> None:
    scaling(guarded)
    for role, collections in ((Role.SUBMIT, ()), (Role.ENROL, ()), (Role.ADMIN, ("team",))):
        browser = sign_in(guarded, role, *collections)
        page = browser.get("/fleet")
        assert page.status_code == 200
        assert 'action="/fleet/override' not in page.text
        wish = {"mode": "pause", "why": "w", "_csrf": "", "csrf": ""}
        refused = browser.post("/fleet/override", data=wish, headers={"X-CSRF-Token": token(page)})
        assert refused.status_code == 403
    admin = sign_in(guarded, Role.ADMIN)
    page = admin.get("/fleet")
    assert 'action="/fleet/override' in page.text
    wish = {"mode": "pause", "why": "rest", "term": "600"}
    assert admin.post("/fleet/override", data=wish).status_code == 403  # a form of another site
    assert admin.post("/fleet/override", data=wish, headers={"X-CSRF-Token": token(page)}).status_code == 303


def test_decisions_that_change_nothing_are_folded() -> None:
    newest_first = [
        line(9),
        line(8, cause="quiet"),
        line(7, "start", "backlog"),
        line(6, cause="stale"),
        line(5, ticks=3),
    ]
    newest_first[0]["ticks"] = 40
    entries = folded(newest_first)
    assert [(entry.decision["cause"], entry.times) for entry in entries] == [
        ("steady", 41),
        ("backlog", 1),
        ("stale", 1),
        ("steady", 3),
    ]
    assert entries[0].began == moment(8)
    assert folded([line(2, "start"), line(1, "start")])[1].times == 1


def test_what_was_decided_before_holds_when_the_chart_begins_and_until_now() -> None:
    early, idle, late = line(10), line(150, until=moment(300)), line(400)
    moments, decisions = samples([late, idle, early], 100, 700)
    assert moments == [100, 150, 300, 400, 700]
    assert decisions == [early, idle, idle, late, late]
    assert samples([], 100, 700) == ([], [])


def test_samples_are_some_seconds_apart() -> None:
    moments, _ = samples([line(second) for second in range(700, 100, -1)], 100, 700)
    assert len(moments) <= 152
    assert moments == sorted(moments)


def test_sliders_have_room_for_what_is() -> None:
    fleet = {
        "measured": {"arrival_rate": 80.0, "service_s": 0.5, "cold_boot_s": 33.4},
        "backlog": {"visible": None, "in_flight": 3},
        "workers": {"running": 2},
    }
    policy = {"min": 0, "max": 15, "drain_s": 30.0, "utilisation": 0.8}
    found = {slider.name: slider for slider in sliders(fleet, policy, {"ready": "7", "max": "nonsense"})}
    assert (found["arrival_rate"].value, found["arrival_rate"].most) == (80, 160)
    assert (found["visible"].value, found["ready"].value, found["max"].value, found["boot_s"].value) == (0, 7, 15, 33)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.123, "0.12 s"),
        (9.96, "10 s"),
        (45, "45 s"),
        (600, "10 min"),
        (9000, "2 h"),
        (3e5, "3 d"),
    ],
)
def test_durations_are_as_people_say_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
