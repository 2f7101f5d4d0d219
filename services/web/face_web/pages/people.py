"""People: who is enrolled, with which photos and on what terms; enrolling, importing and erasing."""

from collections.abc import Mapping
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web import incoming
from face_web.access import Role
from face_web.pages import words
from face_web.pages.inside import RefusedError, at
from face_web.pages.site import Site

_PAGE = 60
_SUGGESTIONS = 8
_NAMINGS = 12
_INSISTED = ("looks-like-another", "inconsistent")
_WORDS = {
    "accepted": "Enrolled. The next photo is answered with it.",
    "queued": "It waits for a worker, and is enrolled as soon as one has looked at it and finds it fit.",
    "no-face": "There is no face in the photo.",
    "several-faces": "Several faces are equally prominent: enrolment needs a photo of one person.",
    "too-small": "The face is too small to be told from others later.",
    "blurred": "The face is not sharp enough.",
    "extreme-pose": "The face looks too far to the side.",
    "duplicate": "The same file is enrolled already.",
    "looks-like-another": "The face looks like somebody else who is enrolled.",
    "inconsistent": "The face does not look like this person's other photos.",
    "unreadable": "The file cannot be read as a photo.",
    "failed": "It could not be looked at. Send it again.",
}
Verdict = Mapping[str, Any]


def register(site: Site) -> None:
    """Declare the pages."""
    people, person = _People(site), _Person(site)
    enrol: dict[str, Any] = {"role": Role.ENROL}
    one = "/people/<person>"
    site.page("GET", "/people", people.list, id="people", **enrol)
    site.page("POST", "/people", people.add, id="add-person", **enrol)
    site.page("GET", "/people/suggestions", people.suggest, id="people-suggestions", **enrol)
    site.page("GET", "/people/import", people.importing, id="import", **enrol)
    site.page("POST", "/people/import", people.take_import, id="import-archive", **enrol)
    site.page("GET", one, person.show, id="person", **enrol)
    site.page("POST", f"{one}/photos", person.enrol, id="enrol-photos", **enrol)
    site.page("POST", f"{one}/photos/<photo>/removal", person.remove, id="remove-photo", **enrol)
    site.page("GET", f"{one}/identifications", person.namings, id="person-identifications", **enrol)
    site.page("POST", f"{one}/consent", person.consent, id="record-consent", **enrol)
    site.page("POST", f"{one}/expiry", person.expire, id="set-expiry", **enrol)
    site.page("POST", f"{one}/name", person.rename, id="rename-person", **enrol)
    site.page("POST", f"{one}/merge", person.merge, id="merge-person", **enrol)
    site.page("GET", f"{one}/erasure", person.ask_erasure, id="ask-erasure", **enrol)
    site.page("POST", f"{one}/erasure", person.erase, id="begin-erasure", **enrol)
    site.page("GET", "/erasures/<erasure>", person.receipt, id="erasure", **enrol)


class _People:
    """Everybody."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def list(self) -> str:
        """A page of faces, or only those for a search that goes on."""
        search, after = request.args.get("search", "").strip(), request.args.get("after", "")
        query = {**self._site.here, "search": search, "after": after, "limit": _PAGE}
        found = self._site.api.get("/v1/people", **query)
        template = "_people.html" if self._site.is_part else "people.html"
        return self._site.render(
            template,
            page="people",
            found=found,
            search=search,
            after=after,
            demands_consent=_demands_consent(self._site),
        )

    def suggest(self) -> str:
        """Names for a field: those that have what was typed in them."""
        typed = next((text for name in ("person", "into") if (text := request.args.get(name, "").strip())), "")
        if not typed:
            return ""
        query = {**self._site.here, "search": typed, "limit": _SUGGESTIONS}
        return self._site.render("_suggestions.html", people=self._site.api.get("/v1/people", **query)["people"])

    def add(self) -> ResponseReturnValue:
        """Enrol somebody new, with their consent where there is one."""
        person, reference = (request.form.get(name, "").strip() for name in ("person", "reference"))
        incoming.as_person(person)  # a slash in it would make another path
        if reference:
            _change(self._site, person, consent={"reference": reference})
        return _enrolled(self._site, person)

    def importing(self) -> str:
        """How many people are enrolled at once."""
        return self._site.render("people_import.html", page="people", demands_consent=_demands_consent(self._site))

    def take_import(self) -> ResponseReturnValue:
        """Pass an archive on: a small one, where scripts do not run. Others go to the API straight from the browser."""
        file = request.files.get("archive")
        if file is None or not file.filename:
            raise ServiceError(Code.IMAGE_MISSING, "choose a zip of photos first")
        query = {**self._site.here, "consent": request.form.get("reference", "").strip() or None}
        query["insist"] = request.form.get("insist")
        files = [("archive", "archive.zip", file.read())]
        taken = self._site.api.send("POST", "/v1/imports", query=query, files=files, once=self._site.once())
        return self._site.go(at("jobs", "imports", taken.json["id"]))


class _Person:
    """One of them."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, person: str) -> str:
        """The person, or only their photos once some were enrolled."""
        found = self._site.api.get(at("v1", "people", person), **self._site.here)
        photos = [{**photo, "when": _when(photo["enrolled_at"])} for photo in found["photos"]]
        template = "_person_photos.html" if self._site.is_part else "person.html"
        return self._site.render(
            template,
            page="people",
            person=person,
            photos=photos,
            consent=_with_days(found["consent"]),
            expires=words.day(found["expires_at"]),
            demands_consent=_demands_consent(self._site),
        )

    def enrol(self, person: str) -> ResponseReturnValue:
        """Enrol more photos."""
        return _enrolled(self._site, person)

    def remove(self, person: str, photo: str) -> ResponseReturnValue:
        """Erase one photo; where it was the last one and nothing else is kept, the person goes with it."""
        path = at("v1", "people", person, "photos", photo)
        receipt = self._site.api.send("DELETE", path, query=self._site.here | {"wait": 0}).json
        if receipt["scope"] == "person":
            return self._site.go(at("erasures", receipt["id"]))
        return self._site.go(at("people", person), said="The photo is no longer enrolled.")

    def namings(self, person: str) -> str:
        """The answers that name the person."""
        path = at("v1", "people", person, "identifications")
        found = self._site.api.get(path, **self._site.here, limit=_NAMINGS if self._site.is_part else None)
        faces = [{**naming, "when": _when(naming["asked_at"])} for naming in found["identifications"]]
        template = "_namings.html" if self._site.is_part else "namings.html"
        return self._site.render(template, page="people", person=person, found=found, faces=faces)

    def consent(self, person: str) -> ResponseReturnValue:
        """Record that the person agreed."""
        given = {"reference": request.form.get("reference", "").strip()}
        if day := request.form.get("given_at"):
            given["given_at"] = _midnight(day)
        _change(self._site, person, consent=given)
        return self._site.go(at("people", person), said="The consent is recorded.")

    def expire(self, person: str) -> ResponseReturnValue:
        """Say when the person is to be erased, or that they are not."""
        day = request.form.get("expires_at", "") if "never" not in request.form else ""
        _change(self._site, person, expires_at=_midnight(day) if day else None)
        said = (
            f"They will be erased on {words.day(_midnight(day))}." if day else "They stay until somebody erases them."
        )
        return self._site.go(at("people", person), said=said)

    def rename(self, person: str) -> ResponseReturnValue:
        """Give the person another name."""
        name = request.form.get("name", "").strip()
        _change(self._site, person, name=name)
        return self._site.go(at("people", name), said="The person has another name now.")

    def merge(self, person: str) -> ResponseReturnValue:
        """Make this person and another one."""
        into = request.form.get("into", "").strip()
        path = at("v1", "people", person, "merge")
        self._site.api.send("POST", path, json={"into": into}, query=self._site.here, once=self._site.once())
        return self._site.go(at("people", into), said="The two are one person now.")

    def ask_erasure(self, person: str) -> str:
        """What would go, before anything does."""
        found = self._site.api.get(at("v1", "people", person), **self._site.here)
        return self._site.render("erase_person.html", page="people", person=person, found=found)

    def erase(self, person: str) -> ResponseReturnValue:
        """Begin, and show the receipt while it goes on."""
        receipt = self._site.api.send("DELETE", at("v1", "people", person), query=self._site.here | {"wait": 0}).json
        return self._site.go(at("erasures", receipt["id"]))

    def receipt(self, erasure: str) -> str:
        """The receipt, which does not name anybody."""
        found = self._site.api.get(at("v1", "erasures", erasure))
        template = "_receipt.html" if self._site.is_part else "erasure.html"
        times = {name: _when(found[name]) for name in ("began_at", "finished_at")}
        return self._site.render(template, page="people", receipt=found, **times)


def _enrolled(site: Site, person: str) -> ResponseReturnValue:
    """Enrol the photos of the form: a part of a page with their verdicts, or a page where one was not accepted."""
    files = [file for file in request.files.getlist("image") if file.filename]
    if not files:
        raise ServiceError(Code.IMAGE_MISSING, "choose a photo first")
    query = {**site.here, "insist": request.form.get("insist")}
    path, uploads = at("v1", "people", person, "photos"), [_upload(file) for file in files]
    photos = site.api.send("POST", path, query=query, files=uploads, once=site.once()).json["photos"]
    verdicts = [_explained(photo) for photo in photos]
    if site.is_part:
        return site.render("_verdicts.html", verdicts=verdicts)
    if all(photo["verdict"] == "accepted" for photo in photos):
        said = f"{words.counted(len(photos), 'photo is', 'photos are')} enrolled."
        return site.go(at("people", person), said=said)
    is_known = any(photo["verdict"] == "accepted" for photo in photos) or _is_known(site, person)
    return site.render("enrolled.html", page="people", person=person, verdicts=verdicts, is_known=is_known)


def _upload(file: FileStorage) -> tuple[str, str, bytes]:
    return "image", words.photo_name(file.filename or ""), file.read()


def _is_known(site: Site, person: str) -> bool:
    """Whether there is a page of this person."""
    try:
        site.api.get(at("v1", "people", person), **site.here)
    except RefusedError as refusal:
        if refusal.code != Code.NOT_FOUND:
            raise
        return False
    return True


def _explained(photo: Mapping[str, Any]) -> Verdict:
    """A verdict with words for it, how it looks, and whether one may insist."""
    verdict = photo["verdict"]
    kind = {"accepted": "good", "queued": "", "duplicate": ""}.get(verdict, "warn" if verdict in _INSISTED else "bad")
    title, can_insist = verdict.replace("-", " ").capitalize(), verdict in _INSISTED
    return {**photo, "title": title, "kind": kind, "words": _WORDS.get(verdict, ""), "can_insist": can_insist}


def _change(site: Site, person: str, **changes: Any) -> None:
    site.api.send("PUT", at("v1", "people", person), json=changes, query=site.here)


def _demands_consent(site: Site) -> bool:
    return site.services.settings.consent_required


def _midnight(day: str) -> str:
    """The beginning of a day of a form, as the API takes it: in UTC."""
    return f"{day}T00:00:00Z"


def _when(at_: float | str | None) -> Mapping[str, str] | None:
    """A time for machines and for people."""
    if at_ is None:
        return None
    return {"iso": words.moment(at_).isoformat(timespec="seconds"), "text": f"{words.minute(at_)} UTC"}


def _with_days(consent: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if consent is None:
        return None
    return {**consent, "given": words.day(consent["given_at"]), "recorded": words.day(consent["recorded_at"])}
