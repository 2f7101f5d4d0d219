"""What a worker tells the scaling loop."""

import threading

import pytest

from face_app.recognition import Reading
from face_app.reporting import Reporter
from face_app.worker import Pace
from face_common.contract import Code, InvalidMessageError
from face_common.errors import TransientError
from face_common.reports import WebReport, WorkerReport
from tests.fakes.inference import reading
from tests.unit.test_worker import House, eventually, probe

PACE = Pace(capacity=4, visibility_seconds=30, receive_wait_seconds=0)


def test_a_worker_reports_news_and_signs_of_life() -> None:
    clock, entered, go_on = [100.0], threading.Event(), threading.Event()

    def read(body: bytes, most: int) -> Reading:
        entered.set()
        assert go_on.wait(10)
        return reading()

    house = House(read)
    reporter = Reporter(
        store=house.store, worker=house.worker, instance="i-1", name="w", pace=PACE, slots=2, now=lambda: clock[0]
    )

    def report() -> WorkerReport:
        return WorkerReport.decode(house.store.objects["fleet/reports/workers/i-1.json"])

    reporter.step()
    assert report() == WorkerReport("i-1", "w", slots=2, capacity=4, ready_at=100.0, at=100.0)
    clock[0] = 110.0
    reporter.step()
    assert report().at == 100.0  # no news
    clock[0] = 116.0
    reporter.step()
    assert report().at == 116.0
    with house.working():
        house.send(probe())
        assert entered.wait(10)
        reporter.step()
        assert report().held == 1
        go_on.set()
        eventually(lambda: house.worker.finished == 1 and house.worker.held == 0)
        reporter.step()
        assert (report().held, report().finished, report().draining) == (0, 1, False)
        house.worker.drain()
        reporter.step()
        assert report().draining
    reporter.leave()
    assert "fleet/reports/workers/i-1.json" not in house.store.objects


def test_leaving_does_not_need_the_bucket() -> None:
    house = House(lambda body, most: reading())
    reporter = Reporter(
        store=house.store, worker=house.worker, instance="i-1", name="w", pace=PACE, slots=1, now=lambda: 1.0
    )
    house.store.fault = TransientError(Code.STORAGE_UNAVAILABLE, "away")
    reporter.leave()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"instance": 1}', b"\xff"])
def test_what_is_no_report_is_refused(body: bytes) -> None:
    for kind in (WorkerReport, WebReport):
        with pytest.raises(InvalidMessageError):
            kind.decode(body)
