"""Which addresses may be connected to."""

from ipaddress import ip_network

import pytest

from beta9_provisioning.kit.networks import why_not


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("fc00::1", "private"),
        ("fdff::1", "private"),
        ("fec0::1", "private"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("100.64.0.1", "shared with a provider's other customers"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("192.0.2.1", "reserved"),
        ("198.18.0.1", "reserved"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("2001:db8::1", "reserved"),
        ("2001:0:4136:e378::1", "reserved"),
        ("100::1", "reserved"),
        ("5f00::1", "reserved"),
        ("64:ff9b:1::1", "reserved"),
        ("::127.0.0.1", "reserved"),
        ("169.254.169.254", "a cloud's metadata service"),
        ("fd00:ec2::254", "a cloud's metadata service"),
        ("168.63.129.16", "a cloud's metadata service"),
        ("100.100.100.200", "a cloud's metadata service"),
        # Other ways to reach addresses of IPv4.
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:a9fe:a9fe", "a cloud's metadata service"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::a9fe:a9fe", "a cloud's metadata service"),
        ("2002:7f00:1::", "loopback"),
        ("2002:a9fe:a9fe::1", "a cloud's metadata service"),
        ("2002:a00:1::1", "private"),
    ],
)
def test_what_is_not_public_is_told_by_its_kind(address: str, why: str) -> None:
    assert why_not(address) == why


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"],
)
def test_public_addresses_may_be_reached(address: str) -> None:
    assert why_not(address) is None


def test_an_allowed_network_opens_itself_only() -> None:
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd12::/32"))

    assert why_not("10.1.2.3", allowed) is None
    assert why_not("::ffff:10.1.2.3", allowed) is None
    assert why_not("fd12::1", allowed) is None
    assert why_not("10.2.2.3", allowed) == "private"
    assert why_not("fd13::1", allowed) == "private"


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"])
def test_no_allowed_network_opens_a_metadata_service(address: str) -> None:
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))

    assert why_not(address, everything) == "a cloud's metadata service"
