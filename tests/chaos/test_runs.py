"""`make run` when a part of it, or all of it, is killed."""

import os
import signal
from pathlib import Path

from local.localstack import free_port
from tests.e2e.test_run import alive, descendants, running
from tests.unit.test_worker import eventually


def test_when_the_web_service_dies_everything_stops_and_says_so(tmp_path: Path) -> None:
    with running(tmp_path, free_port()) as process:
        started = descendants(process.pid)
        web = next(pid for pid in started if b"face_web" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(web, signal.SIGKILL)
        assert process.wait(60) == 1
    assert "the web service died" in (tmp_path / "output").read_text()
    assert alive(started) == set()


def test_a_killed_run_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path, free_port()) as process:
        started = descendants(process.pid)
        process.kill()
        eventually(lambda: not alive(started), 30)
