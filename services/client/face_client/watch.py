"""A picture of the fleet in a terminal: what waits, who works, and what was decided why."""

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from face_client.sentences import duration, overridden

_STATES = {"running": "green", "booting": "yellow", "draining": "magenta", "stopped": "dim"}
_BLOCKS = " ▁▂▃▄▅▆▇█"
_HISTORY = 60


class Watched(Protocol):
    """A service whose fleet is watched."""

    def fleet(self) -> dict[str, Any]:
        """Its fleet as it is now."""

    def decisions(self, limit: int) -> list[dict[str, Any]]:
        """Its last decisions, the newest first."""


class Out(Protocol):
    """Where pictures go that do not move."""

    def answer(self, value: Any, text: str | None = None) -> None:
        """One picture."""


def print_pictures(out: Out, face: Watched, *, once: bool, every: float, lines: int) -> None:
    """Pictures one after the other, as text or JSON; only one if `once`."""
    while True:
        fleet, decisions = face.fleet(), face.decisions(lines)
        out.answer(
            {"fleet": fleet, "decisions": decisions}, "\n".join(picture(fleet, decisions)) + ("" if once else "\n")
        )
        if once:
            return
        time.sleep(every)


def show(console: Console, face: Watched, *, every: float, lines: int) -> None:
    """A picture that moves, until the person who watches it presses Ctrl-C."""
    backlog: deque[int] = deque(maxlen=_HISTORY)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        try:
            while True:
                fleet, decisions = face.fleet(), face.decisions(lines)
                backlog.append(_waiting(fleet) or 0)
                live.update(_drawn(fleet, decisions, backlog, console.width), refresh=True)
                time.sleep(every)
        except KeyboardInterrupt:
            return


def picture(fleet: Mapping[str, Any], decisions: Sequence[Mapping[str, Any]]) -> list[str]:
    """One picture as lines."""
    return [*summary(fleet), "", *map(decision_line, decisions)]


def summary(fleet: Mapping[str, Any]) -> list[str]:
    """Backlog, workers, rates and an override that is on, a line each."""
    backlog, workers, limits = fleet["backlog"], fleet["workers"], fleet.get("limits", {})
    measured = fleet.get("measured", {})
    waits = f"waits {duration(fleet['wait_s'])}" if fleet.get("wait_s") is not None else ""
    oldest = f"oldest {duration(backlog['oldest_s'])}" if backlog.get("oldest_s") else ""
    asked = [f"{_count(backlog['visible'])} waiting", f"{_count(backlog['in_flight'])} in work", oldest, waits]
    states = [f"{workers[state]} {state}" for state in _STATES if state in workers]
    wanted = f"{fleet['desired']} wanted" + (f" of {limits['min']} to {limits['max']}" if limits else "")
    rates = [
        f"{measured['arrival_rate']:.1f} photos/s arrive" if "arrival_rate" in measured else "",
        f"{fleet['photos_per_s']:.1f}/s can be done" if "photos_per_s" in fleet else "",
        f"{duration(measured['service_s'])} a photo" if measured.get("service_s") else "",
    ]
    outdated = f"{workers['outdated']} outdated" if workers.get("outdated") else ""
    rows = {
        "photos": asked,
        "workers": [*states, outdated, wanted],
        "rates": rates,
        "leader": [str(fleet.get("leader"))],
        "override": [overridden(fleet["override"]) if fleet.get("override") else ""],
    }
    return [f"{name:<9}{', '.join(filter(None, parts))}" for name, parts in rows.items() if any(parts)]


def decision_line(decision: Mapping[str, Any]) -> str:
    """A decision as a sentence, with the time of day in UTC."""
    ticks = decision.get("ticks", 1)
    again = f" ({ticks} times)" if isinstance(ticks, int) and ticks > 1 else ""
    return f"{str(decision['at'])[11:19]}  {decision['action']:<6}  {decision['reason']}{again}"


def sparkline(values: Iterable[int]) -> str:
    """Numbers as a row of blocks, the largest the highest."""
    known = list(values)
    most = max(known, default=0) or 1
    return "".join(_BLOCKS[-(-value * (len(_BLOCKS) - 1) // most)] for value in known)


def _drawn(
    fleet: Mapping[str, Any], decisions: Sequence[Mapping[str, Any]], backlog: Sequence[int], width: int
) -> RenderableType:
    lines = [Text(line) for line in summary(fleet)]
    for line in lines:
        for state, style in _STATES.items():
            line.highlight_regex(rf"[1-9]\d* {state}", style)
        line.highlight_regex(r"^override .*", "yellow")
    history = Text(f"{'backlog':<9}") + Text(sparkline(backlog)[-(width - 20) :], "cyan") + f" most {max(backlog)}"
    log = [Text(decision_line(decision)) for decision in decisions]
    for line in log:
        line.highlight_words([" start ", " retire "], "bold")
    return Group(*lines, history, Text(), *log)


def _waiting(fleet: Mapping[str, Any]) -> int | None:
    waiting: int | None = fleet["backlog"]["visible"]
    return waiting


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)
