"""The classic form: one photo in, one line of text out, as the well-known workload generators expect it."""

import time
from pathlib import PurePath

from flask import Response, make_response, redirect, request

from face_common.contract import NO_FACE, UNKNOWN, Code, Operation, Result
from face_web import elasticity, incoming
from face_web.access import Role
from face_web.photos import check_photo
from face_web.problems import failure, problem
from face_web.questions import PHOTO_ERRORS
from face_web.routes import CollectionQuery, Routes
from face_web.services import Services
from face_web.submit import Order

_TEXT = "text/plain; charset=utf-8"
_WELCOME = """Elastic Face Recognition: a photo goes in, the people in it come back.

  curl -F inputFile=@photo.jpg {url}                              one line: photo:person
  curl -F image=@photo.jpg {url}v1/identifications                every face, as JSON
  curl -F image=@jane.jpg {url}v1/people/Jane%20Doe/photos        enrol a person
  curl {url}v1/people                                             who is enrolled
  curl -F image=@a.jpg -F image=@b.jpg {url}v1/verifications      whether two photos show one person
  curl -F image=@photo.jpg {url}v1/detections                     where faces are, and how good they are

In a browser: {url}    All calls: {url}docs
"""


def blueprint(services: Services) -> Routes:
    """The classic form over these services."""
    routes = Routes("classic", tag="Classic form", about="One photo in, one line out.")

    def welcome() -> Response:
        """What one can do here; a browser is led to the pages."""
        if request.accept_mimetypes.best_match(("text/plain", "text/html")) == "text/html":
            return make_response(redirect("/recognise", 303))
        return Response(_WELCOME.format(url=incoming.base_url()), mimetype="text/plain")

    def identify(query: CollectionQuery) -> Response:
        """Name the most prominent person in a photo, as one line: file name without extension, colon, name."""
        return _identify(services, query.collection)

    text = {"text/plain": {"type": "string"}}
    routes.add("GET", "/", welcome, id="welcome", answers={200: text, 303: None})
    routes.add(
        "POST",
        "/",
        identify,
        id="identify-classic",
        answers={200: text},
        role=Role.SUBMIT,
        errors=(*PHOTO_ERRORS, Code.WAIT_TIMEOUT),
        takes={"multipart/form-data": incoming.photos_field(1, 1, "inputFile")},
    )
    return routes


def _identify(services: Services, collection: str) -> Response:
    elasticity.admit(services)
    deadline = time.monotonic() + services.settings.classic_wait_seconds
    with services.submitter.waiting_place(required=True):
        with services.submitter.uploading(patient=True):
            (upload,) = incoming.uploads("inputFile", 1)
            photo = check_photo(upload.name, upload.body, services.settings.max_pixels)
            (job_id,) = incoming.ids(services, 1, photo.body)
            submission = services.submitter.submit([photo], Order(Operation.IDENTIFY, collection, top=1), job_id)
            del upload, photo  # waiting needs no bytes
        with services.metrics.waiting.track_inprogress():
            result = submission.result(deadline)
    if result is None:
        detail = f"no worker answered in time; look at /v1/identifications/{submission.id}"
        return problem(Code.WAIT_TIMEOUT, detail, submission.id)
    services.metrics.observe(result)
    return failure(result) or Response(_line(result), content_type=_TEXT)


def _line(result: Result) -> str:
    """`<file name without extension>:<person>`; of several faces the most prominent counts."""
    faces = result.get("faces", [])
    answer = (faces[0].get("person") or UNKNOWN) if faces else NO_FACE
    return f"{PurePath(result['image']['name']).stem}:{answer}"
