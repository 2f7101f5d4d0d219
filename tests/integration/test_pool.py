"""The inference children for real: forked, killed, stopped, starved, replaced."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from face_app.metrics import WorkerMetrics
from face_app.pool import Child, InferencePool, Nursery, Slot, SlotLimits
from face_app.recognition import Reading
from face_app.settings import InferenceSettings
from face_common.contract import Code
from face_common.errors import PermanentError
from tests.pictures import picture
from tests.unit.test_worker import eventually


@pytest.fixture(scope="module")
def nursery(model_cache: Path) -> Iterator[Nursery]:
    running = Nursery(InferenceSettings(engine="fast", profile="balanced", cache=model_cache, memory_bytes=512 * 2**20))
    running.start()
    running.wait_ready()
    yield running
    running.close()


SlotMaker = Callable[..., Slot]


@pytest.fixture
def make_slot(nursery: Nursery) -> Iterator[SlotMaker]:
    made: list[Slot] = []

    def make(seconds: float = 20.0, jobs: int = 1000, resident_bytes: int = 2**40) -> Slot:
        made.append(Slot(nursery, SlotLimits(seconds, jobs, resident_bytes), WorkerMetrics()))
        return made[-1]

    yield make
    for slot in made:
        slot.close()


def in_background(slot: Slot, body: bytes) -> tuple[threading.Thread, list[Reading | PermanentError]]:
    """Start reading; the list gets the outcome."""
    outcome: list[Reading | PermanentError] = []

    def read() -> None:
        try:
            outcome.append(slot.read(body, 10))
        except PermanentError as error:
            outcome.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, outcome


def test_a_photo_is_read(make_slot: SlotMaker, samples: Path) -> None:
    reading = make_slot().read((samples / "astronaut.png").read_bytes(), 10)
    assert (reading.width, reading.height, len(reading.faces)) == (512, 512, 1)
    assert len(reading.faces[0].encoding) == 128
    assert min(reading.decode_ms, reading.detect_ms, reading.encode_ms) > 0


def test_a_broken_photo_is_refused_and_its_child_goes_on(make_slot: SlotMaker) -> None:
    slot = make_slot()
    pid = slot.warm().pid
    with pytest.raises(PermanentError, match="image-unreadable"):
        slot.read(b"nonsense", 10)
    assert slot.warm().pid == pid


def test_an_idle_child_that_died_is_replaced_unnoticed(make_slot: SlotMaker) -> None:
    slot = make_slot()
    pid = slot.warm().pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert slot.read(picture(), 10).faces == ()
    assert slot.warm().pid != pid


def test_a_photo_whose_child_is_killed_gets_another(make_slot: SlotMaker) -> None:
    slot = make_slot()
    pid = slot.warm().pid
    os.kill(pid, signal.SIGSTOP)  # so that it certainly has the photo in hand when it is killed
    thread, outcome = in_background(slot, picture())
    time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    thread.join(10)
    assert isinstance(outcome[0], Reading)


@pytest.mark.parametrize("size", [100, 4_000_000], ids=["small", "larger-than-any-buffer"])
def test_a_child_that_takes_too_long_is_replaced(make_slot: SlotMaker, size: int) -> None:
    slot = make_slot(seconds=0.5)
    first = slot.warm().pid
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(PermanentError, match="image-unreadable"):
        slot.read(b"x" * size, 10)  # the second child says what it is
    assert slot.warm().pid != first
    eventually(lambda: not Path(f"/proc/{first}").exists())


class StoppedNursery:
    """A nursery whose children never answer."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery

    def fork(self) -> Child:
        child = self._nursery.fork()
        os.kill(child.pid, signal.SIGSTOP)
        return child


def test_a_photo_that_takes_too_long_twice_is_given_up(nursery: Nursery) -> None:
    slot = Slot(StoppedNursery(nursery), SlotLimits(0.3, 1000, 2**40), WorkerMetrics())  # type: ignore[arg-type]
    with pytest.raises(PermanentError) as caught:
        slot.read(picture(), 10)
    assert caught.value.code is Code.INFERENCE_TIMEOUT


def test_a_photo_too_large_for_a_child_s_memory_fails_alone(make_slot: SlotMaker) -> None:
    slot = make_slot()
    with pytest.raises(PermanentError) as caught:
        slot.read(picture("PNG", (16_000, 16_000)), 10)  # 768 MB decoded, 512 MiB allowed
    assert caught.value.code is Code.IMAGE_TOO_LARGE
    assert slot.read(picture(), 10).faces == ()


def test_a_child_is_replaced_after_its_number_of_photos(make_slot: SlotMaker) -> None:
    slot = make_slot(jobs=2)
    pids = set()
    for _ in range(4):
        pids.add(slot.warm().pid)
        slot.read(picture(), 10)
    assert len(pids) == 2


def test_a_child_that_has_grown_is_replaced(make_slot: SlotMaker) -> None:
    slot = make_slot(resident_bytes=1)
    first = slot.warm().pid
    slot.read(picture(), 10)
    assert slot.warm().pid != first


def test_a_dead_nursery_is_started_again(model_cache: Path) -> None:
    nursery = Nursery(InferenceSettings(engine="fast", profile="balanced", cache=model_cache, memory_bytes=2**30))
    nursery.start()
    pool = InferencePool(nursery, 1, SlotLimits(20, 1000, 2**40), WorkerMetrics())
    pool.warm()
    nursery._process.kill()
    nursery._process.wait()
    with pool.slot() as slot:
        os.kill(slot.warm().pid, signal.SIGKILL)
        assert slot.read(picture(), 10).faces == ()
    pool.close()
    nursery.close()


def test_nothing_is_left_when_the_parent_hangs_up(model_cache: Path) -> None:
    nursery = Nursery(InferenceSettings(engine="fast", profile="balanced", cache=model_cache, memory_bytes=2**30))
    nursery.start()
    child = nursery.fork()
    child.hang_up()
    nursery.close()
    eventually(lambda: not Path(f"/proc/{child.pid}").exists())
    assert nursery._process.poll() == 0


def test_the_nursery_has_one_thread_so_that_forking_is_safe(nursery: Nursery) -> None:
    assert len(list(Path(f"/proc/{nursery._process.pid}/task").iterdir())) == 1


def test_a_child_that_hangs_is_ended_by_hanging_up(nursery: Nursery) -> None:
    child = nursery.fork()
    os.kill(child.pid, signal.SIGSTOP)
    child.hang_up()
    eventually(lambda: not Path(f"/proc/{child.pid}").exists())
