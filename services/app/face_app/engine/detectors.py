"""Face detectors."""

from typing import Protocol

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from face_app.engine.weights import detector_model
from face_app.recognition import Detection, Image, Picture, Rectangle

Rows = NDArray[np.float32]


class Detector(Protocol):
    """Finds faces in a photo."""

    def detect(self, picture: Picture) -> list[Detection]:
        """All faces found, clipped to the photo."""


class HogDetector:
    """dlib's histogram-of-gradients detector on the doubled photo: exactly what face_recognition does by default."""

    def __init__(self) -> None:
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, picture: Picture) -> list[Detection]:
        """See Detector."""
        image, _ = picture.at(1.0)
        height, width = image.shape[:2]
        rectangles, scores, _ = self._detector.run(image, 1, 0.0)
        return [
            Detection(Rectangle(r.left(), r.top(), r.right(), r.bottom()).clipped(width, height), round(float(s), 3))
            for r, s in zip(rectangles, scores, strict=True)
        ]


class YuNetDetector:
    """YuNet on a reduced photo: finds more faces than HOG, in a fraction of the time.

    The first look is at `first` pixels (longest side); only where it sees nothing, or a face so small that there may be
    more like it, a second look at `second` pixels is worth its four times higher price.
    """

    _MIN_SCORE = 0.8
    _OVERLAP = 0.3  # non-maximum suppression
    _MAX_FACES = 5000
    _SMALL = 24.0  # pixels; of 16 to 40 it found the most faces on crowd scenes

    def __init__(self, first: int, second: int = 0) -> None:
        self._first = first
        self._second = second
        self._detector = cv2.FaceDetectorYN.create(
            str(detector_model()), "", (first, first), self._MIN_SCORE, self._OVERLAP, self._MAX_FACES
        )

    def detect(self, picture: Picture) -> list[Detection]:
        """See Detector."""
        image, _ = picture.at(1.0)
        height, width = image.shape[:2]
        scale = min(1.0, self._first / max(height, width))
        rows = self._look(image, scale)
        if self._second and scale < 1.0 and (not len(rows) or _smallest(rows) * scale < self._SMALL):
            again = self._look(image, min(1.0, self._second / max(height, width)))
            rows = max(rows, again, key=len)
        found = [_dlib_like(row, width, height) for row in rows]
        return [detection for detection in found if detection.rectangle.area > 0]

    def _look(self, image: Image, scale: float) -> Rows:
        """YuNet's rows at a scale, in the image's pixels: left, top, width, height, ten landmark coordinates, score."""
        height, width = image.shape[:2]
        small = image
        if scale < 1.0:
            target = max(1, round(width * scale)), max(1, round(height * scale))
            small = cv2.resize(image, target, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        self._detector.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if rows is None:
            return np.empty((0, 15), dtype=np.float32)
        return np.hstack([rows[:, :14] / scale, rows[:, 14:]]).astype(np.float32, copy=False)


def _smallest(rows: Rows) -> float:
    """Smallest face's geometric mean side."""
    return float(np.sqrt(rows[:, 2] * rows[:, 3]).min())


def _dlib_like(row: Rows, width: int, height: int) -> Detection:
    """YuNet's tight box as the square that dlib's detector would have drawn, which the landmark model expects.

    The proportions were fitted on faces that both detectors found: half side 0.45 of the box's geometric mean side,
    centred 0.56 of the way down.
    """
    left, top, box_width, box_height = (float(value) for value in row[:4])
    half = 0.45 * (box_width * box_height) ** 0.5
    x, y = left + box_width / 2, top + 0.56 * box_height
    rectangle = Rectangle(round(x - half), round(y - half), round(x + half), round(y + half))
    points = tuple((float(x), float(y)) for x, y in row[4:14].reshape(5, 2))
    return Detection(rectangle.clipped(width, height), round(float(row[14]), 3), points)
