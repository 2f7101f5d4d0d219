"""`face load`: how much the service stands."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from face_client.command import INTERRUPTED
from face_client.command.session import Session, standing_alone

if TYPE_CHECKING:
    from face_client.client import FaceClient
    from face_client.load import Report

_REQUESTS = 1000
_LINES = 10


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(load)


class _Clock:
    """The machine's own clock."""

    def __call__(self) -> float:
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Let seconds pass."""
        time.sleep(seconds)


Photos = Annotated[list[Path], typer.Option("--photos", help="A photo, or a folder of them.", exists=True)]
Clients = Annotated[int, typer.Option(min=1, max=2000, help="So many at once.")]
Rate = Annotated[float | None, typer.Option(min=0.001, help="Requests that begin in a second, whoever still waits.")]
Seconds = Annotated[float | None, typer.Option(min=0.1, help="So long.")]
Requests = Annotated[int | None, typer.Option(min=1, help="So many.", show_default=f"{_REQUESTS}, without --seconds")]
Expected = Annotated[Path | None, typer.Option(help="CSV of name,person: what is right.", exists=True)]
Form = Annotated[Literal["classic", "v1"], typer.Option(help="POST / or POST /v1/identifications.")]


@standing_alone
def load(
    session: Session,
    photos: Photos,
    clients: Clients = 100,
    rate: Rate = None,
    seconds: Seconds = None,
    requests: Requests = None,
    expected: Expected = None,
    form: Form = "classic",
) -> int:
    """Send photos from many clients at once and measure.

    Nothing is tried again. With --rate, latency runs from the moment at which a request was to begin.
    """
    from face_client.load import Plan, read_expected, run
    from face_client.uploads import photos_under

    found = photos_under(photos)
    if not found:
        raise ValueError("there are no photos")
    if requests is None and seconds is None:
        requests = _REQUESTS
    plan = Plan(clients, rate, seconds, requests)
    right = read_expected(expected) if expected else {}
    total = requests or (round(rate * seconds) if rate and seconds else None)
    with session.face(retries=0) as face, session.out.gauge("photos", total) as gauge:
        send = _classic(face) if form == "classic" else _identify(face)
        report = run(
            plan,
            found,
            send,
            expected=right,
            clock=_Clock(),
            tell=lambda so_far: gauge.update(so_far.sent, note=_note(so_far)),
        )
    session.out.answer(report.figures(), "\n".join(lines(report)))
    if report.stopped:
        return INTERRUPTED
    return 1 if report.errors or report.wrong else 0


def _classic(face: "FaceClient") -> Callable[[Path], str]:
    from face_client.load import classic_answer

    return lambda photo: classic_answer(face.classic(photo), photo.name)


def _identify(face: "FaceClient") -> Callable[[Path], str]:
    from face_client.load import main_person

    return lambda photo: main_person(face.identify(photo, wait=60))


def _note(report: "Report") -> str:
    return f"p50 {report.latencies.quantile(0.5) * 1000:.0f} ms" + (
        f", {report.errors.total()} failed" if report.errors else ""
    )


def lines(report: "Report") -> list[str]:
    """A report for people."""
    figures = report.figures()
    latency = figures["latency_ms"]
    quantiles = "  ".join(f"{name} {latency[name]:g}" for name in ("p50", "p90", "p99", "max", "mean"))
    shown = [
        f"{report.sent} requests in {report.seconds:.1f} s, {figures['per_s']:g} answered a second",
        f"latency in ms: {quantiles}",
        *report.latencies.drawn(),
    ]
    if report.right or report.wrong:
        shown.append(f"right: {report.right} of {report.right + report.wrong.total()}")
    shown += [f"  {count:>6}  {what}" for what, count in report.wrong.most_common(_LINES)]
    if report.errors:
        shown.append(f"failed: {report.errors.total()}")
    shown += [f"  {count:>6}  {code}" for code, count in report.errors.most_common(_LINES)]
    return shown
