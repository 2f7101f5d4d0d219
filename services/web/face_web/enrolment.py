"""The calls of /v1/people: who is enrolled, and with which photos."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from flask import Blueprint, Response, jsonify

from face_common.contract import Code, EnrolledPhoto, Operation, Verdict
from face_common.errors import ServiceError
from face_web import incoming
from face_web.incoming import Upload
from face_web.photos import check_photo
from face_web.services import Services
from face_web.submit import Request, Submission

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
        """POST: enrol photos, each with its own verdict; 201 when at least one was accepted, else 422."""
        submitter, settings = self._services.submitter, self._services.settings
        request = Request(Operation.ENROL, incoming.collection(), incoming.person(person))
        deadline = time.monotonic() + settings.classic_wait_seconds
        with submitter.waiting_place(required=True):
            with submitter.uploading:
                begun = self._begin(incoming.uploads("image", settings.max_photos), request)
            photos = list(self._verdicts(begun, request.collection, deadline))
        accepted = any(photo["verdict"] == "accepted" for photo in photos)
        return jsonify({"person": request.person, "photos": photos}), 201 if accepted else 422

    def _begin(self, uploads: Sequence[Upload], request: Request) -> list[Submission | EnrolledPhoto]:
        """For each photo its submission, or its verdict where that is clear without a worker."""
        begun: list[Submission | EnrolledPhoto] = []
        seen: set[bytes] = set()
        for upload in uploads:
            try:
                photo = check_photo(upload.name, upload.body, self._services.settings.max_pixels)
            except ServiceError as error:
                if error.code not in _NO_PHOTO:
                    raise
                begun.append(_verdict(upload, "unreadable", error.detail))
                continue
            if upload.body in seen:
                begun.append(_verdict(upload, "duplicate", "the same file is in this request already"))
            else:
                begun.append(self._services.submitter.submit(photo, request))
            seen.add(upload.body)
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
            return {"photo": submission.id, "name": "", "verdict": "failed", "detail": "no worker answered in time"}
        self._services.metrics.observe(result)
        if "gallery_version" in result:
            self._services.versions.saw(collection, result["gallery_version"])
        if result["photo"]["verdict"] != "accepted":
            self._services.submitter.discard(submission.id)
        return result["photo"]


def _verdict(upload: Upload, verdict: Verdict, detail: str) -> EnrolledPhoto:
    return {"photo": None, "name": upload.name, "verdict": verdict, "detail": detail}
