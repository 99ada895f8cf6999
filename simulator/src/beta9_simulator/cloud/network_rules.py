"""What EC2 refuses of a network: ranges that do not fit."""

from ipaddress import IPv4Network

from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import NewObject, Store


def subnet(store: Store, new: NewObject) -> None:
    """Refuse a subnet outside of its VPC, or one that shares addresses with another."""
    range_ = _network(new.state["cidr_block"])
    (vpc,) = store.find("aws_vpc", account=new.account, region=new.region, id=new.state["vpc_id"])
    if not range_.subnet_of(_network(vpc.state["cidr_block"])):
        raise CloudError("InvalidSubnet.Range", f"The CIDR '{range_}' is invalid.")
    for other in store.find("aws_subnet", account=new.account, region=new.region):
        if other.state["vpc_id"] == vpc.id and range_.overlaps(_network(other.state["cidr_block"])):
            raise CloudError("InvalidSubnet.Conflict", f"The CIDR '{range_}' conflicts with another subnet")


def _network(cidr: str) -> IPv4Network:
    # AWS takes a range with host bits, and keeps it without them.
    return IPv4Network(cidr, strict=False)


def way_out(store: Store, account: str, region: str, subnet_id: str) -> bool:
    """Whether what is in a subnet, without a public address of its own, reaches the internet."""
    found = store.find("aws_subnet", account=account, region=region, id=subnet_id)
    public = bool(found and found[0].state["map_public_ip_on_launch"])
    tables = {
        item.state["route_table_id"]
        for item in store.find("aws_route_table_association", account=account, region=region)
        if item.state["subnet_id"] == subnet_id
    }
    return any(
        route.state["destination_cidr_block"] == "0.0.0.0/0"
        and (route.state["nat_gateway_id"] or (public and route.state["gateway_id"]))
        for route in store.find("aws_route", account=account, region=region)
        if route.state["route_table_id"] in tables
    )
