"""An encoding as bytes and as text. Pure."""

import base64
from collections.abc import Sequence

import numpy as np

from face_common.templates import DIMENSIONS

_FLOATS = np.dtype("<f4")


def to_bytes(encoding: Sequence[float]) -> bytes:
    """128 floats of 32 bits, little-endian: 512 bytes."""
    with np.errstate(over="ignore"):  # a number beyond all floats becomes infinite, which from_bytes does not take
        return np.asarray(encoding, dtype=_FLOATS).tobytes()


def from_bytes(body: bytes) -> tuple[float, ...]:
    """The inverse of to_bytes; ValueError when it is not so many finite numbers with a direction."""
    values = np.frombuffer(body, dtype=_FLOATS)
    if len(values) != DIMENSIONS or not np.isfinite(values).all() or not values.any():
        raise ValueError(f"an encoding is {DIMENSIONS} finite numbers, not all of them 0")
    return tuple(values.tolist())


def to_text(encoding: Sequence[float]) -> str:
    """An encoding in base64."""
    return base64.b64encode(to_bytes(encoding)).decode()


def from_text(text: str) -> tuple[float, ...]:
    """The inverse of to_text; ValueError when it is none."""
    return from_bytes(base64.b64decode(text, validate=True))
