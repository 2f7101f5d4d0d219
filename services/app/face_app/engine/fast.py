"""The default engine: dlib's landmarks and chips, its ResNet run by ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import dlib
import numpy as np
import onnxruntime

from face_app.engine import decoding
from face_app.engine.detectors import Detector, HogDetector, YuNetDetector
from face_app.engine.weights import CHIP_SIZE, MODEL, encoder_model, landmarks_model
from face_app.recognition import Description, Detection, Image, Rectangle

_CHIP_PADDING = 0.25  # face_recognition's: how much around the face a chip shows
_BATCH = 32  # chips encoded in one call: bounds the memory a crowd takes
_FIRST_LOOK, _SECOND_LOOK = 640, 1280  # longest sides in pixels that the balanced profile's detector sees


class FastEngine:
    """Encodings equal face_recognition's to 1e-5 at equal boxes, at a quarter of its time or less. One thread each."""

    model = MODEL

    def __init__(self, profile: str, cache: Path) -> None:
        """Load the models of a profile; see load_engine."""
        self.profile = profile
        cv2.setNumThreads(1)  # one worker process a core: threads within one would only fight
        self._detector: Detector = HogDetector() if profile == "exact" else YuNetDetector(_FIRST_LOOK, _SECOND_LOOK)
        self._landmarks = dlib.shape_predictor(str(landmarks_model()))
        self._encoder = onnxruntime.InferenceSession(
            str(encoder_model(cache)), _single_threaded(), providers=["CPUExecutionProvider"]
        )

    def decode(self, body: bytes) -> Image:
        """See Engine."""
        return decoding.decode(body)

    def detect(self, image: Image) -> list[Detection]:
        """See Engine."""
        return self._detector.detect(image)

    def describe(self, image: Image, rectangles: Sequence[Rectangle]) -> list[Description]:
        """See Engine."""
        descriptions: list[Description] = []
        for start in range(0, len(rectangles), _BATCH):
            descriptions += self._describe_batch(image, rectangles[start : start + _BATCH])
        return descriptions

    def _describe_batch(self, image: Image, rectangles: Sequence[Rectangle]) -> list[Description]:
        shapes = [self._landmarks(image, dlib_rectangle(rectangle)) for rectangle in rectangles]
        chips = np.stack([dlib.get_face_chip(image, shape, CHIP_SIZE, _CHIP_PADDING) for shape in shapes])
        (encodings,) = self._encoder.run(None, {"chips": chips})
        return [
            Description(
                landmarks=tuple((point.x, point.y) for point in shape.parts()),
                encoding=tuple(encoding.tolist()),
                sharpness=sharpness(chip),
            )
            for shape, chip, encoding in zip(shapes, chips, encodings, strict=True)
        ]


def dlib_rectangle(rectangle: Rectangle) -> "dlib.rectangle":
    """In dlib's type."""
    return dlib.rectangle(rectangle.left, rectangle.top, rectangle.right, rectangle.bottom)


def sharpness(chip: Image) -> float:
    """Variance of the Laplacian over a grey chip: near 0 when blurred."""
    return round(float(cv2.Laplacian(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()), 1)


def _single_threaded() -> onnxruntime.SessionOptions:
    """No thread pool: threads would not survive the fork, and a core belongs to one child."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    return options
