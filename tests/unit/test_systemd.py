"""What the service manager is told, over real sockets, and what it hands over."""

import math
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from face_common.systemd import Systemd

HANDED_OVER = """
import os, socket
from face_common.systemd import Systemd
(held,) = Systemd(os.environ | {"LISTEN_PID": str(os.getpid())}, os.getpid()).sockets()
print(held.getsockname()[1], held.get_inheritable())
"""


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as a service manager's, and its address as it tells it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@face-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0"))
        listening.settimeout(5)
        yield listening, address


def test_the_manager_hears_how_the_service_is(manager: tuple[socket.socket, str]) -> None:
    listening, address = manager
    service = Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"}, os.getpid())
    service.ready()
    service.alive()
    service.stopping()
    assert [listening.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
    assert service.watchdog_seconds == 30


@pytest.mark.parametrize("watched", [{}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}])
def test_nobody_is_told_who_does_not_ask(manager: tuple[socket.socket, str], watched: dict[str, str]) -> None:
    listening, address = manager
    service = Systemd({"NOTIFY_SOCKET": address, **watched}, os.getpid())
    service.alive()
    service.ready()
    assert listening.recv(100) == b"READY=1"
    assert service.watchdog_seconds == math.inf


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_without_a_manager_nothing_happens(environment: dict[str, str]) -> None:
    service = Systemd(environment, os.getpid())
    service.ready()
    assert service.sockets() == []


def test_sockets_of_another_process_are_not_taken() -> None:
    assert Systemd({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, os.getpid()).sockets() == []


def test_a_socket_that_was_handed_over_is_taken_and_goes_no_further() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        told = subprocess.run(
            [sys.executable, "-c", f"import os; os.dup2({held.fileno()}, 3)\n{HANDED_OVER}"],
            env=os.environ | {"LISTEN_FDS": "1"},
            pass_fds=[held.fileno()],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        assert told == [str(held.getsockname()[1]), "False"]
