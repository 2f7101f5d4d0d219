"""Fleet: what waits, who works, what was decided and why, what would be if; and, for those who run it, the override."""

import datetime
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from face_common.contract import Code
from face_web.access import Role
from face_web.pages import words
from face_web.pages.charts import Chart, lines, stack
from face_web.pages.inside import RefusedError
from face_web.pages.site import Site

_SHOWN_SECONDS = 600.0
_BIN_SECONDS = 4.0
_DECISIONS = 700  # more than one a second for as long as is shown
_SENTENCES = 40
_CALM = ("steady", "quiet", "busy")
"""Causes of holding that take turns while all is well."""
_ACROSS = ("10 min ago", "5 min", "now")
_STATES = ("ready", "booting", "draining", "stopped")
_TERMS = {"": "until it is lifted", "600": "10 minutes", "3600": "1 hour", "14400": "4 hours", "86400": "1 day"}
"""For how long an override may be set: seconds, and how the form calls them."""
Decision = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Slider:
    """A number of the what-if form."""

    name: str
    label: str
    least: float
    most: float
    step: float
    value: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A decision of the list; or several one after the other that changed nothing, and for no other cause."""

    decision: Decision
    """The newest of them."""
    times: int
    began: str


def register(site: Site) -> None:
    """Declare the pages."""
    fleet = _Fleet(site)
    site.page("GET", "/fleet", fleet.show, id="fleet", role=Role.SUBMIT)
    site.page("GET", "/fleet/now", fleet.now, id="fleet-now", role=Role.SUBMIT)
    site.page("GET", "/fleet/what-if", fleet.what_if, id="fleet-what-if", role=Role.SUBMIT)
    site.page("POST", "/fleet/override", fleet.set_override, id="fleet-override", role=Role.ADMIN)
    site.page("POST", "/fleet/override/lift", fleet.lift_override, id="fleet-override-lift", role=Role.ADMIN)


class _Fleet:
    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, fault: Mapping[str, Any] | None = None) -> str:
        """The page, also where there is no fleet, or none was seen yet."""
        try:
            values = self._seen()
        except RefusedError as refusal:
            if refusal.code not in (Code.NOT_FOUND, Code.FLEET_UNKNOWN):
                raise
            return self._site.render("fleet.html", page="fleet", missing=refusal.code, fleet=None)
        asked = self._supposed()
        return self._site.render(
            "fleet.html",
            page="fleet",
            missing="",
            fault=fault,
            terms=_TERMS,
            sliders=sliders(values["fleet"], asked["policy"], request.args),
            supposed=asked,
            **values,
        )

    def now(self) -> str:
        """What changes all the time: a part of the page that is asked for again and again."""
        return self._site.render("_fleet_live.html", **self._seen())

    def what_if(self) -> ResponseReturnValue:
        """What would be decided, by the numbers of the form."""
        if not self._site.is_part:
            return self.show()
        return self._site.render("_fleet_what_if.html", supposed=self._supposed())

    def set_override(self) -> ResponseReturnValue:
        """Pause the fleet, or pin it."""
        form = request.form
        wish: dict[str, Any] = {"mode": form.get("mode", ""), "why": form.get("why", "").strip(), "until": None}
        if wish["mode"] == "pin":
            wish["workers"] = _whole(form.get("workers", ""))
        if form.get("term", "") in _TERMS.keys() - {""}:
            wish["until"] = words.moment(time.time() + float(form["term"])).isoformat()
        try:
            self._site.api.send("PUT", "/v1/fleet/override", json=wish)
        except RefusedError as refusal:
            return self.show(refusal.problem), refusal.status
        return self._site.go("/fleet", said=f"The fleet is {'pinned' if wish['mode'] == 'pin' else 'paused'}.")

    def lift_override(self) -> ResponseReturnValue:
        """Let the load decide again."""
        self._site.api.send("DELETE", "/v1/fleet/override")
        return self._site.go("/fleet", said="The load decides again.")

    def _seen(self) -> dict[str, Any]:
        api = self._site.api
        fleet = api.get("/v1/fleet")
        decisions = api.get("/v1/fleet/decisions", limit=_DECISIONS)["decisions"]
        return {
            "fleet": fleet,
            "override": api.get("/v1/fleet/override")["override"],
            "charts": charts(decisions, fleet["now"]),
            "rate": fleet["workers"]["running"] * fleet["measured"]["slots"] / fleet["measured"]["service_s"],
            "entries": folded(decisions)[:_SENTENCES],
            "instances": [
                {**one, "age": duration(fleet["now"] - datetime.datetime.fromisoformat(one["since"]).timestamp())}
                for one in fleet["instances"]
            ],
            "clock": clock,
            "duration": duration,
        }

    def _supposed(self) -> Mapping[str, Any]:
        asked = {name: request.args[name] for name in _SLIDERS if request.args.get(name)}
        found: Mapping[str, Any] = self._site.api.get("/v1/fleet/what-if", **asked)
        return {**found, "duration": duration}


_SLIDERS = (
    "arrival_rate",
    "visible",
    "in_flight",
    "service_s",
    "boot_s",
    "ready",
    "min",
    "max",
    "drain_s",
    "utilisation",
)


def sliders(fleet: Mapping[str, Any], policy: Mapping[str, Any], asked: Mapping[str, str]) -> list[Slider]:
    """The numbers that may be supposed: as they are, or as they were asked for."""
    measured, backlog = fleet["measured"], fleet["backlog"]
    wide = max(20, 2 * policy["max"])
    made = (
        Slider("arrival_rate", "Arrivals", 0, 50, 0.1, measured["arrival_rate"], "photos/s"),
        Slider("visible", "Waiting", 0, 2000, 1, backlog["visible"] or 0, "photos"),
        Slider("in_flight", "In work", 0, 200, 1, backlog["in_flight"] or 0, "photos"),
        Slider("service_s", "Time a photo takes", 0.01, 10, 0.01, measured["service_s"], "s"),
        Slider("boot_s", "Boot", 0, 300, 1, measured["cold_boot_s"], "s"),
        Slider("ready", "Workers ready", 0, wide, 1, fleet["workers"]["running"]),
        Slider("min", "Minimum", 0, wide, 1, policy["min"]),
        Slider("max", "Maximum", 0, wide, 1, policy["max"]),
        Slider("drain_s", "Drain target", 1, 600, 1, policy["drain_s"], "s"),
        Slider("utilisation", "Utilisation target", 0.05, 1, 0.05, policy["utilisation"]),
    )
    return [_wide_enough(slider, asked.get(slider.name, "")) for slider in made]


def _wide_enough(slider: Slider, asked: str) -> Slider:
    """The slider at the value that was asked for, with room for it."""
    value = slider.value
    if asked.replace(".", "", 1).isdecimal():
        value = float(asked)
    value = round(value / slider.step) * slider.step if slider.step >= 1 else round(value, 2)
    top = max(slider.most, 2 * value) if value > slider.most else slider.most
    return Slider(slider.name, slider.label, slider.least, top, slider.step, max(value, slider.least), slider.unit)


def charts(decisions: Sequence[Decision], now: float) -> dict[str, Chart]:
    """The last minutes by backlog, workers, waits and rates; `decisions` with the newest first."""
    begin = now - _SHOWN_SECONDS
    moments, seen = samples(decisions, begin, now)
    span: dict[str, Any] = {"begin": begin, "end": now, "across": _ACROSS}
    observed = [decision["observed"] for decision in seen]
    arrivals = [found["arrival_rate"] for found in observed]
    served = [found["ready"] * found["slots"] / found["service_s"] for found in observed]
    waits = {
        "predicted": [decision["wait_s"] for decision in seen],
        "measured": [decision.get("wait_p95_s") for decision in seen],
    }
    backlog = {
        "visible": [found["visible"] for found in observed],
        "in-flight": [found["in_flight"] for found in observed],
    }
    workers = {state: [found[state] for found in observed] for state in _STATES}
    return {
        "backlog": lines(moments, backlog, filled=("visible",), **span),
        "workers": stack(moments, workers, **span),
        "waits": lines(moments, waits, filled=("measured",), **span),
        "rates": lines(moments, {"arrivals": arrivals, "capacity": served}, filled=("arrivals",), **span),
    }


def samples(decisions: Sequence[Decision], begin: float, end: float) -> tuple[list[float], list[Decision]]:
    """Moments from `begin` to `end`, rising, a few seconds apart, and the decision of each.

    What was decided last before `begin` holds from there, and the last one of all until `end`.
    """
    found: dict[int, tuple[float, Decision]] = {}
    for decision in reversed(decisions):
        if decision["now"] <= end:
            moment = max(decision["now"], begin)
            found[int((moment - begin) / _BIN_SECONDS)] = (moment, decision)
        until = decision.get("until")
        if until is not None and begin < (over := datetime.datetime.fromisoformat(until).timestamp()) <= end:
            found[int((over - begin) / _BIN_SECONDS)] = (over, decision)
    placed = [found[number] for number in sorted(found)]
    if placed and placed[-1][0] < end:
        placed.append((end, placed[-1][1]))
    return [moment for moment, _ in placed], [decision for _, decision in placed]


def folded(decisions: Iterable[Decision]) -> list[Entry]:
    """Decisions, the newest first, with those that changed nothing as one."""
    entries: list[Entry] = []
    for decision in decisions:
        last = entries[-1] if entries else None
        if last is not None and _same(last.decision, decision):
            entries[-1] = Entry(last.decision, last.times + decision["ticks"], decision["at"])
        else:
            entries.append(Entry(decision, decision["ticks"], decision["at"]))
    return entries


def _same(one: Decision, other: Decision) -> bool:
    causes = [decision["cause"] for decision in (one, other)]
    holds = all(decision["action"] == "hold" for decision in (one, other))
    return holds and (causes[0] == causes[1] or all(cause in _CALM for cause in causes))


def clock(moment: str) -> str:
    """The time of day of a moment, in UTC."""
    return moment[11:19]


def duration(seconds: float | None) -> str:
    """Seconds as people say them: 0.4 s, 12 s, 3 min, 2.5 h, 3 d; a dash when nobody knows."""
    if seconds is None:
        return "–"
    for limit, size, unit in ((10, 1, "s"), (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds:.2g} s" if limit == 10 and seconds else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def _whole(text: str) -> int | str | None:
    """A number of a form; what is none, or too long for one, is left for the call to refuse."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text or None
