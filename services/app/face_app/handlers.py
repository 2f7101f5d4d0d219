"""What a worker does with one job: from the photo to the result."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from face_app.calibration import Population
from face_app.decision import DecisionRule, decide
from face_app.enrolled import Enrolled
from face_app.gallery_cache import GalleryCache
from face_app.matching import Neighbour, pair_distances
from face_app.quality import EnrolmentLimits, is_fit, reasons
from face_app.recognition import FaceReading, PhotoRequest, Reading, milliseconds
from face_app.verdicts import Enrolment, judge
from face_common.contract import (
    Code,
    EnrolledPhoto,
    Face,
    ImageInfo,
    Job,
    Operation,
    Result,
    Timing,
    Verification,
    other_image_key,
)
from face_common.errors import ObjectMissingError, PermanentError
from face_common.ports import ObjectStore
from face_common.templates import DIMENSIONS, Encodings, Template

_RUNNERS_UP = 2  # people that a decision needs, however few candidates the client wants to see
_ORDINALS = ("first", "second")


class ReleasedError(Exception):
    """The worker is draining: the job has not been begun and goes back to the queue."""


class Pool(Protocol):
    """Reads photos in processes of their own."""

    def read(self, request: PhotoRequest, draining: threading.Event) -> Reading:
        """A photo's faces; PermanentError when it cannot be read, ReleasedError when draining came first."""

    def read_all(self, requests: Sequence[PhotoRequest], draining: threading.Event) -> list[Reading]:
        """Several photos' faces, read together where that can be; raises what `read` raises."""


class GalleryWriter(Protocol):
    """Where templates are enrolled."""

    def add(self, collection: str, templates: Sequence[Template]) -> int:
        """Append templates; the version that holds them."""


@dataclass(frozen=True, slots=True)
class Identity:
    """How results name what made them."""

    worker: str
    model: str
    profile: str


@dataclass(frozen=True, slots=True)
class Standards:
    """What decisions about single photos and pairs rest on; those about a collection's people rest on Enrolled."""

    population: Population
    pair_rate: float
    """False match rate of a verification."""
    limits: EnrolmentLimits


class Handlers:
    """Carries out jobs. Thread-safe."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        pool: Pool,
        gallery: GalleryWriter,
        cache: GalleryCache[Enrolled],
        standards: Standards,
        identity: Identity,
        now: Callable[[], float],
    ) -> None:
        """`now` is the wall clock in seconds since the epoch."""
        self._store = store
        self._pool = pool
        self._gallery = gallery
        self._cache = cache
        self._standards = standards
        self._identity = identity
        self._now = now
        self._finish = {
            Operation.IDENTIFY: self._identify,
            Operation.ENROL: self._enrol,
            Operation.VERIFY: self._verify,
            Operation.DETECT: self._detect,
        }

    @property
    def worker(self) -> str:
        """How results name this worker."""
        return self._identity.worker

    def carry_out(self, job: Job, received_at: float, draining: threading.Event) -> Result:
        """The job's result.

        PermanentError when it can never succeed, TransientError when it may later, ReleasedError when the worker began
        to drain before the photo was begun.
        """
        began = time.perf_counter()
        bodies = [self._fetch(key) for key in _keys(job)]
        fetched = time.perf_counter()
        readings = self._pool.read_all([_request(job, body) for body in bodies], draining)
        read = time.perf_counter()
        result = self._finish[job.operation](job, bodies, readings)
        result["timing"] = Timing(
            queued_ms=max(milliseconds(job.submitted_at, received_at), 0.0),
            fetch_ms=milliseconds(began, fetched),
            decode_ms=round(sum(reading.decode_ms for reading in readings), 2),
            detect_ms=round(sum(reading.detect_ms for reading in readings), 2),
            encode_ms=round(sum(reading.encode_ms for reading in readings), 2),
            match_ms=milliseconds(read, time.perf_counter()),
            total_ms=max(milliseconds(job.submitted_at, self._now()), 0.0),
        )
        return result

    def _fetch(self, key: str) -> bytes:
        try:
            return self._store.get(key)
        except ObjectMissingError as error:
            raise PermanentError(Code.IMAGE_MISSING, "the photo was removed before it was read") from error

    def _identify(self, job: Job, _: Sequence[bytes], readings: Sequence[Reading]) -> Result:
        (reading,) = readings
        enrolled = self._cache.at_least(job.collection, job.gallery_version)
        neighbours = enrolled.nearest(_encodings(reading.faces), max(job.top, _RUNNERS_UP))
        result = self._result(job, reading)
        result["gallery_version"] = enrolled.version
        result["faces"] = [
            _decided(face, near, enrolled.rule, job.top) for face, near in zip(reading.faces, neighbours, strict=True)
        ]
        return result

    def _enrol(self, job: Job, bodies: Sequence[bytes], readings: Sequence[Reading]) -> Result:
        (reading,) = readings
        digest = hashlib.sha256(bodies[0]).hexdigest()
        enrolled = self._cache.at_least(job.collection, job.gallery_version)
        version = enrolled.version
        enrolment = Enrolment(job.person, job.id, digest, job.insist)
        verdict, detail = judge(reading, enrolment, enrolled, self._standards.limits)
        if verdict == "accepted" and enrolled.index.snapshot.photo_with(job.person, digest) is None:
            template = Template(
                person=job.person,
                photo=job.id,
                name=job.name,
                digest=digest,
                model=self._identity.model,
                encoding=reading.faces[0].encoding,
                enrolled_at=self._now(),
            )
            version = self._gallery.add(job.collection, [template])
        result = self._result(job, reading)
        result["gallery_version"] = version
        result["person"] = job.person
        result["photo"] = EnrolledPhoto(photo=job.id, name=job.name, verdict=verdict, detail=detail)
        return result

    def _verify(self, job: Job, _: Sequence[bytes], readings: Sequence[Reading]) -> Result:
        for ordinal, reading in zip(_ORDINALS, readings, strict=True):
            if not reading.faces:
                raise PermanentError(Code.FACE_MISSING, f"no face was found in the {ordinal} photo")
        faces = [reading.faces[0] for reading in readings]
        result = self._result(job, readings[0])
        result["other_image"] = _image(job.other_name, readings[1])
        result["faces"] = [_seen(face) for face in faces]
        result["verification"] = _compared(_encodings(faces), self._standards)
        return result

    def _detect(self, job: Job, _: Sequence[bytes], readings: Sequence[Reading]) -> Result:
        (reading,) = readings
        result = self._result(job, reading)
        result["faces"] = [_seen(face) for face in reading.faces]
        return result

    def _result(self, job: Job, reading: Reading) -> Result:
        return {
            "id": job.id,
            "operation": job.operation.value,
            "state": "done",
            "image": _image(job.name, reading),
            "collection": job.collection,
            "model": self._identity.model,
            "profile": self._identity.profile,
            "worker": self._identity.worker,
            "error": None,
        }


def _keys(job: Job) -> list[str]:
    return [job.key, other_image_key(job.id)] if job.operation is Operation.VERIFY else [job.key]


def _request(job: Job, body: bytes) -> PhotoRequest:
    """How a job's photos are read: with more care where much depends on a single face."""
    careful = job.operation in (Operation.ENROL, Operation.VERIFY)
    return PhotoRequest(body, job.max_faces, careful=careful, encode=job.operation is not Operation.DETECT)


def _encodings(faces: Sequence[FaceReading]) -> Encodings:
    return np.array([face.encoding for face in faces], dtype=np.float32).reshape(len(faces), DIMENSIONS)


def _image(name: str, reading: Reading) -> ImageInfo:
    image: ImageInfo = {"name": name, "width": reading.width, "height": reading.height}
    if reading.turned:
        image["turned"] = reading.turned
    return image


def _seen(face: FaceReading) -> Face:
    """A face's place and quality."""
    box = face.rectangle
    return {
        "box": {"left": box.left, "top": box.top, "width": box.right - box.left, "height": box.bottom - box.top},
        "landmarks": list(face.landmarks),
        "quality": {
            "size": box.side,
            "sharpness": face.sharpness,
            "yaw": face.yaw,
            "score": face.score,
            "reasons": list(reasons(face)),
        },
    }


def _decided(face: FaceReading, neighbours: Sequence[Neighbour], rule: DecisionRule, top: int) -> Face:
    """A face with what was decided about it."""
    decision = decide(neighbours, rule, fit=is_fit(face))
    seen = _seen(face)
    seen["decision"] = decision.kind
    seen["person"] = decision.person
    seen["distance"] = _rounded(decision.distance)
    seen["margin"] = _rounded(decision.margin)
    seen["threshold"] = round(rule.threshold, 4)
    seen["expected_false_match_rate"] = float(f"{rule.expected_rate:.2g}")
    seen["l2_distance"] = _rounded(neighbours[0].l2_distance) if neighbours else None
    seen["candidates"] = [
        {"person": near.person, "distance": round(near.distance, 4), "l2_distance": round(near.l2_distance, 4)}
        for near in neighbours[:top]
    ]
    return seen


def _compared(pair: Encodings, standards: Standards) -> Verification:
    """Whether two encodings (2, 128) are one person's: by the distance between them at unit length."""
    distance, l2_distance = float(pair_distances(pair[:1], pair[1:])[0]), float(np.linalg.norm(pair[0] - pair[1]))
    limit = standards.population.pair_threshold(standards.pair_rate)
    return {
        "decision": "same" if distance <= limit else "different",
        "distance": round(distance, 4),
        "threshold": round(limit, 4),
        "expected_false_match_rate": standards.pair_rate,
        "l2_distance": round(l2_distance, 4),
    }


def _rounded(distance: float | None) -> float | None:
    return None if distance is None else round(distance, 4)
