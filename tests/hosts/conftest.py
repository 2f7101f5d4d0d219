"""Tests of hosts that Ansible has configured, over SSH, in a deployment on this machine."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from tests.hosts.where import Where, deployed, missing
from tests.stacks import give_first_time

_SSH = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=5"
_UNITS = {"web": ("face-web", "nginx"), "worker": ("face-host", "face-worker")}
_JOURNAL_LINES = 30
_DEPLOY_SECONDS = 1200  # with a base to build, on two cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for the deployment."""
    give_first_time(items, Path(__file__).parent, _DEPLOY_SECONDS)


@pytest.fixture(scope="session")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Where]:
    """A deployment on systemd machines."""
    if reason := missing():
        pytest.skip(reason)
    with deployed(tmp_path_factory.mktemp("hosts")) as where:
        yield where


@pytest.fixture(scope="session")
def web(where: Where) -> Host:
    """The web host."""
    return _connect(where, where.web)


@pytest.fixture
def worker(where: Where) -> Host:
    """The host of a worker that is ready."""
    return _connect(where, where.address(where.worker_instance()))


def _connect(where: Where, address: str) -> Host:
    return testinfra.get_host(f"ssh://root@{address}", ssh_identity_file=where.ssh_key, ssh_extra_args=_SSH)


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
