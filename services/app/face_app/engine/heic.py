"""HEIC files: what iPhones write. libheif (by pillow-heif) decodes them, and turns and crops them as they say."""

import io
from collections.abc import Callable

from face_app.engine.pixels import to_rgb
from face_app.recognition import Image
from face_common.contract import Code
from face_common.errors import PermanentError

try:
    import pillow_heif
except ImportError:  # no wheel for this machine
    _IS_INSTALLED = False
else:
    _IS_INSTALLED = True
    pillow_heif.options.DECODE_THREADS = 1  # one worker process a core
    # Nothing but the photo itself is looked at: what is not parsed cannot be hostile.
    pillow_heif.options.THUMBNAILS = pillow_heif.options.DEPTH_IMAGES = pillow_heif.options.AUX_IMAGES = False


def is_heic(body: bytes) -> bool:
    """Whether the file is made of boxes, as no other accepted format is; libheif tells HEIC from the others."""
    return body[4:8] == b"ftyp"


def decode(body: bytes, check_size: Callable[[int, int], None]) -> Image:
    """The upright primary picture as RGB; its width and height are given to `check_size` before it is decoded.

    PermanentError (type-unsupported) where libheif is not installed; otherwise whatever libheif's binding raises.
    """
    if not _IS_INSTALLED:
        raise PermanentError(Code.TYPE_UNSUPPORTED, "this worker has no decoder for HEIC photos: send a JPEG")
    picture = pillow_heif.open_heif(io.BytesIO(body))
    check_size(*picture.size)
    return to_rgb(picture.to_pillow())
