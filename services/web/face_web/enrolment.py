"""The call that enrols people."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from flask import Response, jsonify
from pydantic import Field
from typing_extensions import TypedDict

from face_common.contract import Code, EnrolledPhoto, Operation, Verdict
from face_common.errors import ServiceError, TransientError
from face_web import elasticity, incoming
from face_web.access import Role
from face_web.answered import AnsweredFace
from face_web.incoming import Upload
from face_web.people_calls import PersonPath
from face_web.photos import Photo, check_photo
from face_web.questions import PHOTO_ERRORS
from face_web.routes import CollectionQuery, Routes
from face_web.services import Services
from face_web.submit import Order, Submission

_SAME_FILE = "the same file is in this request already"
_STILL_QUEUED = "no worker has taken it yet; it will be enrolled if it is fit for it"
CROP_ERRORS = (Code.NAME_INVALID, Code.OVERLOADED, Code.SERVER_BUSY, Code.TYPE_UNSUPPORTED)
"""What may be wrong with a face that is cut out to be enrolled, or with the moment."""
_NO_PHOTO = (Code.IMAGE_EMPTY, Code.TYPE_UNSUPPORTED, Code.IMAGE_TOO_LARGE)


class EnrolQuery(CollectionQuery):
    """What an enrolment may ask for."""

    insist: incoming.Flag = Field(
        False, description="Enrol photos even if they look like another person, or unlike this person's others."
    )


class EnrolmentAnswer(TypedDict):
    """The verdict on each photo of an enrolment."""

    person: str
    photos: list[EnrolledPhoto]


def blueprint(services: Services) -> Routes:
    """The call over these services."""
    calls = Enrolment(services)
    routes = Routes("enrolment", "/v1/people", tag="People", about="Who is enrolled, and with which photos.")
    routes.add(
        "POST",
        "/<person>/photos",
        calls.enrol,
        id="enrol",
        answers={201: EnrolmentAnswer, 202: EnrolmentAnswer, 422: EnrolmentAnswer},
        role=Role.ENROL,
        errors=(*PHOTO_ERRORS, Code.PERSON_INVALID, Code.CONSENT_MISSING),
        takes={"multipart/form-data": incoming.photos_field(1, services.settings.max_photos)},
    )
    return routes


class Enrolment:
    """The call."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def enrol(self, path: PersonPath, query: EnrolQuery) -> tuple[Response, int]:
        """Enrol photos of a person, each with its own verdict.

        201 when at least one was accepted, else 202 when at least one is still queued, else 422.
        """
        submitter, settings = self._services.submitter, self._services.settings
        order = Order(Operation.ENROL, query.collection, path.person, insist=query.insist)
        self._services.records.require_consent(query.collection, path.person)
        elasticity.admit(self._services)
        deadline = time.monotonic() + settings.classic_wait_seconds
        with submitter.waiting_place(required=True):
            with submitter.uploading(patient=True):
                checked = self._check(incoming.uploads("image", settings.max_photos))
                begun = self._begin(checked, order)
                del checked  # waiting needs no bytes
            photos = list(self._verdicts(begun, order.collection, deadline))
        verdicts = Counter(photo["verdict"] for photo in photos)
        self._record(order, begun, verdicts)
        return jsonify({"person": order.person, "photos": photos}), status_of(verdicts)

    def _record(self, order: Order, begun: Sequence[Submission | EnrolledPhoto], verdicts: Counter[Verdict]) -> None:
        audit, ids = self._services.audit, [item.id for item in begun if isinstance(item, Submission)]
        subject = audit.subject(order.collection, order.person)
        audit.record(incoming.caller().key, "enrol", order.collection, subject, photos=ids, verdicts=verdicts)

    def _check(self, uploads: Sequence[Upload]) -> list[Photo | EnrolledPhoto]:
        """Each file as a photo, or its verdict where it is none. Nothing is submitted before all have been checked."""
        checked: list[Photo | EnrolledPhoto] = []
        seen: set[bytes] = set()
        for upload in uploads:
            try:
                photo = check_photo(upload.name, upload.body, self._services.settings.max_pixels)
            except ServiceError as error:
                if error.code not in _NO_PHOTO:
                    raise
                checked.append(_verdict(upload.name, "unreadable", error.detail))
                continue
            twin = upload.body in seen
            checked.append(_verdict(upload.name, "duplicate", _SAME_FILE) if twin else photo)
            seen.add(upload.body)
        return checked

    def _begin(self, checked: Sequence[Photo | EnrolledPhoto], order: Order) -> list[Submission | EnrolledPhoto]:
        """Submit the photos. When storage fails half-way, what is under way goes on and the rest has failed."""
        begun: list[Submission | EnrolledPhoto] = []
        bodies = [item.body if isinstance(item, Photo) else b"" for item in checked]
        ids = incoming.ids(self._services, len(checked), *bodies)
        for item, job_id in zip(checked, ids, strict=True):
            if not isinstance(item, Photo):
                begun.append(item)
                continue
            try:
                begun.append(self._services.submitter.submit([item], order, job_id))
            except TransientError as error:
                if not any(isinstance(earlier, Submission) for earlier in begun):
                    raise
                begun.append(_verdict(item.name, "failed", error.detail))
        return begun

    def _verdicts(
        self, begun: Sequence[Submission | EnrolledPhoto], collection: str, deadline: float
    ) -> Iterator[EnrolledPhoto]:
        """Each photo's verdict, in order."""
        for item in begun:
            if isinstance(item, Submission):
                yield _awaited(self._services, item, collection, deadline)
            else:
                yield item


def enrol_crop(services: Services, found: AnsweredFace, name: str, order: Order, job_id: str) -> EnrolledPhoto:
    """Enrol a face of an answer, cut out of its photo and named so; what was accepted is noted as looked at.

    ServiceError as of Answered.cut_out, or overloaded or server-busy as of every enrolment.
    """
    elasticity.admit(services)
    deadline = time.monotonic() + services.settings.classic_wait_seconds
    with services.submitter.waiting_place(required=True):
        with services.submitter.uploading(patient=True):
            photo = check_photo(name, services.answered.cut_out(found), services.settings.max_pixels)
            submission = services.submitter.submit([photo], order, job_id)
            del photo
        verdict = _awaited(services, submission, order.collection, deadline)
    if verdict["verdict"] == "accepted":
        services.answered.settle(found)
    return verdict


def status_of(verdicts: Collection[Verdict]) -> int:
    """The status of an answer with these verdicts."""
    return 201 if "accepted" in verdicts else 202 if "queued" in verdicts else 422


def _awaited(services: Services, submission: Submission, collection: str, deadline: float) -> EnrolledPhoto:
    """The worker's verdict. A photo that was not accepted is not kept."""
    with services.metrics.waiting.track_inprogress():
        result = submission.result(deadline)
    if result is None or "photo" not in result:
        return {"photo": submission.id, "name": submission.name, "verdict": "queued", "detail": _STILL_QUEUED}
    services.metrics.observe(result)
    if "gallery_version" in result:
        services.versions.saw(collection, result["gallery_version"])
    if result["photo"]["verdict"] != "accepted":
        services.submitter.discard(submission.id)
    return result["photo"]


def _verdict(name: str, verdict: Verdict, detail: str) -> EnrolledPhoto:
    """The verdict on a photo that was not submitted."""
    return {"photo": None, "name": name, "verdict": verdict, "detail": detail}
