"""Who gets in: keys, roles, and forms that other sites might send."""

import pytest
from playwright.sync_api import Page, expect

from face_web.access import Role
from tests.browser.visits import Visits
from tests.unit.test_access import made
from tests.unit.test_http import Service

_TITLE = "Sign in · Elastic Face Recognition"
_SEND = """([token]) => fetch('/v1/identifications', {
  method: 'POST',
  headers: token === null ? {} : { 'X-CSRF-Token': token || document.body.dataset.csrf },
  body: new Blob(['not a photo']),
}).then((answer) => answer.json()).then((problem) => problem.code)"""


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Key").fill(key)
    page.get_by_label("Key").press("Enter")


def test_a_page_asks_for_a_key_and_comes_afterwards(visit_guarded: Visits, guarded: Service) -> None:
    page = visit_guarded("/people?collection=team")
    expect(page).to_have_title(_TITLE)
    sign_in(page, made(guarded, Role.ADMIN))
    expect(page).to_have_url(f"{visit_guarded.home}/people?collection=team")
    (cookie,) = [cookie for cookie in page.context.cookies() if cookie["name"] == "session"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert "face_" not in page.evaluate("() => JSON.stringify([localStorage, sessionStorage, document.cookie])")


def test_who_signs_out_is_out(visit_guarded: Visits, guarded: Service) -> None:
    page = visit_guarded("/sign-in")
    sign_in(page, made(guarded, Role.SUBMIT))
    expect(page.get_by_role("heading", level=1)).to_have_text("Who is in the photo?")
    before = page.context.cookies()
    page.get_by_role("button", name="Sign out").press("Enter")
    expect(page).to_have_url(f"{visit_guarded.home}/sign-in")
    page.context.add_cookies([cookie for cookie in before if cookie["name"] == "session"])  # somebody has kept it
    page.goto("/recognise")
    expect(page).to_have_title(_TITLE)


@pytest.mark.parametrize(
    ("role", "pages"),
    [
        (Role.SUBMIT, ["Recognise", "Fleet", "Settings"]),
        (Role.ENROL, ["Recognise", "People", "Review", "Fleet", "Jobs", "Settings"]),
    ],
)
def test_each_role_is_led_to_the_pages_that_it_may_see(
    visit_guarded: Visits, guarded: Service, role: Role, pages: list[str]
) -> None:
    page = visit_guarded("/sign-in")
    sign_in(page, made(guarded, role))
    links = page.get_by_role("navigation", name="Pages").get_by_role("link")
    expect(links).to_have_text(pages)
    for name in pages:
        links.get_by_text(name, exact=True).click()
        expect(page.locator("header [aria-current=page]")).to_have_text(name)


def test_a_page_that_the_role_may_not_see_says_so(visit_guarded: Visits, guarded: Service) -> None:
    visit_guarded.allow("status of 403")
    page = visit_guarded("/sign-in?next=/people")
    sign_in(page, made(guarded, Role.SUBMIT))
    expect(page.get_by_role("alert")).to_contain_text("needs a key of the role enrol")


def test_a_wrong_key_is_refused(visit_guarded: Visits) -> None:
    visit_guarded.allow("status of 401")
    page = visit_guarded("/sign-in")
    expect(page.get_by_label("Key")).to_be_focused()
    sign_in(page, "face_nobody_" + "x" * 43)
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.context.cookies() == []


@pytest.mark.parametrize("where", ["https://example.org/", "//example.org/", "/\\example.org/"])
def test_signing_in_leads_to_no_other_site(visit_guarded: Visits, guarded: Service, where: str) -> None:
    page = visit_guarded(f"/sign-in?next={where}")
    sign_in(page, made(guarded, Role.SUBMIT))
    expect(page).to_have_url(f"{visit_guarded.home}/recognise")


def test_a_request_without_the_session_s_token_is_refused(visit_guarded: Visits, guarded: Service) -> None:
    visit_guarded.allow("status of 4")
    page = visit_guarded("/sign-in")
    sign_in(page, made(guarded, Role.ADMIN))
    expect(page.get_by_role("heading", level=1)).to_have_text("Who is in the photo?")
    assert page.evaluate(_SEND, [None]) == "forbidden"
    assert page.evaluate(_SEND, ["of-another-session"]) == "forbidden"
    assert page.evaluate(_SEND, [""]) == "type-unsupported"  # it was let in


def test_signing_in_and_out_without_scripts(visit_guarded: Visits, guarded: Service) -> None:
    page = visit_guarded("/recognise", script=False)
    sign_in(page, made(guarded, Role.ENROL))
    expect(page.get_by_role("heading", level=1)).to_have_text("Who is in the photo?")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_title(_TITLE)
