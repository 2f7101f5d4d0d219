"""One bridge, and a network namespace for every machine on it."""

import ctypes
import hashlib
import json
import os
import re
import socket
import threading
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from local.machines.shell import run, succeeds
from local.processes import StartError

NAME = re.compile("face-([0-9a-f]{8}|metadata)")
"""The names of machines' namespaces, interfaces, mounts and cgroups: what a crash leaves is found by it."""
BRIDGE = "face0"
NETWORK = IPv4Network("10.213.0.0/16")  # nobody's default: Podman has 10.88, Docker 172.17, Kubernetes 10.96 and 10.244
GATEWAY = NETWORK[1]
"""The bridge's own address: this machine, as the machines see it."""
METADATA = IPv4Address("169.254.169.254")
"""Where every machine finds its metadata; on the bridge, so that the machine's own port 80 is free."""
_METADATA_NAME = "face-metadata"
_UNPLACED = IPv4Network("10.213.192.0/18")  # for instances that were launched outside the network
_CLONE_NEWNET = 0x40000000
_NAMESPACES = Path("/run/netns")
_libc = ctypes.CDLL(None, use_errno=True)


def machine_name(instance: str) -> str:
    """The name of the instance's namespace, interface and cgroups: short enough for an interface."""
    return "face-" + instance.removeprefix("i-")[-8:]


def address_of(private: str | None, instance: str, taken: Collection[str] = ()) -> str:
    """The machine's address: the instance's private one if it lies in our network, else one derived from its id."""
    if private and IPv4Address(private) in NETWORK and IPv4Address(private) not in (NETWORK[0], GATEWAY, NETWORK[-1]):
        return private
    return next(address for address in _candidates(instance) if address not in taken)


def _candidates(instance: str) -> Iterator[str]:
    hosts = _UNPLACED.num_addresses - 2
    first = int.from_bytes(hashlib.sha256(instance.encode()).digest()[:8], "big")
    return (str(_UNPLACED[1 + (first + step) % hosts]) for step in range(hosts))


def bridge_up() -> None:
    """Make the bridge with its address, unless it is there; StartError when another interface has such addresses."""
    if clash := overlap(run("ip", "-json", "address"), run("ip", "-json", "route")):
        raise StartError(f"machines need {NETWORK} for themselves, but {clash}")
    if not bridge_exists():
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "address", "add", f"{GATEWAY}/{NETWORK.prefixlen}", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")


def bridge_down() -> None:
    """Remove the bridge, if it is there."""
    if bridge_exists():
        succeeds("ip", "link", "delete", BRIDGE)


def bridge_exists() -> bool:
    """Whether our bridge is there: one of its name and its address, not merely somebody's interface of that name."""
    is_bridge = (Path("/sys/class/net") / BRIDGE / "bridge").is_dir()
    found = _addresses(run("ip", "-json", "address")) if is_bridge else ()
    return any(device == BRIDGE and address.ip == GATEWAY for device, address in found)


def overlap(addresses: str, routes: str) -> str | None:
    """What of another interface lies in our network: `ip -json address` and `ip -json route` tell.

    What lies around it, such as a whole 10.0.0.0/8, yields to our narrower route and goes on as before.
    """
    found = [("address", device, address.network) for device, address in _addresses(addresses)]
    found += [
        ("route", route.get("dev", "no interface"), IPv4Network(route["dst"]))
        for route in json.loads(routes)
        if route["dst"] != "default"
    ]
    clashes = (one for one in found if one[1] != BRIDGE and one[2].subnet_of(NETWORK))
    return next((f"{device} has the {kind} {network}" for kind, device, network in clashes), None)


def _addresses(told: str) -> Iterator[tuple[str, IPv4Interface]]:
    for link in json.loads(told):
        for entry in link.get("addr_info", ()):
            if entry["family"] == "inet":
                yield link["ifname"], IPv4Interface(f"{entry['local']}/{entry['prefixlen']}")


class Link:
    """A machine's network namespace and its cable to the bridge."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.path = _NAMESPACES / name
        self._address = address

    def add(self) -> None:
        """Make both, unless they are there."""
        if self.path.exists():
            return
        _plug(self.name)
        for command in (
            f"address add {self._address}/{NETWORK.prefixlen} dev host0",
            "link set lo up",
            "link set host0 up",
            f"route add default via {GATEWAY}",
            f"route add {METADATA} dev host0",
        ):
            run("ip", "-n", self.name, *command.split())

    def remove(self) -> None:
        """Remove both, if they are there."""
        remove_link(self.name)

    def cut(self) -> None:
        """Pull the cable: packets are lost, no connection is reset."""
        run("ip", "link", "set", self.name, "down")

    def heal(self) -> None:
        """Plug the cable in again."""
        run("ip", "link", "set", self.name, "up")


def metadata_up() -> socket.socket:
    """A socket of this process that listens at the metadata address on the bridge.

    In a namespace of its own: this machine may itself run at Amazon, and have its own metadata at the same address.
    """
    _plug(_METADATA_NAME)
    for command in (f"address add {METADATA}/32 dev host0", "link set host0 up", f"route add {NETWORK} dev host0"):
        run("ip", "-n", _METADATA_NAME, *command.split())
    made: list[socket.socket | OSError] = []
    entering = threading.Thread(target=_listen_inside, args=(_NAMESPACES / _METADATA_NAME, made))
    entering.start()
    entering.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def metadata_down() -> None:
    """Remove the metadata address from the bridge; close the socket first."""
    remove_link(_METADATA_NAME)


def _listen_inside(path: Path, made: list[socket.socket | OSError]) -> None:
    """In a thread that ends: it alone enters the namespace. A socket stays in the one that it was made in."""
    try:
        with path.open() as namespace:
            if _libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:  # os.setns needs Python 3.12
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(path))
        made.append(socket.create_server((str(METADATA), 80)))
    except OSError as error:
        made.append(error)


def _plug(name: str) -> None:
    """Make a namespace with a cable to the bridge; its end inside is called host0."""
    run("ip", "netns", "add", name)
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "host0", "netns", name)
    run("ip", "link", "set", name, "master", BRIDGE, "up")


def links() -> list[str]:
    """The names of all machines' namespaces and interfaces that exist."""
    found = {path.name for folder in (_NAMESPACES, Path("/sys/class/net")) for path in folder.glob("*")}
    return sorted(filter(NAME.fullmatch, found))


def remove_link(name: str) -> None:
    """Remove a machine's namespace and interface, if they are there."""
    succeeds("ip", "link", "delete", name)
    succeeds("ip", "netns", "delete", name)
