"""Tells the scaling loop that this worker lives, and whether it is at work."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from face_app.worker import Pace, Worker
from face_common.errors import TransientError
from face_common.ports import ObjectStore
from face_common.report_writer import ReportWriter
from face_common.reports import WorkerReport


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
        self._writer = ReportWriter(store, WorkerReport(instance, name, slots, pace.capacity, now(), at=0.0), now)

    def step(self) -> None:
        """Write the report if it is time."""
        last, worker = self._writer.last, self._worker
        self._writer.tell(replace(last, held=worker.held, finished=worker.finished, draining=worker.draining))

    def leave(self) -> None:
        """Remove the report: the worker is gone."""
        with suppress(TransientError):
            self._store.delete([self._writer.last.key])
