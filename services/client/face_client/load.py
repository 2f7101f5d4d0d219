"""Load on a service: so many clients, each sending photo after photo, or requests that begin at a steady rate.

At a rate, latency runs from the moment at which a request was to begin, whether or not a client was free then: what a
slow service keeps waiting is waiting, and is counted as such.
"""

import csv
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

from face_client.errors import FaceServiceError
from face_client.histogram import Histogram, merged
from face_common.contract import NO_FACE, UNKNOWN, Result

WRONG_FILE = "wrong-file"
_LONGEST_SLEEP = 0.5  # seconds after which a client looks whether it is to stop


class Clock(Protocol):
    """Time, for those who wait for it."""

    def __call__(self) -> float:
        """Seconds since some moment."""

    def sleep(self, seconds: float) -> None:
        """Let seconds pass."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to send."""

    clients: int = 100
    rate: float | None = None
    """Requests that begin in a second; None for as many as the clients can."""
    seconds: float | None = None
    requests: int | None = None


@dataclass(slots=True)
class Report:
    """What came of it."""

    latencies: Histogram = field(default_factory=Histogram)
    """Of the answers that were good, in seconds."""
    errors: Counter[str] = field(default_factory=Counter)
    right: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    """Answers that were not the expected ones, as 'expected -> answered'."""
    seconds: float = 0.0
    stopped: bool = False
    """Whether it was ended before its time."""

    @property
    def sent(self) -> int:
        """Requests that were answered in some way or failed."""
        return self.latencies.count + self.errors.total()

    def figures(self) -> dict[str, Any]:
        """All of it for JSON."""
        shared = {
            "requests": self.sent,
            "answered": self.latencies.count,
            "seconds": round(self.seconds, 3),
            "per_s": round(self.latencies.count / self.seconds, 2) if self.seconds else 0.0,
            "errors": dict(self.errors),
            "right": self.right,
            "wrong": dict(self.wrong),
        }
        return merged(shared, self.latencies)


class Tickets:
    """Hands out requests, each with the moment at which it is to begin. Thread-safe."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0
        self.began = clock()

    def take(self) -> tuple[int, float] | None:
        """The number of the next request and when it begins; None when there is no more to send."""
        with self._lock:
            number, now = self._next, self._clock()
            begins = now if self._plan.rate is None else self.began + number / self._plan.rate
            over = self._plan.seconds is not None and begins - self.began >= self._plan.seconds
            if over or (self._plan.requests is not None and number >= self._plan.requests):
                return None
            self._next += 1
            return number, begins


def run(
    plan: Plan,
    photos: Sequence[Path],
    send: Callable[[Path], str],
    *,
    expected: Mapping[str, str],
    clock: Clock,
    tell: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Send the photos again and again, and report.

    `send` answers with the name of the person in a photo, `unknown` or `no-face`; `expected` says by file name, without
    its extension, what is right. `tell` hears of every answer. Ctrl-C ends it once what is under way is answered.
    """
    tickets, report, lock = Tickets(plan, clock), Report(), threading.Lock()
    stopping = threading.Event()

    def client(_: int) -> None:
        while ticket := tickets.take():
            number, begins = ticket
            photo = photos[number % len(photos)]
            while not stopping.is_set() and (rest := begins - clock()) > 0:
                clock.sleep(min(rest, _LONGEST_SLEEP))
            if stopping.is_set():
                return
            answer, error = _asked(send, photo)
            seconds = clock() - begins
            with lock:
                _count(report, seconds, answer, error, expected.get(photo.stem))
                report.seconds = clock() - tickets.began
                tell(report)

    with ThreadPoolExecutor(plan.clients) as threads:
        try:
            list(threads.map(client, range(plan.clients)))
        except KeyboardInterrupt:
            report.stopped = True
        finally:
            stopping.set()
    return report


def classic_answer(line: str, name: str) -> str:
    """The person in a line of the classic form; FaceServiceError when the line is about another file."""
    stem, _, person = line.strip().partition(":")
    if stem != Path(name).stem or not person:
        raise FaceServiceError(200, WRONG_FILE, f"{name} was answered with {line[:80]!r}")
    return person


def main_person(result: Result) -> str:
    """The person in a photo in the classic form's words."""
    if result["state"] != "done":
        raise FaceServiceError(202, str(result["state"]), "there was no answer in time")
    faces = result.get("faces", [])
    return (faces[0].get("person") or UNKNOWN) if faces else NO_FACE


def read_expected(file: Path) -> dict[str, str]:
    """What a CSV of file names and people says is right, by file name without extension; a heading is passed over."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines) if len(row) >= 2]
    named = {Path(row[0]).stem: row[1] for row in rows}
    heading = Path(rows[0][0]).stem if rows else ""
    if heading.lower() in {"image", "name", "file", "filename", "photo"}:
        del named[heading]
    return named


def _asked(send: Callable[[Path], str], photo: Path) -> tuple[str, str]:
    """The answer, or the code of the error."""
    try:
        return send(photo), ""
    except FaceServiceError as error:
        return "", error.code
    except httpx.TimeoutException:
        return "", "timeout"
    except (httpx.HTTPError, OSError) as error:
        return "", type(error).__name__


def _count(report: Report, seconds: float, answer: str, error: str, right: str | None) -> None:
    if error:
        report.errors[error] += 1
        return
    report.latencies.add(seconds)
    if right is None:
        return
    if answer == right:
        report.right += 1
    else:
        report.wrong[f"{right} -> {answer}"] += 1
