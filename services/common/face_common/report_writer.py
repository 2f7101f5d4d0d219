"""Writes a host's report: when there is news, and otherwise as a sign of life."""

from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from face_common.ports import ObjectStore
from face_common.reports import ALIVE_SECONDS, WebReport, WorkerReport

R = TypeVar("R", WorkerReport, WebReport)


class ReportWriter(Generic[R]):
    """Knows what was written last."""

    def __init__(self, store: ObjectStore, report: R, now: Callable[[], float]) -> None:
        """`report` is what news is told from, not yet written; `now` is the wall clock in seconds since the epoch."""
        self._store = store
        self._now = now
        self.last: R = report

    @property
    def age(self) -> float:
        """Seconds since a report was written."""
        return self._now() - self.last.at

    def tell(self, report: R) -> None:
        """Write the report unless it is the last one, written a moment ago. TransientError as the store's."""
        if report != self.last or self.age > ALIVE_SECONDS:
            report = replace(report, at=self._now())
            self._store.put(report.key, report.encode(), "application/json")
            self.last = report
