"""A bucket and a gallery with people in them, and hosts that serve their rights."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ulid import ULID

from face_common import encodings
from face_common.contract import Operation, image_key, photo_key, result_key, unknown_key
from face_common.templates import Template
from face_common.unknown import UnknownFace, UnknownFaces
from face_web.audit import Audit
from face_web.rights import Rights, RightsGallery, build
from face_web.settings import WebSettings
from face_web.versions import GalleryVersions
from tests.fakes.cloud import MemoryGallery, MemoryObjectStore

START = 1_800_000_000.0
BOX = {"left": 1, "top": 2, "width": 30, "height": 40}


class Crash(BaseException):
    """The host dies: nobody may catch it as if it were a fault."""


class CrashingStore(MemoryObjectStore):
    """A store under a host that dies at one of its writes: before it, or just after it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.dies_at: int | None = None
        self.after = False

    def _write(self, call: Callable[[], Any]) -> Any:
        self.writes += 1
        dies = self.writes == self.dies_at
        if dies and not self.after:
            raise Crash
        answer = call()
        if dies:
            raise Crash
        return answer

    def put(self, key: str, body: bytes, content_type: str) -> None:
        self._write(lambda: super(CrashingStore, self).put(key, body, content_type))

    def put_new(self, key: str, body: bytes, content_type: str) -> bool:
        return bool(self._write(lambda: super(CrashingStore, self).put_new(key, body, content_type)))

    def put_over(self, key: str, body: bytes, content_type: str, tag: str) -> str | None:
        written: str | None = self._write(lambda: super(CrashingStore, self).put_over(key, body, content_type, tag))
        return written

    def purge(self, keys: Sequence[str]) -> int:
        return int(self._write(lambda: super(CrashingStore, self).purge(keys)))


@dataclass
class Hosts:
    """A deployment in memory, whose clocks a test may set."""

    store: Any = field(default_factory=MemoryObjectStore)
    """A Bucket; one in memory has the test's own times."""
    gallery: RightsGallery = field(default_factory=MemoryGallery)
    settings: dict[str, Any] = field(default_factory=dict)
    at: float = START
    """Seconds: both clocks tell them."""
    numbers: Iterator[int] = field(default_factory=count)

    def new_id(self) -> str:
        """A ULID of the present time, behind all those before it."""
        return self.id_at(self.at)

    def id_at(self, at: float) -> str:
        """A ULID of a time."""
        return str(ULID.from_bytes(int(at * 1000).to_bytes(6, "big") + next(self.numbers).to_bytes(10, "big")))

    def host(self, **settings: Any) -> Rights:
        """Another web host."""
        wanted = {"erasure_settle_seconds": 5, "import_prefix": "inbox/", **self.settings, **settings}
        return build(
            WebSettings(bucket="b", request_queue_url="q", response_queue_url="r", dead_letter_queue_url="d", **wanted),
            store=self.store,
            gallery=self.gallery,
            versions=GalleryVersions(self.gallery),
            audit=self.audit(),
            new_id=self.new_id,
            now=lambda: self.at,
            clock=lambda: self.at,
        )

    def audit(self) -> Audit:
        """The log."""
        return Audit(self.store, self.new_id, lambda: self.at)

    def put(self, key: str, body: bytes) -> None:
        """An object that is written now."""
        self.store.put(key, body, "application/octet-stream")
        if isinstance(self.store, MemoryObjectStore):
            self.store.modified[key] = self.at

    def enrol(
        self, person: str, body: bytes, encoding: Sequence[float], collection: str = "default", name: str = "a.jpg"
    ) -> str:
        """Enrol a photo as a worker does; its id."""
        photo = self.new_id()
        self.put(photo_key(photo), body)
        digest = hashlib.sha256(body).hexdigest()
        row = Template(person, photo, name, digest, "model", tuple(encoding), self.at)
        self.gallery.add(collection, [row])  # type: ignore[attr-defined]
        verdict = {"photo": photo, "name": name, "verdict": "accepted", "detail": "enrolled"}
        self.answer(photo, Operation.ENROL, collection, person=person, photo=verdict)
        return photo

    def identify(self, body: bytes, *named: str | None, collection: str = "default", name: str = "probe.jpg") -> str:
        """Ask who is in a photo, as answered with these names; its id."""
        job_id = self.new_id()
        self.put(image_key(job_id), body)
        faces: list[dict[str, Any]] = [
            {"box": BOX, "decision": "match" if person else "unknown", "person": person, "candidates": []}
            for person in named
        ]
        self.answer(job_id, Operation.IDENTIFY, collection, name=name, faces=faces)
        return job_id

    def answer(self, job_id: str, operation: Operation, collection: str, name: str = "a.jpg", **more: Any) -> None:
        """Store a result."""
        result: dict[str, Any] = {
            "id": job_id,
            "operation": operation.value,
            "state": "done",
            "image": {"name": name, "width": 10, "height": 10},
            "collection": collection,
            "error": None,
            **more,
        }
        self.put(result_key(job_id), json.dumps(result).encode())

    def see_unknown(self, encoding: Sequence[float], collection: str = "default") -> str:
        """A face that nobody was named for; its id."""
        job_id = self.identify(b"unknown", None, collection=collection)
        face = UnknownFace(0, {"left": 1, "top": 2, "width": 30, "height": 40}, tuple(encoding))
        self.put(unknown_key(collection, job_id), UnknownFaces(job_id, "model", "x.jpg", (face,)).to_json())
        return job_id

    def search(self, encoding: Sequence[float], *named: str) -> str:
        """Search for an encoding, as answered with these names; its id."""
        return self.identify(self.encoded(encoding), *named)

    @staticmethod
    def encoded(encoding: Sequence[float]) -> bytes:
        """What lies where an encoding was searched for."""
        return encodings.to_bytes(encoding)

    def finish(self, rights: Rights, looks: int = 6) -> None:
        """Let a host go on until nothing is left to do."""
        for _ in range(looks):
            rights.erasures.go_on()
            self.at += 60
