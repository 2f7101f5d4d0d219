"""What machines' cgroups need where cgroup v2 is the only hierarchy."""

import os
from pathlib import Path

import pytest

from local.machines import cgroups
from local.machines.cgroups import passed_on
from local.processes import StartError


@pytest.mark.parametrize(
    ("available", "passed"),
    [("cpuset cpu io memory hugetlb pids rdma\n", "+memory +pids +cpu"), ("memory pids\n", "+memory +pids")],
)
def test_the_controllers_that_limit_machines_are_passed_on(available: str, passed: str) -> None:
    assert passed_on(available) == passed


@pytest.mark.parametrize("available", ["", "cpu pids\n"])
def test_machines_without_limits_on_memory_are_refused(available: str) -> None:
    with pytest.raises(StartError, match="no memory controller"):
        passed_on(available)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files where a machine with cgroup v2 alone has them, and this process's own cgroup among them."""
    folder = tmp_path / "system.slice" / "run-1.scope"
    folder.mkdir(parents=True)
    for path in (tmp_path, folder):
        (path / "cgroup.controllers").write_text("cpu memory pids\n")
    monkeypatch.setattr(cgroups, "_MOUNTS", tmp_path)
    monkeypatch.setattr(cgroups, "_own", lambda: iter([folder]))
    return folder


def test_a_process_that_settles_makes_room_before_it_passes_controllers_on(own: Path) -> None:
    cgroups.settle()
    assert (own / "face-daemon" / "cgroup.procs").read_text() == str(os.getpid())
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_controllers_that_cannot_be_passed_on_are_told(own: Path) -> None:
    (own / "cgroup.subtree_control").mkdir()  # no write to it succeeds, as in a cgroup with processes
    with pytest.raises(StartError, match="cannot be limited"):
        cgroups.settle()
