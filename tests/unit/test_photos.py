from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web import heic
from face_web.photos import check_photo
from tests.pictures import box, heic_claiming, oriented, picture, png_claiming, saved, scene

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


def test_a_photo_with_a_second_one_behind_it_is_a_jpeg() -> None:
    body = saved(scene(64, 48), "MPO", save_all=True, append_images=[scene(32, 24)])
    assert check_photo("depth.jpg", body, MOST).content_type == "image/jpeg"


@pytest.mark.parametrize("options", [{}, {"quality": 20}, {"grid_tile_size": 64}])
def test_the_size_of_a_heic(options: dict[str, int]) -> None:
    photo = check_photo("a.heic", saved(scene(200, 130), "HEIC", **options), MOST)
    assert (photo.width, photo.height) == (200, 130)


def test_a_heic_states_its_size_before_it_is_turned_and_cropped() -> None:
    photo = check_photo("a.heic", oriented(scene(200, 130), "HEIC", 6), MOST)
    assert (photo.width, photo.height) == (200, 130)
    photo = check_photo("a.heic", saved(scene(64, 48), "HEIC"), MOST)
    assert (photo.width, photo.height) == (64, 64)  # HEVC stores no fewer


def test_a_heic_of_too_many_pixels() -> None:
    assert code_of("a.heic", heic_claiming(10_000, 5_001)) is Code.IMAGE_TOO_LARGE
    assert check_photo("a.heic", heic_claiming(10_000, 5_000), MOST).height == 5_000


@pytest.mark.parametrize("brands", [(b"mif1", b"heic"), (b"heix",), (b"mif1", b"miaf", b"heix")])
def test_a_heic_by_its_own_name_or_as_what_it_may_be_read(brands: tuple[bytes, ...]) -> None:
    assert check_photo("a.heic", heic_claiming(64, 48, brands), MOST).content_type == "image/heic"


@pytest.mark.parametrize("brands", [(b"avif", b"mif1"), (b"isom", b"mp42"), (b"mif1",), (b"qt  ",)])
def test_other_files_of_boxes_are_refused(brands: tuple[bytes, ...]) -> None:
    assert code_of("photo.heic", heic_claiming(64, 48, brands)) is Code.TYPE_UNSUPPORTED


FTYP = box(b"ftyp", b"heic", bytes(4), b"heic")
BROKEN = {
    "nothing else": b"",
    "no properties": box(b"meta", bytes(4), box(b"pitm", bytes(6))),
    "a box of no length": b"\0\0\0\x04meta" + bytes(16),
    "a box beyond the file": b"\0\0\xff\xffmeta" + bytes(16),
    "a box of 2^64 bytes": b"\0\0\0\x01meta" + b"\xff" * 8 + bytes(16),
    "boxes without end": box(b"free") * 6000,
    "a list longer than its box": box(
        b"meta",
        bytes(4),
        box(b"pitm", bytes(6)),
        box(b"iprp", box(b"ipma", bytes(4), b"\xff" * 4), box(b"ipco")),
    ),
    "far too many properties": box(b"meta", bytes(2**20 + 1)),
}


@pytest.mark.parametrize("rest", BROKEN.values(), ids=BROKEN.keys())
def test_boxes_that_do_not_fit_are_refused(rest: bytes) -> None:
    assert code_of("a.heic", FTYP + rest) is Code.TYPE_UNSUPPORTED


WHOLE = saved(scene(200, 130), "HEIC")


@given(st.integers(0, len(WHOLE)))
def test_a_heic_that_is_cut_off_states_its_size_or_nothing(length: int) -> None:
    try:
        assert heic.stored_size(WHOLE[:length]) == (200, 130)
    except ValueError:
        assert length < WHOLE.index(b"mdat") + 4


@given(st.lists(st.tuples(st.integers(0, WHOLE.index(b"mdat")), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_heic_with_wrong_bytes_states_numbers_or_is_refused(places: list[tuple[int, int]]) -> None:
    body = bytearray(WHOLE)
    for place, value in places:
        body[place] = value
    with suppress(ServiceError):  # any other error fails the test
        photo = check_photo("a.heic", bytes(body), MOST)
        assert photo.width * photo.height <= MOST


@given(st.binary(max_size=300))
def test_no_boxes_are_too_odd(rest: bytes) -> None:
    assert code_of("a.heic", FTYP + box(b"meta", bytes(4), rest)) is Code.TYPE_UNSUPPORTED
