"""Who is enrolled: finding, enrolling, importing, changing and erasing people."""

import io
import json
import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect

from face_client import FaceClient
from local.stack import Stack
from tests.browser.places import Known
from tests.browser.visits import Visits

_DONE_MS = 60_000  # an erasure waits for the workers to have seen it


def enrolled(stack: Stack, collection: str, person: str, *photos: Path) -> str:
    """A collection with a person; the person's page."""
    with FaceClient(stack.url, collection=collection) as face:
        face.enrol(person, photos)
    return f"/people/{person}?collection={collection}"


def crowd(stack: Stack, collection: str, photo: Path, size: int) -> None:
    """Enrol one face under many names."""
    with FaceClient(stack.url, collection=collection) as face:
        face.enrol("Person 000", [photo])
        exported = io.BytesIO()
        face.gallery.export(exported)
        header, row = (json.loads(line) for line in exported.getvalue().splitlines())
        rows = [{**row, "person": f"Person {n:03}", "photo": row["photo"][:-3] + f"{n:03}"} for n in range(1, size)]
        lines = [{**header, "templates": len(rows)}, *rows]
        face.gallery.load(io.BytesIO("\n".join(json.dumps(line) for line in lines).encode()))


def names(page: Page) -> list[str]:
    return page.locator("#people .name").all_inner_texts()


def test_people_are_found_while_one_types(visit: Visits, known: Known) -> None:
    page = visit("/people")
    expect(page.locator("#people .name")).to_have_text(["Barack Obama", "Joe Biden"])
    page.get_by_role("searchbox", name="Search for a name").press_sequentially("bid")
    expect(page.locator("#people .name")).to_have_text(["Joe Biden"])
    expect(page).to_have_url("/people?search=bid")
    page.locator("#people").get_by_role("link").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Joe Biden")


def test_nobody_is_found(visit: Visits, known: Known) -> None:
    page = visit("/people?search=nobody+at+all")
    expect(page.get_by_role("heading", level=2)).to_contain_text("Nobody’s name has")


def test_search_and_pages_without_scripts(visit: Visits, stack: Stack, samples: Path) -> None:
    visit.allow("status of 404")  # a gallery's file brings no photos along: their places show initials
    crowd(stack, "crowd", samples / "obama.jpg", 130)
    page = visit("/people?collection=crowd", script=False)
    first = names(page)
    page.get_by_role("link", name="Next").click()
    assert names(page)[0] > first[-1]
    page.get_by_role("link", name="Next").click()
    assert names(page)[-1] == "Person 129"
    page.get_by_role("searchbox").fill("12")
    page.get_by_role("button", name="Search").click()
    assert names(page) == ["Person 012", "Person 112", *(f"Person {n}" for n in range(120, 130))]


def test_a_person_is_added_with_photos(visit: Visits, stack: Stack, samples: Path) -> None:
    page = visit("/people?collection=adding")
    page.get_by_label("Name", exact=True).fill("Joe Biden")
    page.get_by_label("Photos").set_input_files([samples / "biden.jpg", samples / "chelsea.png"])
    page.get_by_role("button", name="Enrol", exact=True).press("Enter")
    expect(page.locator(".verdict", has_text="biden.jpg")).to_contain_text("Accepted")
    expect(page.locator(".verdict", has_text="chelsea.png")).to_contain_text("no face")
    page.get_by_role("link", name="Show Joe Biden").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Joe Biden")
    expect(page.locator("ul.photos > li")).to_have_count(1)


def test_a_photo_that_looks_like_another_is_enrolled_on_request(visit: Visits, stack: Stack, samples: Path) -> None:
    enrolled(stack, "insisting", "Barack Obama", samples / "obama.jpg", samples / "obama_partial_face.jpg")
    page = visit(enrolled(stack, "insisting", "Joe Biden", samples / "biden.jpg"))
    page.locator("form.enrol input[name=image]").set_input_files(samples / "obama2.jpg")
    expect(page.locator(".verdict")).to_contain_text("obama2.jpg")
    page.get_by_role("button", name="Enrol it anyway").press("Enter")
    expect(page.locator(".verdict", has_text="obama2.jpg")).to_contain_text("Accepted")
    expect(page.locator("ul.photos > li")).to_have_count(2)


def test_a_person_is_added_without_scripts(visit: Visits, samples: Path) -> None:
    page = visit("/people?collection=adding-plain", script=False)
    page.get_by_label("Name", exact=True).fill("Joe Biden")
    page.get_by_label("Photos").set_input_files(samples / "biden.jpg")
    page.get_by_role("button", name="Enrol", exact=True).click()
    expect(page.get_by_text("1 photo is enrolled.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Joe Biden")


def test_consent_end_and_name_are_changed(visit: Visits, stack: Stack, samples: Path) -> None:
    page = visit(enrolled(stack, "terms", "Jo Biden", samples / "biden.jpg"))
    page.get_by_text("Record one").press("Enter")
    page.get_by_label("Reference").fill("drawer 7")
    page.get_by_role("button", name="Record").press("Enter")
    expect(page.get_by_text("The consent is recorded.")).to_be_visible()
    page.get_by_text("Change", exact=True).press("Enter")
    page.get_by_label("Erase them on").fill("2099-12-31")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.get_by_text("They are erased on 31 Dec 2099.")).to_be_visible()
    page.get_by_text("Give another name").press("Enter")
    page.get_by_role("textbox", name="Name").fill("Joe Biden")
    page.get_by_role("button", name="Rename").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Joe Biden")
    expect(page.get_by_text("drawer 7")).to_be_visible()


def test_a_zip_is_imported(visit: Visits, samples: Path, tmp_path: Path) -> None:
    archive = tmp_path / "people.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(samples / "biden.jpg", "Joe Biden/1.jpg")
        packed.write(samples / "chelsea.png", "Chelsea/1.png")
    page = visit("/people/import?collection=importing")
    page.locator("input[name=archive]").set_input_files(archive)
    page.get_by_role("button", name="Import").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Import")
    expect(page.locator("#now .badge")).to_have_text("done", timeout=_DONE_MS)
    expect(page.locator("#files tbody tr")).to_have_count(2)


def test_who_is_erased_leaves_a_receipt(visit: Visits, stack: Stack, samples: Path) -> None:
    page = visit(enrolled(stack, "erasing", "Joe Biden", samples / "biden.jpg"))
    page.get_by_role("link", name="Erase").press("Enter")
    page.get_by_role("button", name="Erase everything").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Receipt of an erasure")
    expect(page.get_by_role("status")).to_contain_text("Done", timeout=_DONE_MS)
    expect(page.locator("main")).not_to_contain_text("Biden")


def test_a_photo_is_taken_away_by_keyboard(visit: Visits, stack: Stack, samples: Path) -> None:
    page = visit(enrolled(stack, "removing", "Barack Obama", samples / "obama.jpg", samples / "obama2.jpg"))
    page.locator("ul.photos summary").first.press("Enter")
    page.get_by_role("button", name="Remove it").first.press("Enter")
    expect(page.get_by_text("The photo is no longer enrolled.")).to_be_visible()
    expect(page.locator("ul.photos > li")).to_have_count(1)
