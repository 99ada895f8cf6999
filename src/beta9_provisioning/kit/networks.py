"""Which addresses are the public Internet's, and which lead into somebody's own network or machine.

After IANA's registries of special-purpose addresses. Python's `is_global` is not asked: what it says of some
networks differs between the releases of Python that we run on.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# They give out credentials of the machine they are asked from: of AWS and most others, AWS over IPv6, Azure
# (the second one is its WireServer), Alibaba, Oracle. No allow-list opens them.
_METADATA = {
    ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
    )
}
_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("unspecified", ("0.0.0.0/8", "::/128")),
    ("link-local", ("169.254.0.0/16", "fe80::/10")),
    ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    ("shared with a provider's other customers", ("100.64.0.0/10",)),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    (
        "reserved",
        (
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "2001::/23",  # protocols; Teredo, which tunnels to any IPv4 address, is among them
            "2001:db8::/32",
            "3fff::/20",
        ),
    ),
)
_NOT_PUBLIC = [(kind, ip_network(text)) for kind, texts in _KINDS for text in texts]
_UNICAST = IPv6Network("2000::/3")
"""All that IPv6 has given out; what is outside is reserved, if it is nothing of the above."""
_SIX_TO_FOUR = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")


_INSIDE = [network for kind, network in _NOT_PUBLIC if kind in ("loopback", "link-local", "private")]


def is_inside(network: IPv4Network) -> bool:
    """Return whether a network is somebody's own, and no source of what comes over the internet."""
    return any(isinstance(own, IPv4Network) and network.subnet_of(own) for own in _INSIDE)


def why_not(text: str, allowed: Iterable[Network] = ()) -> str | None:
    """Return why an address may not be connected to, such as "private"; None if it may.

    Args:
        text: an address as the resolver gives it.
        allowed: networks that may be reached although they are not public.
    """
    address = _inner(ip_address(text))
    if address in _METADATA:
        return "a cloud's metadata service"
    if is_in(text, allowed):
        return None
    for kind, network in _NOT_PUBLIC:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return "reserved"
    return None


def is_in(text: str, networks: Iterable[Network]) -> bool:
    """Return whether an address, or the IPv4 address that it leads to, is in one of the networks."""
    address = _inner(ip_address(text))
    return any(address in network for network in networks)


def _inner(address: Address) -> Address:
    """Return the IPv4 address behind one of IPv6 that is only another way to write or to reach it."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    # Without a scope: `fe80::1%eth0` is equal to no address that was written without.
    return IPv6Address(int(address))
