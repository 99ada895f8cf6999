"""Networks as AWS tells of them and judges them: what comes with a VPC, what is free, what goes together."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.simulator.cloud.provider.test_operations import ACCOUNT, REGION, ROLE, caller
from tests.simulator.cloud.test_api import Door, code
from tests.simulator.cloud.test_what_aws_refuses import cluster, new, put, refused
from tests.support.networks import DATA, PRIVATE, PUBLIC, VPC, OwnNetwork, vpc

from beta9_simulator.cloud import addresses, balancer_rules, checks, node_rules
from beta9_simulator.cloud.api import AwsApi
from beta9_simulator.cloud.interfaces import add_group, add_interface
from beta9_simulator.cloud.network_acls import add_acl, entry
from beta9_simulator.cloud.provider.operations import Operations
from beta9_simulator.cloud.rules import CloudError, check_delete
from beta9_simulator.cloud.seeding import Seeded
from beta9_simulator.cloud.store import Store


@pytest.fixture
def network(store: Store, seeded: Seeded) -> OwnNetwork:
    made = OwnNetwork(store, ACCOUNT)
    put(store, "aws_iam_role", "nodes", name="nodes", arn=f"arn:aws:iam::{ACCOUNT}:role/nodes")
    return made


@pytest.fixture
def ec2(api: AwsApi, seeded: Seeded) -> Any:
    return Door(api, seeded.access_key, seeded.secret_key).assume(seeded).client("ec2")


def _in(vpc_id: str = VPC) -> list[dict[str, Any]]:
    return [{"Name": "vpc-id", "Values": [vpc_id]}]


def test_every_vpc_has_a_main_route_table_and_a_network_acl(network: OwnNetwork, ec2: Any) -> None:
    tables = ec2.describe_route_tables(Filters=_in())["RouteTables"]
    (main,) = [one for one in tables if any(link["Main"] for link in one["Associations"])]
    assert main["RouteTableId"] == "rtb-main1"
    assert [(one["DestinationCidrBlock"], one["GatewayId"]) for one in main["Routes"]] == [
        ("10.20.0.0/16", "local")
    ]
    (acl,) = ec2.describe_network_acls(Filters=_in())["NetworkAcls"]
    assert acl["IsDefault"] is True
    assert {one["SubnetId"] for one in acl["Associations"]} == {*PRIVATE, *PUBLIC, *DATA}
    told = [(one["RuleNumber"], one["RuleAction"], one["Egress"]) for one in acl["Entries"]]
    assert sorted(told) == [
        (100, "allow", False),
        (100, "allow", True),
        (32767, "deny", False),
        (32767, "deny", True),
    ]


def test_subnets_with_an_acl_of_their_own_are_not_the_default_ones(network: OwnNetwork, ec2: Any) -> None:
    ports = entry(100, "allow", egress=True, protocol="6", ports=(443, 443))
    add_acl(network.store, network.one("aws_vpc", VPC), "acl-1", [ports], PRIVATE[:1])
    default, own = ec2.describe_network_acls(Filters=_in())["NetworkAcls"]
    assert PRIVATE[0] not in {one["SubnetId"] for one in default["Associations"]}
    assert [one["SubnetId"] for one in own["Associations"]] == PRIVATE[:1]
    assert own["Entries"][0]["PortRange"] == {"From": 443, "To": 443}
    assert own["Entries"][0]["Protocol"] == "6"
    found = ec2.describe_network_acls(Filters=[{"Name": "default", "Values": ["false"]}])["NetworkAcls"]
    assert [one["NetworkAclId"] for one in found] == ["acl-1"]
    with pytest.raises(ClientError) as caught:
        ec2.describe_network_acls(NetworkAclIds=["acl-9"])
    assert code(caught) == "InvalidNetworkAclID.NotFound"


def test_a_vpc_tells_its_attributes_and_all_its_ranges(network: OwnNetwork, ec2: Any) -> None:
    network.change("aws_vpc", VPC, enable_dns_hostnames=False, secondary_cidrs=["100.64.0.0/16"])
    told = ec2.describe_vpc_attribute(VpcId=VPC, Attribute="enableDnsHostnames")
    assert told["EnableDnsHostnames"] == {"Value": False}
    told = ec2.describe_vpc_attribute(VpcId=VPC, Attribute="enableDnsSupport")
    assert told["EnableDnsSupport"] == {"Value": True}
    (found,) = ec2.describe_vpcs(Filters=_in())["Vpcs"]
    cidrs = [one["CidrBlock"] for one in found["CidrBlockAssociationSet"]]
    assert cidrs == ["10.20.0.0/16", "100.64.0.0/16"]
    checks.check_create(network.store, new("aws_subnet", "s", vpc_id=VPC, cidr_block="100.64.3.0/24"))
    with pytest.raises(ClientError) as caught:
        ec2.describe_vpc_attribute(VpcId="vpc-0000000f", Attribute="enableDnsSupport")
    assert code(caught) == "InvalidVpcID.NotFound"


def test_a_route_whose_target_is_gone_is_a_blackhole(network: OwnNetwork, ec2: Any) -> None:
    network.remove("aws_nat_gateway", "nat-1")
    (table,) = ec2.describe_route_tables(RouteTableIds=["rtb-private"])["RouteTables"]
    (route,) = [one for one in table["Routes"] if one["DestinationCidrBlock"] == "0.0.0.0/0"]
    assert (route["NatGatewayId"], route["State"]) == ("nat-1", "blackhole")


def test_addresses_that_are_held_are_not_free(network: OwnNetwork, ec2: Any) -> None:
    def free(subnet_id: str) -> int:
        (found,) = ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"]
        return int(found["AvailableIpAddressCount"])

    store = network.store
    assert free(PRIVATE[0]) == 1024 - 5
    assert free(PUBLIC[0]) == 64 - 5 - 1  # a NAT gateway
    node = network.put("ec2:instance", "i-1", tags={"eks:cluster-name": "it"})
    add_interface(store, node, PRIVATE[0], [], description="", instance_id="i-1")
    assert free(PRIVATE[0]) == 1024 - 5 - 1
    told = '{"env": {"ENABLE_PREFIX_DELEGATION": "true"}}'
    network.put("aws_eks_addon", "cni", cluster_name="it", addon_name="vpc-cni", configuration_values=told)
    assert free(PRIVATE[0]) == 1024 - 5 - 1 - 32
    network.put("aws_vpc_endpoint", "vpce-1", vpc_id=VPC, subnet_ids=[PRIVATE[0]])
    assert free(PRIVATE[0]) == 1024 - 5 - 1 - 32 - 1
    network.put("aws_db_subnet_group", "group", subnet_ids=DATA)
    network.put("aws_db_instance", "db", db_subnet_group_name="group", multi_az=True)
    network.put("aws_elasticache_subnet_group", "group", subnet_ids=DATA)
    network.put("aws_elasticache_replication_group", "redis", subnet_group_name="group", num_cache_clusters=4)
    # The database in two zones, four nodes dealt to three.
    assert sum(free(id_) for id_ in DATA) == 3 * (32 - 5) - 2 - 4


def test_subnets_of_two_networks_do_not_go_together(network: OwnNetwork) -> None:
    network.put("aws_vpc", "vpc-00000002", **vpc("10.30.0.0/16", number=2))
    network.subnet("subnet-000000f1", "use1-az2", "10.30.0.0/24", vpc_id="vpc-00000002")
    both = [PRIVATE[0], "subnet-000000f1"]
    assert "InvalidParameterException" in refused(network.store, cluster(both))
    for type_ in ("aws_db_subnet_group", "aws_elasticache_subnet_group"):
        told = refused(network.store, new(type_, "g", name="g", subnet_ids=both))
        assert told.startswith("InvalidSubnet: ")
        assert "not all in a common VPC" in told
    told = refused(network.store, new("aws_db_subnet_group", "g", name="g", subnet_ids=PRIVATE[:1]))
    assert told.startswith("DBSubnetGroupDoesNotCoverEnoughAZs: ")


def test_a_cluster_needs_six_addresses_and_a_range_of_its_own_for_services(network: OwnNetwork) -> None:
    checks.check_create(network.store, cluster(PRIVATE))
    wanted = cluster(PRIVATE)
    wanted.state["kubernetes_network_config"] = [{"service_ipv4_cidr": "10.20.64.0/20"}]
    assert "overlaps a CIDR block of the VPC" in refused(network.store, wanted)
    network.change("aws_subnet", PRIVATE[0], cidr_block="10.20.0.0/28")
    network.put("aws_vpc_endpoint", "vpce-1", vpc_id=VPC, subnet_ids=[PRIVATE[0]])
    for number in range(5):
        node = network.put("ec2:instance", f"i-{number}", tags={})
        add_interface(network.store, node, PRIVATE[0], [], description="")
    assert addresses.free(network.store, network.one("aws_subnet", PRIVATE[0])) == 5
    assert "InsufficientFreeAddresses" in refused(network.store, cluster(PRIVATE))


def test_nodes_join_by_the_main_table_too_and_need_names(network: OwnNetwork) -> None:
    store = network.store
    network.put(
        "aws_eks_cluster",
        "it",
        name="it",
        version="1.35",
        vpc_config=[{"vpc_id": VPC, "subnet_ids": PRIVATE}],
    )
    policy = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
    put(store, "aws_iam_role_policy_attachment", "it", role="nodes", policy_arn=policy)
    group = network.put(
        "aws_eks_node_group",
        "n",
        cluster_name="it",
        subnet_ids=PRIVATE[:1],
        instance_types=["t3.large"],
        capacity_type="ON_DEMAND",
        scaling_config=[{"desired_size": 1}],
        launch_template=[],
        node_role_arn=f"arn:aws:iam::{ACCOUNT}:role/nodes",
    )
    network.put(
        "aws_eks_addon", "cni", cluster_name="it", addon_name="vpc-cni", configuration_values=None,
        service_account_role_arn=None,
    )  # fmt: skip
    assert node_rules.failure(store, group) == ""
    network.remove("aws_route_table_association", PRIVATE[0])
    assert node_rules.failure(store, group).startswith("NodeCreationFailure")
    network.put(
        "aws_route",
        "main",
        route_table_id="rtb-main1",
        destination_cidr_block="0.0.0.0/0",
        transit_gateway_id="tgw-1",
        gateway_id="",
        nat_gateway_id="",
    )
    assert node_rules.failure(store, group) == ""
    network.change("aws_vpc", VPC, enable_dns_hostnames=False)
    assert node_rules.failure(store, group).startswith("NodeCreationFailure")


@pytest.mark.parametrize(
    ("subnets", "internal", "told"),
    [
        ([], False, "InvalidSubnet: unable to resolve"),
        (["subnet-0000000f"], False, "SubnetNotFound: "),
        ([PUBLIC[0], "subnet-000000f2"], False, "InvalidConfigurationRequest: A load balancer cannot be"),
        (["subnet-000000f1"], True, "InvalidSubnet: The subnet 'subnet-000000f1' is not of the VPC"),
        (PRIVATE, False, f"InvalidSubnet: The subnet '{PRIVATE[0]}' has no route to an internet gateway"),
        (["subnet-000000f3"], True, "InvalidSubnet: Not enough IP space available in subnet-000000f3"),
    ],
)
def test_where_there_is_no_load_balancer(
    network: OwnNetwork, subnets: list[str], internal: bool, told: str
) -> None:
    network.put("aws_vpc", "vpc-00000002", **vpc("10.30.0.0/16", number=2))
    network.subnet("subnet-000000f1", "use1-az2", "10.30.0.0/24", vpc_id="vpc-00000002")
    network.subnet("subnet-000000f2", "use1-az1", "10.20.50.0/24")
    network.put("aws_route_table_association", "f2", route_table_id="rtb-public", subnet_id="subnet-000000f2")
    network.subnet("subnet-000000f3", "use1-az1", "10.20.51.0/29")
    own = network.one("aws_vpc", VPC)
    with pytest.raises(CloudError) as refusal:
        balancer_rules.check(network.store, own, subnets, internal=internal)
    assert str(refusal.value).startswith(told)
    balancer_rules.check(network.store, own, PUBLIC, internal=False)
    balancer_rules.check(network.store, own, PRIVATE, internal=True)


def test_an_owner_cannot_delete_a_network_that_something_is_in(network: OwnNetwork) -> None:
    """Neither while a security group is there nor while an interface is."""
    store, alone = network.store, "vpc-00000002"
    network.put("aws_vpc", alone, **vpc("10.30.0.0/16", number=2))
    owner = network.put("aws_eks_cluster", "it", name="it")
    group = add_group(store, owner, "sg-1", name="it", description="", vpc_id=alone, tags={})
    operations = Operations(store, caller(ROLE), REGION, threading.Event())
    with pytest.raises(CloudError, match=f"The vpc '{alone}' has dependencies and cannot be deleted"):
        operations.delete("aws_vpc", {"id": alone})
    store.delete(group)
    network.subnet("subnet-000000f1", "use1-az2", "10.30.0.0/24", vpc_id=alone)
    add_interface(store, owner, "subnet-000000f1", [], description="ELB net/k8s-web/1")
    for type_, id_ in (("aws_vpc", alone), ("aws_subnet", "subnet-000000f1")):
        with pytest.raises(CloudError, match="has dependencies and cannot be deleted"):
            check_delete(store, network.one(type_, id_))
