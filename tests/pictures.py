"""Pictures made by the tests: none shows a person."""

import io
import struct
import zlib

import PIL.Image


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 48), mode: str = "RGB") -> bytes:
    """A plain picture in a format that Pillow writes."""
    body = io.BytesIO()
    PIL.Image.new(mode, size, 128 if mode == "L" else None).save(body, kind)
    return body.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A tiny PNG whose header claims a size that its content does not have."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(b"\0" * 64)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
