"""Decodes photos to upright RGB."""

import io

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps

from face_app.recognition import Image
from face_common.contract import Code
from face_common.errors import PermanentError


class DecodedPicture:
    """A photo that is decoded as a whole. See Picture."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.height, self.width = image.shape[:2]

    def at(self, scale: float) -> tuple[Image, float]:
        """See Picture."""
        return self._image, 1.0

    def turned(self, quarters: int) -> "DecodedPicture":
        """See Picture."""
        return DecodedPicture(np.ascontiguousarray(np.rot90(self._image, -quarters)))


def decode(body: bytes) -> DecodedPicture:
    """The photo as upright RGB, EXIF orientation applied; PermanentError when no decoder can read it.

    OpenCV is the fast path (its full decodes are pixel-identical to Pillow's); Pillow reads what OpenCV cannot.
    """
    try:
        image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    return DecodedPicture(_with_pillow(body) if image is None else image.astype(np.uint8, copy=False))


def _with_pillow(body: bytes) -> Image:
    try:
        with PIL.Image.open(io.BytesIO(body)) as picture:
            return np.asarray(PIL.ImageOps.exif_transpose(picture).convert("RGB"), dtype=np.uint8)
    except MemoryError:
        raise
    except PIL.Image.DecompressionBombError as error:
        raise PermanentError(Code.IMAGE_TOO_LARGE, "the photo has more pixels than a worker may decode") from error
    # Pillow's plugins raise whatever a broken file leads them to, SyntaxError and struct.error among it.
    except Exception as error:
        raise PermanentError(Code.IMAGE_UNREADABLE, "the file is damaged or not a picture") from error
