"""What AWS refuses, with its own codes and words, and what it takes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.simulator.cloud.provider.test_terraform import TRUST

from beta9_simulator.cloud import checks, node_rules, offerings, quotas
from beta9_simulator.cloud.quotas import QUOTAS
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.seeding import Seeded
from beta9_simulator.cloud.store import GLOBAL, NewObject, Store, StoredObject
from beta9_simulator.cloud.zones import zones_of

ACCOUNT, REGION = "123456789012", "us-east-1"
ZONES = {zone.id: zone.name for zone in zones_of(ACCOUNT, REGION)}
_GLOBAL = ("aws_iam_role", "aws_iam_role_policy_attachment")


def new(type: str, id: str, **state: Any) -> NewObject:
    region = GLOBAL if type in _GLOBAL else REGION
    return NewObject(ACCOUNT, region, type, id, str(state.get("name", id)), {"id": id, **state})


def put(store: Store, type: str, id: str, **state: Any) -> StoredObject:
    return store.create(new(type, id, **state))


def refused(store: Store, wanted: NewObject) -> str:
    with pytest.raises(CloudError) as refusal:
        checks.check_create(store, wanted)
    return str(refusal.value)


@pytest.fixture
def network(store: Store, seeded: Seeded) -> Store:
    names = {"enable_dns_support": True, "enable_dns_hostnames": True}
    put(store, "aws_vpc", "vpc-1", cidr_block="10.0.0.0/16", **names)
    zones = {"a": "use1-az1", "b": "use1-az2", "old": "use1-az3"}
    for number, (name, zone) in enumerate(zones.items()):
        put(
            store,
            "aws_subnet",
            name,
            vpc_id="vpc-1",
            cidr_block=f"10.0.{number}.0/24",
            availability_zone=ZONES[zone],
            map_public_ip_on_launch=False,
        )
    put(store, "aws_iam_role", "nodes", name="nodes", arn=f"arn:aws:iam::{ACCOUNT}:role/nodes")
    return store


def subnet(cidr: str) -> NewObject:
    return new("aws_subnet", "new", vpc_id="vpc-1", cidr_block=cidr)


@pytest.mark.parametrize("cidr", ["10.0.1.128/25", "10.0.0.0/20", "10.0.2.0/24"])
def test_subnets_that_share_addresses(network: Store, cidr: str) -> None:
    assert "InvalidSubnet.Conflict: The CIDR" in refused(network, subnet(cidr))


def test_subnets_outside_of_their_vpc(network: Store) -> None:
    assert (
        refused(network, subnet("10.1.0.0/24")) == "InvalidSubnet.Range: The CIDR '10.1.0.0/24' is invalid."
    )
    checks.check_create(network, subnet("10.0.3.0/24"))


@pytest.mark.parametrize("type", QUOTAS)
def test_quotas_of_a_region(store: Store, type: str) -> None:
    quota = QUOTAS[type]
    store.set_setting(f"quota:{ACCOUNT}:{quota.code}", "2")
    state = {"cidr_block": "10.0.0.0/16", "subnet_id": "a"}
    put(store, "aws_subnet", "a", availability_zone="us-east-1a")
    put(store, "aws_subnet", "b", availability_zone="us-east-1b")
    for number in range(2):
        put(store, type, f"it-{number}", **state)
    third = new(type, "it-2", **state)
    with pytest.raises(CloudError) as caught:
        quotas.check(store, third)
    assert (caught.value.code, caught.value.message) == (quota.error, quota.message)
    quotas.check(store, replace(third, region="eu-west-1"))
    if quota.by_zone:
        quotas.check(store, replace(third, state={**state, "subnet_id": "b"}))
    store.set_setting(f"quota:{ACCOUNT}:{quota.code}", "3")
    quotas.check(store, third)


def test_a_vpc_over_the_quota_is_refused_with_the_create(network: Store) -> None:
    for number in range(4):
        put(network, "aws_vpc", f"it-{number}", cidr_block="10.0.0.0/16")
    sixth = new("aws_vpc", "it-5", cidr_block="10.0.0.0/16")
    assert refused(network, sixth) == "VpcLimitExceeded: The maximum number of VPCs has been reached."


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (
            {"Owner": "a", "owner": "b"},
            "InvalidInput: Duplicate tag keys found. Please note that Tag keys are",
        ),
        ({"a": "${file}"}, "ValidationError: 1 validation error detected: Value at 'tags.1.member.value'"),
        ({"a,b": ""}, "ValidationError: 1 validation error detected: Value at 'tags.1.member.key'"),
        ({"AWS:name": "x"}, "InvalidParameterValue: Tag keys starting with 'aws:' are reserved"),
    ],
)
def test_tags_of_a_role(store: Store, tags: dict[str, str], message: str) -> None:
    role = {"name": "it", "assume_role_policy": TRUST}
    assert message in refused(store, new("aws_iam_role", "it", **role, tags_all=tags))
    allowed = {"Owner": "a b", "o.w:/=+-@_": "ä"}
    checks.check_create(store, new("aws_iam_role", "it", **role, tags_all=allowed))


@pytest.mark.parametrize("path", ["AmazonEKS_CNI_PolicyV2", "service-role/AmazonEBSCSIDriverPolicyV2"])
def test_policies_of_aws_that_do_not_exist(network: Store, path: str) -> None:
    arn = f"arn:aws:iam::aws:policy/{path}"
    wanted = new("aws_iam_role_policy_attachment", "it", role="nodes", policy_arn=arn)
    assert refused(network, wanted) == f"NoSuchEntity: Policy {arn} does not exist or is not attachable."
    arn = "arn:aws:iam::aws:policy/AmazonEBSCSIDriverPolicyV2"
    checks.check_create(network, new("aws_iam_role_policy_attachment", "it", role="nodes", policy_arn=arn))


def cluster(subnets: list[str], **changes: Any) -> NewObject:
    vpc = {
        "subnet_ids": subnets,
        "endpoint_public_access": True,
        "endpoint_private_access": True,
        "public_access_cidrs": ["198.51.100.0/24"],
        **changes.pop("vpc", {}),
    }
    role = f"arn:aws:iam::{ACCOUNT}:role/nodes"
    state = {"name": "it", "role_arn": role, "version": "1.35", "vpc_config": [vpc], **changes}
    return new("aws_eks_cluster", "it", **state)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            cluster(["a", "old"]),
            f"UnsupportedAvailabilityZoneException: Cannot create cluster 'it' because {ZONES['use1-az3']}, "
            "the targeted availability zone, does not currently have sufficient capacity to support the "
            "cluster. Retry and choose from these availability zones: ",
        ),
        (
            cluster(["a"]),
            "InvalidParameterException: Subnets specified must be in at least two different AZs",
        ),
        (cluster(["a", "b"], version="1.99"), "InvalidParameterException: unsupported Kubernetes version"),
        (
            cluster(["a", "b"], vpc={"endpoint_public_access": False, "endpoint_private_access": False}),
            "InvalidParameterException: Private and public endpoint access cannot be false",
        ),
        (
            cluster(["a", "b"], vpc={"public_access_cidrs": ["10.0.0.0/8"]}),
            "InvalidParameterException: The following CIDRs are invalid in publicAccessCidrs: [10.0.0.0/8]",
        ),
    ],
)
def test_clusters(network: Store, wanted: NewObject, message: str) -> None:
    assert refused(network, wanted).startswith(message)
    checks.check_create(network, cluster(["a", "b"]))


@pytest.mark.parametrize("version", ["1.37", "1.33", "1.36"])
def test_updates_of_a_cluster_go_to_the_next_minor_version(network: Store, version: str) -> None:
    made = network.create(cluster(["a", "b"], version="1.34"))
    with pytest.raises(CloudError) as refusal:
        checks.check_update(network, made, {**made.state, "version": version})
    assert "nsupported Kubernetes" in refusal.value.message
    if version == "1.36":
        assert refusal.value.message == "Unsupported Kubernetes minor version update from 1.34 to 1.36"
    checks.check_update(network, made, {**made.state, "version": "1.35"})


def add_on(name: str, version: str | None = None, **values: Any) -> NewObject:
    text = json.dumps(values) if values else None
    return new(
        "aws_eks_addon",
        name,
        cluster_name="it",
        addon_name=name,
        addon_version=version,
        configuration_values=text,
    )


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (add_on("cni"), "Addon cni specified is not supported"),
        (add_on("vpc-cni", "v9.9.9-eksbuild.1"), "Addon version specified is not supported"),
        (add_on("kube-proxy", "v1.35.0-eksbuild.2"), "Addon version specified is not supported"),
        (
            add_on("vpc-cni", enableNetworkPolicies="true"),
            "ConfigurationValue provided in request is not supported: Json schema validation failed with "
            "error: [$.enableNetworkPolicies: is not defined in the schema",
        ),
        (
            add_on("vpc-cni", enableNetworkPolicy=True),
            "[$.enableNetworkPolicy: boolean found, string expected]",
        ),
        (add_on("coredns", tolerations={}), "[$.tolerations: object found, array expected]"),
    ],
)
def test_add_ons(network: Store, wanted: NewObject, message: str) -> None:
    network.create(cluster(["a", "b"], version="1.34"))
    assert message in refused(network, wanted)
    checks.check_create(network, add_on("vpc-cni", "v1.21.1-eksbuild.8", enableNetworkPolicy="true"))


def group(**changes: Any) -> NewObject:
    state: dict[str, Any] = {
        "cluster_name": "it",
        "node_group_name": "it",
        "node_role_arn": f"arn:aws:iam::{ACCOUNT}:role/nodes",
        "subnet_ids": ["a", "b"],
        "instance_types": ["t3.large"],
        "labels": {},
        "taint": [],
        "launch_template": [],
        "disk_size": 20,
        "version": "1.35",
        "release_version": "1.35.2-20261113",
        "capacity_type": "ON_DEMAND",
        "scaling_config": [{"desired_size": 2}],
    }
    return new("aws_eks_node_group", "it:it", **{**state, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": {"node.kubernetes.io/x": "y"}},
            "Label cannot contain reserved prefixes [kubernetes.io/, k8s.io/",
        ),
        ({"labels": {"eks.amazonaws.com/x": "y"}}, "Label cannot contain reserved prefixes"),
        ({"taint": [{"key": "k8s.io/x"}]}, "Taint cannot contain reserved prefixes"),
        ({"version": "1.36"}, "Requested Nodegroup version 1.36 is not supported with cluster version 1.35"),
        (
            {"release_version": "1.34.2-20261113"},
            "Requested release version 1.34.2-20261113 is not valid for kubernetes version 1.35.",
        ),
        (
            {"launch_template": [{"id": "lt-1"}], "disk_size": 50},
            "Disk size must be specified within the launch template.",
        ),
        ({"launch_template": [{"id": "lt-2"}]}, "Couldn't describe launch template with id lt-2"),
    ],
)
def test_node_groups(network: Store, changes: dict[str, Any], message: str) -> None:
    network.create(cluster(["a", "b"]))
    put(network, "aws_launch_template", "lt-1", block_device_mappings=[{"ebs": [{"kms_key_id": "k"}]}])
    assert message in refused(network, group(**changes))
    checks.check_create(network, group(labels={"example.com/x": "y"}, launch_template=[{"id": "lt-1"}]))


def joining(store: Store) -> None:
    """Give the nodes of the group all that they need."""
    store.create(cluster(["a", "b"]))
    policy = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
    put(store, "aws_iam_role_policy_attachment", "it", role="nodes", policy_arn=policy)
    put(
        store,
        "aws_route",
        "r",
        route_table_id="rtb",
        destination_cidr_block="0.0.0.0/0",
        nat_gateway_id="nat",
        gateway_id="",
    )
    for name in ("a", "b", "old"):
        put(store, "aws_route_table_association", name, route_table_id="rtb", subnet_id=name)


def test_an_instance_type_that_a_zone_does_not_have(network: Store) -> None:
    joining(network)
    made = network.create(group())
    assert node_rules.failure(network, made) == ""
    there = ZONES["use1-az2"]
    offerings.without(network, ACCOUNT, "t3.large", ["use1-az2"])
    wanted = (
        f"requested instance type (t3.large) is not supported in your requested Availability Zone ({there})"
    )
    assert wanted in node_rules.failure(network, made)
    old = replace(made, state={**made.state, "subnet_ids": ["old"]})
    assert f"Zone ({ZONES['use1-az3']})" in node_rules.failure(network, old)


def test_more_vcpus_than_the_account_may_start(network: Store) -> None:
    joining(network)
    made = network.create(group())
    network.set_setting(f"quota:{ACCOUNT}:L-1216C47A", "3")
    assert "your current vCPU limit of 3 allows" in node_rules.failure(network, made)
    network.set_setting(f"quota:{ACCOUNT}:L-1216C47A", "4")
    assert node_rules.failure(network, made) == ""


def test_a_customers_key_needs_a_grant_for_auto_scaling(network: Store) -> None:
    joining(network)
    put(network, "aws_launch_template", "lt-1", block_device_mappings=[{"ebs": [{"kms_key_id": "arn/k"}]}])
    made = network.create(group(launch_template=[{"id": "lt-1"}]))
    assert "Client.InvalidKMSKey.InvalidState" in node_rules.failure(network, made)
    role = (
        f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    )
    put(network, "aws_kms_grant", "g", key_id="k", grantee_principal=role)
    assert node_rules.failure(network, made) == ""


def test_the_cni_may_have_a_role_of_its_own(network: Store) -> None:
    joining(network)
    [attached] = [one for one in network.find("aws_iam_role_policy_attachment") if one.id == "it"]
    network.delete(attached)
    made = network.create(group())
    assert node_rules.failure(network, made).startswith("NodeCreationFailure: ")
    role = f"arn:aws:iam::{ACCOUNT}:role/cni"
    put(network, "aws_iam_role", "cni", name="cni", arn=role)
    policy = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
    put(network, "aws_iam_role_policy_attachment", "cni", role="cni", policy_arn=policy)
    put(
        network,
        "aws_eks_pod_identity_association",
        "cni",
        cluster_name="it",
        namespace="kube-system",
        service_account="aws-node",
        role_arn=role,
    )
    assert node_rules.failure(network, made).startswith("NodeCreationFailure: ")  # nobody hands it out
    put(network, "aws_eks_addon", "agent", cluster_name="it", addon_name="eks-pod-identity-agent")
    assert node_rules.failure(network, made) == ""
