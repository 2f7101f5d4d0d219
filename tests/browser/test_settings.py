"""Keys, and what a collection's gallery was and may be again."""

from pathlib import Path

from playwright.sync_api import expect

from face_client import FaceClient
from face_web.access import Role
from local.stack import Stack
from tests.browser.test_sign_in import sign_in
from tests.browser.visits import Visits
from tests.unit.test_access import made
from tests.unit.test_http import Service


def test_a_key_is_made_used_and_revoked(visit_guarded: Visits, guarded: Service) -> None:
    page = visit_guarded("/sign-in?next=/settings")
    sign_in(page, made(guarded, Role.ADMIN))
    page.get_by_label("Whose key it is").fill("the till")
    page.get_by_role("button", name="Make the key").press("Enter")
    key = page.locator(".secret").inner_text()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".new-key").get_by_role("button", name="Copy").press("Enter")
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == key
    page.goto("/settings")
    expect(page.locator("main")).not_to_contain_text(key)

    till = visit_guarded("/sign-in")
    sign_in(till, key)
    expect(till.get_by_role("heading", level=1)).to_have_text("Who is in the photo?")
    page.get_by_role("row").filter(has_text="the till").locator("summary").press("Enter")
    page.get_by_role("row").filter(has_text="the till").get_by_role("button", name="Revoke for good").press("Enter")
    expect(page.get_by_role("row").filter(has_text="the till")).to_have_count(0)
    till.reload()
    expect(till.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_a_gallery_goes_back_to_an_earlier_version(visit: Visits, stack: Stack, samples: Path) -> None:
    with FaceClient(stack.url, collection="going-back") as face:
        face.enrol("Joe Biden", [samples / "biden.jpg"])
        face.enrol("Barack Obama", [samples / "obama.jpg"])
        page = visit("/settings/gallery?collection=going-back")
        page.get_by_text("Undo the last change").press("Enter")
        page.get_by_role("button", name="Go back to version").first.press("Enter")
        expect(page.locator(".said")).to_be_visible()
        assert [entry["person"] for entry in face.people()] == ["Joe Biden"]
