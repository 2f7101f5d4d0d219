"""What engines see of a photo: whatever the file's format, the upright picture that a browser shows."""

import io
import tracemalloc
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from face_app.engine import heic, jpeg, load_engine
from face_app.engine.decoding import MAX_PIXELS, DecodedPicture, decode
from face_app.recognition import Engine, PhotoRequest, Rectangle, read_photo
from face_common.contract import Code
from face_common.errors import PermanentError
from tests.pictures import chunk, heic_claiming, oriented, over_white, picture, png, png_claiming, saved, scene, tiff

Pixels = NDArray[np.uint8]
T = PIL.Image.Transpose
STORED = {
    1: None,
    2: T.FLIP_LEFT_RIGHT,
    3: T.ROTATE_180,
    4: T.FLIP_TOP_BOTTOM,
    5: T.TRANSPOSE,
    6: T.ROTATE_90,
    7: T.TRANSVERSE,
    8: T.ROTATE_270,
}
"""What a camera that states this orientation has done to the upright picture."""


def full(body: bytes) -> Pixels:
    image, scale = decode(body).at(1.0)
    assert scale == 1.0
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    return image


def pixels(image: PIL.Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))


def difference(image: NDArray[Any], other: NDArray[Any]) -> float:
    """Mean absolute difference of a channel."""
    assert image.shape == other.shape
    return float(np.abs(image.astype(np.int16) - other.astype(np.int16)).mean())


def code_of(body: bytes, **options: Any) -> Code:
    with pytest.raises(PermanentError) as caught:
        decode(body, **options)
    return caught.value.code


LOSSLESS = [
    ("PNG", "1", {}),
    ("PNG", "L", {}),
    ("PNG", "P", {}),
    ("PNG", "RGB", {}),
    ("WEBP", "RGB", {"lossless": True}),
    ("BMP", "1", {}),
    ("BMP", "L", {}),
    ("BMP", "P", {}),
    ("BMP", "RGB", {}),
    ("TIFF", "1", {"compression": "group4"}),
    ("TIFF", "L", {}),
    ("TIFF", "P", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "CMYK", {"compression": "tiff_deflate"}),
    ("GIF", "L", {}),
    ("GIF", "P", {}),
]


@pytest.mark.parametrize(("kind", "mode", "options"), LOSSLESS)
def test_lossless_formats_give_the_picture_that_was_saved(kind: str, mode: str, options: dict[str, Any]) -> None:
    image = scene(mode=mode)
    assert np.array_equal(full(saved(image, kind, **options)), pixels(image))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}])
@pytest.mark.parametrize("size", [(96, 64), (131, 77), (1, 1)])
def test_a_full_jpeg_has_pillow_s_very_pixels(mode: str, options: dict[str, Any], size: tuple[int, int]) -> None:
    body = saved(scene(*size, mode=mode), "JPEG", **options)
    assert np.array_equal(full(body), pixels(PIL.Image.open(io.BytesIO(body))))


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {}), ("HEIC", {})]
)
def test_what_is_transparent_is_white(kind: str, options: dict[str, Any]) -> None:
    layers = scene(mode="RGBA")
    image = full(saved(layers, kind, **options))
    assert difference(image, pixels(over_white(layers))) < (4 if kind == "HEIC" else 0.6)
    assert (image[:, 0] > 240).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_is_white(kind: str) -> None:
    image = PIL.Image.new("P", (32, 32), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.paste(1, (0, 0, 16, 32))
    decoded = full(saved(image, kind, transparency=0))
    assert (decoded[:, 16:] == 255).all()
    assert (decoded[:, :16] == (200, 0, 0)).all()


def test_grey_with_transparency() -> None:
    samples = np.zeros((4, 6, 2), dtype=np.uint8)
    samples[:, 3:, 1] = 255
    assert full(png(samples))[0, :, 0].tolist() == [255, 255, 255, 0, 0, 0]


RAMP = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_scaled_not_clipped(kind: str) -> None:
    decoded = full(saved(PIL.Image.fromarray(RAMP), kind))
    assert np.array_equal(decoded[:, :, 1], RAMP >> 8)


def test_grey_of_16_bits_of_either_byte_order() -> None:
    body = b"MM\0*" + tiff({})[4:]
    assert code_of(body) is Code.IMAGE_UNREADABLE  # a directory without anything
    pillow = PIL.Image.frombytes("I;16B", (64, 48), RAMP.astype(">u2").tobytes())
    assert np.array_equal(full(saved(pillow, "TIFF"))[:, :, 0], RAMP >> 8)


def test_grey_of_12_bits() -> None:
    tags = {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: 0, 277: 1, 278: 1, 279: 6}
    assert full(tiff(tags, bytes.fromhex("000400800fff")))[0, :, 0].tolist() == [0, 0x40, 0x80, 0xFF]


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_of_16_bits(channels: int) -> None:
    samples = np.repeat(RAMP[:, :, None], channels, axis=2)
    samples[:, :, 3:] = 65535
    assert difference(full(png(samples))[:, :, 0], RAMP >> 8) < 1


@pytest.mark.parametrize("mode", ["I", "F"])
def test_numbers_without_a_range_are_stretched(mode: str) -> None:
    image = PIL.Image.fromarray(np.linspace(-5, 1000, 64 * 48).reshape(48, 64).astype(np.float32)).convert(mode)
    decoded = full(saved(image, "TIFF"))
    assert (decoded.min(), decoded.max()) == (0, 255)


@pytest.mark.parametrize("size", [(96, 64), (13, 9), (1, 1)])
def test_an_interlaced_png(size: tuple[int, int]) -> None:
    image = scene(*size)
    assert np.array_equal(full(png(np.asarray(image), interlaced=True)), np.asarray(image))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_of_many_pictures_the_first_is_taken(kind: str) -> None:
    first, second = PIL.Image.new("RGB", (64, 48), (200, 10, 10)), PIL.Image.new("RGB", (64, 48), (10, 200, 10))
    body = saved(first, kind, save_all=True, append_images=[second] * 3)
    assert difference(full(body), pixels(first)) < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", list(STORED))
def test_exif_s_orientation_is_applied_once(kind: str, orientation: int) -> None:
    upright = scene(96, 64)
    turn = STORED[orientation]
    body = oriented(upright if turn is None else upright.transpose(turn), kind, orientation)
    decoded = decode(body)
    assert (decoded.width, decoded.height) == upright.size
    assert difference(decoded.at(1.0)[0], pixels(upright)) < 3
    reference = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(body)))
    assert np.array_equal(decoded.at(1.0)[0], pixels(reference))


@pytest.mark.parametrize("orientation", list(STORED))
def test_a_heic_is_turned_by_its_decoder_alone(orientation: int) -> None:
    upright = scene(96, 64)
    turn = STORED[orientation]
    decoded = decode(oriented(upright if turn is None else upright.transpose(turn), "HEIC", orientation))
    assert (decoded.width, decoded.height) == upright.size
    assert difference(decoded.at(1.0)[0], pixels(upright)) < 4


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_without_meaning_is_none(orientation: int) -> None:
    assert np.array_equal(full(oriented(scene(), "JPEG", orientation)), full(saved(scene(), "JPEG")))


@pytest.mark.parametrize(
    "exif", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"XX*\0\x08\0\0\0\x01\0" + bytes(12)]
)
def test_broken_exif_is_none(exif: bytes) -> None:
    assert np.array_equal(full(saved(scene(), "JPEG", exif=b"Exif\0\0" + exif)), full(saved(scene(), "JPEG")))


@given(st.binary(max_size=64))
def test_no_exif_is_too_odd(exif: bytes) -> None:
    assert jpeg.exif_orientation(b"MM\0*" + exif) in range(1, 9)


@cache
def large(width: int, height: int, mode: str) -> bytes:
    return saved(scene(width, height, mode), "JPEG", quality=90)


@pytest.mark.parametrize(
    ("size", "mode"), [((1024, 768), "RGB"), ((1283, 771), "RGB"), ((1283, 771), "L"), ((1283, 771), "CMYK")]
)
@pytest.mark.parametrize("scale", [0.9, 0.5, 0.3, 0.25, 0.2, 0.125, 0.01])
def test_a_reduced_photo_is_the_full_one_made_smaller(size: tuple[int, int], mode: str, scale: float) -> None:
    body = large(*size, mode)
    image, real = decode(body, look=100).at(scale)
    assert real >= scale
    assert (real / 2 < scale) or real == 1 / 8
    divisor = round(1 / real)
    expected = pixels(PIL.Image.open(io.BytesIO(body)).reduce(divisor))
    height, width = min(image.shape[0], expected.shape[0]), min(image.shape[1], expected.shape[1])
    assert 0 <= -(-size[0] // divisor) - width <= 1
    assert difference(image[:height, :width], expected[:height, :width]) < 2


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The factors by which JPEGs were decoded smaller, as the test goes on."""
    factors: list[float] = []
    real = jpeg.simplejpeg.decode_jpeg

    def spy(body: bytes, **options: Any) -> Any:
        factors.append(options["min_factor"])
        return real(body, **options)

    monkeypatch.setattr(jpeg.simplejpeg, "decode_jpeg", spy)
    return factors


def test_a_photo_is_decoded_once_for_all_looks_and_again_only_when_finer(decodes: list[float]) -> None:
    decoded = decode(picture(size=(3000, 4000)))
    assert decodes == [2]
    assert [decoded.at(scale)[0].shape[:2] for scale in (0.16, 0.32, 0.1)] == [(1000, 750), (2000, 1500), (500, 375)]
    assert decoded.turned(1).at(0.5)[0].shape == (1500, 2000, 3)
    assert decodes == [2]
    assert decoded.at(0.75)[0].shape == (4000, 3000, 3)
    assert decoded.turned(3).at(1.0)[0].shape == (3000, 4000, 3)
    assert decodes == [2, 1]


def test_a_small_photo_is_decoded_whole_at_once(decodes: list[float]) -> None:
    decoded = decode(saved(scene(250, 250), "JPEG"))
    assert decoded.at(0.5)[0].shape in {(125, 125, 3), (250, 250, 3)}
    assert decodes == [1]


def test_the_first_look_may_be_the_whole_photo(decodes: list[float]) -> None:
    decode(picture(size=(1600, 1200)), look=1600)
    assert decodes == [1]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", list(STORED))
@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_turning_is_clockwise_at_any_scale(kind: str, orientation: int, quarters: int, scale: float) -> None:
    decoded = decode(oriented(scene(640, 384), kind, orientation), look=160)
    turned = decoded.turned(quarters)
    image, real = turned.at(scale)
    assert real == decoded.at(scale)[1]
    assert np.array_equal(image, np.rot90(decoded.at(scale)[0], -quarters))
    if real == 1.0:
        assert (turned.height, turned.width) == image.shape[:2]
    assert np.array_equal(turned.turned(4 - quarters).at(scale)[0], decoded.at(scale)[0])


BODIES = {
    "JPEG": saved(scene(), "JPEG"),
    "progressive": saved(scene(), "JPEG", progressive=True),
    "CMYK": saved(scene(mode="CMYK"), "JPEG"),
    "oriented": oriented(scene(), "JPEG", 6),
    "PNG": saved(scene(mode="RGBA"), "PNG"),
    "interlaced": png(np.asarray(scene()), interlaced=True),
    "WEBP": saved(scene(), "WEBP"),
    "BMP": saved(scene(), "BMP"),
    "TIFF": saved(scene(), "TIFF", compression="tiff_lzw"),
    "16-bit": saved(PIL.Image.fromarray(RAMP), "TIFF"),
    "GIF": saved(scene(mode="P"), "GIF"),
    "HEIC": saved(scene(), "HEIC"),
}


def decoded_or_refused(body: bytes) -> DecodedPicture | None:
    """Any other end than these two fails the test."""
    try:
        photo = decode(body)
        photo.at(0.5)
        photo.at(1.0)
    except (PermanentError, MemoryError):
        return None
    return photo


@pytest.mark.parametrize("kind", BODIES)
@given(share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_file_that_is_cut_off_is_refused_or_read(kind: str, share: float) -> None:
    body = BODIES[kind]
    decoded_or_refused(body[: int(share * len(body))])


@pytest.mark.parametrize("kind", [kind for kind in BODIES if kind != "HEIC"])
@given(places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_file_with_wrong_bytes_is_refused_or_read(kind: str, places: list[tuple[float, int]]) -> None:
    body = bytearray(BODIES[kind])
    for place, value in places:
        body[int(place * len(body))] = value
    decoded_or_refused(bytes(body))


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_no_bytes_are_too_odd(body: bytes) -> None:
    for head in (b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"II*\0\x08\0\0\0", b"BM", b"GIF89a", b"\0\0\0\x18ftypheic"):
        decoded_or_refused(head + body)


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "CMYK", "PNG", "WEBP", "BMP", "TIFF", "HEIC"])
@pytest.mark.parametrize("lenient", [False, True])
def test_half_a_photo_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, kind: str, lenient: bool) -> None:
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)  # as face_recognition sets it
    assert code_of(BODIES[kind][: len(BODIES[kind]) // 2]) is Code.IMAGE_UNREADABLE


@pytest.mark.parametrize("body", [b"", b"no picture", b"<svg/>", b"%PDF-1.7", b"\xff\xd8\xff"])
def test_what_is_no_photo_is_refused(body: bytes) -> None:
    assert code_of(body) is Code.IMAGE_UNREADABLE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "HEIC"])
def test_the_pixel_budget(kind: str) -> None:
    body = picture(kind, (64, 48))
    assert decode(body, max_pixels=64 * 48).width == 64
    assert code_of(body, max_pixels=64 * 48 - 1) is Code.IMAGE_TOO_LARGE


def test_pixels_are_counted_before_any_is_decoded() -> None:
    assert code_of(png_claiming(10_000, MAX_PIXELS // 10_000 + 1)) is Code.IMAGE_TOO_LARGE
    assert code_of(png_claiming(2**31 - 1, 2**31 - 1)) is Code.IMAGE_TOO_LARGE


def test_a_heic_without_a_picture_is_refused() -> None:
    assert code_of(heic_claiming(30_000, 30_000)) is Code.IMAGE_UNREADABLE


def test_a_small_tiff_of_huge_tiles_is_refused() -> None:
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 322: 65536, 323: 65536, 324: 0, 325: 256}
    assert code_of(tiff(tags, bytes(256))) is Code.IMAGE_TOO_LARGE


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_text_in_a_png_may_not_swell(kind: bytes) -> None:
    swollen = zlib.compress(bytes(50_000_000), 9)
    text = b"a\0\0" + swollen if kind == b"zTXt" else b"a\0\1\0\0\0" + swollen
    tracemalloc.start()
    decoded_or_refused(png(np.asarray(scene()), extra=[chunk(kind, text)]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}])
def test_a_photo_of_endless_passes_is_refused(options: dict[str, Any]) -> None:
    body = saved(scene(), "JPEG", **options)
    start = body.rindex(b"\xff\xda")
    scan = body[start:-2] if options.get("progressive") else b"\xff\xda\0\x08\1\1\0\0\x3f\0" + body[start + 14 : -2]
    assert code_of(body[:start] + scan * 300 + body[-2:]) is Code.IMAGE_UNREADABLE


def test_a_photo_may_hold_many_bytes_that_look_like_passes() -> None:
    comment = b"\xff\xda" * 1000
    assert np.array_equal(full(saved(scene(), "JPEG", comment=comment)), full(saved(scene(), "JPEG")))


def test_without_a_decoder_for_heic_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heic, "_IS_INSTALLED", False)
    assert code_of(picture("HEIC")) is Code.TYPE_UNSUPPORTED


@pytest.fixture(scope="module")
def balanced(model_cache: Path) -> Engine:
    return load_engine("fast", "balanced", model_cache)


@pytest.fixture(scope="module")
def astronaut(samples: Path) -> PIL.Image.Image:
    return PIL.Image.open(samples / "astronaut.png").convert("RGB")


def centre(face: Rectangle) -> tuple[float, float]:
    return (face.left + face.right) / 2, (face.top + face.bottom) / 2


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("states_it", [True, False])
def test_faces_lie_in_the_upright_photo(
    balanced: Engine, astronaut: PIL.Image.Image, orientation: int, states_it: bool
) -> None:
    expected = read_photo(balanced, PhotoRequest(saved(astronaut, "PNG"), 1)).faces[0].rectangle
    turn = STORED[orientation]
    photo = astronaut if turn is None else astronaut.transpose(turn)
    body = oriented(photo, "JPEG", orientation if states_it else 1, quality=95)
    reading = read_photo(balanced, PhotoRequest(body, 1))
    assert reading.turned == (0 if states_it else {1: 0, 3: 180, 6: 90, 8: 270}[orientation])
    assert (reading.width, reading.height) == astronaut.size
    assert centre(reading.faces[0].rectangle) == pytest.approx(centre(expected), abs=expected.side / 10)


HOSTILE: dict[str, tuple[int, int] | Code] = {
    "16-bit-grey-alpha.png": (109, 96),
    "Landscape_6.jpg": (600, 450),
    "badwidth.bmp": Code.IMAGE_TOO_LARGE,
    "broken.png": Code.IMAGE_UNREADABLE,
    "circle.svg": Code.IMAGE_UNREADABLE,
    "decompression_bomb.gif": Code.IMAGE_TOO_LARGE,
    "exif_typeerror.jpg": (800, 531),
    "giant-image.jpg": Code.IMAGE_TOO_LARGE,
    "hopper.webp": (128, 128),
    "hopper_bad_exif.jpg": (500, 500),
    "hopper_orientation_6.jpg": (128, 128),
    "junk_jpeg_header.jpg": (1024, 768),
    "photoshop-200dpi-broken.jpg": (200, 200),
    "pil_sample_cmyk.jpg": (100, 100),
    "tRNS_null_1x1.png": (1, 1),
    "truncated.jpg": Code.IMAGE_UNREADABLE,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(face_data: Path, name: str) -> None:
    body, expected = (face_data / "hostile" / name).read_bytes(), HOSTILE[name]
    if isinstance(expected, Code):
        assert code_of(body) is expected
    else:
        photo = decode(body)
        assert (photo.width, photo.height) == expected
        assert photo.at(1.0)[0].shape == (photo.height, photo.width, 3)
