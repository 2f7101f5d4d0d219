"""Which photos are enrolled, and what is said of the others."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from face_app.enrolled import Enrolled, Policy, preparing
from face_app.quality import EnrolmentLimits, is_fit, reasons
from face_app.recognition import FaceReading, Rectangle
from face_app.verdicts import Enrolment, Judgement, judge
from face_common.contract import distractor
from face_common.templates import GallerySnapshot
from tests.fakes.inference import encoding, face, reading
from tests.fakes.population import POPULATION
from tests.unit.test_contract import ULID
from tests.unit.test_matching import digest, template

NEW = Enrolment("Ada", "9", digest("9"), insist=False)


def enrolled(*people: tuple[str, float]) -> Enrolled:
    templates = [template(person, str(number), encoding(place)) for number, (person, place) in enumerate(people)]
    return preparing(POPULATION, Policy(0.01, 0.02, threshold=0.6))(GallerySnapshot.of(1, templates))


def verdict(faces: Sequence[FaceReading], people: Enrolled, enrolment: Enrolment = NEW) -> Judgement:
    return judge(reading(*faces), enrolment, people, EnrolmentLimits())


def test_a_good_photo_of_a_new_person_is_accepted() -> None:
    assert verdict([face()], enrolled()) == ("accepted", "enrolled")


def test_a_photo_needs_a_face() -> None:
    assert verdict([], enrolled())[0] == "no-face"


def at(x: int, y: int, side: int) -> FaceReading:
    half = side // 2
    return replace(face(), rectangle=Rectangle(x - half, y - half, x + half, y + half))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (at(320, 240, 48), "accepted"),
        (at(320, 240, 50), "several-faces"),
        (at(480, 240, 100), "several-faces"),
        (at(620, 460, 100), "accepted"),  # as large, but in the corner: somebody who happened to be there
    ],
)
def test_a_face_of_a_quarter_of_the_weight_is_a_rival(other: FaceReading, expected: str) -> None:
    assert verdict([at(320, 240, 100), other], enrolled())[0] == expected


@pytest.mark.parametrize(
    ("fault", "expected", "said"),
    [
        (face(side=29), "too-small", "29 pixels wide; enrolment needs 30"),
        (replace(face(), sharpness=4.9), "blurred", "sharpness is 4.9; enrolment needs 5"),
        (replace(face(), yaw=-0.8), "extreme-pose", "yaw is 0.8; enrolment takes up to 0.75"),
    ],
)
def test_a_face_must_be_well_visible(fault: FaceReading, expected: str, said: str) -> None:
    found, detail = verdict([fault], enrolled())
    assert found == expected
    assert said in detail


def test_the_same_file_is_not_enrolled_twice() -> None:
    people = enrolled(("Ada", 0.0))
    assert verdict([face()], people, replace(NEW, digest=digest("0"))) == (
        "duplicate",
        "the same file is already enrolled as 0",
    )
    assert verdict([face()], people, replace(NEW, digest=digest("0"), photo="0"))[0] == "accepted", "the job came again"


def test_a_face_that_looks_like_somebody_else_is_refused_with_their_name_and_distance() -> None:
    found, detail = verdict([face(0.3)], enrolled(("Bob", 0.0)))
    assert found == "looks-like-another"
    assert "Bob, at distance 0.300, where faces up to 0.600 are named" in detail


def test_a_face_nearer_to_its_own_person_than_to_the_other_is_accepted() -> None:
    assert verdict([face(0.1)], enrolled(("Ada", 0.0), ("Bob", 0.4)))[0] == "accepted"
    assert verdict([face(0.3)], enrolled(("Ada", 0.0), ("Bob", 0.4)))[0] == "looks-like-another"


def test_a_face_unlike_the_person_s_other_photos_is_inconsistent() -> None:
    people = enrolled(("Ada", 0.0))
    assert people.limit == pytest.approx(1.3 - 2.054 * 0.1, abs=1e-3)
    assert verdict([face(1.0)], people)[0] == "accepted"
    assert verdict([face(1.2)], people)[0] == "inconsistent"


def test_who_insists_is_believed_about_likeness_but_not_about_quality() -> None:
    people, insisting = enrolled(("Ada", 0.0), ("Bob", 1.0)), replace(NEW, insist=True)
    assert verdict([face(1.2)], people, insisting)[0] == "accepted"
    assert verdict([face(1.0)], people, insisting)[0] == "accepted"
    assert verdict([face(side=10)], people, insisting)[0] == "too-small"
    assert verdict([], people, insisting)[0] == "no-face"


def test_quality_has_reasons_and_the_worst_is_not_named() -> None:
    assert reasons(face()) == []
    assert reasons(replace(face(side=39), sharpness=7.9, yaw=0.6)) == ["small", "blurred", "turned"]
    assert is_fit(replace(face(side=20), sharpness=3.0))
    assert not is_fit(face(side=19))
    assert not is_fit(replace(face(), sharpness=2.9))


def test_a_rejected_face_is_taken_as_it_is() -> None:
    rejected = replace(NEW, person=distractor(ULID))
    bad = replace(face(side=20), sharpness=1.0, yaw=0.9)
    assert verdict([bad, at(320, 240, 48)], enrolled(("Bob", 0.0)), rejected) == ("accepted", "enrolled")
    assert verdict([], enrolled(), rejected)[0] == "no-face"


def test_nobody_is_told_that_they_look_like_a_rejected_face() -> None:
    assert verdict([face(0.1)], enrolled((distractor(ULID), 0.0)))[0] == "accepted"
