"""What AWS's services and controllers make by themselves: it holds networks, and is shown when it is gone."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.simulator.cloud.provider.test_operations import ACCOUNT, REGION, ROLE, caller, create
from tests.simulator.cloud.provider.test_terraform import TRUST
from tests.simulator.cloud.test_api import Door, code

from beta9_simulator.cloud.api import AwsApi
from beta9_simulator.cloud.clusters import StoreClusters
from beta9_simulator.cloud.controllers import StoreCloud
from beta9_simulator.cloud.provider.operations import Operations
from beta9_simulator.cloud.provider.values import UNKNOWN
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.seeding import Seeded
from beta9_simulator.cloud.store import Store
from beta9_simulator.cluster.directory import LoadBalancer, Volume

WANTED = LoadBalancer("k8s-web", "web", "entry", (443,), by_controller=True, tags={"team": "a"})


class Network:
    """A cluster with two nodes, which are in one of its two subnets, and the calls that take it down."""

    def __init__(self, store: Store, door: Door) -> None:
        self.store, self.door = store, door
        self.operations = Operations(store, caller(ROLE), REGION, threading.Event())
        names = {"enable_dns_support": True, "enable_dns_hostnames": True}
        self.vpc = self.make("aws_vpc", cidr_block="10.0.0.0/16", **names)
        self.gateway = self.make("aws_internet_gateway", vpc_id=self.vpc["id"])
        self.subnet = self._subnet("a", 0, tags={"kubernetes.io/role/elb": "1"}, map_public_ip_on_launch=True)
        role = self.make("aws_iam_role", name="it", assume_role_policy=TRUST)
        self.log_group = self.make("aws_cloudwatch_log_group", name="/aws/eks/it/cluster")
        self._beside = [("aws_subnet", other := self._subnet("b", 1)), *self._way_out(role)]
        self.cluster = self.make(
            "aws_eks_cluster",
            name="it",
            role_arn=role["arn"],
            enabled_cluster_log_types=["api"],
            vpc_config=[
                {
                    "subnet_ids": [self.subnet["id"], other["id"]],
                    "endpoint_public_access": True,
                    "cluster_security_group_id": UNKNOWN,
                    "vpc_id": UNKNOWN,
                }
            ],
        )
        self.nodes = self.make(
            "aws_eks_node_group",
            cluster_name="it",
            node_group_name="n",
            node_role_arn=role["arn"],
            subnet_ids=[self.subnet["id"]],
            scaling_config=[{"min_size": 1, "max_size": 2, "desired_size": 2}],
        )

    def _subnet(self, zone: str, number: int, **more: Any) -> dict[str, Any]:
        return self.make(
            "aws_subnet",
            vpc_id=self.vpc["id"],
            cidr_block=f"10.0.{number}.0/24",
            availability_zone=f"{REGION}{zone}",
            **more,
        )

    def _way_out(self, role: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Make what nodes need to join."""
        table = self.make("aws_route_table", vpc_id=self.vpc["id"])
        out = {"destination_cidr_block": "0.0.0.0/0", "gateway_id": self.gateway["id"]}
        policy = {"role": role["name"], "policy_arn": "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"}
        of_table = {
            "aws_route": out,
            "aws_route_table_association": {"subnet_id": self.subnet["id"]},
        }
        parts = [
            (type_, self.make(type_, route_table_id=table["id"], **more)) for type_, more in of_table.items()
        ]
        attached = self.make("aws_iam_role_policy_attachment", **policy)
        return [("aws_route_table", table), *parts, ("aws_iam_role_policy_attachment", attached)]

    def make(self, type: str, **config: Any) -> dict[str, Any]:
        return create(self.operations, type, **config)

    def delete(self, type: str, state: dict[str, Any]) -> None:
        self.operations.delete(type, state)

    def delete_cluster(self) -> None:
        self.delete("aws_eks_node_group", self.nodes)
        self.delete("aws_eks_cluster", self.cluster)
        for type_, state in reversed(self._beside):
            self.delete(type_, state)

    def interfaces(self, status: str) -> list[dict[str, Any]]:
        wanted = {"Name": "status", "Values": [status]}
        found = self.door.client("ec2").describe_network_interfaces(Filters=[wanted])["NetworkInterfaces"]
        return list(found)

    def controllers(self) -> StoreCloud:
        cluster = StoreClusters(self.store).find(ACCOUNT, REGION, "it")
        assert cluster is not None
        return StoreCloud(self.store, cluster)


@pytest.fixture
def network(api: AwsApi, store: Store, seeded: Seeded) -> Network:
    return Network(store, Door(api, seeded.access_key, seeded.secret_key).assume(seeded))


def refused(network: Network, type: str, state: dict[str, Any]) -> str:
    with pytest.raises(CloudError) as caught:
        network.delete(type, state)
    assert caught.value.code == "DependencyViolation"
    return caught.value.message


def test_an_interface_that_the_cni_left_holds_subnet_group_and_network(network: Network) -> None:
    ec2 = network.door.client("ec2")
    in_use = network.interfaces("in-use")
    assert len(in_use) == 6  # two of each node, one of the control plane in each subnet
    with pytest.raises(ClientError) as caught:
        ec2.delete_network_interface(NetworkInterfaceId=in_use[0]["NetworkInterfaceId"])
    assert code(caught) == "InvalidParameterValue"
    network.delete_cluster()

    [left] = network.interfaces("available")
    assert {"Key": "eks:eni:owner", "Value": "amazon-vpc-cni"} in left["TagSet"]
    id_ = network.subnet["id"]
    told = refused(network, "aws_subnet", network.subnet)
    assert told == f"The subnet '{id_}' has dependencies and cannot be deleted."
    group = left["Groups"][0]["GroupId"]
    [named] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert named["GroupName"].startswith("eks-cluster-sg-it-")
    with pytest.raises(ClientError) as caught:
        ec2.delete_security_group(GroupId=group)
    assert f"resource {group} has a dependent object" in str(caught.value)

    ec2.delete_network_interface(NetworkInterfaceId=left["NetworkInterfaceId"])
    network.delete("aws_subnet", network.subnet)
    network.delete("aws_internet_gateway", network.gateway)
    told = refused(network, "aws_vpc", network.vpc)
    assert told == f"The vpc '{network.vpc['id']}' has dependencies and cannot be deleted."
    ec2.delete_security_group(GroupId=group)
    network.delete("aws_vpc", network.vpc)


def test_a_clusters_security_group_goes_with_it_when_nothing_is_left(network: Network) -> None:
    network.store.set_setting("leaked_interfaces", "0")
    network.delete_cluster()
    assert network.store.find("aws_security_group") == []
    assert network.interfaces("in-use") == network.interfaces("available") == []


def test_terminated_instances_and_deleted_gateways_are_shown_for_an_hour(network: Network) -> None:
    def states() -> set[str]:
        found = network.door.client("ec2").describe_instances()["Reservations"]
        return {one["State"]["Name"] for each in found for one in each["Instances"]}

    network.store.set_setting("lasts:terminated", "3600")
    assert states() == {"running"}
    network.delete_cluster()
    assert states() == {"terminated"}
    network.store.set_setting("lasts:terminated", "0")
    assert states() == set()


def test_the_tagging_api_lists_late_what_is_new_and_for_long_what_is_gone(network: Network) -> None:
    def listed() -> list[str]:
        tagging = network.door.client("resourcegroupstaggingapi")
        wanted = [{"Key": "kubernetes.io/role/elb"}]
        return [
            one["ResourceARN"] for one in tagging.get_resources(TagFilters=wanted)["ResourceTagMappingList"]
        ]

    network.store.set_setting("leaked_interfaces", "0")
    assert listed() == [network.subnet["arn"]]
    network.store.set_setting("lasts:tagging_new", "3600")
    assert listed() == []
    network.store.set_setting("lasts:tagging_gone", "3600")
    network.delete_cluster()
    network.delete("aws_subnet", network.subnet)
    assert listed() == [network.subnet["arn"]]


def test_late_logs_make_a_clusters_log_group_again_once(network: Network) -> None:
    logs = network.door.client("logs")
    network.delete_cluster()
    network.delete("aws_cloudwatch_log_group", network.log_group)
    [again] = logs.describe_log_groups(logGroupNamePattern="it/cluster")["logGroups"]
    assert again["logGroupName"] == "/aws/eks/it/cluster"
    assert "retentionInDays" not in again
    logs.delete_log_group(logGroupName="/aws/eks/it/cluster")
    assert logs.describe_log_groups()["logGroups"] == []
    with pytest.raises(ClientError) as caught:
        logs.delete_log_group(logGroupName="/aws/eks/it/cluster")
    assert code(caught) == "ResourceNotFoundException"


def test_a_load_balancer_holds_the_gateway_and_its_groups_until_its_interfaces_are_gone(
    network: Network,
) -> None:
    elb, ec2 = network.door.client("elbv2"), network.door.client("ec2")
    network.store.set_setting("leaked_interfaces", "0")
    host = network.controllers().make_load_balancer(WANTED)
    assert network.controllers().make_load_balancer(WANTED) == host
    network.delete_cluster()

    [balancer] = elb.describe_load_balancers()["LoadBalancers"]
    [target] = elb.describe_target_groups()["TargetGroups"]
    [told] = elb.describe_tags(ResourceArns=[balancer["LoadBalancerArn"]])["TagDescriptions"]
    assert {"Key": "elbv2.k8s.aws/cluster", "Value": "it"} in told["Tags"]
    assert {"Key": "team", "Value": "a"} in told["Tags"]
    assert "has some mapped public address(es)" in refused(network, "aws_internet_gateway", network.gateway)
    with pytest.raises(ClientError) as caught:
        elb.delete_target_group(TargetGroupArn=target["TargetGroupArn"])
    assert code(caught) == "ResourceInUse"
    with pytest.raises(ClientError) as caught:
        elb.describe_tags(ResourceArns=[balancer["LoadBalancerArn"] + "0"])
    assert code(caught) == "LoadBalancerNotFound"

    network.store.set_setting("lasts:load_balancer_interfaces", "3600")
    elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    elb.delete_target_group(TargetGroupArn=target["TargetGroupArn"])
    with pytest.raises(ClientError) as caught:
        ec2.delete_security_group(GroupId=balancer["SecurityGroups"][0])
    assert code(caught) == "DependencyViolation"
    network.store.execute("update objects set busy_until=0 where phase='deleting'")
    for group in balancer["SecurityGroups"]:
        ec2.delete_security_group(GroupId=group)
    network.delete("aws_internet_gateway", network.gateway)


def test_a_claims_volume_outlives_the_cluster_and_says_whose_it_is(network: Network) -> None:
    network.controllers().make_volume(Volume("pvc-1", "web", "data", 5, encrypted=True))
    network.delete_cluster()
    ec2 = network.door.client("ec2")
    wanted = {"Name": "tag:kubernetes.io/cluster/it", "Values": ["owned"]}
    [volume] = ec2.describe_volumes(Filters=[wanted])["Volumes"]
    assert {"Key": "kubernetes.io/created-for/pvc/name", "Value": "data"} in volume["Tags"]
    ec2.delete_volume(VolumeId=volume["VolumeId"])
    with pytest.raises(ClientError) as caught:
        ec2.delete_volume(VolumeId=volume["VolumeId"])
    assert code(caught) == "InvalidVolume.NotFound"


def test_a_protected_cluster_is_deleted_once_its_protection_is_lifted(network: Network) -> None:
    eks = network.door.client("eks")
    eks.update_cluster_config(name="it", deletionProtection=True)
    assert eks.describe_cluster(name="it")["cluster"]["deletionProtection"] is True
    network.delete("aws_eks_node_group", network.nodes)
    with pytest.raises(CloudError) as refused:
        network.delete("aws_eks_cluster", network.cluster)
    assert refused.value.code == "InvalidRequestException"
    update = eks.update_cluster_config(name="it", deletionProtection=False)["update"]["id"]
    network.store.set_setting("lasts:cluster_update", "3600")
    assert eks.describe_update(name="it", updateId=update)["update"]["status"] == "InProgress"
    network.store.set_setting("lasts:cluster_update", "0")
    assert eks.describe_update(name="it", updateId=update)["update"]["status"] == "Successful"
    network.delete("aws_eks_cluster", network.cluster)


def test_a_key_waits_for_its_deletion(network: Network) -> None:
    key, kms = network.make("aws_kms_key"), network.door.client("kms")
    network.store.set_setting("lasts:key_pending_deletion", "3600")
    assert kms.describe_key(KeyId=key["key_id"])["KeyMetadata"]["KeyState"] == "Enabled"
    network.delete("aws_kms_key", key)
    found = kms.describe_key(KeyId=key["arn"])["KeyMetadata"]
    assert found["KeyState"] == "PendingDeletion"
    assert found["DeletionDate"] > found["CreationDate"]
