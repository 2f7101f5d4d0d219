"""The leading web service is killed in the middle of a burst."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from face_client import FaceClient
from face_web.scaler.fleet import LAUNCH_TAG
from local.stack import Stack
from tests.elastic.conftest import decisions, fleet, recorded
from tests.stacks import instances, results, running_stack
from tests.unit.test_worker import eventually

MOST = 4
PHOTOS = 60  # for each of the two services


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    state = tmp_path_factory.mktemp("stack")
    with running_stack(state, min_workers=0, max_workers=MOST, boot_seconds=3, webs=2) as running:
        yield running


def leads(url: str) -> bool:
    """Whether the service at this URL leads."""
    return "face_fleet_leading 1.0" in httpx.get(f"{url}/metrics", trust_env=False).text


def waiting(url: str) -> int:
    """How many requests to the service at this URL are queued and wait for their answers."""
    lines = httpx.get(f"{url}/metrics", trust_env=False).text.splitlines()
    return round(next(float(line.split()[1]) for line in lines if line.startswith("face_web_waiting ")))


@pytest.mark.timeout(300)
def test_another_leads_and_nothing_is_launched_twice_or_lost(stack: Stack, samples: Path) -> None:
    eventually(lambda: any(leads(url) for url in stack.urls), 20)
    first = [leads(url) for url in stack.urls].index(True)
    other = 1 - first
    eventually(lambda: "workers" in fleet(stack.urls[other]), 20)  # whoever follows ticks later

    def classic(url: str, number: int) -> str:
        with FaceClient(url) as face:
            return face.classic(samples / "astronaut.png", name=f"{number:03d}.png")

    with recorded(stack) as record, ThreadPoolExecutor(2 * PHOTOS) as threads:
        kept = [threads.submit(classic, stack.urls[other], number) for number in range(PHOTOS)]
        lost = [threads.submit(classic, stack.urls[first], PHOTOS + number) for number in range(PHOTOS)]
        eventually(lambda: fleet(stack.urls[other])["workers"]["booting"] > 0, 20)
        # What the leader has not queued yet is lost with it, and its clients know.
        eventually(lambda: waiting(stack.urls[first]) + sum(answer.done() for answer in lost) == PHOTOS, 30)
        os.kill(stack.webs[first].pid, signal.SIGKILL)
        killed, killed_wall = time.monotonic(), time.time()
        eventually(lambda: leads(stack.urls[other]), 20)
        took = time.monotonic() - killed
        answers = [answer.result() for answer in kept]
        broken = sum(answer.exception() is not None for answer in lost)
        eventually(lambda: stack.queued() == 0, 60)
    print(f"\nthe other leads after {took:.1f} s; {broken} clients of the killed one broke off; at most {record.most}")
    assert answers == [f"{number:03d}:unknown" for number in range(PHOTOS)]
    assert broken, "it was killed in the middle"
    assert took < 15
    assert record.most <= MOST
    assert record.ever <= MOST
    assert results(stack) == 2 * PHOTOS
    tags = [{tag["Key"]: tag["Value"] for tag in entry["Tags"]} for entry in instances(stack)]
    for token, count in Counter(tag[LAUNCH_TAG] for tag in tags).items():
        assert count == int(token.rsplit("-", 1)[1])
    log = decisions(stack.urls[other])
    assert {line["fence"] for line in log} == {1, 2}
    later = [line for line in log if line["fence"] == 2]
    assert all(line["now"] > killed_wall for line in later)
    assert sum(line["count"] for line in log if line["action"] == "start") <= MOST
