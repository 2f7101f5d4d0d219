"""The fleet: what is seen of it as it changes, what would be if, and the override."""

from pathlib import Path

from playwright.sync_api import expect

from face_client import FaceClient
from local.stack import Stack
from tests.browser.visits import Visits


def test_what_is_shown_follows_the_fleet(visit: Visits, stack: Stack, samples: Path) -> None:
    page = visit("/fleet")
    expect(page.get_by_role("img", name="Backlog")).to_be_visible()
    with FaceClient(stack.url) as face:
        face.identify(samples / "obama2.jpg")
    measured = page.locator(".figures div", has=page.get_by_text("Arrivals", exact=True)).locator("dd")
    expect(measured).not_to_have_text("0/s")
    expect(page.get_by_role("table")).to_contain_text("running")


def test_the_focus_stays_where_it_is_when_the_page_renews_itself(visit: Visits) -> None:
    page = visit("/fleet")
    region = page.get_by_role("region", name="Instances").last
    region.focus()
    with page.expect_response("**/fleet/now*"):
        pass
    page.wait_for_timeout(300)
    expect(region).to_be_focused()


def test_what_if_is_planned_while_a_slider_moves(visit: Visits) -> None:
    page = visit("/fleet")
    page.get_by_role("slider", name="Waiting").press("End")
    expect(page.locator("output[for=if-visible]")).to_contain_text("2000")
    expect(page.locator("#supposed .plan")).to_contain_text("2000")


def test_what_if_without_scripts(visit: Visits) -> None:
    page = visit("/fleet?visible=500", script=False)
    expect(page.locator("#supposed .plan")).to_contain_text("500")
    page.get_by_role("button", name="Plan").click()
    expect(page.get_by_role("slider", name="Waiting")).to_have_value("500")
    expect(page.locator("#supposed .plan")).to_contain_text("500")


def test_the_fleet_is_pinned_and_left_to_the_load_again(visit: Visits) -> None:
    page = visit("/fleet")
    page.get_by_label("Workers", exact=True).fill("1")
    page.get_by_label("Why").fill("a walk through the pages")
    page.get_by_role("button", name="Pin").press("Enter")
    expect(page.get_by_text("The fleet is pinned.")).to_be_visible()
    expect(page.locator(".banner")).to_contain_text("a walk through the pages")
    page.get_by_role("button", name="Lift the override").press("Enter")
    expect(page.get_by_text("The load decides again.")).to_be_visible()
    expect(page.locator(".banner")).to_have_count(0)
