"""Names and addresses of machines."""

from ipaddress import IPv4Address

import pytest

from local.machines.network import NETWORK, address_of, machine_name


def test_a_name_fits_an_interface_and_tells_the_instance() -> None:
    name = machine_name("i-0123456789abcdef0")
    assert name == "face-9abcdef0"
    assert len(name) <= 15


def test_a_machine_has_its_instances_private_address() -> None:
    assert address_of("10.88.1.4", "i-1") == "10.88.1.4"


@pytest.mark.parametrize("private", [None, "", "10.180.249.172", "10.88.0.1", "10.88.0.0", "10.88.255.255"])
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
