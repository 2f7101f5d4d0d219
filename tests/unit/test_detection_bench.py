"""The arithmetic of the detection measurement, and what it says of files that it cannot use."""

from pathlib import Path

import pytest

from bench.detection import Outcome, overlap, read_boxes, row
from bench.folders import InputError
from face_app.recognition import Rectangle

HEADER = "file,x,y,width,height\n"


def square(left: int, top: int, side: int) -> Rectangle:
    return Rectangle(left, top, left + side, top + side)


def test_recall_counts_faces_by_size_and_false_boxes_by_place() -> None:
    marked = [square(0, 0, 100), square(200, 0, 50), square(400, 0, 25), square(600, 0, 10)]
    answered = [square(0, 0, 90), square(400, 5, 25), square(230, 30, 100), square(900, 900, 40)]
    line = row("any", [Outcome(marked, answered, 2.0, 4.0), Outcome([], [], 4.0, 8.0)])
    assert (line[">= 20 px"], line[">= 40 px"], line[">= 80 px"]) == (3, 2, 1)
    assert line["recall >= 20 px"] == pytest.approx(2 / 3)  # the box at (230, 30) meets the second face, too little
    assert (line["recall >= 40 px"], line["recall >= 80 px"]) == (0.5, 1.0)
    assert (line["boxes"], line["false"], line["false share"]) == (4, 1, 0.25)
    assert (line["decode CPU ms"], line["detect CPU ms"]) == (3.0, 6.0)


def test_no_face_of_a_size_is_no_recall() -> None:
    line = row("any", [Outcome([square(0, 0, 30)], [], 0.0, 0.0)])
    assert (line["recall >= 20 px"], line["recall >= 40 px"], line["false share"]) == (0.0, None, 0.0)


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(square(0, 0, 10), square(5, 0, 10)) == pytest.approx(1 / 3)
    assert overlap(square(0, 0, 10), square(10, 0, 10)) == 0
    assert overlap(square(0, 0, 10), square(20, 20, 10)) == 0


def test_boxes_are_read_by_photo(tmp_path: Path) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text(HEADER + "a.jpg,1,2,30,40\nb.jpg,0,0,5.0,5\na.jpg,7,8,9,10\n")
    assert read_boxes(file) == {
        "a.jpg": [Rectangle(1, 2, 31, 42), Rectangle(7, 8, 16, 18)],
        "b.jpg": [Rectangle(0, 0, 5, 5)],
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("file,x,y\na.jpg,1,2\n", "lacks the columns width, height"),
        ("", "lacks the columns"),
        (HEADER, "marks no face"),
        (HEADER + "a.jpg,1,2,3,4\na.jpg,1,two,3,4\n", "line 3: could not convert"),
        (HEADER + "a.jpg,1,2\n", "line 2"),
    ],
)
def test_boxes_that_cannot_be_used(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=fault):
        read_boxes(file)


def test_no_boxes_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"boxes\.csv cannot be read"):
        read_boxes(tmp_path / "boxes.csv")
