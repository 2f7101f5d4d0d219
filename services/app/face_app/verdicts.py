"""Whether a photo is fit to be enrolled, and why not. Pure.

Whatever is wrong with a gallery is wrong with every answer from then on, so a photo has to be of one person, well
visible, who looks like their own other photos and like nobody else.
"""

from dataclasses import dataclass

import numpy as np

from face_app.enrolled import Enrolled
from face_app.quality import EnrolmentLimits
from face_app.recognition import FaceReading, Reading
from face_common.contract import Verdict, is_distractor

_RIVAL_SHARE = 0.25  # of the main face's prominence: lesser faces are the background of a portrait
_CANDIDATES = 2  # the nearest person may be the one to be enrolled


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What is to be enrolled, and where."""

    person: str
    photo: str
    digest: str
    insist: bool
    """Enrol a photo even if it looks like another person, or unlike this one's others."""


Judgement = tuple[Verdict, str]


def judge(reading: Reading, enrolment: Enrolment, enrolled: Enrolled, limits: EnrolmentLimits) -> Judgement:
    """The verdict on a photo, with a sentence for people.

    A rejected face is taken as it is, however bad and whomever it looks like: it was good enough to be named.
    """
    if reading.faces and is_distractor(enrolment.person):
        return "accepted", "enrolled"
    twin = enrolled.index.snapshot.photo_with(enrolment.person, enrolment.digest)
    return (
        _faces(reading)
        or _quality(reading.faces[0], limits)
        or _twin(twin, enrolment.photo)
        or (None if enrolment.insist else _likeness(reading.faces[0], enrolment.person, enrolled))
        or ("accepted", "enrolled")
    )


def _faces(reading: Reading) -> Judgement | None:
    if not reading.faces:
        return "no-face", "no face was found in the photo"
    main, *others = (face.rectangle.prominence(reading.width, reading.height) for face in reading.faces)
    rivals = sum(other >= _RIVAL_SHARE * main for other in others)
    if rivals:
        return "several-faces", f"the photo shows {rivals + 1} faces of similar weight; enrolment needs one person"
    return None


def _quality(face: FaceReading, limits: EnrolmentLimits) -> Judgement | None:
    side, sharpness, yaw = face.rectangle.side, face.sharpness, abs(face.yaw)
    if side < limits.side:
        return "too-small", f"the face is {side} pixels wide; enrolment needs {limits.side}"
    if sharpness < limits.sharpness:
        return "blurred", f"the face's sharpness is {sharpness:g}; enrolment needs {limits.sharpness:g}"
    if yaw > limits.yaw:
        return "extreme-pose", f"the face looks aside: its yaw is {yaw:g}; enrolment takes up to {limits.yaw:g}"
    return None


def _twin(twin: str | None, photo: str) -> Judgement | None:
    if twin is not None and twin != photo:  # the photo itself, when the job is delivered a second time
        return "duplicate", f"the same file is already enrolled as {twin}"
    return None


def _likeness(face: FaceReading, person: str, enrolled: Enrolled) -> Judgement | None:
    probe = np.array([face.encoding], dtype=np.float32)
    own = enrolled.own_distance(probe, person)
    (neighbours,) = enrolled.nearest(probe, _CANDIDATES)
    other = next((near for near in neighbours if near.person != person), None)
    named = enrolled.rule.threshold
    if other and other.distance <= named and (own is None or other.distance < own):
        at = f"at distance {other.distance:.3f}, where faces up to {named:.3f} are named"
        return "looks-like-another", f"the face looks like {other.person}, {at}"
    if own is not None and own > enrolled.limit:
        at = f"at distance {own:.3f}, where {enrolled.limit:.3f} is the most"
        return "inconsistent", f"the face does not look like {person}'s other photos: {at}"
    return None
