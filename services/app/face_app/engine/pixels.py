"""Pixels of all kinds as 8-bit RGB."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import PIL.Image
import PIL.ImageFile
from numpy.typing import NDArray

from face_app.recognition import Image

_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258  # TIFF tag


@contextmanager
def opened(body: bytes, formats: tuple[str, ...]) -> Iterator[PIL.Image.Image]:
    """The picture in a file, its header read and nothing else. Raises whatever Pillow's plugins raise."""
    # Half a photo is refused, not filled up with grey; face_recognition's import has set this otherwise.
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False
    with warnings.catch_warnings(action="ignore"), PIL.Image.open(io.BytesIO(body), formats=formats) as picture:
        yield picture


def to_rgb(picture: PIL.Image.Image) -> Image:
    """The picture as a browser shows it.

    What is transparent is white, since that is the page behind a photo. Grey of 16 bits keeps its 8 upper ones, where
    Pillow would cut off whatever is brighter than 255.
    """
    if picture.mode.startswith("I;16"):
        return _grey(_upper_bits(picture))
    if picture.mode in {"I", "F"}:
        return _grey(_stretched(np.asarray(picture, dtype=np.float32)))
    if picture.has_transparency_data:
        picture = _over_white(picture)
    return np.asarray(picture.convert("RGB"), dtype=np.uint8)


def _grey(grey: Image) -> Image:
    return np.repeat(grey[:, :, None], 3, axis=2)


def _upper_bits(picture: PIL.Image.Image) -> Image:
    """A TIFF may use fewer than 16 bits, and says so; no other format does."""
    bits = getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]
    grey: Image = (np.asarray(picture) >> (bits - 8)).astype(np.uint8)
    return grey


def _stretched(values: NDArray[np.float32]) -> Image:
    """Numbers without an agreed range, from their smallest as black to their largest as white."""
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    stretched: Image = ((values - low) * (255 / max(high - low, 1e-9))).round().astype(np.uint8)
    return stretched


def _over_white(picture: PIL.Image.Image) -> PIL.Image.Image:
    if picture.mode == "La":  # Pillow knows no direct way
        picture = picture.convert("LA")
    layer = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    page = PIL.Image.new("RGB", picture.size, "white")
    page.paste(layer, mask=layer.getchannel("A"))
    return page


def orientation_of(picture: PIL.Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 when the picture states none that means anything."""
    try:
        stated = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # of a block that is broken; the picture itself may be sound
        return 1
    return stated if stated in range(1, 9) else 1
