"""The inference children for real: forked, killed, stopped, starved, replaced, with one photo and with several."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from face_app.children import Child, Nursery, NurseryLostError
from face_app.handlers import ReleasedError
from face_app.inference import InferenceSettings
from face_app.metrics import WorkerMetrics
from face_app.pool import InferencePool, SlotLimits
from face_app.recognition import PhotoRequest, Reading
from face_common.contract import Code
from face_common.errors import PermanentError
from tests.pictures import picture
from tests.unit.test_worker import eventually

BATCH = 4


def settings(model_cache: Path, memory_bytes: int = 512 * 2**20) -> InferenceSettings:
    return InferenceSettings("fast", "balanced", model_cache, memory_bytes, batch_photos=BATCH)


@pytest.fixture(scope="module")
def nursery(model_cache: Path) -> Iterator[Nursery]:
    running = Nursery(settings(model_cache))
    running.start()
    running.wait_ready()
    yield running
    running.close()


class House:
    """A pool, and people who wait for readings from it."""

    def __init__(self, nursery: Nursery, slots: int, limits: SlotLimits) -> None:
        self.metrics = WorkerMetrics()
        self.pool = InferencePool(nursery, slots, limits, self.metrics)
        self.draining = threading.Event()
        self._threads = ThreadPoolExecutor(64)
        self.pool.start()

    @property
    def pid(self) -> int:
        """Of the only child."""
        (pid,) = self.pool.pids
        return pid

    def read(self, body: bytes) -> Reading:
        return self.pool.read(PhotoRequest(body, 10), self.draining)

    def begin(self, bodies: Sequence[bytes]) -> list[Future[Reading]]:
        """Start reading, each photo by somebody else, in this order."""
        begun = []
        for body in bodies:
            begun.append(self._threads.submit(self.read, body))
            time.sleep(0.02)
        return begun

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"face_worker_{name}", labels) or 0.0

    def close(self) -> None:
        self.pool.close()
        self._threads.shutdown()


HouseMaker = Callable[..., House]


@pytest.fixture
def make_house(nursery: Nursery) -> Iterator[HouseMaker]:
    made: list[House] = []

    def make(
        seconds: float = 20.0,
        jobs: int = 1000,
        resident_bytes: int = 2**40,
        slots: int = 1,
        nursery: Nursery = nursery,
    ) -> House:
        made.append(House(nursery, slots, SlotLimits(seconds, jobs, resident_bytes, BATCH)))
        return made[-1]

    yield make
    for house in made:
        house.close()


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_photo_is_read(make_house: HouseMaker, samples: Path) -> None:
    house = make_house()
    reading = house.read((samples / "astronaut.png").read_bytes())
    assert (reading.width, reading.height, len(reading.faces)) == (512, 512, 1)
    assert len(reading.faces[0].encoding) == 128
    assert min(reading.decode_ms, reading.detect_ms, reading.encode_ms) > 0
    assert house.metric("inference_seconds_total") > 0
    assert house.metric("inference_cpu_seconds_total") > 0


def test_a_child_is_told_what_is_asked_for(make_house: HouseMaker, samples: Path) -> None:
    house = make_house()
    body = (samples / "astronaut.png").read_bytes()
    plain, careful, places, few = house.pool.read_all(
        [
            PhotoRequest(body, 10),
            PhotoRequest(body, 10, careful=True),
            PhotoRequest(body, 10, encode=False),
            PhotoRequest(body, 0),
        ],
        house.draining,
    )
    assert plain.faces[0].rectangle == careful.faces[0].rectangle == places.faces[0].rectangle
    assert plain.faces[0].encoding != careful.faces[0].encoding
    assert places.faces[0].encoding == ()
    assert few.faces == ()


def test_photos_that_wait_are_read_together_and_none_is_waited_for(make_house: HouseMaker) -> None:
    house = make_house()
    os.kill(house.pid, signal.SIGSTOP)
    begun = house.begin([picture()] * 6)
    os.kill(house.pid, signal.SIGCONT)
    assert all(one.result(10).faces == () for one in begun)
    assert house.metric("batch_photos_count") == 2, "four and the two that were left"
    assert house.read(picture()).faces == ()
    assert house.metric("batch_photos_count") == 3
    assert house.metric("batch_photos_sum") == 7


def test_a_broken_photo_is_refused_and_its_child_and_its_neighbours_go_on(make_house: HouseMaker) -> None:
    house = make_house()
    pid = house.pid
    os.kill(pid, signal.SIGSTOP)
    good, bad, other = house.begin([picture(), b"nonsense", picture()])
    os.kill(pid, signal.SIGCONT)
    with pytest.raises(PermanentError, match="image-unreadable"):
        bad.result(10)
    assert good.result(10).faces == other.result(10).faces == ()
    assert house.pid == pid


def test_an_idle_child_that_died_is_replaced_unnoticed(make_house: HouseMaker) -> None:
    house = make_house()
    pid = house.pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not house.pool.pids)
    assert house.read(picture()).faces == ()
    assert house.pid != pid
    assert house.metric("children_replaced_total", reason="died-idle") == 1


def test_photos_whose_child_is_killed_get_another(make_house: HouseMaker) -> None:
    house = make_house()
    pid = house.pid
    os.kill(pid, signal.SIGSTOP)  # so that it certainly has the photos in hand when it is killed
    begun = house.begin([picture()] * 3)
    os.kill(pid, signal.SIGKILL)
    assert [one.result(10).faces for one in begun] == [()] * 3
    assert house.metric("children_replaced_total", reason="inference-failed") == 1


class DeadlyNursery:
    """A nursery whose children are killed as soon as they begin with a photo that starts with `poison`."""

    def __init__(self, nursery: Nursery, poison: bytes) -> None:
        self._nursery = nursery
        self._poison = poison
        self.children: list[Child] = []

    def fork(self, patience: float) -> Child:
        child = self._nursery.fork(patience)
        self.children.append(child)
        send, listen = child.send, child.listen
        order: list[bool] = []

        def watched_send(photo):  # type: ignore[no-untyped-def]
            order.append(os.pread(photo.memory, len(self._poison), 0) == self._poison)
            send(photo)

        def watched_listen(*, at_work):  # type: ignore[no-untyped-def]
            message = listen(at_work=at_work)
            if message and "begun" in message and order[message["begun"] - 1]:
                child.kill()
            elif message and "answers" in message:
                del order[: len(message["answers"])]
            return message

        child.send, child.listen = watched_send, watched_listen  # type: ignore[method-assign]
        return child


def test_of_photos_in_one_child_s_hands_only_the_deadly_one_fails(make_house: HouseMaker, nursery: Nursery) -> None:
    # A photo that takes its child long enough to be killed while it is at it.
    deadly = picture("PNG", (6000, 6000))
    house = make_house(nursery=DeadlyNursery(nursery, deadly[:64]))  # type: ignore[arg-type]
    pid = house.pid
    os.kill(pid, signal.SIGSTOP)
    one, two, three, four, five = house.begin([picture(), picture(), deadly, picture(), picture()])
    os.kill(pid, signal.SIGCONT)
    with pytest.raises(PermanentError) as caught:
        three.result(20)
    assert caught.value.code is Code.INFERENCE_FAILED
    assert [other.result(20).faces for other in (one, two, four, five)] == [()] * 4
    assert house.metric("children_replaced_total", reason="inference-failed") == 2


@pytest.mark.parametrize("size", [100, 4_000_000], ids=["small", "larger-than-any-buffer"])
def test_a_child_that_takes_too_long_is_replaced(make_house: HouseMaker, size: int) -> None:
    house = make_house(seconds=0.5)
    first = house.pid
    os.kill(first, signal.SIGSTOP)
    begun = house.begin([b"x" * size] * 3)
    for one in begun:
        with pytest.raises(PermanentError, match="image-unreadable"):  # the second child says what it is
            one.result(10)
    assert house.pid != first
    eventually(lambda: is_gone(first))
    assert house.metric("children_replaced_total", reason="inference-timeout") == 1


class StoppedNursery:
    """A nursery whose children never answer."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery

    def fork(self, patience: float) -> Child:
        child = self._nursery.fork(patience)
        os.kill(child.pid, signal.SIGSTOP)
        return child


def test_a_photo_that_takes_too_long_twice_is_given_up(make_house: HouseMaker, nursery: Nursery) -> None:
    house = make_house(seconds=0.3, nursery=StoppedNursery(nursery))  # type: ignore[arg-type]
    for one in house.begin([picture(), picture()]):
        with pytest.raises(PermanentError) as caught:
            one.result(10)
        assert caught.value.code is Code.INFERENCE_TIMEOUT


def test_the_time_limit_is_for_one_photo_however_many_are_read_together(make_house: HouseMaker) -> None:
    large = picture("JPEG", (2000, 2000))
    measuring = make_house()
    began = time.monotonic()
    measuring.read(large)
    house = make_house(seconds=3 * (time.monotonic() - began))
    os.kill(house.pid, signal.SIGSTOP)
    begun = house.begin([large] * BATCH)
    os.kill(house.pid, signal.SIGCONT)
    assert all(one.result(30).faces == () for one in begun)
    assert house.metric("batch_photos_sum") / house.metric("batch_photos_count") == BATCH


def test_a_photo_too_large_for_a_child_s_memory_fails_alone(make_house: HouseMaker, samples: Path) -> None:
    house = make_house()
    pid = house.pid
    os.kill(pid, signal.SIGSTOP)
    portrait = (samples / "astronaut.png").read_bytes()
    huge = picture("PNG", (16_000, 16_000))  # 768 MB decoded, 512 MiB allowed
    before, too_large, behind = house.begin([portrait, huge, portrait])
    os.kill(pid, signal.SIGCONT)
    with pytest.raises(PermanentError) as caught:
        too_large.result(20)
    assert caught.value.code is Code.IMAGE_TOO_LARGE
    assert len(before.result(20).faces) == len(behind.result(20).faces) == 1
    assert house.pid == pid


def test_photos_that_are_too_large_together_are_read_one_by_one(make_house: HouseMaker) -> None:
    house = make_house()
    pid = house.pid
    os.kill(pid, signal.SIGSTOP)
    begun = house.begin([picture("PNG", (5500, 5500))] * BATCH)  # 91 MB each once decoded, 512 MiB allowed
    os.kill(pid, signal.SIGCONT)
    assert all(one.result(60).faces == () for one in begun)
    assert house.pid == pid


def test_a_child_is_replaced_after_its_number_of_photos(make_house: HouseMaker) -> None:
    house = make_house(jobs=2)
    for _ in range(4):
        house.read(picture())
    assert house.metric("children_replaced_total", reason="jobs") == 2


def test_a_child_that_has_grown_is_replaced_and_what_it_had_been_given_is_not_held_against_it(
    make_house: HouseMaker,
) -> None:
    house = make_house(resident_bytes=1)
    os.kill(house.pid, signal.SIGSTOP)
    begun = house.begin([picture()] * 2 * BATCH)
    os.kill(house.pid, signal.SIGCONT)
    assert all(one.result(10).faces == () for one in begun)
    eventually(lambda: house.metric("children_replaced_total", reason="resident-size") == 2)
    assert house.metric("children_replaced_total", reason="inference-failed") == 0


def test_draining_releases_what_no_child_has_been_given(make_house: HouseMaker) -> None:
    house = make_house()
    os.kill(house.pid, signal.SIGSTOP)
    begun = house.begin([picture()] * (2 * BATCH + 3))
    house.draining.set()
    os.kill(house.pid, signal.SIGCONT)
    assert [one.result(10).faces for one in begun[: 2 * BATCH]] == [()] * 2 * BATCH
    for one in begun[2 * BATCH :]:
        with pytest.raises(ReleasedError):
            one.result(10)


def test_photos_go_to_the_child_that_has_least_to_do(make_house: HouseMaker) -> None:
    house = make_house(slots=2)
    hanging, *_ = house.pool.pids
    os.kill(hanging, signal.SIGSTOP)
    (waiting,) = house.begin([picture()])
    assert [house.read(picture()).faces for _ in range(5)] == [()] * 5
    assert not waiting.done()
    os.kill(hanging, signal.SIGCONT)
    assert waiting.result(10).faces == ()


def test_who_still_waits_when_the_pool_closes_is_told(make_house: HouseMaker) -> None:
    house = make_house()
    os.kill(house.pid, signal.SIGSTOP)
    begun = house.begin([picture()] * (2 * BATCH + 1))
    house.pool.close()
    for one in begun:
        with pytest.raises(ReleasedError):
            one.result(10)


def test_a_dead_nursery_is_started_again(model_cache: Path, make_house: HouseMaker) -> None:
    nursery = Nursery(settings(model_cache))
    nursery.start()
    house = make_house(nursery=nursery)
    nursery._process.kill()
    nursery._process.wait()
    os.kill(house.pid, signal.SIGKILL)
    assert house.read(picture()).faces == ()
    nursery.close()


def test_without_a_nursery_photos_fail_and_the_slot_does_not(nursery: Nursery, make_house: HouseMaker) -> None:
    class BrokenNursery:
        broken = False

        def fork(self, patience: float) -> Child:
            if self.broken:
                raise NurseryLostError("no models")
            return nursery.fork(patience)

    breakable = BrokenNursery()
    house = make_house(nursery=breakable)  # type: ignore[arg-type]
    breakable.broken = True
    os.kill(house.pid, signal.SIGKILL)
    eventually(lambda: not house.pool.pids)
    with pytest.raises(NurseryLostError):
        house.read(picture())
    breakable.broken = False
    assert house.read(picture()).faces == ()


def test_nothing_is_left_when_the_parent_hangs_up(model_cache: Path) -> None:
    nursery = Nursery(settings(model_cache))
    nursery.start()
    child = nursery.fork(20)
    child.hang_up()
    nursery.close()
    eventually(lambda: is_gone(child.pid))
    assert nursery._process.poll() == 0


def test_the_nursery_has_one_thread_so_that_forking_is_safe(nursery: Nursery) -> None:
    assert len(list(Path(f"/proc/{nursery._process.pid}/task").iterdir())) == 1


def test_a_child_that_hangs_is_ended_by_hanging_up(nursery: Nursery) -> None:
    child = nursery.fork(20)
    os.kill(child.pid, signal.SIGSTOP)
    child.hang_up()
    eventually(lambda: is_gone(child.pid))
