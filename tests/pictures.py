"""Pictures made by the tests: none shows a person."""

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import PIL.Image
import pillow_heif
from numpy.typing import NDArray

pillow_heif.register_heif_opener()

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""An interlaced PNG's passes: first column and row, and the steps from there."""
WHITE = (255, 255, 255)


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 48), mode: str = "RGB") -> bytes:
    """A plain picture in a format that Pillow writes, or HEIC."""
    return saved(PIL.Image.new(mode, size, 128 if mode == "L" else None), kind)


def scene(width: int = 96, height: int = 64, mode: str = "RGB") -> PIL.Image.Image:
    """A picture that differs from each of its mirrored and turned selves, smooth enough to survive a reduction."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    red, green, blue = 255 * x, 255 * y * (1 - x), 128 + 100 * np.sin(9 * x + 5 * y)
    alpha = 255 * np.clip(2 * x, 0, 1)
    layers = PIL.Image.fromarray(np.stack([red, green, blue, alpha], axis=2).astype(np.uint8), "RGBA")
    return layers if mode == "RGBA" else layers.convert("RGB").convert(mode)


def over_white(layers: PIL.Image.Image) -> PIL.Image.Image:
    """What a browser shows of a picture with transparency."""
    layers = layers.convert("RGBA")
    return PIL.Image.alpha_composite(PIL.Image.new("RGBA", layers.size, WHITE), layers).convert("RGB")


def saved(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    """The image as a file."""
    body = io.BytesIO()
    image.save(body, "HEIF" if kind == "HEIC" else kind, **options)
    return body.getvalue()


def oriented(image: PIL.Image.Image, kind: str, orientation: int, **options: Any) -> bytes:
    """The image as a file whose EXIF states an orientation."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return saved(image, kind, exif=exif.tobytes(), **options)


def png_claiming(width: int, height: int) -> bytes:
    """A tiny PNG whose header claims a size that its content does not have."""
    return _png(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"\0" * 64)


def png(samples: NDArray[Any], *, interlaced: bool = False, extra: Iterable[bytes] = ()) -> bytes:
    """A PNG of 8 or 16 bits with 1 to 4 channels; `extra` chunks come before the pixels."""
    height, width, channels = samples.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for part in passes for row in part)
    header = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, colour, 0, 0, int(interlaced))
    return _png(header, rows, extra)


def _png(header: bytes, rows: bytes, extra: Iterable[bytes] = ()) -> bytes:
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiff(tags: dict[int, int], pixels: bytes = b"") -> bytes:
    """A TIFF with these tags, each a number, and with pixels behind its directory, where `StripOffsets` (273) is 0."""
    directory = 8
    place = directory + 2 + 12 * len(tags) + 4
    entries = [struct.pack("<HHII", tag, 4, 1, value or place) for tag, value in sorted(tags.items())]
    return b"II*\0" + struct.pack("<IH", directory, len(tags)) + b"".join(entries) + bytes(4) + pixels


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of an ISO media file."""
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def heic_claiming(width: int, height: int, brands: Sequence[bytes] = (b"heic", b"mif1")) -> bytes:
    """The boxes of a HEIC file that claims a size, without any picture; another item claims another size."""
    sizes = [box(b"ispe", bytes(4), struct.pack(">II", *size)) for size in ((7, 7), (width, height))]
    owners = struct.pack(">IHBBHBB", 2, 1, 1, 0x81, 2, 1, 0x82)
    properties = box(b"iprp", box(b"ipco", *sizes), box(b"ipma", bytes(4), owners))
    meta = box(b"meta", bytes(4), box(b"pitm", bytes(4), struct.pack(">H", 2)), properties)
    return box(b"ftyp", brands[0], bytes(4), *brands) + meta + box(b"mdat", bytes(16))
