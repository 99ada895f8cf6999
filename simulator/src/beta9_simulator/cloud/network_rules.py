"""What EC2 refuses of a network: ranges that do not fit, and more than the account's quotas allow."""

from ipaddress import IPv4Network

from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import NewObject, Store

VPCS = "L-F678F1CE"
ADDRESSES = "L-0263D0A3"
_QUOTAS = {VPCS: 5, ADDRESSES: 5}
"""Quotas by the code that Service Quotas gives them, with the defaults of the Amazon VPC and EC2 user guides.

A setting ``quota:<account>:<code>`` of the store raises or lowers one in every region of an account.
"""


def quota(store: Store, account: str, code: str) -> int:
    """Return how many an account may have in a region."""
    return int(store.setting(f"quota:{account}:{code}", str(_QUOTAS[code])))


def vpc(store: Store, new: NewObject) -> None:
    """Refuse a VPC over the quota."""
    _limit(store, new, VPCS, "VpcLimitExceeded", "The maximum number of VPCs has been reached.")


def address(store: Store, new: NewObject) -> None:
    """Refuse an elastic address over the quota."""
    _limit(store, new, ADDRESSES, "AddressLimitExceeded", "The maximum number of addresses has been reached.")


def _limit(store: Store, new: NewObject, code: str, error: str, message: str) -> None:
    held = store.find(new.type, account=new.account, region=new.region)
    if len(held) >= quota(store, new.account, code):
        raise CloudError(error, message)


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
