"""The classic burst on a fleet that starts from zero."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from face_client import FaceClient
from local.stack import Stack
from tests.elastic.conftest import decisions, fleet, recorded
from tests.stacks import running_stack
from tests.unit.test_worker import eventually

CLIENTS = 100
QUIET = 15.0
MOST = 15


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    state = tmp_path_factory.mktemp("stack")
    settings = {"FACE_QUIET_SECONDS": str(QUIET)}
    with running_stack(state, settings, min_workers=0, max_workers=MOST, boot_seconds=8) as running:
        yield running


def is_empty(stack: Stack) -> bool:
    workers = fleet(stack.url)["workers"]
    return not workers["booting"] + workers["running"] + workers["draining"]


@pytest.mark.timeout(400)
def test_the_fleet_follows_the_burst_up_and_down(stack: Stack, samples: Path) -> None:
    known = {"obama2.jpg": "Obama", "biden.jpg": "Biden", "astronaut.png": "unknown", "chelsea.png": "no-face"}
    with FaceClient(stack.url) as face:
        face.enrol("Obama", [samples / "obama.jpg"])
        face.enrol("Biden", [samples / "biden.jpg"])
        eventually(lambda: is_empty(stack), 60)
        photos = [sorted(known)[number % len(known)] for number in range(CLIENTS)]

        def classic(number: int) -> str:
            return face.classic(samples / photos[number], name=f"{number:03d}{Path(photos[number]).suffix}")

        with recorded(stack) as record, ThreadPoolExecutor(CLIENTS) as threads:
            began_wall, began = time.time(), time.monotonic()
            answers = list(threads.map(classic, range(CLIENTS)))
            answered = time.monotonic()
            eventually(lambda: is_empty(stack), QUIET + 30)
            time.sleep(1)
    assert answers == [f"{number:03d}:{known[photo]}" for number, photo in enumerate(photos)]
    log = [line for line in decisions(stack.url) if line["now"] >= began_wall]
    first = min(line["now"] for line in log if line["action"] == "start")
    down = record.zero_since() - answered - QUIET
    print(
        f"\nburst: first decision after {first - began_wall:.1f} s, at most {record.most} instances, "
        f"all answered after {answered - began:.1f} s, zero {down:.1f} s after the quiet period"
    )
    for line in reversed(log):
        if line["action"] != "hold":
            print(f"  {line['now'] - began_wall:6.1f} s  {line['reason']}")
    assert first - began_wall < 2
    assert record.most == MOST
    assert record.ever <= MOST
    assert down < 20
    assert stack.queued() == 0
    assert all(line["reason"].endswith(".") and len(line["reason"]) > 20 for line in log)
