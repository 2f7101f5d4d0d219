import pytest

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web.photos import check_photo
from tests.pictures import picture, png_claiming

MOST = 50_000_000


def code_of(name: str, body: bytes, most: int = MOST) -> Code:
    with pytest.raises(ServiceError) as caught:
        check_photo(name, body, most)
    return caught.value.code


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_the_type_is_told_by_the_content(kind: str) -> None:
    photo = check_photo("misnamed.txt", picture(kind, (64, 48)), MOST)
    assert (photo.content_type, photo.width, photo.height) == (f"image/{kind.lower()}", 64, 48)


@pytest.mark.parametrize("body", [b"hello", b"<svg/>", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM"])
def test_what_is_no_photo_is_refused_whatever_its_name(body: bytes) -> None:
    assert code_of("photo.jpg", body) is Code.TYPE_UNSUPPORTED


def test_an_empty_file_is_told_apart() -> None:
    assert code_of("photo.jpg", b"") is Code.IMAGE_EMPTY


@pytest.mark.parametrize("size", [(10_000, 5_001), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_pixels_are_counted_before_anything_is_decoded(size: tuple[int, int]) -> None:
    assert code_of("bomb.png", png_claiming(*size)) is Code.IMAGE_TOO_LARGE


def test_the_pixel_limit_itself_is_accepted() -> None:
    assert check_photo("a.png", png_claiming(10_000, 5_000), MOST).width == 10_000


@pytest.mark.parametrize("name", ["", "a:b.jpg", "../a.jpg", "a/b.jpg", "..", "a\\b.jpg"])
def test_a_name_that_could_lead_astray_is_refused(name: str) -> None:
    assert code_of(name, picture()) is Code.NAME_INVALID


def test_a_header_of_many_empty_segments_is_not_read_to_its_end() -> None:
    body = b"\xff\xd8" + b"\xff\xfe\x00\x02" * 400_000 + picture()[2:]
    assert code_of("slow.jpg", body) is Code.TYPE_UNSUPPORTED
