"""A photo goes in, the people in it come back: by mouse, keyboard, clipboard and camera, and by a plain form."""

import base64
import mimetypes
import time
from pathlib import Path

import pytest
from playwright.sync_api import JSHandle, Locator, Page, expect

from face_client import FaceClient
from local.stack import Stack
from tests.browser.places import Known
from tests.browser.visits import Visits

_TRANSFER = """([name, type, text]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name, { type }));
  return transfer;
}"""
_COPY = """async ([text]) => {
  const photo = new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], { type: 'image/png' });
  await navigator.clipboard.write([new ClipboardItem({ 'image/png': photo })]);
}"""


@pytest.fixture
def portrait(samples: Path) -> Path:
    return samples / "obama2.jpg"


def test_a_photo_that_is_chosen(visit: Visits, known: Known, portrait: Path) -> None:
    page = visit("/recognise")
    with page.expect_file_chooser() as chooser:
        page.get_by_text("choose photos").click()
    chooser.value.set_files(portrait)
    expect(name_on_photo(page, known.person)).to_be_visible()
    expect(page.get_by_role("status").filter(has_text=f"{portrait.name}: {known.person}")).to_be_attached()


def test_a_photo_that_is_dropped(visit: Visits, known: Known, portrait: Path) -> None:
    page = visit("/recognise")
    photo = _transfer(page, portrait)
    began = time.monotonic()
    page.dispatch_event("#ask", "drop", {"dataTransfer": photo})
    expect(name_on_photo(page, known.person)).to_be_visible()
    print(f"from drop to name: {time.monotonic() - began:.2f} s")


def test_a_picture_that_is_pasted(visit: Visits, samples: Path) -> None:
    page = visit("/recognise")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(_COPY, [_text(samples / "astronaut.png")])
    page.keyboard.press("Control+V")
    expect(page.locator("details.face")).to_have_count(1)


def test_a_photo_that_is_taken(visit: Visits) -> None:
    page = visit("/recognise")
    page.get_by_role("button", name="Take a photo").click()
    expect(page.get_by_role("dialog", name="Camera")).to_be_visible()
    page.get_by_role("button", name="Take the photo").click()
    expect(page.get_by_text("There is no face in this photo.", exact=True)).to_be_visible()
    expect(page.get_by_role("dialog", name="Camera")).to_be_hidden()


def test_the_camera_can_be_closed_again(visit: Visits) -> None:
    page = visit("/recognise")
    page.get_by_role("button", name="Take a photo").press("Enter")
    expect(page.get_by_role("button", name="Take the photo")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Camera")).to_be_hidden()
    assert page.evaluate("() => document.querySelector('video').srcObject") is None


def test_several_photos_at_once(visit: Visits, samples: Path) -> None:
    page = visit("/recognise")
    names = ("obama.jpg", "biden.jpg", "chelsea.png")
    page.set_input_files("input[name=image]", [samples / name for name in names])
    for name in names:
        expect(page.get_by_role("article", name=name)).to_be_visible()
    expect(name_on_photo(page, "Barack Obama")).to_be_visible()
    expect(name_on_photo(page, "Joe Biden")).to_be_visible()


def test_what_is_no_photo_is_told_in_its_place(visit: Visits, samples: Path, tmp_path: Path) -> None:
    visit.allow("status of 4")
    wrong = tmp_path / "wrong.jpg"
    wrong.write_bytes(b"not a photo at all")
    page = visit("/recognise")
    page.set_input_files("input[name=image]", [samples / "biden.jpg", wrong])
    expect(name_on_photo(page, "Joe Biden")).to_be_visible()
    expect(page.get_by_role("article").filter(has_text="wrong.jpg").get_by_role("alert")).to_be_visible()


def test_why_a_face_was_named_is_told_to_the_keyboard(visit: Visits, known: Known) -> None:
    page = visit(f"/identifications/{known.identification}")
    why = page.locator(".why")
    expect(why).to_be_hidden()
    page.locator("details.face summary").press("Enter")
    expect(why).to_contain_text("threshold")
    expect(why.get_by_role("table", name="Candidates")).to_contain_text(known.person)


def test_a_face_on_the_photo_leads_to_its_reasons(visit: Visits, known: Known) -> None:
    page = visit(f"/identifications/{known.identification}")
    page.get_by_role("link", name=f"{known.person}: why?").press("Enter")
    expect(page.locator(".why")).to_be_visible()
    expect(page.locator("details.face summary")).to_be_focused()


def test_an_unknown_face_is_enrolled_and_known_from_then_on(visit: Visits, samples: Path) -> None:
    page = visit("/recognise?collection=this-is")
    page.set_input_files("input[name=image]", samples / "astronaut.png")
    page.locator("details.face summary").first.press("Enter")
    field = page.get_by_label("This is")
    field.fill("Eileen Collins")
    field.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Enrolled as Eileen Collins")).to_be_visible()
    page.set_input_files("input[name=image]", samples / "astronaut.png")
    expect(name_on_photo(page, "Eileen Collins")).to_be_visible()


def test_a_face_that_was_named_wrongly_is_not_named_so_again(
    visit: Visits, stack: Stack, samples: Path, portrait: Path
) -> None:
    with FaceClient(stack.url, collection="this-is-not") as face:
        face.enrol("Joe Biden", [samples / "obama.jpg"])
    page = visit("/recognise?collection=this-is-not")
    page.set_input_files("input[name=image]", portrait)
    page.locator("details.face summary").click()
    page.get_by_role("button", name="Not Joe Biden").click()
    expect(page.get_by_role("status").filter(has_text="On the reject list")).to_be_visible()
    page.set_input_files("input[name=image]", portrait)
    newest = page.get_by_role("article", name=portrait.name).first
    expect(newest.locator("details.face .name")).not_to_have_text("Joe Biden")


def test_a_collection_is_chosen_and_stays_chosen(visit: Visits, stack: Stack, samples: Path) -> None:
    with FaceClient(stack.url, collection="chosen") as face:
        face.enrol("Eileen Collins", [samples / "astronaut.png"])
    page = visit("/recognise")
    page.locator(".who summary").press("Enter")
    page.locator(".choices").get_by_role("link", name="chosen").click()
    page.set_input_files("input[name=image]", samples / "astronaut.png")
    expect(name_on_photo(page, "Eileen Collins")).to_be_visible()
    page.get_by_role("link", name="Link to this answer").click()
    expect(page.locator(".who summary")).to_contain_text("chosen")


def test_recognise_without_scripts(visit: Visits, known: Known, portrait: Path) -> None:
    page = visit("/recognise", script=False)
    page.set_input_files("input[name=image]", portrait)
    page.get_by_role("button", name="Recognise").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(portrait.name)
    expect(name_on_photo(page, known.person)).to_be_visible()
    page.locator("details.face summary").click()
    expect(page.locator(".why")).to_contain_text("threshold")


def test_an_unknown_face_is_enrolled_without_scripts(visit: Visits, samples: Path) -> None:
    page = visit("/recognise?collection=plain-naming", script=False)
    page.set_input_files("input[name=image]", samples / "astronaut.png")
    page.get_by_role("button", name="Recognise").click()
    page.locator("details.face summary").click()
    page.get_by_label("This is").fill("Eileen Collins")
    page.get_by_role("button", name="Enrol").click()
    expect(page.get_by_role("status").filter(has_text="Enrolled as Eileen Collins")).to_be_visible()


def name_on_photo(page: Page, person: str) -> Locator:
    """The name that is written on a photo, newest photo first."""
    return page.locator("figure.photo svg text", has_text=person).first


def _transfer(page: Page, photo: Path) -> JSHandle:
    kind = mimetypes.guess_type(photo.name)[0]
    return page.evaluate_handle(_TRANSFER, [photo.name, kind, _text(photo)])


def _text(photo: Path) -> str:
    return base64.b64encode(photo.read_bytes()).decode()
