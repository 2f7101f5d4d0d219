"""Who runs the one cloud of this machine, as its lock file tells."""

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import cloud
from local.processes import StartError


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "lock"
    monkeypatch.setattr(cloud, "_LOCK", file)
    monkeypatch.setattr(cloud, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(cloud, "_NAME_SECONDS", 0.0)
    return file


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def about(pid: int = 1, state: str = "/state") -> cloud.Running:
    return cloud.Running(pid, state, "http://here", "http://inside", "/state/key")


def test_a_cloud_is_seen_while_it_holds_the_lock(lock: Path) -> None:
    assert cloud.running() is None
    with cloud._held() as held:
        about().save(held)
        assert cloud.running() == about()
    assert cloud.running() is None
    assert lock.read_text() == ""
    assert lock.stat().st_mode & 0o777 == 0o600


def test_what_a_crash_leaves_in_the_file_is_no_cloud(lock: Path) -> None:
    with lock.open("w") as file:
        about().save(file)
    assert cloud.running() is None


def test_lookers_do_not_see_each_other(lock: Path) -> None:
    lock.touch()
    with lock.open() as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        assert cloud.running() is None


def test_who_holds_the_lock_and_says_nothing_is_not_waited_for_without_end(lock: Path) -> None:
    with cloud._held(), pytest.raises(StartError, match="does not say"):
        cloud.running()


def test_one_cloud_at_a_time(lock: Path) -> None:
    with cloud._held() as held:
        about().save(held)
        with pytest.raises(StartError, match="already"), cloud._held():
            pass
        assert cloud.running() == about()


def test_down_leaves_another_state_folders_cloud_alone(lock: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    with cloud._held() as held:
        about(sleeper.pid).save(held)
        with pytest.raises(StartError, match="from /state"):
            cloud._down(cloud.Options(Path("/other"), 4566))
    assert sleeper.poll() is None


def test_a_process_that_is_no_cloud_is_not_ended(sleeper: "subprocess.Popen[bytes]") -> None:
    cloud._terminate(sleeper.pid)
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(0.3)


def test_a_cloud_is_ended() -> None:
    script = "import time; print('up', flush=True); time.sleep(60)"
    command = [sys.executable, "-S", "-c", script, "local.cloud"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # not before it is up has it its name in /proc
        cloud._terminate(process.pid)
        assert process.wait(10) < 0
    cloud._terminate(process.pid)  # again: nobody is there
