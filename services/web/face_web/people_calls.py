"""The calls about people: who they are, on what terms they are enrolled, and how they are forgotten."""

import tempfile
import time
from typing import Any
from urllib.parse import quote

from flask import Response, jsonify, request, send_file
from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypedDict

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web import incoming
from face_web.access import Role
from face_web.answered import MOST_ANSWERS, AnsweredFace
from face_web.erasure import Receipt
from face_web.idempotency import Outcome
from face_web.people import PersonDetails, PersonSummary
from face_web.photos import content_type
from face_web.records import Consent, iso
from face_web.routes import BINARY, Absent, CollectionQuery, Routes
from face_web.services import Services
from face_web.traces import asked_at

_WAIT_SECONDS = 30.0
_MOST_PEOPLE = 1000


class PersonPath(BaseModel):
    """A person in a path."""

    person: incoming.Person


class PhotoPath(PersonPath):
    """A photo of a person in a path."""

    photo: incoming.JobId


class FaceQuery(CollectionQuery):
    """How large a face is shown."""

    side: int = Field(160, ge=16, le=640, description="Pixels across and down.")


class NamedQuery(CollectionQuery):
    """How many answers are listed."""

    limit: int = Field(50, ge=1, le=MOST_ANSWERS, description="How many, the newest first.")


class ErasurePath(BaseModel):
    """An erasure in a path."""

    erasure: incoming.JobId


class PeopleQuery(CollectionQuery):
    """Which people."""

    limit: int = Field(100, ge=1, le=_MOST_PEOPLE)
    after: str = Field("", max_length=128, description="The last name of the page before.")
    search: str = Field("", max_length=128, description="Only people whose name has this in it, whatever its case.")


class EraseQuery(CollectionQuery):
    """How long to wait for an erasure to end."""

    wait: incoming.Seconds | Absent = Field(
        None, description="Seconds to wait for the end, as far as the service allows: 30."
    )


class ErasePersonQuery(EraseQuery):
    """How far an erasure looks."""

    insist: incoming.Flag = Field(
        False, description="Look through answers and earlier versions even if nobody of this name is enrolled any more."
    )


class ConsentBody(BaseModel):
    """That a person agreed to be enrolled."""

    model_config = ConfigDict(extra="forbid")

    reference: str = Field(
        min_length=1, max_length=500, pattern=incoming.LINE, description="Where you find it: a document's number, say."
    )
    given_at: incoming.Moment | None = None


class PersonBody(BaseModel):
    """What is to change of a person; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: incoming.Person | Absent = Field(None, description="Another name for them.")
    consent: ConsentBody | Absent = None
    expires_at: incoming.Moment | None = Field(None, description="When they are to be erased; null for never.")

    @field_validator("name", "consent", mode="before")
    @classmethod
    def _is_given(cls, value: object) -> object:
        if value is None:
            raise ValueError("may be left out, but is never null")
        return value


class MergeBody(BaseModel):
    """Into whom a person is merged."""

    model_config = ConfigDict(extra="forbid")

    into: incoming.Person


class PeopleAnswer(TypedDict):
    """A page of who is enrolled, by name."""

    collection: str
    people: list[PersonSummary]
    total: int
    """How many there are on all pages."""
    next: str | None
    """What `after` must be for the next page; null on the last one."""


class PhotoAnswer(TypedDict):
    """An enrolled photo."""

    photo: str
    name: str
    enrolled_at: float
    """Seconds since the epoch."""


class PersonAnswer(TypedDict):
    """A person, and on what terms they are enrolled."""

    person: str
    collection: str
    photos: list[PhotoAnswer]
    consent: Consent | None
    expires_at: str | None
    """When they will be erased, ISO 8601 in UTC; null for never."""


class NamingAnswer(TypedDict):
    """A face that was answered with a person's name."""

    id: str
    """Of the identification."""
    face: int
    """Which of its faces, counted from 0."""
    name: str
    """The photo's file name."""
    asked_at: str
    """ISO 8601, in UTC."""
    distance: float | None


class NamingsAnswer(TypedDict):
    """Answers that name a person, the newest first."""

    collection: str
    person: str
    identifications: list[NamingAnswer]
    looked_at: int
    """Answers that were looked through."""
    complete: bool
    """Whether those are all that name the person."""


def blueprint(services: Services) -> Routes:
    """The calls over these services."""
    calls = _PeopleCalls(services)
    routes = Routes("people", "/v1", tag="People", about="Who is enrolled, on what terms, and how they are forgotten.")
    _declare_looks(routes, calls)
    named, photo = (Code.PERSON_INVALID, Code.NOT_FOUND), (Code.PERSON_INVALID, Code.NOT_FOUND, Code.ID_INVALID)
    taken, erased = (*named, Code.PERSON_EXISTS, Code.MOMENT_PAST, Code.SERVER_BUSY), {200: Receipt, 202: Receipt}
    one, its_photo = "/people/<person>", "/people/<person>/photos/<photo>"
    enrol: dict[str, Any] = {"role": Role.ENROL}
    failed, merged = (Code.ERASURE_FAILED,), (*named, Code.SERVER_BUSY)
    kinds = dict.fromkeys(incoming.IMAGE_KINDS, BINARY)
    zipped = {"application/zip": BINARY}
    routes.add("GET", "/people", calls.people, id="list-people", answers={200: PeopleAnswer}, **enrol)
    routes.add("GET", one, calls.person, id="get-person", answers={200: PersonAnswer}, errors=named, **enrol)
    routes.add("PUT", one, calls.change, id="change-person", answers={200: PersonAnswer}, errors=taken, **enrol)
    routes.add("DELETE", one, calls.erase, id="erase-person", answers=erased, errors=(*named, *failed), **enrol)
    routes.add("GET", its_photo, calls.photo, id="get-photo", answers={200: kinds}, errors=photo, **enrol)
    routes.add(
        "DELETE", its_photo, calls.erase_photo, id="erase-photo", answers=erased, errors=(*photo, *failed), **enrol
    )
    routes.add(
        "GET", f"{one}/export", calls.export, id="export-person", answers={200: zipped}, errors=named, role=Role.ADMIN
    )
    routes.add(
        "POST", f"{one}/merge", calls.merge, id="merge-people", answers={200: PersonAnswer}, errors=merged, **enrol
    )
    routes.add(
        "GET",
        "/erasures/<erasure>",
        calls.erasure,
        id="get-erasure",
        answers={200: Receipt},
        errors=(Code.NOT_FOUND, Code.ID_INVALID),
        scope="caller",
        **enrol,
    )
    return routes


def _declare_looks(routes: Routes, calls: "_PeopleCalls") -> None:
    """What shows people to somebody who looks through them."""
    routes.add(
        "GET",
        "/people/<person>/photos/<photo>/face",
        calls.face,
        id="get-photo-face",
        answers={200: {"image/jpeg": BINARY}, 304: None},
        role=Role.ENROL,
        errors=(Code.PERSON_INVALID, Code.NOT_FOUND, Code.ID_INVALID, Code.SERVER_BUSY, Code.TYPE_UNSUPPORTED),
    )
    routes.add(
        "GET",
        "/people/<person>/identifications",
        calls.namings,
        id="list-person-identifications",
        answers={200: NamingsAnswer},
        role=Role.ENROL,
        errors=(Code.PERSON_INVALID, Code.NOT_FOUND),
    )


class _PeopleCalls:
    """The calls."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def people(self, query: PeopleQuery) -> Response:
        """Who is enrolled, by name."""
        page = self._services.people.page(
            query.collection, limit=query.limit, after=query.after, search=query.search.strip()
        )
        return jsonify({"collection": query.collection, "people": page.people, "total": page.total, "next": page.next})

    def person(self, path: PersonPath, query: CollectionQuery) -> Response:
        """A person, and on what terms they are enrolled."""
        details = self._services.people.find(query.collection, path.person)
        return jsonify(_shown(query.collection, details))

    def change(self, path: PersonPath, query: CollectionQuery, body: PersonBody) -> Response:
        """Give a person another name, record their consent, or say when they are to be erased.

        Consent and an end may be recorded of somebody who is not enrolled yet.
        """
        records, audit, who = self._services.records, self._services.audit, incoming.caller().key
        collection, person = query.collection, path.person
        given, changed = body.model_fields_set, []
        if body.expires_at is not None and body.expires_at.timestamp() <= time.time():
            raise ServiceError(Code.MOMENT_PAST, "expires_at is in the past; to erase somebody now, use DELETE")
        if body.name is not None and body.name != person:
            self._services.people.rename(collection, person, body.name)
            audit.record(who, "rename", collection, audit.subject(collection, person))
            person = body.name
        if body.consent is not None:
            at = body.consent.given_at
            given_at = at.timestamp() if at else None
            records.record_consent(collection, person, body.consent.reference, by=who, given_at=given_at)
            changed.append("consent")
        if "expires_at" in given:
            records.expire(collection, person, body.expires_at.timestamp() if body.expires_at else None)
            changed.append("expires_at")
        if changed:
            audit.record(who, "change-person", collection, audit.subject(collection, person), changed=changed)
        return jsonify(_shown(collection, self._services.people.find(collection, person)))

    def merge(self, path: PersonPath, query: CollectionQuery, body: MergeBody) -> Response:
        """Make one person of two: the photos of the one in the path become those of the other."""
        people, collection = self._services.people, query.collection
        (request_id,) = incoming.ids(self._services, 1, body.into.encode())

        def change() -> Outcome:
            return {"version": people.merge(collection, path.person, body.into)}

        def conclude(merged: Outcome) -> None:
            audit = self._services.audit
            subject, into = (audit.subject(collection, person) for person in (path.person, body.into))
            audit.record(incoming.caller().key, "merge-people", collection, subject, into=into, **merged)

        self._services.idempotency.once(request_id, change, conclude)
        return jsonify(_shown(collection, people.find(collection, body.into)))

    def photo(self, path: PhotoPath, query: CollectionQuery) -> Response:
        """An enrolled photo, as it was sent."""
        row, body = self._services.people.photo(query.collection, path.person, path.photo)
        response = Response(body, mimetype=content_type(body))
        name = quote(row.name, safe="")
        response.headers["Content-Disposition"] = f"attachment; filename=\"{row.photo}\"; filename*=UTF-8''{name}"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "private, no-store"
        return response

    def face(self, path: PhotoPath, query: FaceQuery) -> Response:
        """The face of an enrolled photo, as a square, or a square of the photo where the face is not known any more."""
        tag = f"{path.photo}-{query.side}"
        self._services.people.require_photo(query.collection, path.person, path.photo)
        if tag in request.if_none_match:
            response = Response(status=304)
        else:
            response = Response(self._services.people.face(path.photo, query.side), mimetype="image/jpeg")
        response.set_etag(tag)
        response.headers["Cache-Control"] = "private, max-age=600"
        return response

    def namings(self, path: PersonPath, query: NamedQuery) -> Response:
        """Answers that name a person, the newest first."""
        record = self._services.people.find(query.collection, path.person).record
        found = self._services.answered.naming(query.collection, record)
        namings = [_naming(one) for one in found.faces[: query.limit]]
        complete = found.complete and len(namings) == len(found.faces)
        whose = {"collection": query.collection, "person": path.person}
        return jsonify({**whose, "identifications": namings, "looked_at": found.answers, "complete": complete})

    namings.__doc__ = f"{namings.__doc__}\n\nThe newest {MOST_ANSWERS} answers of the service are looked through."

    def erase(self, path: PersonPath, query: ErasePersonQuery) -> tuple[Response, int]:
        """Erase a person: photos, templates, consent, and every answer that names them.

        Nobody is named by them from now on. 200 with the receipt when all is done, 202 while it goes on.
        """
        return self._erase(query, path.person, insist=query.insist)

    def erase_photo(self, path: PhotoPath, query: EraseQuery) -> tuple[Response, int]:
        """Erase one photo of a person. With the last one, unless consent is recorded, the person is erased."""
        details = self._services.people.find(query.collection, path.person)
        is_last = [row.photo for row in details.photos] == [path.photo] and details.record.is_empty
        return self._erase(query, path.person, "" if is_last else path.photo)

    def _erase(self, query: EraseQuery, person: str, photo: str = "", *, insist: bool = False) -> tuple[Response, int]:
        caller = incoming.caller()
        erasure = self._services.erasures.begin(
            query.collection, person, photo, who=caller.key, bound=caller.is_bound, insist=insist
        )
        return outcome(self._services, erasure, query, person)

    def erasure(self, path: ErasurePath) -> Response:
        """How far an erasure is, and what it has removed."""
        receipt = self._services.erasures.find(path.erasure)
        incoming.caller().require_collection(receipt["collection"])
        return jsonify(receipt)

    def export(self, path: PersonPath, query: CollectionQuery) -> Response:
        """All that is kept on a person, as a zip: person.json, photos, answers that name them and their photos."""
        audit, collection = self._services.audit, query.collection
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
        try:
            self._services.exports.write(collection, path.person, file)
            audit.record(incoming.caller().key, "export-person", collection, audit.subject(collection, path.person))
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return send_file(file, "application/zip", as_attachment=True, download_name="person.zip", max_age=0)


def outcome(services: Services, erasure: str, query: EraseQuery, person: str = "") -> tuple[Response, int]:
    """What whoever asked for an erasure is told: the receipt with the name, and where to look while it goes on."""
    wait = min(_WAIT_SECONDS if query.wait is None else query.wait, services.settings.longest_wait_seconds)
    receipt = services.erasures.wait(erasure, wait)
    response = jsonify({**receipt, "person": person} if person else receipt)
    response.headers["Location"] = f"/v1/erasures/{receipt['id']}"
    if receipt["state"] == "done":
        return response, 200
    response.headers["Retry-After"] = "5"
    return response, 202


def _naming(found: AnsweredFace) -> NamingAnswer:
    return {
        "id": found.result["id"],
        "face": found.index,
        "name": found.result["image"]["name"],
        "asked_at": iso(asked_at(found.result["id"])),
        "distance": found.face.get("distance"),
    }


def _shown(collection: str, details: PersonDetails) -> PersonAnswer:
    record = details.record
    return {
        "person": record.person,
        "collection": collection,
        "photos": [{"photo": row.photo, "name": row.name, "enrolled_at": row.enrolled_at} for row in details.photos],
        "consent": record.consent,
        "expires_at": None if record.expires_at is None else iso(record.expires_at),
    }
