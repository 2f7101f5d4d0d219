"""The default engine: dlib's landmarks and network (run by ONNX Runtime) behind a choice of detectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import dlib
import numpy as np

from face_app.engine import decoding
from face_app.engine.alignment import CHIP_SIZE, PADDING, Points, cut, to_chip
from face_app.engine.detectors import Detector, HogDetector, YuNetDetector
from face_app.engine.sessions import single_threaded
from face_app.engine.weights import MODEL, encoder_model, landmarks_model
from face_app.recognition import Crop, Detection, Encodings, Image, Picture, Rectangle

_DETAIL = 1.0  # pixels of a face for each of a chip's side, which shows half as much again: plenty
_BATCH = 32  # chips encoded in one call: bounds the memory a crowd takes


class View(NamedTuple):
    """How a face is cut out for the encoder; an encoding is the mean over a face's views."""

    joint: bool = True
    """Aligned by the detector's points too, rather than by dlib's landmarks alone."""
    padding: float = PADDING
    mirrored: bool = False


ONE = (View(),)
TWO = (View(), View(joint=False, mirrored=True))
CAREFUL = tuple(
    View(joint, padding, mirrored)
    for mirrored in (False, True)
    for joint, padding in ((True, PADDING), (False, PADDING), (True, 0.3), (True, 0.2))
)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile's detector looks at, and how often its faces are encoded."""

    model: str
    looks: tuple[int, ...]
    """Sizes in pixels (width times height) at which YuNet looks; none for HOG on the doubled photo."""
    twice: int
    """So many of a photo's most prominent faces are encoded in two views; the others, of a group, in one."""
    careful: tuple[View, ...]
    """The views of a face that much depends on."""


PROFILES = {
    "exact": Profile(MODEL, (), 0, ONE),
    "balanced": Profile(f"{MODEL}-mirrored", (150_000, 370_000, 1_050_000), 2, CAREFUL),
    "quick": Profile(MODEL, (150_000, 370_000), 0, ONE),
}


class FastEngine:
    """With the exact profile encodings equal face_recognition's to 1e-5 at equal boxes. One thread each."""

    def __init__(self, profile: str, cache: Path, max_pixels: int) -> None:
        """Load the models of a profile; see load_engine."""
        self.profile = profile
        self._max_pixels = max_pixels
        self._profile = PROFILES[profile]
        self.model = self._profile.model
        cv2.setNumThreads(1)  # one worker process a core: threads within one would only fight
        self._detector: Detector = YuNetDetector(self._profile.looks, cache) if self._profile.looks else HogDetector()
        self.upright_score = self._detector.upright_score
        self._landmarks = dlib.shape_predictor(str(landmarks_model()))
        self._encoder = single_threaded(encoder_model(cache))

    def decode(self, body: bytes) -> Picture:
        """See Engine."""
        look = decoding.LOOK if self._profile.looks else decoding.WHOLE
        return decoding.decode(body, look=look, max_pixels=self._max_pixels)

    def detect(self, picture: Picture, *, glance: bool = False) -> list[Detection]:
        """See Engine."""
        return self._detector.detect(picture, glance=glance)

    def cut(self, picture: Picture, detections: Sequence[Detection], *, careful: bool) -> list[Crop]:
        """See Engine."""
        profile = self._profile
        return [
            self._cut(picture, detection, profile.careful if careful else TWO if place < profile.twice else ONE)
            for place, detection in enumerate(detections)
        ]

    def _cut(self, picture: Picture, detection: Detection, views: Sequence[View]) -> Crop:
        image, scale = picture.at(self._scale(detection.rectangle.side))
        shape = self._landmarks(image, dlib_rectangle(_scaled(detection.rectangle, scale)))
        landmarks = np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)
        points = np.array(detection.points, dtype=np.float64).reshape(-1, 2) * scale
        if self._profile.looks:
            chips = [_chip(image, landmarks, points, view) for view in views]
        else:
            chips = [dlib.get_face_chip(image, shape, CHIP_SIZE, PADDING)]  # face_recognition's own
        return Crop(
            landmarks=tuple((round(x / scale), round(y / scale)) for x, y in landmarks),
            sharpness=sharpness(chips[0]),
            yaw=yaw(landmarks),
            material=chips,
        )

    def _scale(self, side: int) -> float:
        """At which a face is cut out: no finer than its chips need, so that a large one costs no full decode.

        What equals face_recognition is cut out of the photo as it is.
        """
        return min(1.0, _DETAIL * CHIP_SIZE / max(side, 1)) if self._profile.looks else 1.0

    def encode(self, crops: Sequence[Crop]) -> Encodings:
        """See Engine. The mean over the chips of each crop."""
        counts = [len(crop.material) for crop in crops]
        chips = [chip for crop in crops for chip in crop.material]
        batches = [self._encode(chips[start : start + _BATCH]) for start in range(0, len(chips), _BATCH)]
        sums = np.add.reduceat(np.concatenate(batches), np.cumsum([0, *counts[:-1]]), axis=0)
        means: Encodings = (sums / np.array(counts)[:, None]).astype(np.float32)
        return means

    def _encode(self, chips: Sequence[Image]) -> Encodings:
        encodings: Encodings = self._encoder.run(None, {"chips": np.stack(chips)})[0]
        return encodings


def _scaled(rectangle: Rectangle, scale: float) -> Rectangle:
    return Rectangle(
        *(round(edge * scale) for edge in (rectangle.left, rectangle.top, rectangle.right, rectangle.bottom))
    )


def _chip(image: Image, landmarks: Points, points: Points, view: View) -> Image:
    chip = cut(image, to_chip(landmarks, points if view.joint else points[:0], view.padding))
    return chip[:, ::-1] if view.mirrored else chip


def dlib_rectangle(rectangle: Rectangle) -> "dlib.rectangle":
    """In dlib's type."""
    return dlib.rectangle(rectangle.left, rectangle.top, rectangle.right, rectangle.bottom)


def sharpness(chip: Image) -> float:
    """Variance of the Laplacian over a grey chip: near 0 when blurred."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY), cv2.CV_16S))
    return round(float(deviation[0, 0]) ** 2, 1)


def yaw(landmarks: Points) -> float:
    """How far aside a face looks, from dlib's five landmarks: the base of its nose against the middle between its eyes.

    0 is straight ahead; 1 is half the distance between the outer corners of the eyes.
    """
    right, left, nose = landmarks[0], landmarks[2], landmarks[4]
    across = right - left
    length = max(float(across @ across), 1e-9)
    return round(float((nose - (right + left) / 2) @ across) / length * 2, 2)
