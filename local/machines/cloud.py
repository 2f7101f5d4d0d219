"""LocalStack, the bridge and the machines, as one."""

from contextlib import ExitStack
from pathlib import Path

from face_common.loops import Loop
from local.hosts import Tell
from local.localstack import USUAL_PORT, HostLocalStack, is_free
from local.machines import cgroups, network
from local.machines.base import base_root
from local.machines.disk import mounts
from local.machines.machines import Machines, sweep
from local.machines.metadata import Metadata, MetadataServer
from local.machines.shell import run
from local.processes import StartError
from local.resources import ec2_client

_PYTHON = Path(__file__).resolve().parents[2] / ".venv-localstack" / "bin" / "python"
_SERVICES = ("logs", "cloudwatch")
_HOSTS_EVERY_SECONDS = 0.5
_IMAGES_EVERY_SECONDS = 2.0


class Cloud:
    """LocalStack, the bridge and the machines."""

    def __init__(self, state: Path, tell: Tell, port: int = USUAL_PORT) -> None:
        """`state` takes disks, images and logs of this run; `tell` is called with each line of progress."""
        self._state = state
        self._tell = tell
        self._port = port
        self.key = state / "id_ed25519"
        self._steps = ExitStack()  # what is to be undone, the last first
        self._localstack: HostLocalStack | None = None
        self.machines: Machines | None = None

    def start(self) -> None:
        """Start everything and wait until LocalStack answers; StartError when something does not come up."""
        cgroups.settle()
        base = base_root(self._tell)
        sweep(self._state)
        for log in (self._state / "logs").glob("i-*.log"):
            log.unlink()  # of an earlier run's machines; instances' ids never return
        network.bridge_down()
        if not is_free(self._port):
            raise StartError(f"port {self._port} is taken")
        network.bridge_up()
        self._steps.callback(network.bridge_down)
        gateway = str(network.GATEWAY)
        self._localstack = HostLocalStack(_PYTHON, self._state, self._port, addresses=[gateway], services=_SERVICES)
        self._steps.callback(self._localstack.stop)
        self._localstack.start()
        self._start_machines(base, self._localstack.endpoint)

    @property
    def endpoint(self) -> str:
        """LocalStack for this machine; empty until all is up."""
        return self._localstack.endpoint if self.machines is not None and self._localstack is not None else ""

    @property
    def inner_endpoint(self) -> str:
        """LocalStack for the cloud's machines."""
        return f"http://{network.GATEWAY}:{self._port}"

    def watch(self) -> None:
        """StartError when LocalStack has died."""
        if self._localstack is not None and self._localstack.ended() is not None:
            raise StartError("LocalStack died: its record of the cloud is gone")

    def stop(self) -> None:
        """Shut the machines down and remove everything. Safe whatever has been started so far."""
        self._steps.close()

    def _start_machines(self, base: Path, endpoint: str) -> None:
        ec2 = ec2_client(endpoint)
        ec2.describe_instances()  # LocalStack loads a service at its first call, and fails calls beside that
        public_key = _key_pair(self.key)
        self.machines = Machines(ec2, base=base, state=self._state, public_key=public_key, tell=self._tell)
        metadata = MetadataServer(network.metadata_up(), Metadata(self.machines.facts))
        self._steps.callback(network.metadata_down)
        self._steps.callback(metadata.stop)
        self._steps.callback(self.machines.stop)
        for name, step, pause in (
            ("hosts", self.machines.hosts.step, _HOSTS_EVERY_SECONDS),
            ("images", self.machines.step, _IMAGES_EVERY_SECONDS),
        ):
            self._steps.callback(Loop(name, step, pause).start().stop)


def leftovers() -> list[str]:
    """What of a cloud is still in the system."""
    found = [f"cgroups of {name}" for name in sorted(cgroups.names())]
    found += [f"network of {name}" for name in network.links()]
    found += [f"mount {root}" for root in mounts()]
    return found + [f"bridge {network.BRIDGE}"] * network.bridge_exists()


def _key_pair(key: Path) -> str:
    """The public key; the pair is made when there is none."""
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "elastic-face", "-f", str(key))
    return key.with_suffix(".pub").read_text().strip()
