"""The calls about collections as a whole: what is in them, undoing, exporting and importing."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from flask import Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web import incoming
from face_web.access import Role
from face_web.erasure import Receipt
from face_web.galleries import CalibrationAnswer, Description, Imported
from face_web.idempotency import Outcome
from face_web.people_calls import EraseQuery, outcome
from face_web.records import iso
from face_web.routes import BINARY, CollectionQuery, Routes
from face_web.services import Services
from face_web.undoing import Undoing

_CHUNK = 2**18
_FILE = "application/jsonl"
_KINDS = (_FILE, "application/x-ndjson", "application/octet-stream")


class RestorationBody(BaseModel):
    """Which version to go back to."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, le=2**53, description="One of those that GET /v1/gallery/versions lists.")


class CollectionsAnswer(TypedDict):
    """The collections that the key may work with."""

    collections: list[Description]


class VersionAnswer(TypedDict):
    """A version that can be gone back to."""

    version: int
    at: str
    """ISO 8601, in UTC."""
    rows: int
    """Templates in it."""


class VersionsAnswer(TypedDict):
    """The versions that can be gone back to, the present one first."""

    collection: str
    versions: list[VersionAnswer]


class RestorationAnswer(TypedDict):
    """What going back has changed."""

    collection: str
    restored: int
    """The version that was gone back to."""
    gallery_version: int
    """The new version that is like it."""
    removed: list[str]
    """Photos that are not enrolled any more, and were removed."""
    added: list[str]
    """Photos that are enrolled again."""


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    calls = _GalleryCalls(services)
    routes = Routes("galleries", "/v1", tag="Galleries", about="Collections as a whole.")
    _declare_collections(routes, calls)
    _declare_history(routes, calls, role=Role.ADMIN)
    _declare_files(routes, calls, role=Role.ADMIN)
    return routes


def _declare_collections(routes: Routes, calls: "_GalleryCalls") -> None:
    routes.add(
        "GET",
        "/collections",
        calls.collections,
        id="list-collections",
        answers={200: CollectionsAnswer},
        role=Role.SUBMIT,
        scope="caller",
    )
    routes.add("GET", "/gallery", calls.describe, id="get-gallery", answers={200: Description}, role=Role.ADMIN)
    routes.add(
        "GET",
        "/gallery/calibration",
        calls.calibration,
        id="get-calibration",
        answers={200: CalibrationAnswer},
        errors=(Code.NOT_FOUND,),
        role=Role.ADMIN,
    )
    routes.add(
        "DELETE",
        "/gallery",
        calls.erase,
        id="erase-gallery",
        answers={200: Receipt, 202: Receipt},
        errors=(Code.NOT_FOUND, Code.SERVER_BUSY, Code.ERASURE_FAILED),
        role=Role.ADMIN,
    )


def _declare_history(routes: Routes, calls: "_GalleryCalls", **admin: Any) -> None:
    routes.add(
        "GET", "/gallery/versions", calls.versions, id="list-gallery-versions", answers={200: VersionsAnswer}, **admin
    )
    routes.add(
        "POST",
        "/gallery/restorations",
        calls.restore,
        id="restore-gallery",
        answers={200: RestorationAnswer},
        errors=(Code.VERSION_UNKNOWN, Code.SERVER_BUSY),
        **admin,
    )


def _declare_files(routes: Routes, calls: "_GalleryCalls", **admin: Any) -> None:
    routes.add(
        "GET", "/gallery/export", calls.export, id="export-gallery", answers={200: {_FILE: {"type": "string"}}}, **admin
    )
    routes.add(
        "POST",
        "/gallery/imports",
        calls.import_file,
        id="import-gallery",
        answers={200: Imported},
        errors=(
            Code.GALLERY_FILE_INVALID,
            Code.MODEL_MISMATCH,
            Code.CONSENT_MISSING,
            Code.TYPE_UNSUPPORTED,
            Code.SERVER_BUSY,
        ),
        takes={_FILE: BINARY},
        **admin,
    )


class _GalleryCalls:
    """The calls."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._undoing = Undoing(services.galleries, services.records, services.audit)

    def collections(self) -> Response:
        """The collections in which somebody is enrolled, of those that the key may work with."""
        caller = incoming.caller()
        found = self._services.galleries.all(caller.sees)
        return jsonify({"collections": found})

    def describe(self, query: CollectionQuery) -> Response:
        """What is in a collection, at which version, and which models made its templates."""
        return jsonify(self._services.galleries.describe(query.collection))

    def calibration(self, query: CollectionQuery) -> Response:
        """How the collection's threshold was found, and what it does: distances as histograms, and the ROC.

        Workers measure a collection when it has changed and a photo is looked for in it, every half minute at most.
        """
        return jsonify(self._services.galleries.calibration(query.collection))

    def erase(self, query: EraseQuery) -> tuple[Response, int]:
        """Erase a whole collection: everybody in it, and every answer that was given from it.

        200 with the receipt when all is done, 202 while it goes on.
        """
        caller = incoming.caller()
        erasure = self._services.erasures.begin(query.collection, who=caller.key, bound=caller.is_bound)
        return outcome(self._services, erasure, query)

    def versions(self, query: CollectionQuery) -> Response:
        """The versions that can be gone back to, the present one first. They are kept for a week."""
        found = self._services.galleries.versions(query.collection)
        rows = [{"version": kept.version, "at": iso(kept.at), "rows": kept.templates} for kept in found]
        return jsonify({"collection": query.collection, "versions": rows})

    def restore(self, query: CollectionQuery, body: RestorationBody) -> Response:
        """Undo everything since a version: a new version is made that is like it.

        What somebody enrols in this very moment stays. Who was erased does not come back.
        """
        collection = query.collection
        (request_id,) = incoming.ids(self._services, 1, str(body.version).encode())

        def conclude(done: Outcome) -> None:
            self._undoing.conclude(collection, done)
            self._record("restore-gallery", collection, restored=body.version, version=done["gallery_version"])

        done = self._services.idempotency.once(
            request_id, lambda: self._undoing.restore(collection, body.version), conclude
        )
        shown = {name: done[name] for name in ("gallery_version", "removed", "added")}
        return jsonify({"collection": collection, "restored": body.version, **shown})

    def export(self, query: CollectionQuery) -> Response:
        """Everybody's templates as JSON lines, without photos: a header, then one template a line."""
        lines = self._services.galleries.export(query.collection)
        self._record("export-gallery", query.collection)
        response = Response(lines, content_type=_FILE)
        response.headers["Content-Disposition"] = f'attachment; filename="{query.collection}.jsonl"'
        response.headers["Cache-Control"] = "private, no-store"
        return response

    def import_file(self, query: CollectionQuery) -> Response:
        """Enrol what an export holds. The whole file is checked first: of a damaged one nothing is taken.

        Templates that are there already stay as they are, and are counted in `present`.
        """
        galleries, collection = self._services.galleries, query.collection

        def conclude(imported: Outcome) -> None:
            self._record("import-gallery", **imported)

        with self._received() as (file, digest):
            (request_id,) = incoming.ids(self._services, 1, digest)
            imported = self._services.idempotency.once(
                request_id, lambda: galleries.import_file(collection, file), conclude
            )
        return jsonify(imported)

    @contextmanager
    def _received(self) -> Iterator[tuple[BinaryIO, bytes]]:
        """The request's body in a file of this host's, at its beginning, and its digest."""
        if request.mimetype not in _KINDS:
            raise ServiceError(Code.TYPE_UNSUPPORTED, f"send the file as the body, as {_FILE}")
        request.max_content_length = self._services.settings.max_batch_bytes
        digest = hashlib.sha256()
        with tempfile.TemporaryFile() as file:
            while chunk := request.stream.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
            file.seek(0)
            yield file, digest.digest()

    def _record(self, action: str, collection: str, **facts: Any) -> None:
        self._services.audit.record(incoming.caller().key, action, collection, **facts)
