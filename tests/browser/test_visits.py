"""Whatever no page may do is noticed."""

import pytest
from playwright.sync_api import expect

from tests.browser.visits import Visits


@pytest.mark.parametrize(
    ("done", "fault"),
    [
        ("document.body.append(Object.assign(document.createElement('script'), {text: '1'}))", "Content Security"),
        ("document.body.setAttribute('style', 'color: red')", "Content Security"),
        ("new Image().src = 'https://example.org/'", "Content Security"),
        ("location.assign('https://example.org/')", "left the host"),
        ("console.warn('hm')", "warning: hm"),
        ("setTimeout(() => { throw new Error('hm') })", "exception: hm"),
        ("fetch('/v1/nothing')", "status of 404"),
    ],
)
def test_a_fault_is_noticed(visit: Visits, done: str, fault: str) -> None:
    page = visit("/recognise")
    page.context.route("https://example.org/**", lambda route: route.fulfill(body="elsewhere"))
    page.evaluate(f"() => {{ {done} }}")
    expect(page.locator("body")).to_be_visible()
    page.wait_for_timeout(200)
    assert any(fault in noted for noted in visit.faults), visit.faults
    visit.faults.clear()
