"""Unknown and ambiguous faces, one after the other, by keyboard alone."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from face_client import FaceClient
from local.stack import Stack
from tests.browser.visits import Visits
from tests.stacks import wait_until


def stranger(stack: Stack, collection: str, photo: Path) -> str:
    """A collection in which a face waits that is nobody's; the page that shows it."""
    with FaceClient(stack.url, collection=collection) as face:
        face.identify(photo)
    return f"/review?collection={collection}"


def twins(stack: Stack, collection: str, samples: Path) -> str:
    """A collection in which a face waits that is as near to one person as to another; the page that shows it."""
    with FaceClient(stack.url, collection=collection) as face:
        for person, photo in (("Barack", "obama_partial_face.jpg"), ("Obama", "obama_partial_face2.jpg")):
            face.enrol(person, [samples / photo], insist=True)
        (found,) = face.identify(samples / "obama.jpg")["faces"]
        assert found["decision"] == "ambiguous"
    return f"/review?list=ambiguous&collection={collection}"


def test_a_group_is_named_by_keyboard_and_taken_back(visit: Visits, stack: Stack, samples: Path) -> None:
    page = visit(stranger(stack, "review-name", samples / "astronaut.png"))
    expect(page.locator(".item")).to_be_focused()
    page.keyboard.press("n")
    page.keyboard.type("Eileen Collins")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("1 face named Eileen Collins")
    with FaceClient(stack.url, collection="review-name") as face:
        assert [entry["person"] for entry in face.people()] == ["Eileen Collins"]
        page.keyboard.press("u")
        expect(page.get_by_role("status")).to_contain_text("Taken back")
        assert list(face.people()) == []


def test_a_dismissal_can_be_undone_for_a_while(visit: Visits, stack: Stack, samples: Path) -> None:
    page = visit(stranger(stack, "review-dismiss", samples / "astronaut.png"))
    page.keyboard.press("d")
    expect(page.get_by_text("No unknown faces")).to_be_visible()
    page.keyboard.press("u")
    expect(page.locator(".item")).to_be_focused()
    page.keyboard.press("d")
    expect(page.get_by_role("status")).to_contain_text("Dismissed")
    page.goto("/people")  # who leaves has dismissed
    with FaceClient(stack.url, collection="review-dismiss") as face:
        wait_until(lambda: face.clusters.all() == [], 10)


@pytest.mark.parametrize("key", ["j", "ArrowDown"])
def test_keys_lead_from_one_to_the_next(visit: Visits, stack: Stack, samples: Path, key: str) -> None:
    collection = f"review-move-{key.lower()}"
    stranger(stack, collection, samples / "astronaut.png")
    page = visit(stranger(stack, collection, samples / "biden.jpg"))
    first, second = page.locator(".item").all()
    expect(first).to_be_focused()
    page.keyboard.press(key)
    expect(second).to_be_focused()
    page.keyboard.press("k")
    expect(first).to_be_focused()


def test_a_group_is_named_without_scripts(visit: Visits, stack: Stack, samples: Path) -> None:
    page = visit(stranger(stack, "review-plain", samples / "astronaut.png"), script=False)
    page.get_by_label("Whose face is it?").fill("Eileen Collins")
    page.get_by_role("button", name="Name").click()
    expect(page.get_by_text("1 face named Eileen Collins")).to_be_visible()


def test_an_ambiguous_face_is_said_to_be_somebody_s(visit: Visits, stack: Stack, samples: Path) -> None:
    page = visit(twins(stack, "review-twins", samples))
    expect(page.locator(".item")).to_be_focused()
    page.keyboard.press("1")
    expect(page.get_by_role("status")).to_contain_text("1 face named")


def test_an_ambiguous_face_is_nobody_s_until_that_is_taken_back(visit: Visits, stack: Stack, samples: Path) -> None:
    page = visit(twins(stack, "review-nobody", samples))
    page.keyboard.press("r")
    expect(page.get_by_role("status")).to_contain_text("Put on the reject list")
    page.get_by_role("navigation", name="Lists").get_by_role("link", name="Reject list").press("Enter")
    expect(page.locator(".item")).to_have_count(1)
    page.keyboard.press("t")
    expect(page.get_by_role("status")).to_contain_text("Taken back")
    expect(page.get_by_text("The reject list is empty")).to_be_visible()
