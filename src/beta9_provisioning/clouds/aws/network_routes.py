"""Where a route table leads what goes to the internet."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import RouteTableTypeDef, RouteTypeDef

# Two routes may stand for a default one.
_HALVES = (IPv4Network("0.0.0.0/1"), IPv4Network("128.0.0.0/1"))
_INTERNET_GATEWAY = "igw-"
# Of the fields of a route that name a target: over these something of the owner's leads on.
_ONWARD = (
    "NatGatewayId",
    "TransitGatewayId",
    "InstanceId",
    "NetworkInterfaceId",
    "CoreNetworkArn",
    "LocalGatewayId",
    "GatewayId",
)


class Way(StrEnum):
    """What becomes of traffic to the internet."""

    ONWARD = "onward"
    INTERNET_GATEWAY = "internet gateway"
    PEERING = "peering connection"
    BLACKHOLE = "blackhole"
    NONE = "none"


def table_of(subnet_id: str, tables: Sequence[RouteTableTypeDef]) -> RouteTableTypeDef | None:
    """Return the table of a subnet: its own, else the VPC's main one."""
    main = None
    for table in tables:
        for one in table.get("Associations", ()):
            if one.get("SubnetId") == subnet_id:
                return table
            if one.get("Main"):
                main = table
    return main


def way(routes: Sequence[RouteTypeDef]) -> Way:
    """Return where a table leads to the internet; the worst, where it is more than one way."""
    found = {_target(routes, half) for half in _HALVES}
    order = (Way.NONE, Way.BLACKHOLE, Way.PEERING, Way.INTERNET_GATEWAY, Way.ONWARD)
    return next(one for one in order if one in found)


def _target(routes: Sequence[RouteTypeDef], half: IPv4Network) -> Way:
    fits = [
        (IPv4Network(route["DestinationCidrBlock"]).prefixlen, route)
        for route in routes
        if "DestinationCidrBlock" in route and half.subnet_of(IPv4Network(route["DestinationCidrBlock"]))
    ]
    if not fits:
        return Way.NONE
    route = max(fits, key=lambda fit: fit[0])[1]
    if route.get("State") == "blackhole":
        return Way.BLACKHOLE
    if route.get("GatewayId", "").startswith(_INTERNET_GATEWAY):
        return Way.INTERNET_GATEWAY
    # Nobody gets to the internet through the gateway of a peer: "VPC peering limitations" in its guide.
    if route.get("VpcPeeringConnectionId"):
        return Way.PEERING
    return Way.ONWARD if any(route.get(name) for name in _ONWARD) else Way.NONE
