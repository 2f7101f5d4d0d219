"""Faces of answers that are kept: found again, cut out, listed for somebody to look at, and noted as looked at."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from face_common.contract import Code, Face, Operation, Result, image_key, result_key
from face_common.errors import ObjectMissingError, ServiceError
from face_common.ports import Bucket, Entry
from face_common.results import stored_result
from face_web import drawing
from face_web.records import PersonRecord
from face_web.traces import asked_at, first_id, side_by_side

MOST_ANSWERS = 500
"""Answers that are looked through, the newest ones."""
_RESULTS = "results/"
_WINDOW_SECONDS = 60.0
_WIDER = 8  # the next window, where there is not enough in one
_LONGEST_SECONDS = 10**9

Kind = Literal["match", "ambiguous", "unknown"]


@dataclass(frozen=True, slots=True)
class AnsweredFace:
    """A face of an identification, which is done."""

    result: Result
    index: int
    """From 0."""

    @property
    def face(self) -> Face:
        """What was seen and decided."""
        return self.result["faces"][self.index]

    @property
    def likeliest(self) -> str | None:
        """Whom the answer names, or the nearest of those that it cannot tell apart; None for an unknown face."""
        if self.face.get("decision") != "ambiguous":
            return self.face.get("person")
        return next((near["person"] for near in self.face.get("candidates", ())), None)


@dataclass(frozen=True, slots=True)
class Namings:
    """Faces that were answered with a person's name, the newest first."""

    answers: int
    """Identifications that were looked through."""
    faces: list[AnsweredFace]
    complete: bool
    """Whether those were all that are kept."""


class Answered:
    """Finds, cuts out and lists faces of answers. Thread-safe."""

    def __init__(self, store: Bucket, now: Callable[[], float]) -> None:
        """`now` is the wall clock in seconds since the epoch."""
        self._store = store
        self._now = now
        self._read: dict[str, tuple[str, Result | None]] = {}
        """Of the newest answers what was read last, by key, with its tag."""

    def identification(self, job_id: str) -> Result:
        """A finished identification; ServiceError (not-found) when there is none, or it is not kept any more."""
        result = stored_result(self._store, job_id)
        if result is None or result["operation"] != Operation.IDENTIFY or result["state"] != "done":
            raise ServiceError(Code.NOT_FOUND, f"there is no finished identification {job_id}")
        return result

    def face(self, job_id: str, index: int) -> AnsweredFace:
        """One face of an identification; ServiceError (not-found)."""
        return face_of(self.identification(job_id), index)

    def find(self, job_id: str, index: int) -> AnsweredFace | None:
        """The same, or None."""
        try:
            return self.face(job_id, index)
        except ServiceError:
            return None

    def cut_out(self, found: AnsweredFace) -> bytes:
        """A face as JPEG, whoever else is in the photo.

        ServiceError with not-found when the photo is not kept any more, type-unsupported as of drawing, or server-busy.
        """
        job_id = found.result["id"]
        with drawing.place():
            try:
                body = self._store.get(image_key(job_id))
            except ObjectMissingError as error:
                raise ServiceError(Code.NOT_FOUND, f"the photo of {job_id} is not kept any more") from error
            return drawing.cut_out(body, found.result, found.face)

    def newest(self, collection: str, decision: Kind, limit: int) -> tuple[int, list[AnsweredFace]]:
        """Faces that were so decided and that nobody has looked at, the newest first; and of how many answers."""
        newest = self._newest()
        if not newest:
            return 0, []
        settled = self._settled(collection, _job_id(newest[-1]))
        answers = self._answers(collection, newest)
        faces = [
            AnsweredFace(result, index)
            for result in answers
            for index, face in enumerate(result["faces"])
            if face.get("decision") == decision and (result["id"], index) not in settled
        ]
        return len(answers), faces[:limit]

    def naming(self, collection: str, record: PersonRecord) -> Namings:
        """The newest answers that name a person, by the name they had when it was asked for."""
        newest = self._newest()
        answers = self._answers(collection, newest)
        faces = [
            AnsweredFace(result, index)
            for result in answers
            for index, face in enumerate(result["faces"])
            if face.get("decision") == "match" and record.was_called(face["person"], asked_at(result["id"]))
        ]
        return Namings(len(answers), faces, len(newest) < MOST_ANSWERS)

    def settle(self, found: AnsweredFace) -> None:
        """Note that somebody has looked at a face."""
        self._store.put(_settled_key(found.result["collection"], found.result["id"], found.index), b"", "text/plain")

    def reopen(self, collection: str, identification: str, index: int) -> None:
        """Note that what somebody has said of a face is taken back: it is to be looked at again."""
        self._store.delete([_settled_key(collection, identification, index)])

    def _settled(self, collection: str, first: str) -> set[tuple[str, int]]:
        """The faces from this identification on that somebody has looked at."""
        prefix = settled_prefix(collection)
        labels = [entry.key.removeprefix(prefix) for entry in self._store.entries(prefix, after=f"{prefix}{first}")]
        return {(label.partition("-")[0], int(label.partition("-")[2])) for label in labels}

    def _answers(self, collection: str, newest: Sequence[Entry]) -> list[Result]:
        """Those of these that are finished identifications in the collection; only what is new is read."""
        with side_by_side() as mapped:
            results: list[Result | None] = list(mapped(self._result, newest))
        self._read = {entry.key: (entry.tag, result) for entry, result in zip(newest, results, strict=True)}
        return [result for result in results if result is not None and _is_answer(result, collection)]

    def _result(self, entry: Entry) -> Result | None:
        tag, result = self._read.get(entry.key, ("", None))
        return result if tag == entry.tag else stored_result(self._store, _job_id(entry))

    def _newest(self) -> Sequence[Entry]:
        """The newest answers, of whatever kind, the newest first; no more of the bucket is listed than is needed."""
        seconds, entries = _WINDOW_SECONDS, deque[Entry]()
        while len(entries) < MOST_ANSWERS and seconds < math.inf:
            first = result_key(first_id(self._now() - seconds)) if seconds < _LONGEST_SECONDS else ""
            entries = deque(self._store.entries(_RESULTS, after=first), maxlen=MOST_ANSWERS)
            seconds = seconds * _WIDER if first else math.inf
        return list(reversed(entries))


def _job_id(entry: Entry) -> str:
    return entry.key.removeprefix(_RESULTS).removesuffix(".json")


def face_of(result: Result, index: int) -> AnsweredFace:
    """One face of an answer; ServiceError (not-found) when it has no such face."""
    count = len(result.get("faces", []))
    if not 0 <= index < count:
        raise ServiceError(Code.NOT_FOUND, f"the photo has {count} faces, counted from 0")
    return AnsweredFace(result, index)


def _is_answer(result: Result, collection: str) -> bool:
    is_done = result["operation"] == Operation.IDENTIFY and result["state"] == "done"
    return is_done and result["collection"] == collection


def settled_prefix(collection: str) -> str:
    """Where lies which faces somebody has looked at: an empty object each, named after identification and face."""
    return f"unknown/{collection}/seen/"


def _settled_key(collection: str, identification: str, index: int) -> str:
    return f"{settled_prefix(collection)}{identification}-{index}"
