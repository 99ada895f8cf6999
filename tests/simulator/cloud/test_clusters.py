"""What the simulated Kubernetes API is told of the cloud's clusters, and whom a token opens them to."""

import base64
import time
from typing import Any

import boto3
import pytest
from botocore.signers import RequestSigner

from beta9_simulator.cloud.clusters import StoreClusters
from beta9_simulator.cloud.principals import Principal, find_principal
from beta9_simulator.cloud.seeding import Seeded
from beta9_simulator.cloud.store import NewObject, Store
from beta9_simulator.cloud.sts import assume_role
from beta9_simulator.cluster.directory import ClusterDirectory, SimCluster, User

REGION = "eu-west-1"
OTHER_ROLE = "arn:aws:iam::123456789012:role/Other"


def token(principal: Principal, cluster: str, *, secret: str = "", session: str = "", url: str = "") -> str:
    """An EKS token as botocore signs it."""
    credentials = boto3.Session(
        principal.access_key, secret or principal.secret_key, session or principal.session_token or None
    )
    client = credentials.client("sts", region_name=REGION)
    own = credentials.get_credentials()
    assert own is not None
    signer = RequestSigner(
        client.meta.service_model.service_id,
        REGION,
        "sts",
        "v4",
        own,
        credentials.events,
    )
    request = {
        "method": "GET",
        "url": url or f"https://sts.{REGION}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {"x-k8s-aws-id": cluster},
        "context": {},
    }
    presigned = signer.generate_presigned_url(request, operation_name="", expires_in=60)
    return "k8s-aws-v1." + base64.urlsafe_b64encode(presigned.encode()).decode().rstrip("=")


@pytest.fixture
def role(store: Store, seeded: Seeded) -> Principal:
    user = find_principal(store, seeded.access_key)
    assert user is not None
    return assume_role(store, user, seeded.role_arn, "worker", external_id=seeded.external_id)


def add(
    store: Store, type: str, id: str, state: dict[str, Any], *, creator: str = "", seconds: float = 0
) -> None:
    account = "123456789012"
    store.create(NewObject(account, REGION, type, id, state.get("name", id), state, creator), seconds)


def cluster_state(*, creator_is_admin: bool | None = None) -> dict[str, Any]:
    access = {
        "authentication_mode": "API",
        "bootstrap_cluster_creator_admin_permissions": creator_is_admin,
    }
    return {"name": "c", "version": "1.34", "access_config": [access]}


def group_state() -> dict[str, Any]:
    return {
        "cluster_name": "c",
        "labels": {"role": "system"},
        "capacity_type": "ON_DEMAND",
        "instance_types": ["m7i.large"],
        "taint": [{"key": "gpu", "value": None, "effect": "NO_EXECUTE"}],
        "scaling_config": [{"desired_size": 2}],
    }


def grant(store: Store, principal_arn: str) -> None:
    state = {"cluster_name": "c", "principal_arn": principal_arn}
    add(store, "aws_eks_access_entry", f"c:{principal_arn}", state)
    add(store, "aws_eks_access_policy_association", f"c#{principal_arn}#p", state)


def found(store: Store) -> SimCluster:
    directory: ClusterDirectory = StoreClusters(store)
    cluster = directory.find("123456789012", REGION, "c")
    assert cluster is not None
    return cluster


def test_a_cluster_is_active_by_the_clock(store: Store) -> None:
    add(store, "aws_eks_cluster", "c", cluster_state(), seconds=3600)
    assert not found(store).active
    store.execute("update objects set busy_until=0")
    assert found(store).active
    assert StoreClusters(store).find("123456789012", "us-east-1", "c") is None
    assert StoreClusters(store).find("222222222222", REGION, "c") is None


def test_nodes_follow_the_node_groups(store: Store) -> None:
    add(store, "aws_eks_cluster", "c", cluster_state())
    add(store, "aws_eks_node_group", "c:later", group_state(), seconds=3600)
    assert found(store).nodes == ()
    add(store, "aws_eks_node_group", "c:system", group_state())
    nodes = found(store).nodes
    assert len({node.name for node in nodes}) == 2
    assert nodes[0].labels["role"] == "system"
    assert nodes[0].labels["eks.amazonaws.com/nodegroup"] == "c:system"
    assert nodes[0].taints == [{"key": "gpu", "value": "", "effect": "NoExecute"}]
    assert nodes[0].instance_type == "m7i.large"


def test_a_later_cluster_of_the_name_is_another(store: Store) -> None:
    add(store, "aws_eks_cluster", "c", cluster_state())
    first = found(store)
    store.delete(store.find("aws_eks_cluster")[0])
    add(store, "aws_eks_cluster", "c", cluster_state())
    assert found(store).uid != first.uid


def test_a_role_with_an_access_entry_and_a_policy_gets_in(store: Store, role: Principal) -> None:
    add(store, "aws_eks_cluster", "c", cluster_state(creator_is_admin=False))
    grant(store, role.role_arn)
    user = StoreClusters(store).authenticate(found(store), token(role, "c"))
    assert user == User("arn:aws:sts::123456789012:assumed-role/Beta9Provisioner/worker")


def test_an_access_entry_without_a_policy_lets_in_and_allows_nothing(store: Store, role: Principal) -> None:
    add(store, "aws_eks_cluster", "c", cluster_state(creator_is_admin=False))
    state = {"cluster_name": "c", "principal_arn": role.role_arn}
    add(store, "aws_eks_access_entry", "c:role", state)
    user = StoreClusters(store).authenticate(found(store), token(role, "c"))
    assert user is not None
    assert not user.is_admin


def test_where_the_config_map_alone_counts_no_entry_lets_in(store: Store, role: Principal) -> None:
    cluster = cluster_state(creator_is_admin=False)
    cluster["access_config"][0]["authentication_mode"] = "CONFIG_MAP"
    add(store, "aws_eks_cluster", "c", cluster)
    grant(store, role.role_arn)
    assert StoreClusters(store).authenticate(found(store), token(role, "c")) is None


@pytest.mark.parametrize(("admin", "enters"), [(None, True), (True, True), (False, False)])
def test_the_creator_gets_in_unless_told_otherwise(
    store: Store, role: Principal, admin: bool | None, enters: bool
) -> None:
    add(store, "aws_eks_cluster", "c", cluster_state(creator_is_admin=admin), creator=role.role_arn)
    assert (StoreClusters(store).authenticate(found(store), token(role, "c")) is not None) is enters


@pytest.mark.parametrize(
    "bad",
    [
        lambda role: token(role, "another-cluster"),
        lambda role: token(role, "c", secret="not the secret"),
        lambda role: token(role, "c", session="not the session"),
        lambda role: token(role, "c", url="https://sts.example.com/?Action=GetCallerIdentity"),
        lambda role: token(role, "c", url=f"https://sts.{REGION}.amazonaws.com/?Action=GetSessionToken"),
        lambda role: token(role, "c").replace("k8s-aws-v1.", "k8s-aws-v2."),
        lambda role: "k8s-aws-v1.%%%",
        lambda role: "k8s-aws-v1.",
        lambda role: "",
    ],
    ids=["cluster", "secret", "session", "host", "action", "prefix", "base64", "empty url", "empty"],
)
def test_bad_tokens_open_nothing(store: Store, role: Principal, bad: Any) -> None:
    add(store, "aws_eks_cluster", "c", cluster_state())
    grant(store, role.role_arn)
    assert StoreClusters(store).authenticate(found(store), bad(role)) is None


def test_others_have_no_access(store: Store, role: Principal) -> None:
    add(store, "aws_eks_cluster", "c", cluster_state(), creator=OTHER_ROLE)
    grant(store, OTHER_ROLE)
    assert StoreClusters(store).authenticate(found(store), token(role, "c")) is None


def test_old_tokens_and_ended_sessions_open_nothing(store: Store, role: Principal) -> None:
    add(store, "aws_eks_cluster", "c", cluster_state())
    grant(store, role.role_arn)
    good = token(role, "c")
    for minutes, enters in ((14, True), (16, False), (-6, False)):
        directory = StoreClusters(store, lambda minutes=minutes: time.time() + minutes * 60)  # type: ignore[misc]
        assert (directory.authenticate(found(store), good) is not None) is enters
    store.execute("update credentials set expires_at=1 where access_key=?", role.access_key)
    assert StoreClusters(store).authenticate(found(store), good) is None
