"""Face detectors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import dlib
import numpy as np

from face_app.engine.weights import detector_model
from face_app.engine.yunet import OVERLAP, SCORE, Rows, YuNet, overlaps, suppressed
from face_app.recognition import Detection, Image, Picture, Rectangle


class Detector(Protocol):
    """Finds faces in a photo. Serves one thread."""

    upright_score: float
    """See Engine."""

    def detect(self, picture: Picture, *, glance: bool = False) -> list[Detection]:
        """All faces found, clipped to the photo.

        `glance` asks for no more than the cheapest look: enough to tell whether the photo stands upright.
        """


class HogDetector:
    """dlib's histogram-of-gradients detector on the doubled photo: exactly what face_recognition does by default."""

    upright_score = -math.inf  # it sees no others

    def __init__(self) -> None:
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, picture: Picture, *, glance: bool = False) -> list[Detection]:
        """See Detector. It has one look."""
        image, _ = picture.at(1.0)
        height, width = image.shape[:2]
        rectangles, scores, _ = self._detector.run(image, 1, 0.0)
        return [
            Detection(Rectangle(r.left(), r.top(), r.right(), r.bottom()).clipped(width, height), round(float(s), 3))
            for r, s in zip(rectangles, scores, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Look:
    """What YuNet saw at one scale, in the photo's own pixels."""

    rows: Rows
    scale: float

    def scores(self, faces: Rows) -> Rows:
        """How sure the look is of each of these faces; 0 where it sees none."""
        scores: Rows = np.where(overlaps(faces, self.rows) > OVERLAP, self.rows[:, SCORE], np.float32(0))
        best: Rows = scores.max(axis=1, initial=0)
        return best

    def resolves(self, faces: Rows) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Whether each face has a size, at this scale, that YuNet sees well."""
        sides = _sides(faces) * self.scale
        return (sides >= YuNetDetector.LEAST_SIDE) & (sides <= YuNetDetector.MOST_SIDE)


class YuNetDetector:
    """YuNet at a few scales: a coarse look first, and finer ones only where that leaves something open.

    A portrait's coarse look sees one sure face and nothing else. A finer look is worth its price where there is no sure
    face, a hint of another, or a face so small that there may be smaller ones beside it. A doubtful face must then be
    seen by two looks, if two of them resolve its size: what looks like a face at one scale only is seldom one.
    """

    FACE = 0.74
    """Least score of a face."""
    SURE = 0.85
    """Score of a face that no other look needs to confirm."""
    CONFIRMED = 0.4
    """Least score of a doubtful face in the look that confirms it."""
    HINT = 0.2
    """Least score of what makes a finer look worth while."""
    SMALL = 24.0
    """Side in the coarse look's pixels below which a face may have smaller ones beside it."""
    LEAST_SIDE, MOST_SIDE = 16.0, 320.0
    upright_score = 0.91

    def __init__(self, budgets: Sequence[int], cache: Path) -> None:
        """`budgets` are the looks' sizes in pixels (width times height), the coarsest first."""
        self._coarse, *self._finer = budgets
        self._network = YuNet(detector_model(cache))

    def detect(self, picture: Picture, *, glance: bool = False) -> list[Detection]:
        """See Detector."""
        first = self._look(picture, self._coarse)
        looks = [first]
        if not glance and self._leaves_something_open(first):
            for budget in self._finer:
                if looks[-1].scale < 1.0:
                    looks.append(self._look(picture, budget))
        found = [_dlib_like(row, picture.width, picture.height) for row in self._agreed(looks)]
        return [detection for detection in found if detection.rectangle.area > 0]

    def _look(self, picture: Picture, budget: int) -> _Look:
        image, scale = _within(picture, budget)
        rows = self._network.look(image, self.HINT)
        rows[:, :SCORE:2] *= picture.width / image.shape[1]
        rows[:, 1:SCORE:2] *= picture.height / image.shape[0]
        return _Look(rows, scale)

    def _leaves_something_open(self, look: _Look) -> bool:
        sure = look.rows[:, SCORE] >= self.SURE
        return bool(not len(sure) or not sure.all() or (_sides(look.rows) * look.scale < self.SMALL).any())

    def _agreed(self, looks: Sequence[_Look]) -> Rows:
        faces = suppressed(np.concatenate([look.rows for look in looks]))
        scores = np.sort([look.scores(faces) for look in looks], axis=0)[::-1]
        needs_second = (scores[0] < self.SURE) & (np.sum([look.resolves(faces) for look in looks], axis=0) > 1)
        doubtful = needs_second & (scores[min(1, len(looks) - 1)] < self.CONFIRMED)
        agreed: Rows = faces[(scores[0] >= self.FACE) & ~doubtful]
        return agreed


def _sides(rows: Rows) -> Rows:
    """The geometric mean side of each face's box."""
    sides: Rows = np.sqrt(rows[:, 2] * rows[:, 3])
    return sides


def _within(picture: Picture, budget: int) -> tuple[Image, float]:
    """The photo reduced to about so many pixels (never enlarged), and its scale.

    By halves, and bilinearly for what is left of the way: OpenCV's averaging takes several times as long at any other
    ratio than one half, and YuNet sees no worse this way.
    """
    scale = min(1.0, (budget / (picture.width * picture.height)) ** 0.5)
    image, _ = picture.at(scale)
    target = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    while image.shape[1] >= 2 * target[0] and image.shape[0] >= 2 * target[1]:
        halved = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        image = cv2.resize(halved, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    if image.shape[1::-1] != target:
        image = cv2.resize(image, target, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    return image, scale


def _dlib_like(row: Rows, width: int, height: int) -> Detection:
    """YuNet's tight box as the square that dlib's detector would have drawn, which the landmark model expects.

    The proportions were fitted on faces that both detectors found: half side 0.45 of the box's geometric mean side,
    centred 0.56 of the way down.
    """
    left, top, box_width, box_height = (float(value) for value in row[:4])
    half = 0.45 * (box_width * box_height) ** 0.5
    x, y = left + box_width / 2, top + 0.56 * box_height
    rectangle = Rectangle(round(x - half), round(y - half), round(x + half), round(y + half))
    points = tuple((float(x), float(y)) for x, y in row[4:SCORE].reshape(5, 2))
    return Detection(rectangle.clipped(width, height), round(float(row[SCORE]), 3), points)
