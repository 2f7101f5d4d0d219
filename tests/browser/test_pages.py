"""Every page: on phones and desktops, light and dark, for those who see nothing and for those who use no mouse."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.conftest import SCREENSHOTS
from tests.browser.keyboard import tab_through
from tests.browser.places import PAGES, Known, path
from tests.browser.visits import DESKTOP, PHONE, SCHEMES, Visits, settle

_AXE = Axe()
_RULES = {
    "light": {"resultTypes": ["violations"]},
    "dark": {"resultTypes": ["violations"], "runOnly": ["color-contrast"]},  # nothing else has changed
}
_SERIOUS = ("serious", "critical")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_by_everybody(name: str, size: ViewportSize, visit: Visits, known: Known) -> None:
    page = visit(path(name, known), size=size)
    assert_readable(page, f"{name}-{size['width']}")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_sign_in_can_be_read_by_everybody(size: ViewportSize, visit_guarded: Visits) -> None:
    page = visit_guarded("/sign-in", size=size)
    assert_readable(page, f"sign-in-{size['width']}")


@pytest.mark.parametrize("name", PAGES)
def test_the_tab_key_reaches_everything_and_shows_where_it_is(name: str, visit: Visits, known: Known) -> None:
    page = visit(path(name, known))
    settle(page)
    walk = tab_through(page)
    assert (walk.missed, walk.unmarked) == ([], [])


def test_the_first_link_skips_to_the_content(visit: Visits) -> None:
    page = visit("/recognise")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("input[name=image]")).to_be_focused()


def test_the_calls_can_be_read_without_another_host(visit: Visits) -> None:
    page = visit("/docs")
    _photograph(page, "docs-1280-light")
    expect(page.get_by_text("/v1/identifications").first).to_be_visible()


def assert_readable(page: Page, name: str) -> None:
    """One heading, a title, nothing beyond the right edge, nothing serious that axe finds; light and dark."""
    settle(page)
    assert page.title().strip()
    assert page.locator("h1").count() == 1
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        _photograph(page, f"{name}-{scheme}")
        width, wanted = page.evaluate("() => [innerWidth, document.documentElement.scrollWidth]")
        assert wanted <= width, "the page is wider than the screen"
        found = _AXE.run(page, options=_RULES[scheme]).response["violations"]
        assert [_told(violation) for violation in found if violation["impact"] in _SERIOUS] == []


def _told(violation: dict[str, Any]) -> str:
    return f"{violation['id']}: {violation['help']}: {[node['html'][:200] for node in violation['nodes']]}"


def _photograph(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
