"""The worker's process as a service manager sees it: ready, alive, stopping."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

from local.processes import service_environment
from local.resources import make_resources


def test_a_service_manager_hears_of_a_worker(localstack: str, model_cache: Path, tmp_path: Path) -> None:
    resources = make_resources(localstack, prefix="worker-process")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        watched = {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "1000000",
            "FACE_CACHE_DIR": str(model_cache),
        }
        environment = service_environment(resources.environment() | watched)
        with subprocess.Popen([sys.executable, "-m", "face_app"], env=environment) as worker:
            try:
                # The first word may be of either thread.
                assert {manager.recv(100), manager.recv(100)} == {b"READY=1", b"WATCHDOG=1"}
                assert manager.recv(100) == b"WATCHDOG=1"
                worker.send_signal(signal.SIGTERM)
                told = manager.recv(100)
                while told == b"WATCHDOG=1":
                    told = manager.recv(100)
                assert told == b"STOPPING=1"
                assert worker.wait(30) == 0
            finally:
                worker.kill()
