"""The fleet grows from zero with the load and goes back."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from face_client import FaceClient
from local.processes import service_environment
from local.stack import Stack
from tests.elastic.conftest import decisions, fleet, recorded
from tests.stacks import running_stack
from tests.unit.test_worker import eventually

PHOTOS = 30


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    state = tmp_path_factory.mktemp("stack")
    with running_stack(state, {"FACE_QUIET_SECONDS": "5"}, min_workers=0, max_workers=3, boot_seconds=2) as running:
        yield running


def test_the_fleet_grows_from_zero_and_shrinks_to_zero(stack: Stack, samples: Path) -> None:
    eventually(lambda: "workers" in fleet(stack.url), 20)
    assert stack.workers == []
    with FaceClient(stack.url) as face, recorded(stack) as record, ThreadPoolExecutor(PHOTOS) as threads:
        answers = threads.map(lambda number: face.classic(samples / "chelsea.png", name=f"{number}.png"), range(PHOTOS))
        assert list(answers) == [f"{number}:no-face" for number in range(PHOTOS)]
        eventually(
            lambda: (
                fleet(stack.url)["workers"] == {"booting": 0, "running": 0, "draining": 0, "stopped": 3, "outdated": 0}
            ),
            60,
        )
    assert record.most == 3
    assert next(line["action"] for line in reversed(decisions(stack.url)) if line["action"] != "hold") == "start"
    eventually(lambda: stack.workers == [], 10)  # the last of them has said that it is gone, and is about to be


def scaler(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert stack.resources is not None
    environment = service_environment(stack.resources.environment())
    command = [sys.executable, "-m", "face_web.scaler", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_operator_looks_at_the_plan_without_changing_anything(stack: Stack) -> None:
    looked = scaler(stack, "--once", "--dry-run")
    assert looked.returncode == 0, looked.stderr
    assert looked.stdout.splitlines()[-1].startswith("Holding 0 workers: as many as are needed")
    assert '"cold_boot_seconds"' in looked.stdout


def test_nobody_decides_beside_the_leader(stack: Stack) -> None:
    refused = scaler(stack, "--once")
    assert refused.returncode == 1
    assert "leads: its decisions are at /v1/fleet/decisions" in refused.stderr


def test_wrong_calls_are_told(stack: Stack) -> None:
    assert scaler(stack, "--dry-run").returncode == 2
    wrong = subprocess.run(
        [sys.executable, "-m", "face_web.scaler", "--once"],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 2
    assert "bucket" in wrong.stderr
