"""How many addresses of a subnet are free: what holds one, in this cloud.

AWS keeps five of each subnet ("Subnet sizing" in the VPC user guide). Interfaces hold one each, and with
prefix delegation a node's first one two blocks of sixteen besides: one for its pods, one warm. NAT gateways,
interface endpoints, databases and nodes of caches hold one each, in the order of the zones.
"""

import json
from collections.abc import Iterator
from ipaddress import IPv4Network

from beta9_simulator.cloud.rules import INTERFACE
from beta9_simulator.cloud.store import Store, StoredObject

_KEPT = 5
_BLOCKS = 2 * 16
_INSTANCE = "ec2:instance"
_STORES = (
    ("aws_db_instance", "db_subnet_group_name", "aws_db_subnet_group"),
    ("aws_elasticache_replication_group", "subnet_group_name", "aws_elasticache_subnet_group"),
)


def free(store: Store, subnet: StoredObject) -> int:
    """Return how many addresses nobody holds."""
    size = IPv4Network(subnet.state["cidr_block"], strict=False).num_addresses
    return size - _KEPT - sum(_held(store, subnet))


def _held(store: Store, subnet: StoredObject) -> Iterator[int]:
    def found(type_: str) -> list[StoredObject]:
        return store.find(type_, account=subnet.account, region=subnet.region)

    delegating = _delegating(found("aws_eks_addon"))
    clusters = {one.id: one.tags.get("eks:cluster-name") for one in found(_INSTANCE)}
    for interface in found(INTERFACE):
        if interface.state["subnet_id"] == subnet.id:
            is_first = interface.state["managed"] and interface.state["instance_id"]
            yield 1 + (_BLOCKS if is_first and clusters.get(is_first) in delegating else 0)
    yield sum(one.state["subnet_id"] == subnet.id for one in found("aws_nat_gateway"))
    yield sum(subnet.id in (one.state.get("subnet_ids") or ()) for one in found("aws_vpc_endpoint"))
    for type_, attribute, group_type in _STORES:
        groups = {one.name: one for one in found(group_type)}
        for one in found(type_):
            group = groups.get(one.state[attribute])
            yield _of_store(store, subnet, one, group.state["subnet_ids"] if group else [])


def _delegating(add_ons: list[StoredObject]) -> set[str]:
    """Return the clusters whose CNI was told to take blocks."""
    return {
        one.state["cluster_name"]
        for one in add_ons
        if one.state["addon_name"] == "vpc-cni"
        and json.loads(one.state["configuration_values"] or "{}")
        .get("env", {})
        .get("ENABLE_PREFIX_DELEGATION")
        == "true"
    }


def _of_store(store: Store, subnet: StoredObject, found: StoredObject, subnet_ids: list[str]) -> int:
    """How many nodes of a store are in a subnet, when they are dealt to the zones in turn."""
    members = [
        one
        for id_ in subnet_ids
        for one in store.find("aws_subnet", account=subnet.account, region=subnet.region, id=id_)
    ]
    order = [one.id for one in sorted(members, key=lambda one: str(one.state.get("availability_zone")))]
    if subnet.id not in order:
        return 0
    nodes = found.state.get("num_cache_clusters") or (2 if found.state.get("multi_az") else 1)
    return len(range(order.index(subnet.id), int(nodes), len(order)))
