"""What a worker does with one job: from the photo to the result."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from face_app import answers
from face_app.calibration import Population
from face_app.decision import Decision, decide
from face_app.enrolled import Enrolled
from face_app.gallery_cache import GalleryCache
from face_app.quality import EnrolmentLimits, is_fit
from face_app.recognition import FaceReading, PhotoRequest, Reading, milliseconds
from face_app.verdicts import Enrolment, judge
from face_common import encodings
from face_common.contract import (
    Code,
    EnrolledPhoto,
    ImageInfo,
    Job,
    Operation,
    Result,
    Timing,
    other_image_key,
    unknown_key,
)
from face_common.errors import ObjectMissingError, PermanentError
from face_common.ports import ObjectStore
from face_common.templates import DIMENSIONS, Encodings, Template
from face_common.unknown import UnknownFace, UnknownFaces

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
        keep_unknown: bool = False,
    ) -> None:
        """`now` is the wall clock in seconds since the epoch; `keep_unknown`: store faces that nobody is named for."""
        self._store = store
        self._pool = pool
        self._gallery = gallery
        self._cache = cache
        self._standards = standards
        self._identity = identity
        self._now = now
        self._keep_unknown = keep_unknown
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
        if job.operation is Operation.SEARCH:
            return self._search(job, received_at)
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
        probes = _encodings(reading.faces)
        neighbours = enrolled.nearest(probes, max(job.top, _RUNNERS_UP))
        decisions = [
            decide(near, enrolled.rule, fit=is_fit(face), rejected=rejected)
            for face, near, rejected in zip(reading.faces, neighbours, enrolled.rejected(probes), strict=True)
        ]
        result = self._result(job, reading)
        result["gallery_version"] = enrolled.version
        result["faces"] = [
            {**answers.seen(face), **answers.decided(decision, near, enrolled.rule, job.top)}
            for face, near, decision in zip(reading.faces, neighbours, decisions, strict=True)
        ]
        if self._keep_unknown:
            self._keep(job, reading.faces, decisions)
        return result

    def _keep(self, job: Job, faces: Sequence[FaceReading], decisions: Sequence[Decision]) -> None:
        """Store the faces that nobody was named for although they are fit for it."""
        found = tuple(
            UnknownFace(index, answers.seen(face)["box"], face.encoding)
            for index, (face, decision) in enumerate(zip(faces, decisions, strict=True))
            if decision.kind == "unknown" and is_fit(face)
        )
        if found:
            body = UnknownFaces(job.id, self._identity.model, job.name, found).to_json()
            self._store.put(unknown_key(job.collection, job.id), body, "application/json")

    def _search(self, job: Job, received_at: float) -> Result:
        began = time.perf_counter()
        probe = _encoding(job, self._fetch(job.key), self._identity.model)
        fetched = time.perf_counter()
        enrolled = self._cache.at_least(job.collection, job.gallery_version)
        (neighbours,) = enrolled.nearest(probe, max(job.top, _RUNNERS_UP))
        decision = decide(neighbours, enrolled.rule, rejected=enrolled.rejected(probe)[0])
        result = self._named(job, {"name": job.name, "width": 0, "height": 0})
        result["gallery_version"] = enrolled.version
        result["match"] = answers.decided(decision, neighbours, enrolled.rule, job.top)
        result["timing"] = Timing(
            queued_ms=max(milliseconds(job.submitted_at, received_at), 0.0),
            fetch_ms=milliseconds(began, fetched),
            match_ms=milliseconds(fetched, time.perf_counter()),
            total_ms=max(milliseconds(job.submitted_at, self._now()), 0.0),
        )
        return result

    def _enrol(self, job: Job, bodies: Sequence[bytes], readings: Sequence[Reading]) -> Result:
        (reading,) = readings
        digest = hashlib.sha256(bodies[0]).hexdigest()
        enrolled = self._cache.at_least(job.collection, job.gallery_version)
        version = enrolled.version
        enrolment = Enrolment(job.person, job.enrolled_photo, digest, job.insist)
        verdict, detail = judge(reading, enrolment, enrolled, self._standards.limits)
        if verdict == "accepted" and enrolled.index.snapshot.photo_with(job.person, digest) is None:
            template = Template(
                person=job.person,
                photo=job.enrolled_photo,
                name=job.name,
                digest=digest,
                model=self._identity.model,
                encoding=reading.faces[0].encoding,
                enrolled_at=self._now(),
            )
            version = self._gallery.add(job.collection, [template])
        result = self._result(job, reading)
        result["gallery_version"] = version
        result["faces"] = [answers.seen(face) for face in reading.faces]
        result["person"] = job.person
        result["photo"] = EnrolledPhoto(photo=job.enrolled_photo, name=job.name, verdict=verdict, detail=detail)
        return result

    def _verify(self, job: Job, _: Sequence[bytes], readings: Sequence[Reading]) -> Result:
        for ordinal, reading in zip(_ORDINALS, readings, strict=True):
            if not reading.faces:
                raise PermanentError(Code.FACE_MISSING, f"no face was found in the {ordinal} photo")
        faces = [reading.faces[0] for reading in readings]
        result = self._result(job, readings[0])
        result["other_image"] = answers.image(job.other_name, readings[1])
        result["faces"] = [answers.seen(face) for face in faces]
        rate = self._standards.pair_rate
        limit = self._standards.population.pair_threshold(rate)
        result["verification"] = answers.compared(_encodings(faces), limit, rate)
        return result

    def _detect(self, job: Job, _: Sequence[bytes], readings: Sequence[Reading]) -> Result:
        (reading,) = readings
        result = self._result(job, reading)
        result["faces"] = [answers.seen(face) for face in reading.faces]
        return result

    def _result(self, job: Job, reading: Reading) -> Result:
        return self._named(job, answers.image(job.name, reading))

    def _named(self, job: Job, image: ImageInfo) -> Result:
        return {
            "id": job.id,
            "operation": job.operation.value,
            "state": "done",
            "image": image,
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


def _encoding(job: Job, body: bytes, model: str) -> Encodings:
    """The encoding (1, 128) that is searched for."""
    if job.model != model:
        detail = f"the encoding is of model {job.model}, this collection is searched with {model}"
        raise PermanentError(Code.MODEL_MISMATCH, detail)
    try:
        return np.array([encodings.from_bytes(body)], dtype=np.float32)
    except ValueError as error:
        raise PermanentError(Code.ENCODING_INVALID, str(error)) from error
