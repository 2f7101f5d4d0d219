"""face_recognition and the worker's engines behind one call each: from a photo's file to its faces' encodings.

face_recognition is called as its documentation tells, with nothing of ours in between. An engine is loaded once in
each interpreter that asks for it.
"""

import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face_app.engine import PROFILES, load_engine
from face_app.quality import is_fit
from face_app.recognition import Engine, PhotoRequest, Reading, Rectangle, read_photo, read_photos
from local.stack import ROOT

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # its models package still uses pkg_resources and is told so
    import face_recognition

LIBRARY = "face_recognition"
ENGINES = (LIBRARY, *PROFILES)
CORES = os.cpu_count() or 1

_MOST_FACES = 100
_CHUNK = 16  # photos a task

Encoding = NDArray[np.float32]
Look = tuple[Path, bool]
"""A photo, and whether it is read as carefully as one that is enrolled or compared."""
Encoded = Mapping[Look, Encoding | None]
"""The most prominent face's encoding in each look; None where no face was found."""


@dataclass(frozen=True, slots=True)
class FoundFaces:
    """A photo's faces: where each is, and its encoding (faces, 128)."""

    places: tuple[Rectangle, ...]
    encodings: Encoding


def describe(name: str, photo: Path) -> FoundFaces:
    """File to descriptors of all faces, as an identification has them."""
    return _describe_by_library(photo) if name == LIBRARY else _describe_by_profile(_engine(name), photo)


def encode_all(looks: Iterable[Look]) -> dict[str, Encoded]:
    """What each engine sees in the photos. Uses all cores."""
    found: dict[str, Encoded] = {}
    ordered = sorted(looks)
    chunks = [ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK)]
    for name in PROFILES:
        _engine(name)  # converts the model before several would at once
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as readers:
        for name in ENGINES:
            print(f"  {len({photo for photo, _ in ordered})} photos with {name} ...", file=sys.stderr, flush=True)
            parts = readers.map(_encode_chunk, [name] * len(chunks), chunks)
            found[name] = {look: encoding for part in parts for look, encoding in part}
    return found


def _encode_chunk(name: str, looks: Sequence[Look]) -> list[tuple[Look, Encoding | None]]:
    if name == LIBRARY:
        return [(look, _main_face_by_library(look[0])) for look in looks]
    requests = [PhotoRequest(photo.read_bytes(), max_faces=1, careful=careful) for photo, careful in looks]
    readings = read_photos(_engine(name), requests)
    return [(look, _main_face(reading, look[1])) for look, reading in zip(looks, readings, strict=True)]


def _main_face(reading: Reading | Exception, careful: bool) -> Encoding | None:
    """None where the worker would name nobody: no face, a photo that cannot be read, a probe that is too poor."""
    if isinstance(reading, Exception) or not reading.faces or not (careful or is_fit(reading.faces[0])):
        return None
    return np.array(reading.faces[0].encoding, dtype=np.float32)


@cache
def _engine(profile: str) -> Engine:
    return load_engine("fast", profile, ROOT / ".local" / "cache")


def _describe_by_profile(engine: Engine, photo: Path) -> FoundFaces:
    faces = read_photo(engine, PhotoRequest(photo.read_bytes(), max_faces=_MOST_FACES)).faces
    encodings = np.array([face.encoding for face in faces], dtype=np.float32).reshape(-1, 128)
    return FoundFaces(tuple(face.rectangle for face in faces), encodings)


def _describe_by_library(photo: Path) -> FoundFaces:
    image = face_recognition.load_image_file(photo)
    locations = face_recognition.face_locations(image)
    encodings = np.array(face_recognition.face_encodings(image, locations), dtype=np.float32).reshape(-1, 128)
    return FoundFaces(tuple(_rectangle(place) for place in locations), encodings)


@lru_cache(maxsize=1)  # it has one way to look: the same photo's second look follows the first
def _main_face_by_library(photo: Path) -> Encoding | None:
    image = face_recognition.load_image_file(photo)
    height, width = image.shape[:2]
    locations = face_recognition.face_locations(image)
    if not locations:
        return None
    main = max(locations, key=lambda place: _rectangle(place).prominence(width, height))
    return np.asarray(face_recognition.face_encodings(image, [main])[0], dtype=np.float32)


def _rectangle(place: tuple[int, int, int, int]) -> Rectangle:
    top, right, bottom, left = place
    return Rectangle(left, top, right, bottom)
