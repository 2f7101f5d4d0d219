"""The reference engine: the face_recognition library as it is. The truth that the fast engine is held to."""

import warnings
from collections.abc import Sequence

import cv2
import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # its models package still uses pkg_resources and is told so
    import face_recognition

from face_app.engine import decoding
from face_app.engine.fast import sharpness
from face_app.engine.weights import CHIP_SIZE, MODEL
from face_app.recognition import Description, Detection, Image, Rectangle


class ReferenceEngine:
    """face_recognition with its defaults: HOG on the doubled photo, 5 landmarks, one encoding a face."""

    model = MODEL
    profile = "exact"

    def decode(self, body: bytes) -> Image:
        """See Engine."""
        return decoding.decode(body)

    def detect(self, image: Image) -> list[Detection]:
        """See Engine. The library does not tell its scores: each is 0."""
        return [
            Detection(Rectangle(left, top, right, bottom), 0.0)
            for top, right, bottom, left in face_recognition.face_locations(image)
        ]

    def describe(self, image: Image, rectangles: Sequence[Rectangle]) -> list[Description]:
        """See Engine."""
        if not rectangles:
            return []
        boxes = [(r.top, r.right, r.bottom, r.left) for r in rectangles]
        encodings = face_recognition.face_encodings(image, boxes)
        landmarks = face_recognition.face_landmarks(image, boxes, model="small")
        return [
            Description(
                landmarks=tuple(point for points in shape.values() for point in points),
                encoding=tuple(np.asarray(encoding, dtype=np.float32).tolist()),
                sharpness=sharpness(_crop(image, rectangle)),
            )
            for rectangle, shape, encoding in zip(rectangles, landmarks, encodings, strict=True)
        ]


def _crop(image: Image, rectangle: Rectangle) -> Image:
    """The face at a chip's size, unaligned: the library keeps its chips to itself."""
    face = image[rectangle.top : rectangle.bottom, rectangle.left : rectangle.right]
    chip: Image = cv2.resize(face, (CHIP_SIZE, CHIP_SIZE)).astype(np.uint8, copy=False)
    return chip
