"""The calls of /v1/people: who is enrolled, and with which photos."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from flask import Blueprint, Response, jsonify

from face_common.contract import Code, EnrolledPhoto, Operation, Verdict
from face_common.errors import ServiceError, TransientError
from face_web import elasticity, incoming
from face_web.incoming import Upload
from face_web.photos import Photo, check_photo
from face_web.services import Services
from face_web.submit import Order, Submission

_SAME_FILE = "the same file is in this request already"
_STILL_QUEUED = "no worker has taken it yet; it will be enrolled if it is fit for it"
_NO_PHOTO = (Code.IMAGE_EMPTY, Code.TYPE_UNSUPPORTED, Code.IMAGE_TOO_LARGE)


def blueprint(services: Services) -> Blueprint:
    """The calls over these services."""
    calls = Enrolment(services)
    routes = Blueprint("people", __name__, url_prefix="/v1/people")
    # <path:...>: a name with a slash is then refused as a name, rather than not found as a path.
    routes.add_url_rule("", view_func=calls.people)
    routes.add_url_rule("/<path:person>", view_func=calls.person)
    routes.add_url_rule("/<path:person>", view_func=calls.remove, methods=["DELETE"])
    routes.add_url_rule("/<path:person>/photos", view_func=calls.enrol, methods=["POST"])
    routes.add_url_rule("/<path:person>/photos/<photo>", view_func=calls.remove_photo, methods=["DELETE"])
    return routes


class Enrolment:
    """The calls."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def people(self) -> Response:
        """GET: everyone in the collection."""
        collection = incoming.collection()
        return jsonify({"collection": collection, "people": self._services.people.all(collection)})

    def person(self, person: str) -> Response:
        """GET: a person's photos."""
        collection, person = incoming.collection(), incoming.person(person)
        photos = [asdict(row) for row in self._services.people.photos(collection, person)]
        for photo in photos:
            del photo["person"]
        return jsonify({"person": person, "collection": collection, "photos": photos})

    def remove(self, person: str) -> Response:
        """DELETE: a person with everything enrolled."""
        return jsonify(self._services.people.remove(incoming.collection(), incoming.person(person)))

    def remove_photo(self, person: str, photo: str) -> Response:
        """DELETE: one photo of a person."""
        collection, person, photo = incoming.collection(), incoming.person(person), incoming.job_id(photo)
        return jsonify(self._services.people.remove_photo(collection, person, photo))

    def enrol(self, person: str) -> tuple[Response, int]:
        """POST: enrol photos, each with its own verdict.

        201 when at least one was accepted, else 202 when at least one is still queued, else 422.
        """
        submitter, settings = self._services.submitter, self._services.settings
        collection, person, insist = incoming.collection(), incoming.person(person), incoming.flag("insist")
        order = Order(Operation.ENROL, collection, person, insist=insist)
        elasticity.admit(self._services)
        deadline = time.monotonic() + settings.classic_wait_seconds
        with submitter.waiting_place(required=True):
            with submitter.uploading(patient=True):
                checked = self._check(incoming.uploads("image", settings.max_photos))
                begun = self._begin(checked, order)
                del checked  # waiting needs no bytes
            photos = list(self._verdicts(begun, order.collection, deadline))
        verdicts = {photo["verdict"] for photo in photos}
        status = 201 if "accepted" in verdicts else 202 if "queued" in verdicts else 422
        return jsonify({"person": order.person, "photos": photos}), status

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
        for item in checked:
            if not isinstance(item, Photo):
                begun.append(item)
                continue
            try:
                begun.append(self._services.submitter.submit([item], order))
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
            yield self._await(item, collection, deadline) if isinstance(item, Submission) else item

    def _await(self, submission: Submission, collection: str, deadline: float) -> EnrolledPhoto:
        """The worker's verdict. A photo that was not accepted is not kept."""
        with self._services.metrics.waiting.track_inprogress():
            result = submission.result(deadline)
        if result is None or "photo" not in result:
            return {"photo": submission.id, "name": submission.name, "verdict": "queued", "detail": _STILL_QUEUED}
        self._services.metrics.observe(result)
        if "gallery_version" in result:
            self._services.versions.saw(collection, result["gallery_version"])
        if result["photo"]["verdict"] != "accepted":
            self._services.submitter.discard(submission.id)
        return result["photo"]


def _verdict(name: str, verdict: Verdict, detail: str) -> EnrolledPhoto:
    """The verdict on a photo that was not submitted."""
    return {"photo": None, "name": name, "verdict": verdict, "detail": detail}
