"""Faces that nobody was named for: grouped by likeness, then named together or dismissed.

What a listing has shown as one group is written down, so that exactly those faces are named: others that look alike may
have come in since, and nobody has looked at them.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
from typing_extensions import TypedDict

from face_common.clusters import MOST_FACES, clustered
from face_common.contract import (
    Box,
    Code,
    EnrolledPhoto,
    Face,
    InvalidMessageError,
    image_key,
    is_id,
    photo_key,
    unknown_key,
)
from face_common.errors import ObjectMissingError, ServiceError
from face_common.ports import Bucket, Entry
from face_common.results import stored_result
from face_common.templates import Template
from face_common.unknown import UnknownFace, UnknownFaces
from face_web import drawing
from face_web.photos import content_type
from face_web.traces import in_batches, side_by_side
from face_web.versions import GalleryVersions

_JSON = "application/json"
_READ = 200  # notes at a time
_REMEMBERED = 20_000  # notes: some 60 MB
_ATTEMPTS = 5


class StrangersGallery(Protocol):
    """Where faces are enrolled."""

    def templates(self, collection: str, person: str | None = None) -> Iterator[Template]:
        """Everything enrolled of a person."""

    def add(self, collection: str, templates: Sequence[Template]) -> int:
        """Append templates; the version that holds them."""


class ClusterFace(TypedDict):
    """A face that nobody was named for."""

    identification: str
    """Id of the identification that saw it."""
    face: int
    """Which of its faces it is."""
    box: Box


class Cluster(TypedDict):
    """Faces that are probably one person's."""

    cluster: str
    size: int
    faces: list[ClusterFace]


@dataclass(frozen=True, slots=True)
class _Member:
    """One face of a group."""

    identification: str
    face: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A face that is to be enrolled, with the photo that will be kept of it."""

    note: UnknownFaces
    face: UnknownFace
    photo: bytes
    id: str


class Strangers:
    """Groups, names and dismisses. Thread-safe."""

    def __init__(self, *, store: Bucket, gallery: StrangersGallery, versions: GalleryVersions) -> None:
        self._store = store
        self._gallery = gallery
        self._versions = versions
        self._notes: dict[str, tuple[str, UnknownFaces | None]] = {}
        self._lock = threading.Lock()

    def clusters(self, collection: str, threshold: float, limit: int) -> list[Cluster]:
        """Up to `limit` groups of the newest faces, the largest first; `threshold` as of clustered."""
        by_model: dict[str, list[tuple[UnknownFaces, UnknownFace]]] = {}
        for note in self._newest(collection):
            by_model.setdefault(note.model, []).extend((note, face) for face in note.faces)
        groups = [
            [faces[place] for place in group]
            for faces in by_model.values()
            for group in clustered(np.array([face.encoding for _, face in faces], dtype=np.float32), threshold)
        ]
        groups.sort(key=lambda group: -len(group))
        return [self._shown(collection, group) for group in groups[:limit]]

    def identifications(self, collection: str, cluster: str) -> list[str]:
        """Which identification saw each face of a group; ServiceError (not-found) when no such group was listed."""
        return [member.identification for member in self._members(collection, cluster)]

    def name(
        self, collection: str, cluster: str, person: str, ids: Sequence[str], now: float
    ) -> tuple[list[EnrolledPhoto], int]:
        """Enrol a group's faces as a person's; a verdict for each, and the gallery's version from then on.

        `ids` are those of the photos, one for each face. Only the face is kept of a photo, whoever else is in it: that
        an answer has a single face does not tell, as no more may have been asked for.
        ServiceError (not-found) when there is no such group, or nothing of it that could be kept.
        """
        verdicts: list[EnrolledPhoto] = []
        templates: list[Template] = []
        known = {(row.digest, row.model) for row in self._gallery.templates(collection, person)}
        members = self._members(collection, cluster)
        done: list[_Member] = []
        for member, photo_id in zip(members, ids, strict=True):
            found = self._candidate(collection, member, photo_id)
            if not isinstance(found, _Candidate):
                verdicts.append(found)
                continue
            digest = hashlib.sha256(found.photo).hexdigest()
            is_twin = (digest, found.note.model) in known
            if not is_twin:
                known.add((digest, found.note.model))
                self._store.put(photo_key(photo_id), found.photo, content_type(found.photo))
                templates.append(_template(found, person, digest, now))
            verdicts.append(_verdict(found, is_twin))
            done.append(member)
        if not done:
            raise ServiceError(Code.NOT_FOUND, "the faces of this group are not kept any more, or cannot be cut out")
        version = self._gallery.add(collection, templates) if templates else self._versions.at_least(collection)
        self._remove(collection, cluster, done)
        return verdicts, self._versions.saw(collection, version)

    def titled(self, photos: Sequence[EnrolledPhoto]) -> list[EnrolledPhoto]:
        """Verdicts that have an identification in place of the photo's file name, with that name where it is known."""
        with side_by_side() as mapped:
            answers = mapped(lambda photo: stored_result(self._store, photo["name"]), photos)
            return [
                {**photo, "name": answer["image"]["name"] if answer else photo["name"]}
                for photo, answer in zip(photos, answers, strict=True)
            ]

    def named(self, collection: str, identification: str, face: int) -> None:
        """Take a face that somebody has named by itself out of those that nobody was named for."""
        self._take_out(unknown_key(collection, identification), {face})

    def dismiss(self, collection: str, cluster: str) -> int:
        """Forget a group's faces; how many. ServiceError (not-found) when there is no such group."""
        members = self._members(collection, cluster)
        self._remove(collection, cluster, members)
        return len(members)

    def _shown(self, collection: str, group: Sequence[tuple[UnknownFaces, UnknownFace]]) -> Cluster:
        faces: list[ClusterFace] = [
            {"identification": note.id, "face": face.index, "box": face.box} for note, face in group
        ]
        members = json.dumps([[face["identification"], face["face"]] for face in faces]).encode()
        cluster = hashlib.sha256(members).hexdigest()[:24]
        self._store.put_new(_group_key(collection, cluster), members, _JSON)
        return {"cluster": cluster, "size": len(faces), "faces": faces}

    def _members(self, collection: str, cluster: str) -> list[_Member]:
        try:
            members = json.loads(self._store.get(_group_key(collection, cluster)))
        except ObjectMissingError as error:
            raise ServiceError(Code.NOT_FOUND, f"there is no group {cluster}: list the groups again") from error
        return [_Member(str(identification), int(face)) for identification, face in members]

    def _newest(self, collection: str) -> Iterator[UnknownFaces]:
        """The newest identifications with unknown faces, as many as can be grouped at a time."""
        entries = [entry for entry in self._store.entries(f"unknown/{collection}/") if is_id(_stem(entry.key))]
        left = MOST_FACES
        with side_by_side() as mapped:
            for batch in in_batches(reversed(entries), _READ):
                for note in mapped(self._note, batch):
                    if note is not None and len(note.faces) <= left:
                        left -= len(note.faces)
                        yield note
                if left <= 0:
                    return

    def _note(self, entry: Entry) -> UnknownFaces | None:
        """What lies under a key, unless it has gone; read only when it has changed."""
        tag, note = self._notes.get(entry.key, ("", None))
        if tag != entry.tag:
            note = self._read(entry.key)
            with self._lock:
                self._notes[entry.key] = entry.tag, note
                while len(self._notes) > _REMEMBERED:
                    del self._notes[next(iter(self._notes))]
        return note

    def _read(self, key: str) -> UnknownFaces | None:
        try:
            return UnknownFaces.from_json(self._store.get(key))
        except (ObjectMissingError, InvalidMessageError):
            return None

    def _candidate(self, collection: str, member: _Member, photo_id: str) -> _Candidate | EnrolledPhoto:
        """A member with its photo, or the verdict on one that is not there any more."""
        note = self._read(unknown_key(collection, member.identification))
        face = next((face for face in note.faces if face.index == member.face), None) if note else None
        if note is None or face is None:
            return _gone(member, "", "the face was named or dismissed meanwhile, or is not kept any more")
        result = stored_result(self._store, note.id)
        if result is None:
            return _gone(member, note.name, "the answer is not kept any more that tells how the photo was turned")
        try:
            with drawing.place():
                body = self._store.get(image_key(note.id))
                cut = drawing.cut_out(body, result, cast("Face", {"box": face.box}))
            return _Candidate(note, face, cut, photo_id)
        except ObjectMissingError:
            return _gone(member, note.name, "the photo is not kept any more")
        except ServiceError:  # HEIC, which this host cannot decode
            return _gone(member, note.name, "the face cannot be cut out of a photo of this type; enrol a JPEG of it")

    def _remove(self, collection: str, cluster: str, members: Sequence[_Member]) -> None:
        """Take faces out of the notes that they are in, and forget the group."""
        by_note: dict[str, set[int]] = {}
        for member in members:
            by_note.setdefault(member.identification, set()).add(member.face)
        with side_by_side() as mapped:
            list(mapped(lambda item: self._take_out(unknown_key(collection, item[0]), item[1]), by_note.items()))
        self._store.purge([_group_key(collection, cluster)])

    def _take_out(self, key: str, faces: set[int]) -> None:
        for _ in range(_ATTEMPTS):  # others may be taking other faces out of it
            try:
                body, tag = self._store.get_tagged(key)
                note = UnknownFaces.from_json(body)
            except (ObjectMissingError, InvalidMessageError):
                return
            left = tuple(face for face in note.faces if face.index not in faces)
            if not left:
                self._store.purge([key])
                return
            if self._store.put_over(key, replace(note, faces=left).to_json(), _JSON, tag) is not None:
                return
        raise ServiceError(Code.STORAGE_UNAVAILABLE, "others keep changing these faces; try again")


def _template(found: _Candidate, person: str, digest: str, now: float) -> Template:
    return Template(
        person=person,
        photo=found.id,
        name=found.note.name,
        digest=digest,
        model=found.note.model,
        encoding=found.face.encoding,
        enrolled_at=now,
    )


def _verdict(found: _Candidate, is_twin: bool) -> EnrolledPhoto:
    if is_twin:
        detail = "the same file is already enrolled"
        return {"photo": None, "name": found.note.name, "verdict": "duplicate", "detail": detail}
    return {"photo": found.id, "name": found.note.name, "verdict": "accepted", "detail": "enrolled"}


def _gone(member: _Member, name: str, detail: str) -> EnrolledPhoto:
    return {"photo": None, "name": name or member.identification, "verdict": "failed", "detail": detail}


def _group_key(collection: str, cluster: str) -> str:
    return f"unknown/{collection}/groups/{cluster}.json"


def _stem(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")
