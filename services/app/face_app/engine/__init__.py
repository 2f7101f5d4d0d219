"""Engines: the only place where dlib, OpenCV and ONNX Runtime are used."""

from pathlib import Path

from face_app.engine.decoding import MAX_PIXELS
from face_app.recognition import Engine

PROFILES = ("exact", "balanced", "quick")


def load_engine(name: str, profile: str, cache: Path, max_pixels: int = MAX_PIXELS) -> Engine:
    """Load an engine's models into this process. Call it once, before forking, with a single thread running.

    `cache` is a folder for converted models, `max_pixels` the size of the largest photo that is decoded. ValueError
    when there is no such engine or it lacks the profile.
    """
    # Imported here: the reference library costs seconds and calls quit() when its models are missing.
    if name == "reference" and profile == "exact":
        from face_app.engine.reference import ReferenceEngine

        return ReferenceEngine(max_pixels)
    if name == "fast" and profile in PROFILES:
        from face_app.engine.fast import FastEngine

        return FastEngine(profile, cache, max_pixels)
    raise ValueError(f"no engine {name!r} with profile {profile!r}")
