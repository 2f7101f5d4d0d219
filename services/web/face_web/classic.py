"""The classic form: one photo in, one line of text out, as the well-known workload generators expect it."""

import time
from pathlib import PurePath

from flask import Blueprint, Response

from face_common.contract import NO_FACE, UNKNOWN, Code, Operation, Result
from face_web import elasticity, incoming
from face_web.photos import check_photo
from face_web.problems import failure, problem
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
"""


def blueprint(services: Services) -> Blueprint:
    """The classic form over these services."""
    routes = Blueprint("classic", __name__)

    @routes.get("/")
    def welcome() -> Response:
        return Response(_WELCOME.format(url=incoming.base_url()), mimetype="text/plain")

    @routes.post("/")
    def identify() -> Response:
        order = Order(Operation.IDENTIFY, incoming.collection(), top=1)
        elasticity.admit(services)
        deadline = time.monotonic() + services.settings.classic_wait_seconds
        with services.submitter.waiting_place(required=True):
            with services.submitter.uploading(patient=True):
                (upload,) = incoming.uploads("inputFile", 1)
                photo = check_photo(upload.name, upload.body, services.settings.max_pixels)
                submission = services.submitter.submit([photo], order)
                del upload, photo  # waiting needs no bytes
            with services.metrics.waiting.track_inprogress():
                result = submission.result(deadline)
        if result is None:
            detail = f"no worker answered in time; look at /v1/identifications/{submission.id}"
            return problem(Code.WAIT_TIMEOUT, detail, submission.id)
        services.metrics.observe(result)
        return failure(result) or Response(_line(result), content_type=_TEXT)

    return routes


def _line(result: Result) -> str:
    """`<file name without extension>:<person>`; of several faces the most prominent counts."""
    faces = result.get("faces", [])
    answer = (faces[0].get("person") or UNKNOWN) if faces else NO_FACE
    return f"{PurePath(result['image']['name']).stem}:{answer}"
