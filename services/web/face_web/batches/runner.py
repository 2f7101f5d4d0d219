"""Carries batches out, however often whoever does it is interrupted."""

import logging
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from face_common.contract import Code
from face_common.errors import ObjectMissingError, ServiceError, TransientError
from face_common.ports import Bucket
from face_web.batches.carrier import Carrier, Journey
from face_web.batches.listing import read_item, read_listing, write_listing
from face_web.batches.model import ENDED, OPEN, Batch, Item, Kind, Listing, Progress, job_key, state_key
from face_web.batches.pacing import Pace, Rate
from face_web.batches.sources import SourceGoneError, Sources
from face_web.faults import told
from face_web.scaler.lease import Lease

_log = logging.getLogger(__name__)
_TURN_SECONDS = 0.2
_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 30.0  # after a fault of our own
_BEHIND = 4  # finished files that may wait for a slow one before them, as a multiple of those on their way


class Audience(Protocol):
    """Who is told how batches go: the metrics."""

    def batch_file(self, kind: str, outcome: str) -> None:
        """A file has its verdict."""

    def batches_open(self, count: int) -> None:
        """So many batches are not finished."""


class Announcer(Protocol):
    """Who tells the operator's own services of a batch's end."""

    def batch_ended(self, batch: Batch) -> None:
        """A batch with a webhook has ended. Told again, it changes nothing. TransientError as the store's."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What it takes to carry a batch out."""

    store: Bucket
    sources: Sources
    carrier: Carrier
    pace: Pace
    announcer: Announcer
    audience: Audience
    predicted_wait: Callable[[], float | None]
    now: Callable[[], float]
    """The wall clock, in seconds since the epoch."""
    clock: Callable[[], float]
    """A monotonic one."""


class _LeaseLostError(Exception):
    """Another host carries the batch out, or may."""


@dataclass(frozen=True, slots=True)
class _Flight:
    outcome: Future[str | None]
    offset: int
    """Of the next file in the listing."""


class Drive:
    """One batch, for as long as this host holds its lease."""

    def __init__(self, batch: Batch, lease: Lease, parts: Parts, batches: Callable[[], int]) -> None:
        """`batches`: how many this host carries out."""
        self._batch = batch
        self._lease = lease
        self._parts = parts
        self._batches = batches
        self._journey = Journey(batch, threading.Event(), threading.Event())
        self._progress = Progress.of(lease.published)
        self._resumed = lease.fence > 1
        self._flights: deque[_Flight] = deque()
        self._items: Iterator[tuple[Item, int]] | None = None
        self._begun, self._offset = self._progress.finished, self._progress.offset
        self._rate = Rate()

    def stop(self) -> None:
        """Do not go on; another host, or the next run of this one, will."""
        self._journey.stopping.set()

    def run(self) -> None:
        """Go on with the batch until it has ended, or this host is not to go on with it."""
        try:
            if self._progress.state not in ENDED:
                self._drive()
            if self._progress.state in ENDED:
                self._conclude()
        except _LeaseLostError:
            _log.warning("the batch is another host's now", extra={"batch": self._batch.id})
        finally:
            self._journey.stopping.set()
            self._lease.release()

    def _drive(self) -> None:
        """Carry out what is left of it, and publish its end."""
        with ThreadPoolExecutor(self._parts.pace.ahead, f"batch-{self._batch.id}") as threads:
            try:
                listing = self._start()
                while not self._journey.stopping.is_set() and self._progress.state not in ENDED:
                    self._keep()
                    self._fill(threads, listing)
                    self._settle(listing)
            except (SourceGoneError, ObjectMissingError):
                self._fail(Code.NOT_FOUND, "the files of the batch are gone")
            except TransientError:
                raise
            except ServiceError as error:
                self._fail(error.code, error.detail)
            finally:
                self._journey.stopping.set()
        self._publish()

    def _start(self) -> Listing:
        """Say that it runs, and see that its files are listed."""
        started_at = self._progress.started_at or self._parts.now()
        self._progress = replace(self._progress, state="running", started_at=started_at)
        listing = self._batch.listing or self._progress.listing or self._list()
        self._progress = replace(self._progress, listing=listing)
        self._publish()
        self._see_whether_cancelled()
        self._rate.note(self._parts.clock(), self._progress.finished)
        return listing

    def _list(self) -> Listing:
        """Write the files down in the order that holds from now on.

        The name of the listing has the fencing number in it: whoever has lost the lease meanwhile writes another one.
        """
        key = self._batch.key(f"entries-{self._lease.fence}.jsonl")
        with tempfile.TemporaryFile() as file:
            total, size = write_listing(
                file, self._kept(self._parts.sources.items(self._batch)), self._parts.sources.limits.entries
            )
            file.seek(0)
            self._parts.store.put_file(key, file, "application/jsonl")
        return Listing(key, total, size)

    def _kept(self, items: Iterator[Item]) -> Iterator[Item]:
        for item in items:
            self._keep()
            yield item

    def _keep(self) -> None:
        """Renew the lease when it is time to, and look whether the batch was cancelled."""
        if self._lease.due:
            try:
                self._publish()
                self._see_whether_cancelled()
            except TransientError as error:
                _log.warning("the lease is not renewed yet", extra={"batch": self._batch.id, **told(error)})
        if not self._lease.leading:
            raise _LeaseLostError

    def _see_whether_cancelled(self) -> None:
        if not self._journey.cancelled.is_set() and self._parts.store.exists(self._batch.key("cancelled")):
            self._journey.cancelled.set()

    def _publish(self) -> None:
        """Renew the lease with how far it has come."""
        if not self._lease.held:
            raise _LeaseLostError
        self._lease.renew(self._progress.publish())
        if not self._lease.leading:
            raise _LeaseLostError

    def _fill(self, threads: ThreadPoolExecutor, listing: Listing) -> None:
        """Begin as many more files as may be on their way."""
        pace = self._parts.pace
        room = pace.ahead  # when cancelled, nothing of it takes a worker
        if not self._journey.cancelled.is_set():
            room = pace.room(self._rate.per_second(), self._batches(), self._parts.predicted_wait())
        flying = sum(not flight.outcome.done() for flight in self._flights)
        try:
            while flying < room and len(self._flights) < _BEHIND * pace.ahead and self._offset < listing.size:
                self._items = self._items or read_listing(self._parts.store, listing, self._offset)
                found = next(self._items, None)
                if found is None:
                    raise SourceGoneError("the listing is shorter than it was")
                start, self._offset = self._offset, found[1]
                read = partial(read_item, self._parts.store, listing, start, self._offset)
                outcome = threads.submit(
                    self._parts.carrier.carry, self._journey, self._begun, read, begun=self._resumed
                )
                self._flights.append(_Flight(outcome, self._offset))
                self._begun += 1
                flying += 1
        except TransientError as error:  # of the listing
            self._items = None
            _log.warning("the batch waits", extra={"batch": self._batch.id, **told(error)})

    def _settle(self, listing: Listing) -> None:
        """Count what is finished, in order; end the batch when that is all."""
        if self._flights:
            wait_for([self._flights[0].outcome], _TURN_SECONDS)
        while self._flights and self._flights[0].outcome.done():
            flight = self._flights.popleft()
            outcome = flight.outcome.result()
            if outcome is None:
                self._journey.stopping.set()
                return
            self._progress = self._progress.advanced(outcome, flight.offset)
            self._parts.audience.batch_file(self._batch.kind, outcome)
        self._rate.note(self._parts.clock(), self._progress.finished)
        self._progress = replace(self._progress, rate_per_s=self._rate.per_second() or self._progress.rate_per_s)
        if not self._flights and self._offset >= listing.size:
            cancelled = Code.BATCH_CANCELLED.value in self._progress.outcomes
            self._end(replace(self._progress, state="cancelled" if cancelled else "done"))

    def _fail(self, code: Code, detail: str) -> None:
        _log.error("a batch failed", extra={"batch": self._batch.id, "code": code.value, "reason": detail})
        self._end(replace(self._progress, state="failed", error={"code": code.value, "detail": detail}))

    def _end(self, progress: Progress) -> None:
        now = self._parts.now()
        seconds = now - (progress.started_at or now)
        rate = progress.finished / seconds if seconds > 0 else progress.rate_per_s
        self._progress = replace(progress, finished_at=now, rate_per_s=rate)

    def _conclude(self) -> None:
        """Announce its end and remove what it does not need any more, its marker last. Done twice, it is the same."""
        batch, listing = self._batch, self._batch.listing or self._progress.listing
        if batch.webhook:
            self._parts.announcer.batch_ended(batch)
        needless = [batch.key("archive.zip"), batch.key("cancelled")]
        if listing is not None and batch.kind is not Kind.BATCH:  # it has people's names in it
            needless.append(listing.key)
        self._parts.store.purge(needless)
        self._parts.store.delete([f"{OPEN}{batch.id}"])
        _log.info("a batch ended", extra={"batch": batch.id, "state": self._progress.state})


class Runner:
    """Looks for batches that nobody carries out, and carries them out, a thread each."""

    def __init__(
        self, parts: Parts, holder: str, *, lease_seconds: float, at_once: int, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        """`holder` names this run of this host; `at_once`: batches that it carries out at the same time."""
        self._parts = parts
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._at_once = at_once
        self._look_seconds = look_seconds
        self._leases: dict[str, Lease] = {}
        self._drives: dict[str, tuple[Drive, threading.Thread]] = {}
        self._not_before: dict[str, float] = {}
        self._prompted = threading.Event()
        self._starting = threading.Lock()  # a batch is either begun before the stop, and stopped, or not at all
        self._stopped = False

    def prompt(self) -> None:
        """There is a new batch."""
        self._prompted.set()

    def step(self) -> None:
        """Look once; the step of a loop. TransientError as the store's."""
        self._prompted.wait(self._look_seconds)
        self._prompted.clear()
        self._look()

    def stop(self, seconds: float) -> None:
        """Give every batch up for others to go on with, waiting so long for what is under way to stop."""
        with self._starting:
            self._stopped = True
            drives = list(self._drives.values())
        for drive, _ in drives:
            drive.stop()
        deadline = self._parts.clock() + seconds
        for _, thread in drives:
            thread.join(max(deadline - self._parts.clock(), 0.0))

    def _look(self) -> None:
        self._drives = {name: pair for name, pair in self._drives.items() if pair[1].is_alive()}
        found = [entry.key.removeprefix(OPEN) for entry in self._parts.store.entries(OPEN)]
        self._parts.audience.batches_open(len(found))
        self._leases = {name: lease for name, lease in self._leases.items() if name in found}
        self._not_before = {name: at for name, at in self._not_before.items() if name in found}
        for batch_id in found:
            if len(self._drives) >= self._at_once or self._stopped:
                return
            if batch_id not in self._drives and self._not_before.get(batch_id, 0.0) <= self._parts.clock():
                self._try(batch_id)

    def _try(self, batch_id: str) -> None:
        """Take a batch, if nobody else carries it out."""
        parts = self._parts
        lease = self._leases.setdefault(
            batch_id, Lease(parts.store, self._holder, self._lease_seconds, parts.clock, state_key(batch_id))
        )
        try:
            if lease.due:
                lease.look()
            if not lease.leading:
                return
            batch = Batch.decode(parts.store.get(job_key(batch_id)))
        except TransientError as error:
            _log.warning("a batch cannot be looked at", extra={"batch": batch_id, **told(error)})
            return
        except ObjectMissingError:  # it was erased
            parts.store.delete([f"{OPEN}{batch_id}", state_key(batch_id)])
            return
        drive = Drive(batch, lease, parts, lambda: len(self._drives))
        thread = threading.Thread(target=self._run, args=(batch_id, drive), name=f"batch-{batch_id}", daemon=True)
        with self._starting:
            if not self._stopped:
                self._drives[batch_id] = (drive, thread)
                thread.start()

    def _run(self, batch_id: str, drive: Drive) -> None:
        try:
            drive.run()
        except TransientError as error:
            _log.warning("a batch was put aside", extra={"batch": batch_id, **told(error)})
        except Exception as error:
            _log.error("a batch met a fault", extra={"batch": batch_id, **told(error)})
            self._not_before[batch_id] = self._parts.clock() + _AGAIN_SECONDS
