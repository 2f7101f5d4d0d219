"""Batches, what became of each of their files, and jobs that no worker could finish."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.places import Known
from tests.browser.visits import Visits

_DONE_MS = 30_000


def test_a_batch_from_its_photos_to_each_file_s_outcome(visit: Visits, known: Known, samples: Path) -> None:
    page = visit("/jobs")
    begin(page, samples / "obama3.jpg", samples / "chelsea.png")
    expect(page.get_by_role("heading", level=1)).to_have_text("Batch")
    expect(page.locator("#now .badge")).to_have_text("done", timeout=_DONE_MS)
    expect(page.locator("#files tbody tr")).to_have_count(2)
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="CSV").click()
    assert downloaded.value.path().read_text().count("\n") == 3
    page.locator("#files").get_by_role("link", name="obama3.jpg").press("Enter")
    expect(page.locator("figure.photo svg text", has_text=known.person)).to_be_visible()


def test_files_of_one_outcome(visit: Visits, known: Known) -> None:
    page = visit(f"/jobs/batches/{known.batch}")
    page.get_by_role("navigation", name="Files by outcome").get_by_role("link").last.press("Enter")
    expect(page.locator("#files tbody tr").first).to_be_visible()
    expect(page.locator("#files [aria-current=true]")).not_to_contain_text("All")


def test_a_batch_without_scripts(visit: Visits, samples: Path) -> None:
    page = visit("/jobs", script=False)
    begin(page, samples / "biden.jpg")
    expect(page.get_by_role("heading", level=1)).to_have_text("Batch")
    page.get_by_role("link", name="Jobs").first.click()
    expect(page.locator(".job").first).to_contain_text("Batch")


def test_a_job_that_died_is_sent_anew_and_answered(visit: Visits, known: Known) -> None:
    page = visit("/jobs/dead-letters")
    letter = page.get_by_role("row").filter(has_text=known.dead)
    letter.get_by_role("button", name="Redrive").press("Enter")
    letter = page.get_by_role("row").filter(has_text=known.dead)
    expect(letter.locator(".badge")).to_have_text("answered", timeout=_DONE_MS)
    letter.get_by_role("link", name="Answer").press("Enter")
    expect(page.locator("details.face")).to_have_count(1)


def begin(page: Page, *photos: Path) -> None:
    page.get_by_label("Photos, or one zip of them").set_input_files(photos)
    page.get_by_role("button", name="Begin a batch").click()
