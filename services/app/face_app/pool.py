"""A worker's slots: photos wait in one queue for the inference children, and no child waits for a photo."""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from typing import Any

from face_app.children import Child, ChildLostError, ChildOverdueError, Nursery, NurseryLostError, PhotoInMemory
from face_app.handlers import ReleasedError
from face_app.metrics import WorkerMetrics
from face_app.recognition import PhotoRequest, Reading
from face_common.contract import Code
from face_common.errors import PermanentError

_log = logging.getLogger(__name__)
_TRIES = 2


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """What a slot's child is given, and when it is replaced."""

    seconds: float
    """On one photo."""
    jobs: int
    resident_bytes: int
    batch_photos: int = 8
    """The child has twice as many: those that it reads together, and the next, so that it need not wait for them."""


@dataclass(eq=False, slots=True)
class _Ticket:
    """A photo that somebody waits for."""

    photo: PhotoInMemory
    draining: threading.Event
    losses: int = 0
    """Children lost with this photo in hand: after one it is read alone, so that only the guilty fail."""
    outcome: Future[dict[str, Any]] = field(default_factory=Future)


class _Slot:
    """A child (none until it is needed, and after a loss) and the photos that it has been given."""

    def __init__(self, limits: SlotLimits) -> None:
        self._limits = limits
        self.child: Child | None = None
        self.given: deque[_Ticket] = deque()
        """Oldest first: a child answers in order."""
        self.begun = 0
        """How many of the given ones the child has begun to read."""

    def has_room(self, ticket: _Ticket) -> bool:
        """Whether the photo may be given now."""
        if not self.given:
            return True
        lonely = ticket.losses or self.given[0].losses
        return not lonely and len(self.given) < 2 * self._limits.batch_photos

    def give(self, ticket: _Ticket) -> None:
        """Send a photo to the child, or leave it for a child yet to come."""
        if self.child and not self.given:
            self.child.begin()
        self.given.append(ticket)
        if self.child:
            with suppress(ChildLostError):  # whoever listens hears of it
                self.child.send(ticket.photo)

    def adopt(self, child: Child) -> None:
        """A new child takes what has been given."""
        self.child = child
        self.begun = 0
        for ticket in self.given:
            with suppress(ChildLostError):
                child.send(ticket.photo)

    def take(self, count: int) -> list[_Ticket]:
        """The oldest ones back: they have been answered, or their child is no more."""
        self.begun = 0
        return [self.given.popleft() for _ in range(count)]

    def take_begun(self) -> list[_Ticket]:
        """Back those that a lost child had begun to read; of a child that never said so the first one."""
        return self.take(min(max(self.begun, 1), len(self.given)))

    def reason_to_replace(self, resident_bytes: int) -> str | None:
        """Why its child should not go on, if so."""
        if self.child and self.child.photos >= self._limits.jobs:
            return "jobs"
        return "resident-size" if resident_bytes > self._limits.resident_bytes else None


class InferencePool:
    """A worker's slots, each with a child and a thread that listens to it.

    Whoever wants a photo read puts it into the queue; whenever something changes, the photos at the head of the queue
    are given to the children that have the least. Each child always has the next photos at hand while it reads some
    together. When it is lost, those that it had begun are read once more, each alone; the others just wait again.
    """

    def __init__(self, nursery: Nursery, slots: int, limits: SlotLimits, metrics: WorkerMetrics) -> None:
        self._nursery = nursery
        self._limits = limits
        self._metrics = metrics
        self._slots = [_Slot(limits) for _ in range(slots)]
        self._waiting: deque[_Ticket] = deque()
        self._changed = threading.Condition()  # its lock guards the queue and the slots
        self._closed = False
        self._threads = [
            threading.Thread(target=self._attend, args=(slot,), name=f"slot-{number}", daemon=True)
            for number, slot in enumerate(self._slots)
        ]

    def start(self) -> None:
        """Fork all children, so that no photo waits for it, and begin to listen."""
        for slot in self._slots:
            slot.adopt(self._nursery.fork(self._limits.seconds))
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End all children; who still waits for a photo gets a ReleasedError."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            for slot in self._slots:
                if slot.child:
                    slot.child.kill()
        for thread in self._threads:
            thread.join()
        with self._changed:
            for left in (self._waiting, *(slot.given for slot in self._slots)):
                while left:
                    left.popleft().outcome.set_exception(ReleasedError())

    @property
    def pids(self) -> list[int]:
        """Of the children that there are."""
        with self._changed:
            return [slot.child.pid for slot in self._slots if slot.child]

    def read(self, request: PhotoRequest, draining: threading.Event) -> Reading:
        """A photo's faces.

        PermanentError when it cannot be read or two children were lost with it, ReleasedError when the worker began to
        drain before a child had room for it, NurseryLostError when there can be no child.
        """
        return self.read_all([request], draining)[0]

    def read_all(self, requests: Sequence[PhotoRequest], draining: threading.Event) -> list[Reading]:
        """Several photos' faces; raises what `read` raises for the first that has none."""
        with ExitStack() as photos:
            tickets = [_Ticket(photos.enter_context(closing(PhotoInMemory(request))), draining) for request in requests]
            with self._changed:
                self._waiting.extend(tickets)
                self._hand_out()
            wait([ticket.outcome for ticket in tickets])
        return [_reading(ticket.outcome.result()) for ticket in tickets]

    def _hand_out(self) -> None:
        """Give waiting photos to children that have room. Call it with the lock held."""
        while self._waiting:
            ticket = self._waiting[0]
            open_slots = [slot for slot in self._slots if slot.has_room(ticket)]
            if ticket.draining.is_set() and not ticket.losses:
                ticket.outcome.set_exception(ReleasedError())
            elif open_slots:
                min(open_slots, key=lambda slot: len(slot.given)).give(ticket)
            else:
                return
            self._waiting.popleft()
            self._changed.notify_all()  # for a slot without a child

    def _attend(self, slot: _Slot) -> None:
        """A slot's thread: see that there is a child when there is work, and listen to it."""
        while not self._closed:
            child = slot.child or self._fork(slot)
            if child is None:
                continue
            try:
                message = child.listen(at_work=bool(slot.given))
            except ChildLostError as error:
                self._lose(slot, child, error)
            else:
                if message:
                    self._hear(slot, child, message)
        with self._changed:
            if slot.child:
                slot.child.hang_up()
                slot.child = None

    def _fork(self, slot: _Slot) -> Child | None:
        """A child for a slot that has work; None when the pool is closed or there is no nursery."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or slot.given)
            if self._closed:
                return None
        try:
            child = self._nursery.fork(self._limits.seconds)
        except NurseryLostError as error:  # costs the photos that wait for this child, not the slot
            with self._changed:
                tickets = slot.take(len(slot.given))
            for ticket in tickets:
                ticket.outcome.set_exception(error)
            return None
        with self._changed:
            slot.adopt(child)
        return child

    def _hear(self, slot: _Slot, child: Child, message: dict[str, Any]) -> None:
        """Note what a child has begun; pass on what it has answered, after giving it more to read."""
        if "begun" in message:
            slot.begun = message["begun"]
            return
        answers = message["answers"]
        child.photos += len(answers)
        with self._changed:
            tickets = slot.take(len(answers))
            reason = slot.reason_to_replace(message["resident_bytes"])
            if reason:
                self._replace(slot, child, reason)
            self._hand_out()
        self._metrics.observe_batch(len(answers), message["seconds"], message["cpu_seconds"])
        for ticket, answer in zip(tickets, answers, strict=True):
            ticket.outcome.set_result(answer)

    def _lose(self, slot: _Slot, child: Child, error: ChildLostError) -> None:
        """A child was lost: each photo in its hands is tried once more, alone."""
        if self._closed:
            return
        code = Code.INFERENCE_TIMEOUT if isinstance(error, ChildOverdueError) else Code.INFERENCE_FAILED
        with self._changed:
            in_hand = slot.take_begun()
            for ticket in in_hand:
                ticket.losses += 1
            again = [ticket for ticket in in_hand if ticket.losses < _TRIES]
            self._replace(slot, child, code if in_hand else "died-idle")
            self._waiting.extendleft(reversed(again))
            self._hand_out()
        _log.warning("a child was lost", extra={"reason": str(error), "photos": len(in_hand)})
        detail = f"the child that read the photo was lost, {_TRIES} times: {error}"
        for ticket in set(in_hand).difference(again):
            ticket.outcome.set_exception(PermanentError(code, detail))

    def _replace(self, slot: _Slot, child: Child, reason: str) -> None:
        """End a child; what it has been given waits again, first in the queue. Call it with the lock held."""
        self._metrics.children_replaced.labels(reason).inc()
        self._waiting.extendleft(reversed(slot.take(len(slot.given))))
        slot.child = None
        child.hang_up()


def _reading(answer: dict[str, Any]) -> Reading:
    if error := answer.get("error"):
        raise PermanentError(Code(error["code"]), error["detail"])
    return Reading.from_fields(answer["reading"])
