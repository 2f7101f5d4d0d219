"""Review: faces that somebody should look at, one after the other, by mouse or by keyboard alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from face_web.access import Role
from face_web.pages.inside import Answer, RefusedError, at
from face_web.pages.site import Site
from face_web.pages.words import counted

_LISTS = ("unknown", "ambiguous", "rejected")
_GROUPS = 20
_FACES = 50
_REJECTIONS = 60
_NAMES = 50
_SUGGESTIONS = 3
_WITHIN = 1.5  # times the threshold: whoever is farther is no suggestion
_AT_ONCE = "0"


def register(site: Site) -> None:
    """Declare the pages."""
    review = _Review(site)
    enrol: dict[str, Any] = {"role": Role.ENROL}
    cluster, face = "/review/clusters/<cluster>", "/review/faces/<job_id>/<int:face>"
    site.page("GET", "/review", review.show, id="review", **enrol)
    site.page("GET", "/review/names", review.names, id="review-names", **enrol)
    site.page("POST", f"{cluster}/naming", review.name_cluster, id="review-name-cluster", **enrol)
    site.page("POST", f"{cluster}/dismissal", review.dismiss_cluster, id="review-dismiss-cluster", **enrol)
    site.page("POST", f"{face}/naming", review.name_face, id="review-name-face", **enrol)
    site.page("POST", f"{face}/rejection", review.reject_face, id="review-reject-face", **enrol)
    site.page("POST", f"{face}/dismissal", review.dismiss_face, id="review-dismiss-face", **enrol)
    site.page("POST", "/review/namings/undo", review.undo_naming, id="review-undo-naming", **enrol)
    site.page("POST", "/review/rejections/<rejection>/undo", review.undo_rejection, id="review-undo-rejection", **enrol)


class _Review:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._shown = {"unknown": self._unknown, "ambiguous": self._ambiguous, "rejected": self._rejected}

    def show(self) -> str:
        """One of the three lists."""
        wanted = request.args.get("list", "unknown")
        chosen = wanted if wanted in _LISTS else "unknown"
        people = self._people("")
        return self._site.render("review.html", page="review", list=chosen, people=people, **self._shown[chosen]())

    def names(self) -> str:
        """People whose name has in it what was typed, to choose from."""
        return self._site.render("_suggestions.html", people=self._people(request.args.get("person", "").strip()))

    def _people(self, search: str) -> Sequence[Mapping[str, Any]]:
        found = self._site.api.get("/v1/people", limit=_NAMES, search=search[:128] or None, **self._site.here)
        people: Sequence[Mapping[str, Any]] = found["people"]
        return people

    def _unknown(self) -> Mapping[str, Any]:
        """Groups of unknown faces, each with the people whom its first face is nearest to."""
        groups = self._site.api.get("/v1/clusters", limit=_GROUPS, **self._site.here)["clusters"]
        return {"groups": [{**group, "suggested": self._suggested(group["faces"][0])} for group in groups]}

    def _suggested(self, member: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        try:
            answer = self._site.api.get(at("v1", "identifications", member["identification"]))
            face = answer["faces"][member["face"]]
        except (RefusedError, LookupError):  # the answer is not kept any more
            return ()
        limit = _WITHIN * face["threshold"]
        return [near for near in face.get("candidates", ()) if near["distance"] <= limit][:_SUGGESTIONS]

    def _ambiguous(self) -> Mapping[str, Any]:
        found = self._site.api.get("/v1/identifications", decision="ambiguous", limit=_FACES, **self._site.here)
        faces = [{**face, "suggested": face["candidates"][:_SUGGESTIONS]} for face in found["faces"]]
        return {"faces": faces, "answers": found["answers"]}

    def _rejected(self) -> Mapping[str, Any]:
        after = request.args.get("after")
        return {"page_of": self._site.api.get("/v1/rejections", limit=_REJECTIONS, after=after, **self._site.here)}

    def name_cluster(self, cluster: str) -> ResponseReturnValue:
        """Enrol a group's faces, and those of the groups that were joined to it."""
        person = _typed("person")
        photos: list[Mapping[str, Any]] = []
        for one in (cluster, *request.form.getlist("joined")):
            once = f"{self._site.once()}-{one}" if self._site.once() else ""
            photos += self._send("POST", at("v1", "clusters", one), json={"person": person}, once=once).json["photos"]
        return self._named("unknown", person, photos)

    def dismiss_cluster(self, cluster: str) -> ResponseReturnValue:
        """Forget a group's faces, and those of the groups that were joined to it."""
        for one in (cluster, *request.form.getlist("joined")):
            self._send("DELETE", at("v1", "clusters", one))
        return self._outcome("unknown", "Dismissed: the faces are not kept any more.")

    def name_face(self, job_id: str, face: int) -> ResponseReturnValue:
        """Enrol an ambiguous face."""
        person = _typed("person")
        query = {"insist": request.form.get("insist")}
        path = _face(job_id, face, "naming")
        answer = self._send("POST", path, json={"person": person}, query=query, once=self._site.once())
        return self._named("ambiguous", person, answer.json["photos"], again=f"/review/faces/{job_id}/{face}/naming")

    def reject_face(self, job_id: str, face: int) -> ResponseReturnValue:
        """Put an ambiguous face on the reject list: it is nobody of those whom it is near to."""
        body = {"identification": job_id, "face": face}
        made = self._send("POST", "/v1/rejections", json=body, once=self._site.once()).json
        if made["verdict"] not in ("accepted", "queued"):
            return self._outcome("ambiguous", f"Not put on the reject list: {made['detail']}.", is_done=False)
        undo = {"path": f"/review/rejections/{made['rejection']}/undo"} if made["verdict"] == "accepted" else None
        return self._outcome("ambiguous", "Put on the reject list.", undo=undo)

    def dismiss_face(self, job_id: str, face: int) -> ResponseReturnValue:
        """Leave an ambiguous face as it is."""
        self._send("POST", _face(job_id, face, "dismissal"))
        return self._outcome("ambiguous", "Dismissed: the answer stays as it is.")

    def undo_naming(self) -> ResponseReturnValue:
        """Erase the photos that a naming has enrolled."""
        person, photos = _typed("person"), request.form.getlist("photo")
        for photo in photos:
            self._send("DELETE", at("v1", "people", person, "photos", photo), query={"wait": _AT_ONCE})
        said = f"Taken back: {counted(len(photos), 'photo is', 'photos are')} not {person} any more."
        return self._outcome(request.form.get("list", "unknown"), said)

    def undo_rejection(self, rejection: str) -> ResponseReturnValue:
        """Take a rejection back."""
        self._send("DELETE", at("v1", "rejections", rejection), query={"wait": _AT_ONCE})
        return self._outcome("rejected", "Taken back: the face may be named again.")

    def _named(
        self, name: str, person: str, photos: Sequence[Mapping[str, Any]], *, again: str = ""
    ) -> ResponseReturnValue:
        """What became of a naming; `again` is where one that was refused may be insisted on."""
        enrolled = [photo["photo"] for photo in photos if photo["verdict"] == "accepted"]
        refused = [photo for photo in photos if photo["verdict"] not in ("accepted", "queued", "duplicate")]
        if refused and len(refused) == len(photos):
            said = f"Not enrolled as {person}: {refused[0]['detail']}."
            return self._outcome(name, said, is_done=False, insist={"path": again, "person": person} if again else None)
        said = f"{counted(len(photos), 'face', 'faces')} named {person}."
        if refused:
            said += f" {counted(len(refused), 'face', 'faces')} could not be enrolled: {refused[0]['detail']}."
        undo = {"path": "/review/namings/undo", "person": person, "photos": enrolled} if enrolled else None
        return self._outcome(name, said, undo=undo)

    def _outcome(
        self,
        name: str,
        said: str,
        *,
        is_done: bool = True,
        undo: Mapping[str, Any] | None = None,
        insist: Mapping[str, Any] | None = None,
    ) -> ResponseReturnValue:
        """What is told after an action: as a part of the page, or on top of the list that was worked on."""
        values = {"list": name, "text": said, "is_done": is_done, "undo": undo, "insist": insist}
        if self._site.is_part:
            return self._site.render("_review_outcome.html", **values), 200 if is_done else 422
        if not is_done or undo:
            return self._site.render("review_outcome.html", page="review", **values)
        return self._site.go("/review", said=said, list=name)

    def _send(self, method: str, path: str, **options: Any) -> Answer:
        query = {**self._site.here, **options.pop("query", {})}
        return self._site.api.send(method, path, query=query, **options)


def _face(job_id: str, face: int, what: str) -> str:
    return at("v1", "identifications", job_id, "faces", str(face), what)


def _typed(field: str) -> str:
    return request.form.get(field, "").strip()
