"""Workers are retired by force in the middle of the work."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from face_client import FaceClient
from local.resources import ec2_client
from local.stack import Stack
from tests.stacks import results, running_stack
from tests.unit.test_worker import eventually

PHOTOS = 500
CLIENTS = 20
EVERY_SECONDS = 2.0
VISIBILITY_SECONDS = 120


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def stack(state: Path) -> Iterator[Stack]:
    settings = {"FACE_VISIBILITY_SECONDS": str(VISIBILITY_SECONDS), "FACE_QUIET_SECONDS": "30"}
    with running_stack(state, settings, min_workers=2, max_workers=4) as running:
        yield running


def outcomes(state: Path) -> Counter[str]:
    """What the workers say became of the jobs."""
    logs = [log.read_text().splitlines() for log in (state / "logs").glob("i-*.log")]
    lines = [json.loads(line) for log in logs for line in log]
    return Counter(line["outcome"] for line in lines if line.get("message") == "answered")


@pytest.mark.timeout(600)
def test_forced_scale_in_loses_nothing_and_delays_nothing(stack: Stack, state: Path, samples: Path) -> None:
    assert stack.resources is not None
    ec2, over, retired = ec2_client(stack.resources.endpoint), threading.Event(), []
    choose = random.Random(1).choice  # noqa: S311

    def retire() -> None:
        """Stop one worker that runs, as a scale-in would."""
        while not over.wait(EVERY_SECONDS):
            running = [worker.name for worker in stack.workers if worker.has_logged('"message": "ready"')]
            if running:
                retired.append(choose(running))
                ec2.stop_instances(InstanceIds=retired[-1:])

    seconds: list[float] = []

    def classic(number: int) -> str:
        began = time.monotonic()
        line = face.classic(samples / "chelsea.png", name=f"{number:03d}.png")
        seconds.append(time.monotonic() - began)
        return line

    thread = threading.Thread(target=retire)
    thread.start()
    with FaceClient(stack.url) as face, ThreadPoolExecutor(CLIENTS) as threads:
        answers = list(threads.map(classic, range(PHOTOS)))
    over.set()
    thread.join()
    eventually(lambda: sum(outcomes(state).values()) >= PHOTOS)  # a worker logs after it has answered
    print(f"\n{len(retired)} retired; slowest answer {max(seconds):.1f} s; {dict(outcomes(state))}")
    assert answers == [f"{number:03d}:no-face" for number in range(PHOTOS)]
    assert results(stack) == PHOTOS
    assert outcomes(state) == {"done": PHOTOS}
    assert len(retired) > 10
    assert max(seconds) < VISIBILITY_SECONDS / 2
    assert stack.queued() == 0
