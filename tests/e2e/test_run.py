"""`make run` from its start to Ctrl-C, twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from face_client import FaceClient
from local.localstack import free_port
from local.stack import ROOT
from tests.unit.test_worker import eventually

pytestmark = pytest.mark.timeout(400)  # a loaded machine takes a minute for a start


@contextmanager
def running(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`make run`'s program with its state in a folder of its own."""
    environment = os.environ | {
        "PORT": str(port),
        "MAX_WORKERS": "1",
        "STATE": str(folder),
        "FACE_CACHE_DIR": str(ROOT / ".local" / "cache"),
    }
    with (
        (folder / "output").open("w+") as output,
        subprocess.Popen(
            [sys.executable, "-m", "local"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        try:
            eventually(lambda: "is up" in (folder / "output").read_text() or process.poll() is not None, 120)
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(60)


def descendants(pid: int) -> set[int]:
    """All processes below this one."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")  # each thread has the children that it started
    children = {int(child) for thread in threads for child in thread.read_text().split()}
    return children.union(*(descendants(child) for child in children))


def alive(pids: set[int]) -> set[int]:
    """Those that still run; a zombie has ended, whoever reaps it."""
    return {pid for pid in pids if _state(pid) not in (None, "Z")}


def _state(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the latter when it ends between opening and reading
        return None


def test_people_survive_a_restart_and_nothing_is_left_behind(tmp_path: Path, samples: Path) -> None:
    port = free_port()
    with running(tmp_path, port) as process, FaceClient(f"http://127.0.0.1:{port}") as face:
        assert face.enrol("Obama", [samples / "obama.jpg"])[0]["verdict"] == "accepted"
        started = descendants(process.pid)
        assert len(started) >= 5
    assert process.returncode == 0
    assert alive(started) == set()
    began = time.monotonic()
    with running(tmp_path, port) as process, FaceClient(f"http://127.0.0.1:{port}") as face:
        seconds = time.monotonic() - began
        assert [(one["person"], one["photos"]) for one in face.people()] == [("Obama", 1)]
        assert face.identify(samples / "obama2.jpg")["faces"][0]["person"] == "Obama"
        started = descendants(process.pid)
    assert alive(started) == set()
    print(f"second start in {seconds:.1f} s")


def test_stopping_answers_everything_that_was_accepted(tmp_path: Path, samples: Path) -> None:
    port = free_port()
    with running(tmp_path, port) as process, FaceClient(f"http://127.0.0.1:{port}") as face:
        queued = [face.identify(samples / "obama3.jpg", wait=0)["id"] for _ in range(5)]
        with ThreadPoolExecutor(10) as threads:
            waiting = [
                threads.submit(face.classic, samples / "astronaut.png", name=f"{number}.png") for number in range(10)
            ]
            eventually(lambda: b"face_web_waiting 10.0" in httpx.get(f"http://127.0.0.1:{port}/metrics").content)
            process.send_signal(signal.SIGTERM)
            assert [answer.result() for answer in waiting] == [f"{number}:unknown" for number in range(10)]
        assert process.wait(60) == 0
    with running(tmp_path, port), FaceClient(f"http://127.0.0.1:{port}") as face:
        eventually(lambda: [face.identification(one)["state"] for one in queued] == ["done"] * 5, 10)


def test_a_taken_port_is_told_before_anything_is_started(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, port), httpx.Client(trust_env=False) as http:
        assert http.get(f"http://127.0.0.1:{port}/healthz").is_success
        (tmp_path / "other").mkdir()
        with running(tmp_path / "other", port) as second:
            assert second.wait(10) == 1
        assert f"port {port} is taken" in (tmp_path / "other" / "output").read_text()
        with running(tmp_path / "other", 0) as wrong:
            assert wrong.wait(10) == 2


@pytest.mark.parametrize(("variable", "value"), [("PORT", "http"), ("MAX_WORKERS", "0"), ("MAX_WORKERS", "-1")])
def test_wrong_variables_are_told(tmp_path: Path, variable: str, value: str) -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "local"],
        cwd=ROOT,
        env=os.environ | {"STATE": str(tmp_path), variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 2
    assert f"{variable} is a whole number" in outcome.stderr
