"""LocalStack, as a process of this machine (default) or as a container of Docker's."""

import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import httpx

from local.processes import Part, StartError, service_environment

_SERVICES = ("s3", "sqs", "ec2", "iam", "sts", "ssm")
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0  # it can hang when asked to end
USUAL_PORT = 4566


class HostLocalStack:
    """LocalStack run by a virtual environment of its own: no Docker needed."""

    def __init__(
        self, python: Path, state: Path, port: int, *, addresses: Sequence[str] = (), services: Sequence[str] = ()
    ) -> None:
        """`python` is the interpreter of LocalStack's virtual environment; `state` a folder for its files.

        `addresses` to listen at and `services` to offer are in addition to 127.0.0.1 and those that we always need.
        """
        self.endpoint = f"http://127.0.0.1:{port}"
        environment = service_environment(
            {
                "OVERRIDE_IN_DOCKER": "0",
                "FILESYSTEM_ROOT": str(state / "localstack"),
                "GATEWAY_LISTEN": ",".join(f"{address}:{port}" for address in ("127.0.0.1", *addresses)),
                "GATEWAY_SERVER": "hypercorn",  # the default server listens on every address
                "SERVICES": ",".join((*_SERVICES, *services)),
                "EAGER_SERVICE_LOADING": "1",
                "SQS_DISABLE_CLOUDWATCH_METRICS": "1",
                "PROVIDER_OVERRIDE_CLOUDWATCH": "v1",  # the newer one forgets the tags of alarms
                "SKIP_SSL_CERT_DOWNLOAD": "1",
                "DISABLE_EVENTS": "1",
                "DNS_ADDRESS": "0",
                "LS_LOG": "error",
            }
        )
        self.part = Part(
            "LocalStack",
            [str(python), "-m", "localstack.runtime.main"],
            environment,
            state / "logs" / "localstack.log",
            orphan_signal=signal.SIGKILL,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.part.start()
        self.part.wait_until(lambda: _is_healthy(self.endpoint), _START_SECONDS)

    def ended(self) -> int | None:
        """Its exit status if it has ended."""
        return self.part.ended()

    def stop(self) -> None:
        """Stop it; its objects and queues are gone with it."""
        self.part.stop(_STOP_SECONDS)


class DockerLocalStack:
    """LocalStack as docker-compose.localstack.yml describes it."""

    endpoint = f"http://127.0.0.1:{USUAL_PORT}"

    def __init__(self, compose_file: Path) -> None:
        self._compose = ["docker", "compose", "-f", str(compose_file)]

    def start(self) -> None:
        """Start the container and wait until it is healthy."""
        try:
            subprocess.run([*self._compose, "up", "--detach", "--wait"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise StartError(f"docker compose could not start LocalStack: {error}") from error

    def ended(self) -> int | None:
        """None: the container is Docker's to watch."""
        return None

    def stop(self) -> None:
        """Stop and remove the container."""
        subprocess.run([*self._compose, "down"], check=False)


LocalStack = HostLocalStack | DockerLocalStack


def free_port(preferred: int = 0) -> int:
    """The preferred port of 127.0.0.1 if it is free, else any free one."""
    if preferred and is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_healthy(endpoint: str) -> bool:
    try:
        return httpx.get(f"{endpoint}/_localstack/health", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False
