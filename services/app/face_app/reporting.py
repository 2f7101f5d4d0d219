"""Tells the scaling loop that this worker lives, and whether it is at work."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from face_app.worker import Pace, Worker
from face_common.errors import TransientError
from face_common.ports import ObjectStore
from face_common.reports import WorkerReport

_ALIVE_SECONDS = 15.0  # an unchanged report is written again after this


class Reporter:
    """Writes the worker's report: at each step of a loop when there is news, and otherwise as a sign of life."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        worker: Worker,
        instance: str,
        name: str,
        pace: Pace,
        slots: int,
        now: Callable[[], float],
    ) -> None:
        """`now` is the wall clock in seconds since the epoch; the worker counts as ready from here on."""
        self._store = store
        self._worker = worker
        self._now = now
        self._last = WorkerReport(instance, name, slots, pace.capacity, ready_at=now(), at=0.0)

    def step(self) -> None:
        """Write the report if it is time."""
        now, worker = self._now(), self._worker
        report = replace(self._last, held=worker.held, finished=worker.finished, draining=worker.draining)
        if report != self._last or now - self._last.at > _ALIVE_SECONDS:
            report = replace(report, at=now)
            self._store.put(report.key, report.encode(), "application/json")
            self._last = report

    def leave(self) -> None:
        """Remove the report: the worker is gone."""
        with suppress(TransientError):
            self._store.delete([self._last.key])
