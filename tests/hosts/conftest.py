"""Tests of hosts that Ansible has configured, over SSH. FACE_HOSTS names a JSON file that says where they are."""

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

_SSH = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=5"
_UNITS = {"web": ("face-web", "nginx"), "worker": ("face-host", "face-worker")}
_JOURNAL_LINES = 30


@pytest.fixture(scope="session")
def where() -> dict[str, str]:
    """Addresses of a `web` and a `worker` host, and how to log in to them: ssh_key, ssh_user."""
    path = os.environ.get("FACE_HOSTS")
    if path is None:
        pytest.skip("FACE_HOSTS names no file: there is no deployment to test")
    found: dict[str, str] = json.loads(Path(path).read_text())
    return found


@pytest.fixture(scope="session")
def web(where: dict[str, str]) -> Host:
    """The web host."""
    return _connect(where, "web")


@pytest.fixture(scope="session")
def worker(where: dict[str, str]) -> Host:
    """The worker's host."""
    return _connect(where, "worker")


def _connect(where: dict[str, str], role: str) -> Host:
    if not where.get(role):
        pytest.skip(f"the deployment has no {role} host")
    user = where.get("ssh_user", "root")
    address = f"ssh://{user}@{where[role]}"
    return testinfra.get_host(address, ssh_identity_file=where["ssh_key"], ssh_extra_args=_SSH, sudo=user != "root")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """What the host's units said, with every failure: it tells more than the assertion does."""
    report: Any = yield
    if report.when == "call" and report.failed:
        for role, units in _UNITS.items():
            host = getattr(item, "funcargs", {}).get(role)
            if host is not None:
                chosen = " ".join(f"--unit={unit}" for unit in units)
                journal = host.run(f"journalctl --no-pager --output=short-precise --lines={_JOURNAL_LINES} {chosen}")
                report.sections.append((f"journal of the {role} host", journal.stdout))
    return report
