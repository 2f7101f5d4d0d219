"""The load generator by a clock of its own: what is sent when, how it is measured, what is counted."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from face_client import FaceServiceError, load
from face_client.histogram import Histogram
from face_client.load import Plan, Report, Tickets, classic_answer, main_person, read_expected, run

PHOTOS = [Path("ada.jpg"), Path("bob.jpg")]


class Time:
    """Time that passes when somebody lets it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_at_a_rate_a_slow_answer_delays_the_latency_of_those_that_wait_behind_it() -> None:
    time = Time()
    took = iter([3.0, 0.1, 0.1, 0.1, 0.1])

    def send(photo: Path) -> str:
        time.sleep(next(took))
        return "Ada"

    seen: list[float] = []
    begun = Tickets(Plan(clients=1, rate=1.0, requests=5), time)
    assert [begun.take() for _ in range(6)] == [*((number, 100.0 + number) for number in range(5)), None]
    report = run(
        Plan(1, rate=1.0, requests=5), PHOTOS, send, expected={}, clock=time, tell=lambda r: seen.append(time())
    )
    # They were to begin at 0, 1, 2, 3 and 4 s; the first answer comes at 3 s, the others 0.1 s after each other,
    # and the last one begins in time.
    assert seen == pytest.approx([103.0, 103.1, 103.2, 103.3, 104.1])
    assert report.latencies.most == 3.0
    assert report.latencies.quantile(0.8) == pytest.approx(2.1, rel=0.021)
    assert report.latencies.quantile(0.6) == pytest.approx(1.2, rel=0.021)
    assert report.latencies.quantile(0.2) == pytest.approx(0.1, rel=0.021)


def test_without_a_rate_latency_is_the_answers_own() -> None:
    time = Time()
    took = iter([3.0, 0.1, 0.2])

    def send(photo: Path) -> str:
        time.sleep(next(took))
        return "Ada"

    report = run(Plan(1, requests=3), PHOTOS, send, expected={}, clock=time)
    assert (report.latencies.most, report.latencies.count) == (3.0, 3)
    assert report.latencies.quantile(0.5) == pytest.approx(0.2, rel=0.021)
    assert report.seconds == pytest.approx(3.3)


def test_it_ends_with_the_time_and_begins_nothing_after_it() -> None:
    time = Time()

    def send(photo: Path) -> str:
        time.sleep(0.3)
        return "Ada"

    assert run(Plan(1, seconds=1.0), PHOTOS, send, expected={}, clock=time).sent == 4
    assert run(Plan(1, rate=10.0, seconds=1.0), PHOTOS, send, expected={}, clock=time).sent == 10


def test_whoever_stops_it_has_a_report_of_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    sent = threading.Event()

    def send(photo: Path) -> str:
        time.sleep(0.1)
        sent.set()
        return "Ada"

    class Interrupted(load.ThreadPoolExecutor):
        def map(self, *arguments: Any, **options: Any) -> Iterator[Any]:
            super().map(*arguments, **options)
            assert sent.wait(5)
            raise KeyboardInterrupt

    monkeypatch.setattr(load, "ThreadPoolExecutor", Interrupted)
    report = run(Plan(4, rate=1.0, requests=10_000_000), PHOTOS, send, expected={}, clock=time)
    assert report.stopped
    assert 0 < report.sent < 10_000_000


def test_many_clients_are_at_work_at_once_and_send_each_request_once() -> None:
    everybody = threading.Barrier(20)
    sent: list[str] = []

    def send(photo: Path) -> str:
        everybody.wait(10)
        sent.append(photo.stem)
        return photo.stem

    right = {"ada": "ada", "bob": "Bob"}
    report = run(Plan(20, requests=40), PHOTOS, send, expected=right, clock=Time())
    assert (sent.count("ada"), sent.count("bob")) == (20, 20)
    assert (report.right, dict(report.wrong)) == (20, {"Bob -> bob": 20})


def test_errors_are_counted_by_code_and_have_no_latency() -> None:
    faults = [
        FaceServiceError(429, "overloaded", "later"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        FileNotFoundError("gone"),
    ]

    def send(photo: Path) -> str:
        raise faults.pop()

    report = run(Plan(1, requests=4), PHOTOS, send, expected={"ada": "Ada"}, clock=Time())
    assert dict(report.errors) == {"overloaded": 1, "ConnectError": 1, "timeout": 1, "FileNotFoundError": 1}
    assert (report.latencies.count, report.right, report.wrong.total(), report.sent) == (0, 0, 0, 4)
    assert report.figures()["latency_ms"]["max"] == 0


def test_an_answer_about_another_file_is_an_error() -> None:
    assert classic_answer("ada:Ada\n", "ada.jpg") == "Ada"
    for line in ("bob:Ada", "ada", "ada:", ""):
        with pytest.raises(FaceServiceError, match="wrong-file"):
            classic_answer(line, "ada.jpg")


def test_the_main_person_of_a_result_in_the_classic_words() -> None:
    result = {"state": "done", "faces": [{"person": "Ada"}, {"person": "Bob"}]}
    assert main_person(result) == "Ada"  # type: ignore[arg-type]
    assert main_person({"state": "done", "faces": [{"person": None}]}) == "unknown"  # type: ignore[arg-type,typeddict-item]
    assert main_person({"state": "done", "faces": []}) == "no-face"  # type: ignore[typeddict-item]
    with pytest.raises(FaceServiceError, match="queued"):
        main_person({"state": "queued"})  # type: ignore[typeddict-item]


@pytest.mark.parametrize("heading", ["", "Image,Results\n", "name,person\n", "\ufeffFile,Person\n"])
def test_what_is_right_comes_from_a_csv_with_or_without_a_heading(tmp_path: Path, heading: str) -> None:
    file = tmp_path / "right.csv"
    file.write_text(f"{heading}test_00,Paul\ntest_01.jpg, Ada Lovelace \n\n", encoding="utf-8")
    assert read_expected(file) == {"test_00": "Paul", "test_01": "Ada Lovelace"}


def test_quantiles_are_within_two_per_cent_and_the_longest_is_exact() -> None:
    histogram = Histogram()
    for number in range(1, 10001):
        histogram.add(number / 1000)
    for share in (0.01, 0.5, 0.9, 0.99, 0.999):
        assert share * 10 <= histogram.quantile(share) <= share * 10 * 1.021
    assert (histogram.most, histogram.quantile(1.0), histogram.count) == (10.0, 10.0, 10000)


def test_bars_stand_between_one_two_five_and_ten() -> None:
    histogram = Histogram()
    for milliseconds in (1.5, 3, 3, 30, 30, 30, 30):
        histogram.add(milliseconds / 1000)
    assert histogram.bins() == [(0.002, 1), (0.005, 2), (0.01, 0), (0.02, 0), (0.05, 4)]
    lines = histogram.drawn()
    assert lines[0].split()[:4] == ["<", "2", "ms", "1"]
    assert [line.count("█") for line in lines] == [10, 20, 0, 0, 40]


def test_nothing_is_no_fault() -> None:
    assert Histogram().drawn() == []
    assert Report().figures()["latency_ms"] == {"p50": 0, "p90": 0, "p99": 0, "max": 0, "mean": 0}
