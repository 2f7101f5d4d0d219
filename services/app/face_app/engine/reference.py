"""The reference engine: the face_recognition library as it is. The truth that the fast engine is held to."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # its models package still uses pkg_resources and is told so
    import face_recognition

from face_app.engine import decoding
from face_app.engine.alignment import CHIP_SIZE
from face_app.engine.detectors import HogDetector
from face_app.engine.fast import sharpness, yaw
from face_app.engine.weights import MODEL
from face_app.recognition import Crop, Detection, Encodings, Image, Picture, Rectangle


class _Material(NamedTuple):
    image: Image
    box: tuple[int, int, int, int]
    """As the library has it: top, right, bottom, left."""


class ReferenceEngine:
    """face_recognition with its defaults: HOG on the doubled photo, 5 landmarks, one encoding a face."""

    model = MODEL
    profile = "exact"
    upright_score = HogDetector.upright_score

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels

    def decode(self, body: bytes) -> Picture:
        """See Engine."""
        return decoding.decode(body, look=decoding.WHOLE, max_pixels=self._max_pixels)

    def detect(self, picture: Picture, *, glance: bool = False) -> list[Detection]:
        """See Engine. The library does not tell its scores: each is 0."""
        return [
            Detection(Rectangle(left, top, right, bottom), 0.0)
            for top, right, bottom, left in face_recognition.face_locations(picture.at(1.0)[0])
        ]

    def cut(self, picture: Picture, detections: Sequence[Detection], *, careful: bool) -> list[Crop]:
        """See Engine; the library has one way to encode."""
        image, _ = picture.at(1.0)
        return [self._cut(image, detection.rectangle) for detection in detections]

    def _cut(self, image: Image, face: Rectangle) -> Crop:
        box = (face.top, face.right, face.bottom, face.left)
        (shape,) = face_recognition.face_landmarks(image, [box], model="small")
        landmarks = tuple(point for points in shape.values() for point in points)
        return Crop(landmarks, sharpness(_resized(image, face)), _yaw(landmarks), _Material(image, box))

    def encode(self, crops: Sequence[Crop]) -> Encodings:
        """See Engine."""
        encodings = [
            face_recognition.face_encodings(*((m.image, [m.box])))[0] for m in (crop.material for crop in crops)
        ]
        return np.array(encodings, dtype=np.float32)


def _resized(image: Image, face: Rectangle) -> Image:
    """The face at a chip's size, unaligned: the library keeps its chips to itself."""
    chip: Image = cv2.resize(image[face.top : face.bottom, face.left : face.right], (CHIP_SIZE, CHIP_SIZE))
    return chip


def _yaw(landmarks: Sequence[tuple[int, int]]) -> float:
    return yaw(np.array(landmarks, dtype=np.float64))
