"""Jobs: batches, imports and re-encodings with what became of each file, and the jobs that no worker could finish."""

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, make_response, request
from flask.typing import ResponseReturnValue

from face_common.contract import Code
from face_common.errors import ServiceError
from face_web.access import Role
from face_web.pages import words
from face_web.pages.inside import RefusedError, Upload, at
from face_web.pages.site import Site

_LISTED = 20  # jobs on a page
_ROWS = 50  # files on a page
_WINDOW = 500  # files looked at in one call where few of them are wanted
_LOOKED_THROUGH = 2000  # files for one page at most: of a hundred thousand perhaps none is wanted
_LETTERS = 50
_TITLES = {"batch": "Batch", "import": "Import", "reencoding": "Re-encoding"}
_PLACES = {"batch": "batches", "import": "imports", "reencoding": "reencodings"}
_READERS = {
    "batch": "keys of this collection; they may cancel it, too",
    "import": "keys of this collection that may enrol; they may cancel it, too",
    "reencoding": "keys of this collection that may enrol; begun by admins",
}
_OVER = ("done", "cancelled", "failed")
_STATE_TONES = {"done": "good", "running": "running", "failed": "bad", "cancelled": "warn"}
_GOOD = frozenset({"done", "accepted"})
_PLAIN = frozenset({"batch-cancelled", "not-found", "duplicate"})
_VERDICTS = frozenset(
    {"no-face", "several-faces", "too-small", "blurred", "extreme-pose", "looks-like-another", "inconsistent"}
)
_TELLING = ("match", "ambiguous", "unknown")
_JOB = "/jobs/<any(batches, imports, reencodings):place>/<job_id>"


@dataclass(frozen=True, slots=True)
class Share:
    """How many files came to one end: a piece of a bar that is 100 wide."""

    outcome: str
    count: int
    tone: str
    """good, warn, bad or plain."""
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Files:
    """Some of a job's files."""

    rows: Sequence[Mapping[str, Any]]
    looked: int
    """How many files were looked at for them."""
    next: int | None
    """The index after which the next page begins; None on the last one."""


def register(site: Site) -> None:
    """Declare the pages."""
    jobs, letters = _Jobs(site), _Letters(site)
    role: dict[str, Any] = {"role": Role.ENROL}
    site.page("GET", "/jobs", jobs.all, id="jobs", **role)
    site.page("POST", "/jobs/batches", jobs.begin, id="begin-batch", **role)
    site.page("POST", "/jobs/reencodings", jobs.reencode, id="begin-reencoding", role=Role.ADMIN)
    site.page("GET", _JOB, jobs.one, id="job", **role)
    site.page("GET", f"{_JOB}/files", jobs.files, id="job-files", **role)
    site.page("POST", f"{_JOB}/cancel", jobs.cancel, id="cancel-job", **role)
    site.page("GET", "/jobs/dead-letters", letters.all, id="dead-letters", role=Role.ADMIN)
    site.page("POST", "/jobs/dead-letters/redrive", letters.redrive, id="redrive-letters", role=Role.ADMIN)
    site.page("POST", "/jobs/dead-letters/discard", letters.discard, id="discard-letters", role=Role.ADMIN)


class _Jobs:
    def __init__(self, site: Site) -> None:
        self._site = site

    def all(self) -> str:
        """The collection's jobs of all kinds, the newest first: a page, or its list."""
        after = request.args.get("after")
        found = [job for plural in ("batches", "imports") for job in self._listed(plural, after)]
        found.sort(key=lambda job: str(job["id"]), reverse=True)
        shown = [told(job, _now()) for job in found[:_LISTED]]
        following = shown[-1]["id"] if len(found) > _LISTED else None
        template = "_jobs.html" if self._site.is_part else "jobs.html"
        return self._site.render(template, page="jobs", jobs=shown, after=after, next=following)

    def _listed(self, plural: str, after: str | None) -> Sequence[Mapping[str, Any]]:
        query = {**self._site.here, "limit": _LISTED + 1, "after": after}
        listed: Sequence[Mapping[str, Any]] = self._site.api.get(f"/v1/{plural}", **query)[plural]
        return listed

    def begin(self) -> ResponseReturnValue:
        """Begin a batch of the photos, or of the zip, of a form."""
        files = [file for file in request.files.getlist("file") if file.filename]
        if not files:
            raise ServiceError(Code.IMAGE_MISSING, "choose photos, or one zip")
        is_zip = len(files) == 1 and (files[0].filename or "").lower().endswith(".zip")
        field = "archive" if is_zip else "image"
        sent: list[Upload] = [(field, file.filename or "photo", file.read()) for file in files]
        once = self._site.once()
        taken = self._site.api.send("POST", "/v1/batches", query=self._site.here, files=sent, once=once).json
        return self._site.go(at("jobs", "batches", taken["id"]))

    def reencode(self) -> ResponseReturnValue:
        """Begin to encode everybody again."""
        once = self._site.once()
        taken = self._site.api.send("POST", "/v1/gallery/reencodings", query=self._site.here, once=once).json
        return self._site.go(at("jobs", "reencodings", taken["id"]))

    def one(self, place: str, job_id: str) -> ResponseReturnValue:
        """A job with its files: a page, or the part of it that tells how far it has come."""
        job = told(self._site.api.get(_address(place, job_id)), _now())
        if not self._site.is_part:
            return self._site.render("job.html", page="jobs", job=job, place=place, **self._found(place, job))
        response: Response = make_response(self._site.render("_job_now.html", job=job, place=place, live=True))
        if not job["is_open"]:
            response.headers["HX-Trigger"] = "ended"  # the list of files is read a last time
        return response

    def files(self, place: str, job_id: str) -> str:
        """What became of a job's files, as a part of its page."""
        job = told(self._site.api.get(_address(place, job_id)), _now())
        return self._site.render("_job_files.html", job=job, place=place, **self._found(place, job))

    def _found(self, place: str, job: Mapping[str, Any]) -> dict[str, Any]:
        """The page of files that the query asks for."""
        outcome, after = request.args.get("outcome", ""), request.args.get("after", -1, int)
        files = self._files(_address(place, job["id"]), outcome, after, job["finished"])
        return {"files": files, "outcome": outcome, "after": after}

    def _files(self, address: str, outcome: str, after: int, finished: int) -> Files:
        """A page of files behind this index, of those that have their verdict."""
        rows: list[Mapping[str, Any]] = []
        end, window = after, _WINDOW if outcome else _ROWS
        while len(rows) < _ROWS and end - after < _LOOKED_THROUGH and end + 1 < finished:
            query = {"after": end, "limit": window, "outcome": outcome}
            body = self._site.api.send("GET", f"{address}/results", query=query).body
            rows += [shown(json.loads(line)) for line in body.splitlines()]
            end += window
        if len(rows) > _ROWS:
            rows = rows[:_ROWS]
            end = rows[-1]["index"]
        end = min(end, finished - 1)
        return Files(rows, max(end - after, 0), end if end + 1 < finished else None)

    def cancel(self, place: str, job_id: str) -> ResponseReturnValue:
        """Begin nothing more of a job."""
        self._site.api.send("DELETE", _address(place, job_id))
        return self._site.go(at("jobs", place, job_id), said="Cancelled. Files that are with a worker are finished.")


class _Letters:
    def __init__(self, site: Site) -> None:
        self._site = site

    def all(self) -> str:
        """The jobs that no worker could finish: a page, or its list."""
        after = request.args.get("after")
        found = self._site.api.get("/v1/dead-letters", limit=_LETTERS, after=after)
        letters = [{**letter, "at": words.second(letter["at"])} for letter in found["dead_letters"]]
        template = "_dead_letters.html" if self._site.is_part else "dead_letters.html"
        values = {"letters": letters, "total": found["total"], "next": found["next"], "after": after}
        return self._site.render(template, page="jobs", **values)

    def redrive(self) -> ResponseReturnValue:
        """Send the letters of the form anew."""
        return self._each("POST", "/redrive", "sent anew")

    def discard(self) -> ResponseReturnValue:
        """Forget the letters of the form."""
        return self._each("DELETE", "", "discarded")

    def _each(self, method: str, action: str, done: str) -> ResponseReturnValue:
        """Do it with each letter; one that is refused holds none of the others up."""
        refused = []
        letters = request.form.getlist("letter")
        for letter in letters:
            path, once = at("v1", "dead-letters", letter) + action, self._site.once()
            try:
                self._site.api.send(method, path, once=f"{once}-{letter}" if once and method == "POST" else "")
            except RefusedError as refusal:
                refused.append(refusal.detail)
        said = f"{len(letters) - len(refused)} {done}."
        if refused:
            said += f" {len(refused)} refused: {refused[0]}."
        return self._site.go("/jobs/dead-letters", said=said)


def _address(place: str, job_id: str) -> str:
    """Of a job in the API, where re-encodings are among the batches."""
    return at("v1", "imports" if place == "imports" else "batches", job_id)


def told(job: Mapping[str, Any], now: datetime.datetime) -> Mapping[str, Any]:
    """A job as pages show it: with words and a bar beside the numbers."""
    kind, is_open = job["kind"], job["state"] not in _OVER
    return {
        **job,
        "title": _TITLES[kind],
        "place": _PLACES[kind],
        "readers": _READERS[kind],
        "is_open": is_open,
        "tone": _STATE_TONES.get(job["state"], ""),
        "shares": list(shares(job["outcomes"], job["total"] or job["finished"])),
        "created": words.second(job["created_at"]),
        "started": words.second(job["started_at"]),
        "took": _took(job, now),
        "eta": span(job["eta_s"]) if job["eta_s"] is not None and is_open else "",
    }


def shares(outcomes: Mapping[str, int], total: int) -> Iterator[Share]:
    """The pieces of a job's bar: what went well first, then what needs a look."""
    order = ("good", "warn", "plain", "bad")
    left = 0.0
    for outcome, count in sorted(outcomes.items(), key=lambda item: (order.index(tone(item[0])), -item[1], item[0])):
        width = 100 * count / max(total, 1)
        yield Share(outcome, count, tone(outcome), round(left, 3), round(width, 3))
        left += width


def tone(outcome: str) -> str:
    """What an outcome means for whoever looks: good, warn, plain or bad."""
    if outcome in _GOOD:
        return "good"
    return "warn" if outcome in _VERDICTS else "plain" if outcome in _PLAIN else "bad"


def shown(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """A line of a job's results as its table shows it: of several faces the one that says most."""
    result = line["result"] or {}
    faces = [face for face in result.get("faces", ()) if "decision" in face]
    face: Mapping[str, Any] = min(faces, key=lambda face: _TELLING.index(face["decision"]), default={})
    return {
        "index": line["index"],
        "id": line["id"],
        "name": line["name"],
        "outcome": line["outcome"],
        "tone": tone(line["outcome"]),
        "detail": line["detail"],
        "person": face.get("person") or result.get("person") or "",
        "decision": face.get("decision", ""),
        "faces": len(result["faces"]) if "faces" in result else None,
        "is_identified": result.get("operation") == "identify" and result.get("state") == "done",
    }


def span(seconds: float) -> str:
    """A length of time as people say it."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    if minutes:
        return f"{minutes} min {whole % 60:02d} s"
    return f"{whole} s" if seconds >= 10 else f"{round(seconds, 1):g} s"


def _took(job: Mapping[str, Any], now: datetime.datetime) -> str:
    """How long it took, or takes so far; empty before it was begun."""
    if not job["started_at"]:
        return ""
    end = datetime.datetime.fromisoformat(job["finished_at"]) if job["finished_at"] else now
    return span(max((end - datetime.datetime.fromisoformat(job["started_at"])).total_seconds(), 0.0))


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
