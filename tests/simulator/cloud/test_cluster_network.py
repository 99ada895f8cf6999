"""The network around a cluster: who enforces policies, and where the stores' names lead."""

import json
from typing import Any

import pytest

from beta9_simulator.cloud.cluster_network import StoreNetwork
from beta9_simulator.cloud.store import NewObject, Store
from beta9_simulator.cluster.directory import SimCluster

ACCOUNT, REGION = "123456789012", "eu-west-1"
CLUSTER = SimCluster("c", ACCOUNT, REGION, "1.35", True, (), "uid")


def add(store: Store, type_: str, name: str, **state: Any) -> None:
    store.create(NewObject(ACCOUNT, REGION, type_, name, name, {"name": name, **state}), 0)


def add_on(store: Store, configuration: object, *, name: str = "vpc-cni", cluster: str = "c") -> None:
    values = None if configuration is None else json.dumps(configuration)
    state = {"cluster_name": cluster, "addon_name": name, "configuration_values": values}
    add(store, "aws_eks_addon", f"{cluster}:{name}", **state)


@pytest.mark.parametrize(
    ("configuration", "enforced"),
    [
        ({"enableNetworkPolicy": "true"}, True),
        ({"enableNetworkPolicy": "false"}, False),
        ({"env": {}}, False),
        (None, False),
    ],
)
def test_the_cni_enforces_policies_when_it_is_told_to(
    store: Store, configuration: object, enforced: bool
) -> None:
    add_on(store, configuration)
    assert StoreNetwork(store, CLUSTER).enforces_policies() is enforced


def test_another_clusters_cni_and_other_add_ons_enforce_nothing(store: Store) -> None:
    add_on(store, {"enableNetworkPolicy": "true"}, cluster="d")
    add_on(store, {"enableNetworkPolicy": "true"}, name="coredns")
    assert not StoreNetwork(store, CLUSTER).enforces_policies()


def test_a_stores_name_leads_into_its_first_subnet(store: Store) -> None:
    for name, cidr in (("s1", "10.0.200.0/24"), ("s2", "10.0.30.0/24"), ("s3", "10.0.1.0/24")):
        add(store, "aws_subnet", name, cidr_block=cidr)
    add(store, "aws_db_subnet_group", "d", subnet_ids=["s1", "s2"])
    add(store, "aws_elasticache_subnet_group", "e", subnet_ids=["s1"])
    add(store, "aws_db_instance", "db", address="db.rds", db_subnet_group_name="d")
    endpoints = {"primary_endpoint_address": "master.cache", "reader_endpoint_address": "replica.cache"}
    add(store, "aws_elasticache_replication_group", "redis", subnet_group_name="e", **endpoints)
    network = StoreNetwork(store, CLUSTER)
    assert network.address_of("db.rds") == "10.0.30.4"
    assert network.address_of("master.cache") == network.address_of("replica.cache") == "10.0.200.4"
    assert network.address_of("example.com") is None
