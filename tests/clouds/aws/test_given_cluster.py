"""A cluster of the user's: what is used of it, and every fault that is told before anything is made."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.clouds.aws.conftest import Customer
from tests.support.clusters import StaticDirectory, node
from tests.support.configs import config
from tests.support.networks import DATA, PRIVATE, PUBLIC, REGION, VPC, OwnNetwork

from beta9_provisioning.clouds.aws.account import AwsAccount
from beta9_provisioning.clouds.aws.choices import Choices, GivenIngress, GivenNetwork
from beta9_provisioning.clouds.aws.cloud import Aws
from beta9_provisioning.clouds.aws.of_cluster import chosen_cluster
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.engine.beta9.platform import SharedCluster
from beta9_provisioning.engine.kubernetes.access import ClusterAccess, Token
from beta9_provisioning.engine.kubernetes.kubernetes import Kubernetes
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_simulator.cloud.controllers import LOAD_BALANCER, TARGET_GROUP, VOLUME
from beta9_simulator.cloud.rules import INTERFACE
from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.server import ClusterServer, serve

WORKERS_FROM = ("203.0.113.0/24",)
POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
ENTRY = "aws_eks_access_entry"
ASSOCIATION = "aws_eks_access_policy_association"
GP3 = {
    "metadata": {"name": "gp3", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "ebs.csi.aws.com",
    "parameters": {"type": "gp3"},
    "reclaimPolicy": "Delete",
}


@dataclass
class Owned:
    """A cluster that fits, in a network that fits, until a test spoils it."""

    customer: Customer
    network: OwnNetwork
    clusters: StaticDirectory
    server: ClusterServer

    def choose(self, workers_from: tuple[str, ...] = WORKERS_FROM, **changes: Any) -> dict[str, Any]:
        account = AwsAccount(self.customer.target)
        return account.choose(wanted(self.customer, **changes), self.reach, workers_from)

    def faults(self, **changes: Any) -> list[str]:
        before = self.network.everything()
        with pytest.raises(AwsError) as caught:
            self.choose(**changes)
        assert caught.value.code == "cluster_unfit"
        assert self.network.everything() == before, "nothing may be made"
        return caught.value.detail.split("\n")

    def reach(self, _access: ClusterAccess) -> Kubernetes:
        """Open the API of the simulated cluster, whatever AWS says of its place."""
        authority = base64.b64encode(self.server.ca_pem.encode()).decode()
        until = datetime.now(UTC) + timedelta(minutes=14)
        endpoint = self.server.endpoint("123456789012", REGION, "team")
        access = ClusterAccess("team", endpoint, authority, lambda: Token("let-me-in", until))
        return Kubernetes(access, threading.Event())

    def inside(self, plural: str, *bodies: dict[str, Any], namespace: str = "") -> None:
        def make(cluster: Cluster) -> None:
            for body in bodies:
                cluster.insert(BUILTIN[plural], namespace, body, status=True)

        place = ("123456789012", REGION, "team")
        self.server._call(lambda: make(self.server._hosting.reach(place).cluster))


def wanted(customer: Customer, **changes: Any) -> EnvironmentConfig:
    return config(
        **{
            "cloud__account_id": customer.target.account_id,
            "cloud__role_arn": customer.target.role_arn,
            "cluster": {"use_existing": True, "existing_cluster_name": "team"},
            **changes,
        }
    )


def balancing(replicas: int = 1) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "aws-load-balancer-controller"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {
        "metadata": {"name": "lbc", "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        "status": {"availableReplicas": replicas},
    }


@pytest.fixture
def owned(customer: Customer) -> Iterator[Owned]:
    network = OwnNetwork(customer.store, customer.target.account_id)
    network.put(
        "aws_eks_cluster",
        "team",
        name="team",
        version="1.35",
        role_arn="arn:aws:iam::123456789012:role/eks",
        status="ACTIVE",
        deletion_protection=True,
        identity=[{"oidc": [{"issuer": "https://oidc.example.com"}]}],
        access_config=[{"authentication_mode": "API"}],
        endpoint="https://team.example.com",
        platform_version="eks.1",
        certificate_authority=[{"data": "Q0E="}],
        vpc_config=[
            {
                "subnet_ids": [*PRIVATE, *PUBLIC],
                "security_group_ids": [],
                "cluster_security_group_id": "sg-cluster",
                "vpc_id": VPC,
                "endpoint_public_access": True,
                "endpoint_private_access": True,
                "public_access_cidrs": ["203.0.0.0/16"],
            }
        ],
    )
    about = {"cluster_name": "team", "principal_arn": customer.target.role_arn}
    network.put(ENTRY, "entry", access_entry_arn="arn:entry", type="STANDARD", **about)
    network.put(ASSOCIATION, "policy", policy_arn=POLICY, access_scope=[{"type": "cluster"}], **about)
    network.change("aws_subnet", PUBLIC[0], tags={"kubernetes.io/role/elb": "1"})
    instance(network, "i-1", "sg-cluster")
    clusters = StaticDirectory()
    clusters.put("team", nodes=(replace(node("n"), instance_id="i-1", zone="us-east-1a"),))
    server = serve(clusters)
    owned = Owned(customer, network, clusters, server)
    owned.inside("storageclasses", GP3)
    owned.inside("deployments", balancing(), namespace="kube-system")
    yield owned
    server.stop()


def instance(network: OwnNetwork, id_: str, *groups: str) -> None:
    network.put(
        "ec2:instance", id_, instance_type="m6i.large", private_dns_name=id_, subnet_id=PRIVATE[0], tags={}
    )
    network.put(
        INTERFACE,
        f"eni-{id_}",
        instance_id=id_,
        owner="",
        groups=list(groups),
        subnet_id=PRIVATE[0],
        vpc_id=VPC,
        availability_zone=f"{REGION}a",
        description="",
        managed=True,
        public_ip="",
        status="in-use",
        tags={},
    )


def test_it_is_taken_as_it_is(owned: Owned) -> None:
    before = owned.network.everything()
    found = owned.choose(network={"data_subnet_ids": DATA})
    made = Choices.model_validate(found)
    assert owned.network.everything() == before
    assert (made.kubernetes, made.nodes, made.system) == (None, None, None)
    assert made.cluster is not None
    assert (made.cluster.name, made.cluster.version) == ("team", "1.35")
    assert made.cluster.security_groups == ("sg-cluster",)
    assert made.cluster.storage_class == "gp3"
    assert made.cluster.charts == ("cert-manager", "metrics-server", "traefik")
    assert made.cluster.ingress is None
    assert isinstance(made.network, GivenNetwork)
    assert (made.network.vpc_id, made.network.data) == (VPC, tuple(DATA))
    assert Aws().cluster_ready_addresses(found) == Aws().access_addresses(found) == frozenset()
    assert Aws().node_count(found) == 1
    assert set(Aws().guarded_networks(found)) == {*made.network.data_cidrs, "169.254.169.254/32"}


def test_without_data_subnets_the_stores_are_in_the_cluster_s_inner_ones(owned: Owned) -> None:
    made = Choices.model_validate(owned.choose())
    assert isinstance(made.network, GivenNetwork)
    assert (made.network.data, made.network.data_cidrs) == (tuple(PRIVATE), ())


def test_an_ingress_controller_that_is_there_needs_no_load_balancer_controller(owned: Owned) -> None:
    controller = {"controller": "traefik.io/ingress-controller"}
    owned.inside("ingressclasses", {"metadata": {"name": "front"}, "spec": controller})
    service = {
        "metadata": {"name": "front", "labels": {"app.kubernetes.io/name": "traefik"}},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
        "status": {"loadBalancer": {"ingress": [{"hostname": "front.example.com"}]}},
    }
    owned.inside("services", service, namespace="kube-system")
    found = owned.choose()
    cluster = Choices.model_validate(found).cluster
    assert cluster is not None
    assert "traefik" not in cluster.charts
    assert cluster.ingress == GivenIngress(
        class_name="front",
        controller="traefik.io/ingress-controller",
        namespace="kube-system",
        service="front",
    )
    platform = Aws().platform_of(wanted(owned.customer), "env_0123456789abcdef", found)
    assert platform.storage_class.is_found
    tags = platform.load_balancer_annotations[
        "service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags"
    ]
    assert "beta9:environment-id=env_0123456789abcdef" in tags


def test_nodes_with_groups_of_their_own_are_let_in_by_these(owned: Owned) -> None:
    """As launch templates give them, that name security groups: EKS adds none then."""
    instance(owned.network, "i-2", "sg-nodes", "sg-more")
    nodes = [replace(node(f"n-{number}"), instance_id=f"i-{number}", zone="us-east-1a") for number in (1, 2)]
    owned.clusters.put("team", nodes=tuple(nodes))
    cluster = Choices.model_validate(owned.choose()).cluster
    assert cluster is not None
    assert cluster.security_groups == ("sg-cluster", "sg-more", "sg-nodes")


def _api(owned: Owned, **changes: Any) -> None:
    [found] = owned.network.one("aws_eks_cluster", "team").state["vpc_config"]
    owned.network.change("aws_eks_cluster", "team", vpc_config=[found | changes])


def test_a_cluster_that_is_not_there_is_all_that_is_told(owned: Owned) -> None:
    owned.network.remove("aws_eks_cluster", "team")
    assert owned.faults() == [
        f"team: there is no such EKS cluster in {REGION} of the account; correct "
        "cluster.existing_cluster_name or cloud.region"
    ]


def _commands(owned: Owned) -> tuple[str, str]:
    where = f"--region {REGION} --cluster-name team --principal-arn {owned.customer.target.role_arn}"
    return (
        f"  aws eks create-access-entry {where}",
        f"  aws eks associate-access-policy {where} --policy-arn {POLICY} --access-scope type=cluster",
    )


def test_without_an_access_entry_the_commands_that_make_one_are_told(owned: Owned) -> None:
    owned.network.remove(ENTRY, "entry")
    owned.network.remove(ASSOCIATION, "policy")
    told = owned.faults()
    assert told[1:3] == [*_commands(owned)]
    assert "can be looked at only then" in told[3]


def test_without_its_policy_the_entry_is_not_enough(owned: Owned) -> None:
    owned.network.change(ASSOCIATION, "policy", access_scope=[{"type": "namespace", "namespaces": ["apps"]}])
    assert owned.faults()[1] == _commands(owned)[1]


def test_a_cluster_of_the_config_map_gets_entries_by_a_command(owned: Owned) -> None:
    owned.network.change("aws_eks_cluster", "team", access_config=[{"authentication_mode": "CONFIG_MAP"}])
    assert owned.faults()[1] == (
        f"  aws eks update-cluster-config --region {REGION} --name team "
        "--access-config authenticationMode=API_AND_CONFIG_MAP"
    )


@pytest.mark.parametrize(
    ("changes", "opened"),
    [
        ({"endpoint_public_access": False}, "203.0.113.0/24"),
        ({"public_access_cidrs": ["198.51.100.0/24"]}, "198.51.100.0/24,203.0.113.0/24"),
    ],
)
def test_an_api_that_workers_do_not_reach_is_opened_by_a_command(
    owned: Owned, changes: dict[str, Any], opened: str
) -> None:
    _api(owned, **changes)
    assert owned.faults()[1] == (
        f"  aws eks update-cluster-config --region {REGION} --name team "
        f"--resources-vpc-config endpointPublicAccess=true,publicAccessCidrs={opened}"
    )


def test_everything_that_is_in_the_way_is_told_at_once(owned: Owned) -> None:
    owned.network.change("aws_eks_cluster", "team", version="1.31")
    owned.network.change("aws_subnet", PUBLIC[0], tags={})
    owned.inside("namespaces", {"metadata": {"name": "beta9"}})
    owned.clusters.put("team", nodes=(), addons=frozenset())
    told = owned.faults(network={"data_subnet_ids": [DATA[0], PRIVATE[0]]})
    for words in (
        "runs Kubernetes 1.31, and the charts take 1.33 to 1.35",
        "is in the zone use1-az1 as",
        "in two zones",
        "The namespace beta9 is in the cluster already",
        "0m CPU",
        "no storage driver ebs.csi.aws.com",
        "no AWS Load Balancer Controller",
        "no subnet has the tag kubernetes.io/role/elb",
    ):
        assert any(words in line for line in told), (words, told)


@pytest.mark.parametrize("spoiled", [{"provisioner": "kubernetes.io/aws-ebs"}, {"reclaimPolicy": "Retain"}])
def test_a_storage_class_of_the_driver_that_deletes_is_needed(owned: Owned, spoiled: dict[str, str]) -> None:
    def other(cluster: Cluster) -> None:
        cluster.delete(BUILTIN["storageclasses"], "", "gp3")

    place = ("123456789012", REGION, "team")
    owned.server._call(lambda: other(owned.server._hosting.reach(place).cluster))
    owned.inside("storageclasses", GP3 | spoiled)
    [fault] = owned.faults()
    assert "no StorageClass of ebs.csi.aws.com whose reclaim policy is Delete" in fault


ENVIRONMENT = "env_0123456789abcdef"
OURS = {"beta9:environment-id": ENVIRONMENT, "elbv2.k8s.aws/cluster": "team"}
CLAIM = {"kubernetes.io/cluster/team": "owned", "kubernetes.io/created-for/pvc/namespace": "beta9"}


def _left(network: OwnNetwork) -> None:
    """What controllers in the cluster have made, for the environment and for others."""
    place = f"arn:aws:elasticloadbalancing:{REGION}:{network.account}"
    for name, tags in (("ours", OURS), ("theirs", {"elbv2.k8s.aws/cluster": "team"})):
        balancer = f"{place}:loadbalancer/net/{name}/1"
        about = {"dns_name": name, "vpc_id": VPC, "groups": [], "subnet_ids": [], "scheme": "internal"}
        network.put(LOAD_BALANCER, balancer, **about | {"arn": balancer, "tags": tags})
        target = f"{place}:targetgroup/{name}/1"
        network.put(TARGET_GROUP, target, arn=target, port=80, vpc_id=VPC, load_balancer=balancer, tags=tags)
        group = f"arn:aws:ec2:{REGION}:{network.account}:security-group/sg-{name}"
        network.put(
            "aws_security_group", f"sg-{name}", arn=group, name=name, description="", vpc_id=VPC, tags=tags
        )
    others = CLAIM | {"kubernetes.io/created-for/pvc/namespace": "apps"}
    for name, tags in (("ours", CLAIM), ("theirs", others)):
        network.put(VOLUME, f"vol-{name}", size=8, encrypted=True, tags=tags)


def test_what_it_leaves_when_it_is_gone_is_told_from_what_is_others(owned: Owned) -> None:
    account, network = AwsAccount(owned.customer.target), owned.network
    choices = {"cluster": {"name": "team", "since": "2020-01-01T00:00:00Z"}}
    assert chosen_cluster(choices) == SharedCluster("team", "2020-01-01T00:00:00Z")
    _left(network)
    left = {f"{one.kind} {one.id}" for one in account.leftovers(choices)}
    assert left == {
        "ec2:security-group sg-ours",
        "ec2:volume vol-ours",
        "elasticloadbalancing:loadbalancer net/ours/1",
        "elasticloadbalancing:targetgroup ours/1",
    }
    assert account.sweep(0, choices) == [], "while it stands its controllers remove what is theirs"
    network.remove("aws_eks_cluster", "team")
    account.sweep(0, choices)
    assert account.leftovers(choices) == []
    kept = {one.name for one in network.store.find(account=network.account)}
    assert {"vol-theirs", "sg-theirs"} <= kept
    assert [one for one in kept if one.endswith("net/theirs/1")]


def test_disks_of_before_the_environment_are_somebody_elses(owned: Owned) -> None:
    account = AwsAccount(owned.customer.target)
    _left(owned.network)
    owned.network.remove("aws_eks_cluster", "team")
    later = {"cluster": {"name": "team", "since": "2999-01-01T00:00:00Z"}}
    assert "ec2:volume" not in {one.kind for one in account.leftovers(later)}
    account.sweep(0, later)
    assert owned.network.one(VOLUME, "vol-ours")


@pytest.mark.parametrize("choices", [None, {}, {"cluster": "team"}, {"cluster": {"name": 1}}])
def test_choices_of_any_form_are_borne_by_a_destroy(choices: dict[str, Any] | None) -> None:
    assert chosen_cluster(choices) is None
    assert Aws().access_addresses(choices)
