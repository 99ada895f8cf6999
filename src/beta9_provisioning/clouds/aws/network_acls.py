"""What network ACLs let through, evaluated as AWS does: by number, and the first entry that fits decides.

An ACL is asked about whole ranges, of which one entry may fit a part. The one without a number (`*`, told as
32767) refuses what is left. ACLs know no connections: answers need entries of their own. Amazon's DNS server
is beyond them ("Network ACL basics" in the VPC user guide), and so is what stays within one subnet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import NetworkAclEntryTypeDef

ANYWHERE = IPv4Network("0.0.0.0/0")
TCP, UDP = "6", "17"
EPHEMERAL = (1024, 65535)
"""From where NAT gateways and load balancers ask, too: "Ephemeral ports" in the VPC user guide."""
REST = 32767
_ALL = "-1"
_EVERY_PORT = (0, 65535)
_Box = tuple[IPv4Network, int, int]


@dataclass(frozen=True)
class Traffic:
    """What comes from addresses, or goes to them: the ports are those that it is sent to."""

    protocol: str
    cidr: IPv4Network
    ports: tuple[int, int]

    def __str__(self) -> str:
        first, last = self.ports
        return f"{'TCP' if self.protocol == TCP else 'UDP'} {first if first == last else f'{first}-{last}'}"


@dataclass(frozen=True)
class Entry:
    """An entry of an ACL for one direction."""

    number: int
    allows: bool
    protocol: str
    cidr: IPv4Network
    ports: tuple[int, int]


def entries(told: Iterable[NetworkAclEntryTypeDef], *, egress: bool) -> list[Entry]:
    """Return the entries of one direction in the order of their numbers; those for IPv6 are left out."""
    found = []
    for one in told:
        if one["Egress"] is not egress or "CidrBlock" not in one:
            continue
        ports = one.get("PortRange", {})
        first, last = _EVERY_PORT
        found.append(
            Entry(
                one["RuleNumber"],
                one["RuleAction"] == "allow",
                one["Protocol"],
                IPv4Network(one["CidrBlock"]),
                (ports.get("From", first), ports.get("To", last)),
            )
        )
    return sorted(found, key=lambda entry: entry.number)


def refused(found: Sequence[Entry], wanted: Traffic) -> dict[int, float]:
    """Return which shares of some traffic are refused, by the number of the entry that does it."""
    boxes: list[_Box] = [(wanted.cidr, *wanted.ports)]
    total = _size(boxes[0])
    shares: dict[int, float] = {}
    for entry in found:
        if entry.protocol not in (_ALL, wanted.protocol):
            continue
        rest: list[_Box] = []
        for box in boxes:
            common = _common(box, entry)
            if common is None:
                rest.append(box)
                continue
            rest += _without(box, common)
            if not entry.allows:
                shares[entry.number] = shares.get(entry.number, 0.0) + _size(common) / total
        boxes = rest
    if boxes:
        shares[REST] = shares.get(REST, 0.0) + sum(map(_size, boxes)) / total
    return shares


def _size(box: _Box) -> int:
    cidr, first, last = box
    return cidr.num_addresses * (last - first + 1)


def _common(box: _Box, entry: Entry) -> _Box | None:
    cidr, first, last = box
    first, last = max(first, entry.ports[0]), min(last, entry.ports[1])
    if first > last or not cidr.overlaps(entry.cidr):
        return None
    return (cidr if cidr.subnet_of(entry.cidr) else entry.cidr, first, last)


def _without(box: _Box, part: _Box) -> Iterator[_Box]:
    """Yield what is left of a box without a part of it."""
    (cidr, first, last), (inner, low, high) = box, part
    if inner != cidr:
        yield from ((other, first, last) for other in cidr.address_exclude(inner))
    if first < low:
        yield (inner, first, low - 1)
    if high < last:
        yield (inner, high + 1, last)
