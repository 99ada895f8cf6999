"""The network around a cluster as its pods meet it: who holds them to policies, and where the stores are."""

from __future__ import annotations

import ipaddress
import json

from beta9_simulator.cloud.store import Store, StoredObject
from beta9_simulator.cluster.directory import SimCluster

# Of a subnet AWS keeps the first four addresses and the last.
_FIRST_FREE = 4
_STANDS = ("available", "updating")
_STORES = (
    ("aws_db_instance", ("address",), "db_subnet_group_name", "aws_db_subnet_group"),
    (
        "aws_elasticache_replication_group",
        ("primary_endpoint_address", "reader_endpoint_address"),
        "subnet_group_name",
        "aws_elasticache_subnet_group",
    ),
)
"""Types of stores; the attributes with names of theirs; that with their subnet group, and its type."""


class StoreNetwork:
    """See ``cluster.directory.ClusterNetwork``."""

    def __init__(self, store: Store, cluster: SimCluster) -> None:
        self._store = store
        self._cluster = cluster

    def enforces_policies(self) -> bool:
        """Whether the CNI is there, and told to hold pods to network policies: it does not by itself."""
        return any(
            one.state["cluster_name"] == self._cluster.name
            and one.state["addon_name"] == "vpc-cni"
            and one.status in _STANDS
            and _is_told(one.state["configuration_values"])
            for one in self._find("aws_eks_addon")
        )

    def address_of(self, host: str) -> str | None:
        """The address that a store's name leads to: one in the first of its subnets."""
        for type_, attributes, group_attribute, group_type in _STORES:
            for store in self._find(type_):
                if host in {store.state.get(attribute) for attribute in attributes}:
                    groups = self._find(group_type, store.state[group_attribute])
                    return self._address_in(groups[0].state["subnet_ids"])
        return None

    def _address_in(self, subnet_ids: list[str]) -> str:
        subnets = [one for one in self._find("aws_subnet") if one.id in subnet_ids]
        first = min(ipaddress.IPv4Network(one.state["cidr_block"]) for one in subnets)
        return str(first[_FIRST_FREE])

    def _find(self, type_: str, name: str | None = None) -> list[StoredObject]:
        where = {"account": self._cluster.account, "region": self._cluster.region}
        return self._store.find(type_, **where, **({"name": name} if name else {}))


def _is_told(configuration: str | None) -> bool:
    return bool(json.loads(configuration or "{}").get("enableNetworkPolicy") == "true")
