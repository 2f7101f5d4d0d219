"""The calls of /v1/batches and /v1/imports, and the one that begins a re-encoding."""

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from flask import Response, jsonify, request, url_for
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web import elasticity, incoming
from face_web.access import Requirement, Role
from face_web.batches.forms import received
from face_web.batches.model import Batch, BatchState, Kind, SourceKind, view
from face_web.batches.results import FORMATS
from face_web.batches.sources import archive_items
from face_web.routes import BINARY, Absent, CollectionQuery, Routes
from face_web.services import Services

_FILE = {"type": "string", "format": "binary"}  # an empty one has its verdict, as any other
_TAKES = {
    "multipart/form-data": {
        "type": "object",
        "properties": {"image": {"type": "array", "items": _FILE, "minItems": 1}, "archive": BINARY},
        "oneOf": [{"required": ["image"]}, {"required": ["archive"]}],
        "description": "Many photos named image, or one zip named archive.",
    },
    "application/zip": BINARY,
    "application/json": {
        "type": "object",
        "properties": {"prefix": {"type": "string", "minLength": 1, "maxLength": 900}},
        "required": ["prefix"],
        "additionalProperties": False,
        "description": "Where the files are in the service's own bucket.",
    },
}
_TAKING = (
    Code.ARCHIVE_INVALID,
    Code.ARCHIVE_TOO_LARGE,
    Code.IMAGE_MISSING,
    Code.PARAMETER_INVALID,
    Code.PREFIX_FORBIDDEN,
    Code.WEBHOOK_UNKNOWN,
)
_MOST_FILES = 10_000_000
_FINDING = (Code.ID_INVALID, Code.NOT_FOUND, Code.PARAMETER_INVALID)
_FILES = {media.partition(";")[0]: {"type": "string"} for media, _ in FORMATS.values()}


class _TakeQuery(CollectionQuery):
    webhook: str = Field("", max_length=40, description="Which of the operator's webhooks is told when it has ended.")


class BatchQuery(_TakeQuery):
    """What a batch may ask for."""

    top: int = Field(3, ge=0, le=20, description="How many candidates to show for each face.")
    max_faces: int = incoming.MAX_FACES


class ImportQuery(_TakeQuery):
    """What an import may ask for."""

    insist: incoming.Flag = Field(
        False, description="Enrol photos even if they look like another person, or unlike their person's others."
    )
    consent: str = Field(
        "",
        max_length=500,
        pattern=incoming.LINE,
        description="Reference to the consent of everybody in it, which is recorded for each.",
    )


class PrefixBody(BaseModel):
    """Files that are in the service's bucket already."""

    model_config = ConfigDict(extra="forbid")

    prefix: str = Field(min_length=1, max_length=900)


class ListQuery(CollectionQuery):
    """Which ones to list."""

    limit: int = Field(50, ge=1, le=200, description="How many, the newest first.")
    after: incoming.JobId | Absent = Field(None, description="The id of the last one of the page before.")


class BatchPath(BaseModel):
    """An id in a path."""

    batch_id: incoming.JobId


class ResultsQuery(BaseModel):
    """Which results, and how."""

    format: Literal["jsonl", "csv"] = Field("jsonl", description="JSON lines with everything, or a short CSV.")
    outcome: str = Field("", max_length=40, description="Only files with this outcome.")
    after: int = Field(-1, ge=-1, le=_MOST_FILES, description="Only files behind the one of this index.")
    limit: Annotated[int, Field(ge=1, le=_MOST_FILES)] | Absent = Field(
        None, description="How many files to look at, those with another outcome included."
    )


class BatchTaken(BatchState):
    """A batch that was taken in."""

    predicted_wait_s: float | None
    """Seconds until a worker begins with a photo that comes now, as the fleet looks now; null where not known."""


class BatchPage(TypedDict):
    """Batches of a collection, the newest first."""

    batches: list[BatchState]
    total: int
    next: str | None
    """What `after` is to be for the next page; null on the last one."""


class ImportPage(TypedDict):
    """Imports of a collection, the newest first."""

    imports: list[BatchState]
    total: int
    next: str | None
    """What `after` is to be for the next page; null on the last one."""


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    routes = Routes("batches", "/v1", tag="Batches", about="Many photos in one request.")
    batches = Calls(services, "batches", (Kind.BATCH, Kind.REENCODING))
    imports = Calls(services, "imports", (Kind.IMPORT,))
    _declare(routes, batches, noun="batch", take=batches.take_batch, role=Role.SUBMIT, page=BatchPage)
    _declare(routes, imports, noun="import", take=imports.take_import, role=Role.ENROL, page=ImportPage)
    routes.add(
        "POST",
        "/gallery/reencodings",
        batches.reencode,
        id="create-reencoding",
        answers={202: BatchTaken},
        role=Role.ADMIN,
        errors=(Code.PARAMETER_INVALID, Code.WEBHOOK_UNKNOWN),
    )
    return routes


def _declare(routes: Routes, calls: "Calls", *, noun: str, take: Any, role: Role, page: type) -> None:
    one = f"/{calls.plural}/<batch_id>"
    routes.add(
        "POST",
        f"/{calls.plural}",
        take,
        id=f"create-{noun}",
        answers={202: BatchTaken},
        role=role,
        errors=_TAKING,
        takes=_TAKES,
    )
    routes.add(
        "GET", f"/{calls.plural}", calls.all, id=f"list-{calls.plural}", answers={200: page}, role=role, errors=_FINDING
    )
    routes.add(
        "GET", one, calls.one, id=f"get-{noun}", answers={200: BatchState}, role=role, scope="object", errors=_FINDING
    )
    routes.add(
        "DELETE",
        one,
        calls.cancel,
        id=f"cancel-{noun}",
        answers={202: BatchState},
        role=role,
        scope="object",
        errors=(*_FINDING, Code.BATCH_FINISHED),
    )
    routes.add(
        "GET",
        f"{one}/results",
        calls.results,
        id=f"get-{noun}-results",
        answers={200: _FILES},
        role=role,
        scope="object",
        errors=_FINDING,
    )


class Calls:
    """The calls of one kind of batch."""

    def __init__(self, services: Services, plural: str, kinds: Sequence[Kind]) -> None:
        """`kinds`: those that are found here, the one that is made and listed first."""
        self._services = services
        self._kinds = kinds
        self.plural = plural

    def take_batch(self, query: BatchQuery) -> Response:
        """Identify the people in many photos.

        Photos one by one in a form, a zip, or, where the operator allows it, the files under a prefix of the bucket.
        """
        return self._take(query, top=query.top, max_faces=query.max_faces)

    def take_import(self, query: ImportQuery) -> Response:
        """Enrol many people: files named person/photo, in a form, a zip or under a prefix of the bucket."""
        return self._take(query, insist=query.insist, consent=query.consent)

    def reencode(self, query: _TakeQuery) -> Response:
        """Encode every enrolled photo of a collection again, by the model that the workers use now."""
        batch = self._batch(query, Kind.REENCODING, SourceKind.ENROLLED, b"")
        return self._taken(self._services.batches.take(batch))

    def all(self, query: ListQuery) -> Response:
        """The collection's batches and how far they have come, the newest first."""
        page = self._services.batches.page(self._kinds[0], query.collection, query.limit, query.after or "")
        found = [view(batch, progress) for batch, progress in page.batches]
        return jsonify({self.plural: found, "total": page.total, "next": page.next})

    def one(self, path: BatchPath) -> Response:
        """How far it has come."""
        return jsonify(view(*self._find(path.batch_id)))

    def cancel(self, path: BatchPath) -> Response:
        """Begin nothing more of it. Photos that are with a worker are finished; the others have batch-cancelled."""
        batch, progress = self._find(path.batch_id)
        self._services.batches.cancel(batch)
        self._services.audit.record(
            incoming.caller().key, f"cancel-{batch.kind.value}", batch.collection, batch=batch.id
        )
        response = jsonify(view(batch, progress))
        response.status_code = 202
        return response

    def results(self, path: BatchPath, query: ResultsQuery) -> Response:
        """What became of each file so far, in order."""
        batch, progress = self._find(path.batch_id)
        media, written = FORMATS[query.format]
        first = query.after + 1
        part = slice(first, None if query.limit is None else first + query.limit)
        found = self._services.batches.results(batch, progress, query.outcome, part)
        return Response(written(found), content_type=media)

    def _find(self, batch_id: str) -> Any:
        batch, progress = self._services.batches.find(self._kinds, batch_id)
        incoming.caller().require_collection(batch.collection)
        if batch.kind is Kind.REENCODING:  # it tells who is enrolled
            incoming.caller().require(Requirement(Role.ENROL))
        return batch, progress

    def _take(self, query: _TakeQuery, **options: Any) -> Response:
        intake, kind = self._services.batches, self._kinds[0]
        if request.mimetype == "application/json":
            prefix = _prefix()
            intake.check_prefix(prefix)
            _require_inbox(prefix, f"{self._services.settings.import_prefix}{query.collection}/")
            batch = self._batch(query, kind, SourceKind.PREFIX, prefix.encode(), prefix=prefix, **options)
            return self._taken(intake.take(batch))
        with received(self._services.settings.max_batch_bytes, intake.limits) as found:
            batch = self._batch(query, kind, SourceKind.ARCHIVE, found.digest, **options)
            if not found.members:
                return self._taken(intake.take_archive(batch, found.file))
            items = archive_items(kind, found.members, intake.limits)
            return self._taken(intake.take_files(batch, items, found.file))

    def _batch(self, query: _TakeQuery, kind: Kind, source: SourceKind, digest: bytes, **options: Any) -> Batch:
        if query.webhook:
            self._services.webhooks.check(query.webhook)
        (batch_id,) = incoming.ids(self._services, 1, digest)
        return Batch(
            id=batch_id,
            kind=kind,
            collection=query.collection,
            source=source,
            created_at=time.time(),
            created_by=incoming.caller().key,
            webhook=query.webhook,
            **options,
        )

    def _taken(self, batch: Batch) -> Response:
        self._services.audit.record(
            incoming.caller().key, f"create-{batch.kind.value}", batch.collection, batch=batch.id
        )
        shown = view(batch, self._services.batches.progress(batch.id))
        response = jsonify({**shown, "predicted_wait_s": elasticity.predicted_wait(self._services)})
        response.status_code = 202
        noun = "import" if batch.kind is Kind.IMPORT else "batch"
        response.headers["Location"] = url_for(f".get-{noun}", batch_id=batch.id)
        response.headers["Retry-After"] = "1"
        return response


def _require_inbox(prefix: str, own: str) -> None:
    """The inbox names and shows people: who may not see who is enrolled is out, and bound keys see their own part."""
    caller = incoming.caller()
    caller.require(Requirement(Role.ENROL))
    if caller.is_bound and not prefix.startswith(own):
        raise ServiceError(Code.PREFIX_FORBIDDEN, f"this key takes files from under {own} only")


def _prefix() -> str:
    try:
        return PrefixBody.model_validate_json(request.get_data()).prefix
    except ValidationError as error:
        raise ServiceError(Code.REQUEST_INVALID, 'send the prefix as JSON: {"prefix": "inbox/..."}') from error
