"""What a worker does with one job: from the photo to the result."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from face_app.decision import DecisionRule, decide
from face_app.gallery_cache import GalleryCache
from face_app.matching import Neighbour, nearest_people
from face_app.recognition import FaceReading, PhotoRequest, Reading, milliseconds
from face_common.contract import Code, EnrolledPhoto, Face, Job, Operation, Result, Timing, Verdict
from face_common.errors import ObjectMissingError, PermanentError
from face_common.ports import ObjectStore
from face_common.templates import DIMENSIONS, Encodings, Template

_RIVAL_SHARE = 0.25  # of the largest face's area: smaller faces are the background of a portrait
_RUNNERS_UP = 2  # people that a decision needs, however few candidates the client wants to see


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


class Handlers:
    """Carries out jobs. Thread-safe."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        pool: Pool,
        gallery: GalleryWriter,
        cache: GalleryCache,
        rule: DecisionRule,
        identity: Identity,
        now: Callable[[], float],
    ) -> None:
        """`now` is the wall clock in seconds since the epoch."""
        self._store = store
        self._pool = pool
        self._gallery = gallery
        self._cache = cache
        self._rule = rule
        self._identity = identity
        self._now = now

    @property
    def worker(self) -> str:
        """How results name this worker."""
        return self._identity.worker

    def carry_out(self, job: Job, received_at: float, draining: threading.Event) -> Result:
        """The job's result.

        PermanentError when it can never succeed, TransientError when it may later, ReleasedError when the worker began
        to drain before an inference slot was free.
        """
        began = time.perf_counter()
        body = self._fetch(job)
        fetched = time.perf_counter()
        reading = self._pool.read(PhotoRequest(body, job.max_faces), draining)
        read = time.perf_counter()
        result = self._enrol(job, body, reading) if job.operation is Operation.ENROL else self._identify(job, reading)
        result["timing"] = Timing(
            queued_ms=max(milliseconds(job.submitted_at, received_at), 0.0),
            fetch_ms=milliseconds(began, fetched),
            decode_ms=reading.decode_ms,
            detect_ms=reading.detect_ms,
            encode_ms=reading.encode_ms,
            match_ms=milliseconds(read, time.perf_counter()),
            total_ms=max(milliseconds(job.submitted_at, self._now()), 0.0),
        )
        return result

    def _fetch(self, job: Job) -> bytes:
        try:
            return self._store.get(job.key)
        except ObjectMissingError as error:
            raise PermanentError(Code.IMAGE_MISSING, "the photo was removed before it was read") from error

    def _identify(self, job: Job, reading: Reading) -> Result:
        gallery = self._cache.at_least(job.collection, job.gallery_version)
        neighbours = nearest_people(gallery, _encodings(reading.faces), max(job.top, _RUNNERS_UP))
        result = self._result(job, reading, gallery.version)
        result["faces"] = [
            self._face(face, near, job.top) for face, near in zip(reading.faces, neighbours, strict=True)
        ]
        return result

    def _enrol(self, job: Job, body: bytes, reading: Reading) -> Result:
        digest = hashlib.sha256(body).hexdigest()
        gallery = self._cache.at_least(job.collection, job.gallery_version)
        version = gallery.version
        twin = gallery.photo_with(job.person, digest)
        verdict, detail = _verdict(reading, twin, job.id)
        if verdict == "accepted" and twin is None:
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
        result = self._result(job, reading, version)
        result["person"] = job.person
        result["photo"] = EnrolledPhoto(photo=job.id, name=job.name, verdict=verdict, detail=detail)
        return result

    def _result(self, job: Job, reading: Reading, gallery_version: int) -> Result:
        return {
            "id": job.id,
            "operation": job.operation.value,
            "state": "done",
            "image": {"name": job.name, "width": reading.width, "height": reading.height},
            "collection": job.collection,
            "gallery_version": gallery_version,
            "model": self._identity.model,
            "profile": self._identity.profile,
            "worker": self._identity.worker,
            "error": None,
        }

    def _face(self, face: FaceReading, neighbours: Sequence[Neighbour], top: int) -> Face:
        decision = decide(neighbours, self._rule)
        box = face.rectangle
        width, height = box.right - box.left, box.bottom - box.top
        return {
            "box": {"left": box.left, "top": box.top, "width": width, "height": height},
            "landmarks": list(face.landmarks),
            "expected_false_match_rate": 0.0,
            "l2_distance": _rounded(decision.distance),
            "decision": decision.kind,
            "person": decision.person,
            "distance": _rounded(decision.distance),
            "margin": _rounded(decision.margin),
            "threshold": self._rule.threshold,
            "candidates": [
                {"person": near.person, "distance": round(near.distance, 4), "l2_distance": 0.0}
                for near in neighbours[:top]
            ],
            "quality": {
                "size": min(width, height),
                "sharpness": face.sharpness,
                "score": face.score,
                "yaw": face.yaw,
                "reasons": [],
            },
        }


def _encodings(faces: Sequence[FaceReading]) -> Encodings:
    return np.array([face.encoding for face in faces], dtype=np.float32).reshape(len(faces), DIMENSIONS)


def _rounded(distance: float | None) -> float | None:
    return None if distance is None else round(distance, 4)


def _verdict(reading: Reading, twin: str | None, photo: str) -> tuple[Verdict, str]:
    """What to say of a photo for enrolment; `twin` is the person's photo with the same bytes, if there is one."""
    if not reading.faces:
        return "no-face", "no face was found in the photo"
    largest, *others = (face.rectangle.area for face in reading.faces)
    rivals = sum(area >= _RIVAL_SHARE * largest for area in others)
    if rivals:
        return "several-faces", f"the photo shows {rivals + 1} faces of similar size; enrolment needs one person"
    if twin is not None and twin != photo:  # the photo itself, when the job is delivered a second time
        return "duplicate", f"the same file is already enrolled as {twin}"
    return "accepted", "enrolled"
