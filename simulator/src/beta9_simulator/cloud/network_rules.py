"""What AWS refuses of a network: ranges that do not fit, subnets that do not go together, no way out."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import NewObject, Store, StoredObject

# Of the attributes of a route that name a target: over these something else leads on.
_ONWARD = (
    "nat_gateway_id",
    "transit_gateway_id",
    "network_interface_id",
    "core_network_arn",
    "local_gateway_id",
    "vpc_endpoint_id",
)


def subnet(store: Store, new: NewObject) -> None:
    """Refuse a subnet outside of its VPC, or one that shares addresses with another."""
    range_ = _network(new.state["cidr_block"])
    (vpc,) = store.find("aws_vpc", account=new.account, region=new.region, id=new.state["vpc_id"])
    if not any(range_.subnet_of(one) for one in ranges(vpc)):
        raise CloudError("InvalidSubnet.Range", f"The CIDR '{range_}' is invalid.")
    for other in store.find("aws_subnet", account=new.account, region=new.region):
        if other.state["vpc_id"] == vpc.id and range_.overlaps(_network(other.state["cidr_block"])):
            raise CloudError("InvalidSubnet.Conflict", f"The CIDR '{range_}' conflicts with another subnet")


def ranges(vpc: StoredObject) -> list[IPv4Network]:
    """Return the ranges of a VPC: its own, and what was associated later (``secondary_cidrs``)."""
    return [_network(one) for one in (vpc.state["cidr_block"], *vpc.state.get("secondary_cidrs", ()))]


def _network(cidr: str) -> IPv4Network:
    # AWS takes a range with host bits, and keeps it without them.
    return IPv4Network(cidr, strict=False)


def database_subnets(store: Store, new: NewObject) -> None:
    """Refuse a group of subnets for databases in several VPCs, or in one zone."""
    found = subnets_of(store, new.account, new.region, new.state["subnet_ids"])
    one_network(found)
    zones = sorted({str(one.state.get("availability_zone")) for one in found})
    if len(zones) < 2:
        raise CloudError(
            "DBSubnetGroupDoesNotCoverEnoughAZs",
            "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ "
            f"coverage: {', '.join(zones)}. Add subnets to cover at least 2 AZs.",
        )


def cache_subnets(store: Store, new: NewObject) -> None:
    """Refuse a group of subnets for caches in several VPCs."""
    one_network(subnets_of(store, new.account, new.region, new.state["subnet_ids"]))


def one_network(found: Iterable[StoredObject], code: str = "InvalidSubnet") -> None:
    """Refuse subnets of several VPCs; the words are those of RDS's model."""
    if len({one.state["vpc_id"] for one in found}) > 1:
        raise CloudError(
            code,
            "The requested subnet is invalid, or multiple subnets were requested that are not all in a "
            "common VPC.",
        )


def subnets_of(store: Store, account: str, region: str, ids: Iterable[str]) -> list[StoredObject]:
    """Return those of the subnets that there are."""
    return [one for id_ in ids for one in store.find("aws_subnet", account=account, region=region, id=id_)]


def way_out(store: Store, account: str, region: str, subnet_id: str) -> bool:
    """Whether what is in a subnet, without a public address of its own, reaches the internet."""
    found = store.find("aws_subnet", account=account, region=region, id=subnet_id)
    public = bool(found and found[0].state["map_public_ip_on_launch"])
    return any(
        any(route.state.get(name) for name in _ONWARD) or (public and route.state["gateway_id"])
        for route in _default_routes(store, account, region, subnet_id)
    )


def leads_to_internet(store: Store, account: str, region: str, subnet_id: str) -> bool:
    """Whether a subnet's default route leads to an internet gateway that is there."""
    gateways = {one.id for one in store.find("aws_internet_gateway", account=account, region=region)}
    return any(
        route.state["gateway_id"] in gateways for route in _default_routes(store, account, region, subnet_id)
    )


def _default_routes(store: Store, account: str, region: str, subnet_id: str) -> Iterator[StoredObject]:
    """Yield the default routes of a subnet's table: its own, or the main one of its VPC."""
    tables = {
        item.state["route_table_id"]
        for item in store.find("aws_route_table_association", account=account, region=region)
        if item.state["subnet_id"] == subnet_id
    }
    if not tables:
        for item in subnets_of(store, account, region, [subnet_id]):
            for vpc in store.find("aws_vpc", account=account, region=region, id=item.state["vpc_id"]):
                tables = {vpc.state.get("main_route_table_id")}
    for route in store.find("aws_route", account=account, region=region):
        if route.state["route_table_id"] in tables and route.state["destination_cidr_block"] == "0.0.0.0/0":
            yield route
