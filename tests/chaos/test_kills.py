"""Processes are killed in the middle of the work: nothing is lost, nothing is answered twice."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from face_client import FaceClient
from local.stack import Stack
from tests.e2e.test_run import descendants
from tests.stacks import results, running_stack

PHOTOS = 100


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


def children(stack: Stack, worker: int) -> set[int]:
    """The nursery of a worker and its inference children."""
    return descendants(stack.workers[worker].pid)


def kill_child(stack: Stack) -> None:
    """An inference child: a process below the nursery."""
    (nursery,) = descendants(stack.workers[0].pid) & {
        int(pid)
        for pid in Path(f"/proc/{stack.workers[0].pid}/task/{stack.workers[0].pid}/children").read_text().split()
    } or {0}
    os.kill(min(descendants(nursery)), signal.SIGKILL)


def kill_nursery(stack: Stack) -> None:
    """The process that forks children, and the child with it."""
    for pid in children(stack, 0):
        os.kill(pid, signal.SIGKILL)


def kill_worker(stack: Stack) -> None:
    os.kill(stack.workers[0].pid, signal.SIGKILL)


def terminate_worker(stack: Stack) -> None:
    os.kill(stack.workers[1].pid, signal.SIGTERM)


@pytest.mark.parametrize("strike", [kill_child, kill_nursery, kill_worker, terminate_worker])
def test_every_photo_is_answered_once_all_the_same(stack: Stack, samples: Path, strike: object) -> None:
    before = results(stack)
    answered = threading.Semaphore(0)

    def classic(number: int) -> str:
        line = face.classic(samples / "astronaut.png", name=f"{number:03d}.png")
        answered.release()
        return line

    with FaceClient(stack.url) as face, ThreadPoolExecutor(PHOTOS) as threads:
        lines = [threads.submit(classic, number) for number in range(PHOTOS)]
        for _ in range(20):
            assert answered.acquire(timeout=60)
        strike(stack)  # type: ignore[operator]
        while not all(line.done() for line in lines):
            stack.watch()
            time.sleep(0.1)
    assert [line.result() for line in lines] == [f"{number:03d}:unknown" for number in range(PHOTOS)]
    assert results(stack) - before == PHOTOS
