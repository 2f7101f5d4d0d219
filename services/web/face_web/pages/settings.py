"""Settings: keys, thresholds, the gallery's versions, what is kept how long, and who did what."""

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from face_common.calibrations import BINS, FARTHEST, Calibration, Histogram, OperatingPoint
from face_common.contract import Code
from face_common.errors import ServiceError
from face_web import incoming
from face_web.access import Role
from face_web.pages import charts
from face_web.pages.inside import RefusedError, at
from face_web.pages.site import Site
from face_web.pages.words import counted, minute
from face_web.traces import first_id

_VERSIONS = 15  # on the page; the others on request
_ENTRIES = 50  # of the audit log, on a page
_DAYS = 7  # back in the audit log, unless asked for more
_DECADES = 3  # of false matches: fewer than one in a thousand is hardly ever measured
_BINS = 12  # of a histogram end where the horizontal axis has a round number
_TOLD_RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
_GALLERY_FILE = "application/jsonl"
_TABS = (
    ("keys", "/settings", "Keys", Role.SUBMIT, False),
    ("thresholds", "/settings/thresholds", "Thresholds", Role.ADMIN, False),
    ("gallery", "/settings/gallery", "Gallery", Role.ADMIN, False),
    ("retention", "/settings/retention", "Retention", Role.ADMIN, True),
    ("audit", "/settings/audit", "Audit log", Role.ADMIN, True),
)
"""Id, path, title, role, and whether a key is needed that is bound to no collection."""
_KEPT = (
    ("Photos that were asked about", "FACE_KEEP_PROBES_DAYS", ""),
    ("Answers, which name people, and notes of jobs that died", "FACE_KEEP_RESULTS_DAYS", ""),
    ("Faces that nobody was named for, where they are kept at all", "FACE_KEEP_UNKNOWN_DAYS", ""),
    ("Photos of enrolled people", "FACE_KEEP_PHOTOS_DAYS", "or until they are erased; their templates stay"),
)
"""What goes by the day: what it is, the setting, and what else is to be said."""


def register(site: Site) -> None:
    """Declare the pages."""
    keys, gallery, reading = _Keys(site), _Gallery(site), _Reading(site)
    admin: dict[str, Any] = {"role": Role.ADMIN}
    site.page("GET", "/settings", keys.all, id="settings", role=Role.SUBMIT)
    site.page("POST", "/settings/keys", keys.make, id="make-key", **admin)
    site.page("POST", "/settings/keys/<key>/revocation", keys.revoke, id="end-key", **admin)
    site.page("GET", "/settings/thresholds", reading.thresholds, id="thresholds", **admin)
    site.page("GET", "/settings/retention", reading.retention, id="retention", **admin)
    site.page("GET", "/settings/audit", reading.audit, id="audit", **admin)
    site.page("GET", "/settings/gallery", gallery.show, id="gallery", **admin)
    site.page("POST", "/settings/gallery/restoration", gallery.restore, id="restore", **admin)
    site.page("POST", "/settings/gallery/import", gallery.take_in, id="take-in", **admin)


class _Section:
    """One tab."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def _render(self, tab: str, **values: Any) -> str:
        caller = incoming.caller()
        tabs = [
            (id_, path, title)
            for id_, path, title, role, unbound in _TABS
            if caller.role.covers(role) and not (unbound and caller.is_bound)
        ]
        return self._site.render(f"settings_{tab}.html", page="settings", tab=tab, tabs=tabs, when=minute, **values)


class _Keys(_Section):
    def all(self) -> str:
        """The reader's own key and, for those who run the service, everybody's."""
        return self._shown()

    def _shown(self, **values: Any) -> str:
        caller = incoming.caller()
        runs_it = caller.role.covers(Role.ADMIN) and not caller.is_bound
        keys = self._site.api.get("/v1/keys")["keys"] if runs_it else ()
        now = datetime.datetime.now(datetime.UTC)
        told = [{**key, "is_over": _is_over(key["expires_at"], now)} for key in reversed(keys)]
        shown = {"me": self._site.api.get("/v1/me"), "keys": told, "runs_it": runs_it, "roles": list(Role)}
        return self._render("keys", **{"made": None, "fault": "", "form": {}, **shown, **values})

    def make(self) -> ResponseReturnValue:
        """Make a key of the form; its text is on the page that comes, and nowhere afterwards."""
        form = request.form
        try:
            answer = self._site.api.send("POST", "/v1/keys", json=key_wanted(form), once=self._site.once())
        except RefusedError as refusal:
            return self._shown(fault=refusal.detail, form=form), refusal.status
        return self._shown(made=answer.json)

    def revoke(self, key: str) -> ResponseReturnValue:
        """End a key."""
        gone = self._site.api.send("DELETE", at("v1", "keys", key)).json
        return self._site.go("/settings", said=f"The key {gone['name']} is revoked.")


class _Reading(_Section):
    def thresholds(self) -> str:
        """Where the collection's threshold comes from, and what it does."""
        try:
            told: Calibration = self._site.api.get("/v1/gallery/calibration", **self._site.here)
        except RefusedError as refusal:
            if refusal.code != Code.NOT_FOUND:
                raise
            return self._render("thresholds", told=None, why=refusal.detail)
        return self._render(
            "thresholds",
            told=told,
            basis=basis(told),
            percent=percent,
            spread=spread(told),
            roc=roc(told),
            rows=choices(told),
            bins=bins(told["genuine"], told["impostors"]),
        )

    def retention(self) -> str:
        """What is kept how long, and how the service is set up."""
        told = self._site.api.get("/v1/settings")
        values = {row["name"]: row["value"] for row in told["settings"]}
        kept = [(what, lasting(values[name], besides), name) for what, name, besides in _KEPT]
        return self._render("retention", kept=kept, values=values, told=told)

    def audit(self) -> str:
        """Who did what, from a day on."""
        asked = request.args
        action, after = asked.get("action", "").strip(), asked.get("after", "")
        since = asked.get("since") or (_today() - datetime.timedelta(days=_DAYS)).isoformat()
        begin = after or first_id(_midnight(since).timestamp())
        found = self._site.api.get("/v1/audit", after=begin, action=action, limit=_ENTRIES)
        seen = sorted({entry["action"] for entry in found["entries"]})
        return self._render("audit", **found, since=since, action=action, after=after, actions=seen)


class _Gallery(_Section):
    def show(self) -> str:
        """What is in the collection, which versions can be gone back to, export and import."""
        described = self._site.api.get("/v1/gallery", **self._site.here)
        versions = self._site.api.get("/v1/gallery/versions", **self._site.here)["versions"]
        shown = versions if "all" in request.args else versions[:_VERSIONS]
        return self._render("gallery", described=described, versions=shown, count=len(versions))

    def restore(self) -> ResponseReturnValue:
        """Go back to a version."""
        body = {"version": request.form.get("version", "")}
        path = "/v1/gallery/restorations"
        done = self._site.api.send("POST", path, json=body, query=self._site.here, once=self._site.once()).json
        changed = f"{counted(len(done['removed']), 'photo')} removed, {counted(len(done['added']), 'photo')} back"
        said = f"It is as it was at version {done['restored']}: {changed}. This is version {done['gallery_version']}."
        return self._site.go("/settings/gallery", said=said)

    def take_in(self) -> ResponseReturnValue:
        """Enrol what a small export holds; larger ones are sent by a script, past the form."""
        file = request.files.get("file")
        if file is None or not file.filename:
            raise ServiceError(Code.PARAMETER_INVALID, "choose a file that was exported before")
        sent: dict[str, Any] = {"body": file.read(), "kind": _GALLERY_FILE, "once": self._site.once()}
        done = self._site.api.send("POST", "/v1/gallery/imports", query=self._site.here, **sent).json
        said = f"{counted(done['templates'], 'template')} of {counted(done['people'], 'person', 'people')} imported"
        return self._site.go("/settings/gallery", said=f"{said}; {done['present']} were there already.")


def key_wanted(form: Mapping[str, str]) -> dict[str, Any]:
    """The body of the call that makes a key, of what a form says; what is wrong in it is told by the call."""
    names = form.get("collections", "").replace(",", " ").split()
    rate, day = form.get("rate", "").strip(), form.get("expires", "").strip()
    return {
        "name": form.get("name", "").strip(),
        "role": form.get("role", ""),
        "collections": names or None,
        "rate": _number(rate) if rate else None,
        "expires_at": f"{day}T23:59:59Z" if day else None,
    }


def lasting(days: float, besides: str) -> str:
    """How long something is kept, in words."""
    if not days:
        return f"For ever, {besides}" if besides else "For ever, or until somebody they name is erased"
    return f"{counted(days, 'day')}{', ' if besides else ''}{besides}"


def percent(share: float | None) -> str:
    """A share as people read it: three digits at most, small ones as exactly as large ones."""
    if share is None:
        return "not known"
    if not 0 < share < 1:
        return f"{100 * share:.0f} %"
    decimals = max(0, 1 - math.floor(math.log10(100 * min(share, 1 - share) + 1e-12)))
    return f"{100 * share:.{min(decimals, 3)}f} %"


def basis(told: Calibration) -> str:
    """Where the threshold comes from, in words."""
    if told["fixed_threshold"] is not None:
        return "The operator has fixed it (FACE_THRESHOLD). It stays the same whoever is enrolled."
    aim = f"so that {percent(told['wanted_false_match_rate'])} of strangers get a name (FACE_FALSE_POSITIVE_RATE)"
    own, others = percent(told["own_weight"]), percent(1 - told["own_weight"])
    if not told["own_weight"]:
        return f"It follows from what was learned from other people, {aim}."
    return (
        f"It follows from how near this collection’s people come to each other, {aim}. "
        f"They count {own}, what was learned from other people {others}: the more people, the more they count."
    )


def spread(told: Calibration) -> charts.Chart:
    """Histograms of genuine and impostor distances, with the threshold as a line."""
    groups = {"different": told["impostors"], "same": told["genuine"]}
    last = max((place for group in groups.values() for place, count in enumerate(group["counts"]) if count), default=0)
    shown = min(_BINS * math.ceil((last + 1) / _BINS), BINS)
    width = FARTHEST / BINS
    middles = {
        name: [width * (place + 0.5) for place, count in enumerate(group["counts"]) for _ in range(count)]
        for name, group in groups.items()
    }
    return charts.histogram(middles, low=0.0, high=width * shown, bins=shown, thresholds=[told["threshold"]])


def roc(told: Calibration) -> charts.Chart | None:
    """The curve, with the threshold in force as a mark; None where there is none."""
    points = [place for point in told["curve"] if (place := _placed(point)) is not None]
    mark = _placed(told["at_threshold"])
    return charts.curve(points, marks=[mark] if mark else [], decades=_DECADES) if points else None


def choices(told: Calibration) -> Sequence[Mapping[str, Any]]:
    """Some thresholds, ascending, with what they would do: those of usual rates, and the one in force."""
    points = told["curve"]
    found = {told["threshold"]: {**told["at_threshold"], "is_now": True}}
    for rate in _TOLD_RATES:
        below = [point for point in points if (point["false_match_rate"] or 0.0) <= rate]
        if below and below[-1]["false_match_rate"]:
            found.setdefault(below[-1]["threshold"], {**below[-1], "is_now": False})
    return [found[threshold] for threshold in sorted(found)]


def bins(genuine: Histogram, impostors: Histogram) -> Sequence[tuple[float, float, int, int]]:
    """The histograms as rows: from, to, genuine, impostors; without rows of nothing."""
    width = FARTHEST / BINS
    both = enumerate(zip(genuine["counts"], impostors["counts"], strict=True))
    return [(width * place, width * (place + 1), ours, theirs) for place, (ours, theirs) in both if ours or theirs]


def _placed(point: OperatingPoint) -> tuple[float, float] | None:
    wrong, right = point["false_match_rate"], point["true_match_rate"]
    return None if wrong is None or right is None else (wrong, right)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _is_over(moment: str | None, now: datetime.datetime) -> bool:
    return moment is not None and datetime.datetime.fromisoformat(moment) <= now


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _midnight(day: str) -> datetime.datetime:
    """The day's beginning, in UTC; ServiceError when it is no day."""
    try:
        return datetime.datetime.combine(datetime.date.fromisoformat(day), datetime.time(), datetime.UTC)
    except ValueError as error:
        raise ServiceError(Code.PARAMETER_INVALID, f"since: {day} is no day as ISO 8601 writes it") from error
