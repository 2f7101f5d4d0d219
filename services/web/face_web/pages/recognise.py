"""Recognise: a photo in, the people in it, and why."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web.access import Role
from face_web.pages.inside import RefusedError, at
from face_web.pages.site import Site
from face_web.pages.words import photo_name

_ROUNDING = 1e-4  # distances are told with so many digits
_STAGES = ("queued", "fetch", "decode", "detect", "encode", "match")
_REASONS = {
    "small": "the face is small: under 40 pixels",
    "blurred": "the face is blurred",
    "turned": "the face looks far to the side",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """How long one stage took, in ms, and where its bar begins and how wide it is, in percent of the whole."""

    name: str
    ms: float
    left: float
    width: float


def register(site: Site) -> None:
    """Declare the pages."""
    recognise = _Recognise(site)
    ask: dict[str, Any] = {"role": Role.SUBMIT}
    one, face = "/identifications/<job_id>", "/identifications/<job_id>/faces/<int:face>"
    site.page("GET", "/recognise", recognise.form, id="recognise", **ask)
    site.page("POST", "/recognise", recognise.ask, id="recognise-photos", **ask)
    site.page("GET", one, recognise.one, id="identification", **ask)
    site.page("POST", f"{face}/naming", recognise.name, id="name-face", role=Role.ENROL)
    site.page("POST", f"{face}/rejection", recognise.reject, id="reject-face", role=Role.ENROL)


class _Recognise:
    def __init__(self, site: Site) -> None:
        self._site = site

    def form(self) -> str:
        return self._site.render("recognise.html", page="recognise", photos=())

    def ask(self) -> ResponseReturnValue:
        """Ask about the photos of the form; what comes back is a part of the page, or for one photo its own page."""
        files = request.files.getlist("image")
        if not any(file.filename for file in files):
            raise ServiceError(Code.IMAGE_MISSING, "choose a photo first")
        most = self._site.services.settings.max_photos
        if len(files) > most:
            raise ServiceError(Code.PARAMETER_INVALID, f"at most {most} photos in one form; a batch takes more")
        until = time.monotonic() + self._site.services.settings.wait_seconds  # for all of them
        shown = [self._asked(file.filename or "photo", file.read(), until) for file in files]
        if self._site.is_part:
            return self._site.render("_photos.html", photos=shown)
        if len(shown) == 1 and "id" in shown[0]:
            return self._site.go(at("identifications", shown[0]["id"]))
        return self._site.render("recognise.html", page="recognise", photos=shown)

    def _asked(self, name: str, body: bytes, until: float) -> Mapping[str, Any]:
        """What is to be shown of one photo: its result, or that it waits (after `until`), or why it was refused."""
        wait = max(until - time.monotonic(), 0.0)
        query = {**self._site.here, "name": photo_name(name), "wait": wait}
        try:
            answer = self._site.api.send("POST", "/v1/identifications", query=query, body=body).json
        except RefusedError as refusal:
            return {"problem": refusal.problem, "name": name}
        return explained(answer)

    def one(self, job_id: str) -> str:
        """One photo: a page of its own, or a part that asks again while the photo waits."""
        shown = self._looked_up(job_id)
        if self._site.is_part:
            return self._site.render("_photos.html", photos=[shown])
        return self._site.render("identification.html", page="recognise", photo=shown)

    def _looked_up(self, job_id: str) -> Mapping[str, Any]:
        answer = self._site.api.get(at("v1", "identifications", job_id))
        if answer.get("error"):
            error = answer["error"]
            return {"problem": error, "name": answer["image"]["name"], "id": job_id}
        return explained(answer)

    def name(self, job_id: str, face: int) -> ResponseReturnValue:
        """Enrol the face as somebody's."""
        person = request.form.get("person", "").strip()
        path = at("v1", "identifications", job_id, "faces", str(face), "naming")
        query = self._site.here | {"insist": request.form.get("insist")}
        answer = self._site.api.send("POST", path, json={"person": person}, query=query, once=self._site.once())
        photo = answer.json["photos"][0]
        return self._outcome(job_id, face, person=person, verdict=photo["verdict"], detail=photo["detail"])

    def reject(self, job_id: str, face: int) -> ResponseReturnValue:
        """Put the face on the reject list: it is not the person that was named."""
        body = {"identification": job_id, "face": face}
        answer = self._site.api.send("POST", "/v1/rejections", json=body, query=self._site.here, once=self._site.once())
        return self._outcome(job_id, face, person="", **_verdict(answer.json))

    def _outcome(self, job_id: str, face: int, *, person: str, verdict: str, detail: str) -> ResponseReturnValue:
        """What became of a face that was named or rejected; `person` is empty for one that was rejected."""
        outcome = {"id": job_id, "face": face, "person": person, "verdict": verdict, "detail": detail}
        if self._site.is_part or verdict != "accepted":
            return self._site.render("_face_outcome.html" if self._site.is_part else "face_outcome.html", **outcome)
        said = f"Enrolled as {person}." if person else "Put on the reject list."
        return self._site.go(at("identifications", job_id), said=said)


def _verdict(answer: Mapping[str, Any]) -> dict[str, str]:
    return {"verdict": answer["verdict"], "detail": answer["detail"]}


def explained(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result as the page shows it: with sentences and bars beside the numbers."""
    if result["state"] != "done":
        return result
    faces = [{**face, "why": why(face), "doubts": doubts(face)} for face in result["faces"]]
    return {**result, "faces": faces, "stages": stages(result["timing"])}


def why(face: Mapping[str, Any]) -> str:
    """Why the face was decided as it was, as a sentence."""
    distance, threshold, margin = face.get("distance"), face["threshold"], face.get("margin")
    if distance is None:
        return "Nobody is enrolled in this collection yet."
    nearest = face["candidates"][0]["person"] if face.get("candidates") else "The nearest person"
    limit = f"the threshold of this collection is {threshold:.3f}"
    if face["decision"] == "match":
        lead = "nobody else is enrolled" if margin is None else f"the next person is {margin:.3f} farther"
        return f"{nearest} is at a distance of {distance:.3f}, {limit}, and {lead}."
    if face["decision"] == "ambiguous":
        return _too_close(face, nearest)
    if margin is not None and margin < 0:
        return f"{nearest} is nearest of all people, but a face on the reject list is nearer still."
    if distance <= threshold:
        return f"{nearest} is near enough, but the face is too small or too blurred to tell people apart."
    return f"{nearest} is nearest, at a distance of {distance:.3f}, which is too far: {limit}."


def _too_close(face: Mapping[str, Any], nearest: str) -> str:
    """Why a face is ambiguous: between two people, or between one and a face on the reject list."""
    near = face.get("candidates", ())[:2]
    margin = face.get("margin") or 0.0
    if len(near) > 1 and near[1]["distance"] - near[0]["distance"] <= margin + _ROUNDING:
        second = near[1]["person"]
        return f"{nearest} and {second} are too close to tell apart: the second is only {margin:.3f} farther."
    return f"{nearest} is near, but a face on the reject list is only {margin:.3f} farther: it may be either."


def doubts(face: Mapping[str, Any]) -> Sequence[str]:
    """Why the decision deserves less trust, in words."""
    return [_REASONS.get(reason, reason) for reason in face["quality"]["reasons"]]


def stages(timing: Mapping[str, float]) -> Sequence[Stage]:
    """The stages of a photo's way one after the other, of what was measured."""
    taken = [(name, timing[f"{name}_ms"]) for name in _STAGES if f"{name}_ms" in timing]
    whole, left, found = sum(ms for _, ms in taken) or 1.0, 0.0, []
    for name, ms in taken:
        width = 100 * ms / whole
        found.append(Stage(name, ms, round(left, 3), round(width, 3)))
        left += width
    return found
