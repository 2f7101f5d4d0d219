"""Faces that are cut out of photos."""

import io
from typing import cast

import PIL.Image
import pytest

from face_common.contract import Code, Result
from face_common.errors import ServiceError
from face_web import drawing
from tests.pictures import oriented, picture

SIDE = 32
MARK = (200, 0, 0)


def marked(width: int, height: int, box: tuple[int, int, int, int]) -> PIL.Image.Image:
    """A black photo with a red face at left, top, right, bottom."""
    shown = PIL.Image.new("RGB", (width, height))
    shown.paste(MARK, box)
    return shown


def result(width: int, height: int, box: tuple[int, int, int, int], turned: int = 0) -> Result:
    left, top, right, bottom = box
    place = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    image = {"name": "a.jpg", "width": width, "height": height, "turned": turned}
    return cast(Result, {"image": image, "faces": [{"box": place}]})


def saved(shown: PIL.Image.Image, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    shown.save(file, kind)
    return file.getvalue()


def centre(body: bytes) -> tuple[int, ...]:
    shown = PIL.Image.open(io.BytesIO(body))
    assert (shown.format, shown.size) == ("JPEG", (SIDE, SIDE))
    return cast(tuple[int, ...], shown.getpixel((SIDE // 2, SIDE // 2)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("box", [(1200, 100, 1500, 400), (0, 0, 300, 300), (1700, 900, 2000, 1200)])
def test_a_portrait_is_around_the_face_wherever_it_is(kind: str, box: tuple[int, int, int, int]) -> None:
    body = saved(marked(2000, 1200, box), kind)
    assert centre(drawing.portrait(body, result(2000, 1200, box), SIDE))[0] > 150
    shown = PIL.Image.open(io.BytesIO(drawing.portrait(body, result(2000, 1200, box), SIDE)))
    reds = sum(pixel[0] > 100 for pixel in shown.get_flattened_data())
    assert 0.2 < reds / SIDE**2 < 0.6


def test_a_portrait_is_upright_whatever_the_file_says() -> None:
    lying = marked(1200, 2000, (100, 200, 500, 600)).rotate(90, expand=True)
    body = oriented(lying, "JPEG", 6)
    assert centre(drawing.portrait(body, result(1200, 2000, (100, 200, 500, 600)), SIDE))[0] > 150
    turned = result(1200, 2000, (100, 200, 500, 600), turned=90)
    assert centre(drawing.portrait(saved(lying), turned, SIDE))[0] > 150


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (10, 10), (1, 1)])
def test_without_a_place_it_is_where_faces_mostly_are(size: tuple[int, int]) -> None:
    across, down = size[0] // 2, min(size) // 2 + (size[1] - min(size)) // 4
    middle = (across - 20, down - 20, across + 20, down + 20)
    assert centre(drawing.portrait(saved(marked(*size, middle)), None, SIDE))[0] > 150


def test_a_face_as_large_as_the_photo_is_the_photo() -> None:
    box = (-10, -20, 70, 60)
    assert centre(drawing.portrait(saved(marked(60, 50, (0, 0, 60, 50))), result(60, 50, box), SIDE))[0] > 150


def test_what_cannot_be_read_is_refused() -> None:
    for body in (b"nothing", picture("HEIC")[:40]):
        with pytest.raises(ServiceError) as refused:
            drawing.portrait(body, None, SIDE)
        assert refused.value.code is Code.TYPE_UNSUPPORTED
