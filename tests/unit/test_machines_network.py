"""Names and addresses of machines."""

import json
from ipaddress import IPv4Address

import pytest

from local.machines.network import NAME, NETWORK, address_of, machine_name, overlap


def test_a_name_fits_an_interface_and_tells_the_instance() -> None:
    name = machine_name("i-0123456789abcdef0")
    assert name == "face-9abcdef0"
    assert len(name) <= 15


def test_a_machine_has_its_instances_private_address() -> None:
    assert address_of("10.213.1.4", "i-1") == "10.213.1.4"


@pytest.mark.parametrize("private", [None, "", "10.180.249.172", "10.213.0.1", "10.213.0.0", "10.213.255.255"])
def test_an_instance_outside_the_network_gets_an_address_in_it_that_only_its_id_decides(private: str | None) -> None:
    address = address_of(private, "i-0123456789abcdef0")
    assert IPv4Address(address) in NETWORK
    assert address == address_of(None, "i-0123456789abcdef0")
    assert address != address_of(None, "i-0123456789abcdef1")


def test_no_two_machines_share_an_address() -> None:
    first = address_of(None, "i-1")
    second = address_of(None, "i-1", taken=[first])
    assert second != first
    assert address_of(None, "i-1", taken=[first, second]) not in (first, second)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("face-9abcdef0", True),
        ("face-metadata", True),
        ("face-9abcdef", False),
        ("face-9abcdef01", False),
        ("face-recognition", False),
        ("face-daemon", False),
    ],
)
def test_only_machines_own_names_are_taken_for_theirs(name: str, ours: bool) -> None:
    assert bool(NAME.fullmatch(name)) == ours


def _address(device: str, local: str, prefix: int) -> str:
    loopback: dict[str, object] = {"family": "inet6", "local": "::1", "prefixlen": 128}
    entries = [loopback, {"family": "inet", "local": local, "prefixlen": prefix}]
    return json.dumps([{}, {"ifname": device, "addr_info": entries}])


@pytest.mark.parametrize(
    ("addresses", "routes", "clash"),
    [
        (_address("eth0", "192.0.2.2", 24), [{"dst": "default", "dev": "eth0"}], None),
        (_address("eth0", "10.213.7.1", 24), [], "eth0 has the address 10.213.7.0/24"),
        (_address("eth0", "10.1.2.3", 8), [], None),
        (_address("face0", "10.213.0.1", 16), [{"dst": "10.213.0.0/16", "dev": "face0"}], None),
        ("[]", [{"dst": "10.213.4.4", "dev": "tun0"}], "tun0 has the route 10.213.4.4/32"),
        ("[]", [{"type": "blackhole", "dst": "10.213.8.0/24"}], "no interface has the route 10.213.8.0/24"),
    ],
)
def test_what_others_have_of_the_network_is_seen(
    addresses: str, routes: list[dict[str, str]], clash: str | None
) -> None:
    assert overlap(addresses, json.dumps(routes)) == clash
