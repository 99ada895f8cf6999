"""The published policies: enough for a life, and nothing in them that no life needs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.operations.bench import CONFIG, Bench
from tests.operations.rows import add_destroy
from tests.support.simulated import ACCOUNT, World

from beta9_provisioning.clouds.aws import permissions
from beta9_provisioning.lifecycle import OperationStatus
from beta9_simulator.cloud.authorization import call_needs, provider_needs
from beta9_simulator.cloud.authorization.call_needs import Called
from beta9_simulator.cloud.authorization.gate import RECORD
from beta9_simulator.cloud.authorization.provider_needs import Change
from beta9_simulator.cloud.authorization.reference import permission
from beta9_simulator.cloud.iam.documents import Kind, parse
from beta9_simulator.cloud.iam.evaluation import Asked, Caller, Held, decide
from beta9_simulator.cloud.store import GLOBAL, NewObject, Store

ROLE = f"arn:aws:iam::{ACCOUNT}:role/Beta9Provisioner"
CALLER = Caller(f"arn:aws:sts::{ACCOUNT}:assumed-role/Beta9Provisioner/test", ACCOUNT, ROLE)
REGION = "us-east-1"
ASKS = "iam:SimulatePrincipalPolicy"
_STEM = "beta9-c3d4e5f6g7h8"
_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/customers"
_OURS = {"beta9:managed-by": "beta9-provisioning"}
_TAGS = [{"Key": "beta9:managed-by", "Value": "beta9-provisioning"}]
_ISSUER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.eks.{REGION}.amazonaws.com/id/A"
RARE_CALLS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    # After a lost attempt: what it made is looked for, and taken over or away.
    ("eks", "ListPodIdentityAssociations", {"clusterName": _STEM}),
    ("iam", "ListOpenIDConnectProviderTags", {"OpenIDConnectProviderArn": _ISSUER}),
    ("kms", "ListGrants", {"KeyId": _KEY}),
    ("kms", "ListKeys", {}),
    ("secretsmanager", "RestoreSecret", {"SecretId": f"{_STEM}-redis"}),
    # A destroy that finds the database stopped, is to keep a snapshot, waits for the cluster's protection.
    ("eks", "DescribeUpdate", {"name": _STEM, "updateId": "1"}),
    ("rds", "StartDBInstance", {"DBInstanceIdentifier": f"{_STEM}-postgres"}),
    (
        "rds",
        "CreateDBSnapshot",
        {
            "DBInstanceIdentifier": f"{_STEM}-postgres",
            "DBSnapshotIdentifier": f"{_STEM}-postgres-final",
            "Tags": _TAGS,
        },
    ),
    # A cluster of the customer's: it is looked at, and nothing else.
    ("eks", "DescribeCluster", {"name": "team"}),
    ("eks", "DescribeAccessEntry", {"clusterName": "team", "principalArn": ROLE}),
    ("eks", "ListAssociatedAccessPolicies", {"clusterName": "team", "principalArn": ROLE}),
    # What a cluster's controllers left, and users' objects.
    ("ec2", "DeleteVolume", {"VolumeId": "vol-1"}),
    (
        "elbv2",
        "DeleteLoadBalancer",
        {"LoadBalancerArn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:x"},
    ),
    ("elbv2", "DeleteTargetGroup", {"TargetGroupArn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:y"}),
    ("elbv2", "DescribeTags", {"ResourceArns": []}),
    ("s3", "DeleteObject", {"Bucket": f"{_STEM}-logs", "Key": "object"}),
)
# How what a cluster leaves is tagged there, by what takes it away.
_LEFT = {
    "ec2:DeleteVolume": {"aws:ResourceTag/KubernetesCluster": _STEM},
    "elasticloadbalancing:DeleteLoadBalancer": {"aws:ResourceTag/elbv2.k8s.aws/cluster": _STEM},
    "elasticloadbalancing:DeleteTargetGroup": {"aws:ResourceTag/elbv2.k8s.aws/cluster": _STEM},
}
RARE_CHANGES: tuple[Change, ...] = (
    # What was taken over after a lost attempt, and is brought in order.
    *(
        Change(
            type_,
            "update",
            ACCOUNT,
            REGION,
            {"id": _STEM, "cluster_name": _STEM, "tags_all": _OURS} | state,
            prior={"tags_all": _OURS},
        )
        for type_, state in (
            ("aws_launch_template", {"arn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:launch-template/lt-1"}),
            ("aws_eks_addon", {"arn": f"arn:aws:eks:{REGION}:{ACCOUNT}:addon/{_STEM}/coredns/1"}),
            (
                "aws_eks_node_group",
                {"arn": f"arn:aws:eks:{REGION}:{ACCOUNT}:nodegroup/{_STEM}/n/1", "version": "1.35"},
            ),
            ("aws_elasticache_user", {"user_id": f"{_STEM}-redis"}),
            ("aws_elasticache_replication_group", {"replication_group_id": f"{_STEM}-redis"}),
        )
    ),
    # A network of the customer's, which has no tags of ours.
    Change(
        "aws_security_group",
        "create",
        ACCOUNT,
        REGION,
        {"id": "sg-1", "name": f"{_STEM}-redis", "vpc_id": "vpc-customers", "tags_all": _OURS},
    ),
    # Buckets that browsers reach.
    Change("aws_s3_bucket_cors_configuration", "create", ACCOUNT, REGION, {"id": _STEM, "bucket": _STEM}),
    # A customer's own key.
    Change(
        "aws_kms_grant",
        "delete",
        ACCOUNT,
        REGION,
        {"id": "g", "key_id": _KEY, "grant_id": "g"},
    ),
    Change(
        "aws_db_instance",
        "create",
        ACCOUNT,
        REGION,
        {"id": f"{_STEM}-postgres", "identifier": f"{_STEM}-postgres", "kms_key_id": _KEY},
    ),
)


def _held(policies: dict[str, dict[str, Any]]) -> Held:
    return Held(identity=tuple(parse(json.dumps(one), Kind.IDENTITY) for one in policies.values()))


def _refused(asked: list[Asked], policies: dict[str, dict[str, Any]]) -> list[Asked]:
    held = _held(policies)
    return [one for one in asked if not decide(one, CALLER, held).is_allowed]


def _without(action: str, policies: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the policies without one action, wherever it is."""
    kept: dict[str, dict[str, Any]] = {}
    for name, document in policies.items():
        statements = []
        for statement in document["Statement"]:
            listed = statement["Action"]
            left = [one for one in ([listed] if isinstance(listed, str) else listed) if one != action]
            if left:
                statements.append(statement | {"Action": left})
        kept[name] = document | {"Statement": statements}
    return kept


def _recorded(place: Path) -> list[Asked]:
    """Return what the customer's role was asked for, each once."""
    found: dict[tuple[str, ...], Asked] = {}
    for line in place.read_text().splitlines():
        told = json.loads(line)
        if told["by"] != ROLE:
            continue
        context = {
            key: tuple(value) if isinstance(value, list) else value for key, value in told["context"].items()
        }
        one = Asked(told["action"], told["resource"], context, permission(told["action"]).known)
        found[(one.action, one.resource, *sorted(context))] = one
    return list(found.values())


def _rare(store: Store) -> list[Asked]:
    """Return what is asked for in lives that are not as they should be."""
    found: list[Asked] = []
    for service, operation, params in RARE_CALLS:
        found += call_needs.needs(store, Called(service, operation, params, ACCOUNT, REGION))
    for change in RARE_CHANGES:
        found += provider_needs.needs(store, change)
    return [
        Asked(one.action, one.resource, {**one.context, **_LEFT.get(one.action, {})}, one.known)
        for one in found
    ]


def test_a_life_needs_every_permission_and_no_other(bench: Bench, tmp_path: Path) -> None:
    place = tmp_path / "asked"
    bench.world.store.set_setting(RECORD, str(place))
    try:
        made = bench.make()
        assert bench.run(made.operation_id) is OperationStatus.SUCCEEDED
        bench.must_destroy(made)
    finally:
        bench.world.store.set_setting(RECORD, "")
    asked = [*_recorded(place), *_rare(bench.world.store)]
    policies = permissions.policies()
    assert _refused(asked, policies) == []
    granted = {action for grant in permissions.grants() for action in grant.actions}
    needless = {
        action
        for action in granted
        if not _refused([one for one in asked if one.action == action], _without(action, policies))
    }
    assert needless == set()


def test_into_a_customers_network_go_security_groups_with_our_tag_and_nothing_else(tmp_path: Path) -> None:
    store, policies = Store(tmp_path / "cloud"), permissions.policies()

    def refused(type_: str, operation: str = "create", **state: Any) -> list[str]:
        change = Change(type_, operation, ACCOUNT, REGION, {"id": "x", "vpc_id": "vpc-customers", **state})
        return [one.action for one in _refused(provider_needs.needs(store, change), policies)]

    assert refused("aws_security_group", tags_all=_OURS) == []
    assert "ec2:CreateSecurityGroup" in refused("aws_security_group")
    assert "ec2:CreateSubnet" in refused("aws_subnet", tags_all=_OURS)
    assert "ec2:CreateRouteTable" in refused("aws_route_table", tags_all=_OURS)
    assert "ec2:DeleteVpc" in refused("aws_vpc", "delete")
    assert "ec2:DeleteSubnet" in refused("aws_subnet", "delete")
    assert "ec2:DeleteSecurityGroup" in refused("aws_security_group", "delete")


def test_a_cluster_of_the_customers_is_looked_at_and_never_changed(tmp_path: Path) -> None:
    store, policies = Store(tmp_path / "cloud"), permissions.policies()

    def refused(service: str, operation: str, tags: dict[str, str] | None = None, **params: Any) -> bool:
        told = {f"aws:ResourceTag/{key}": value for key, value in (tags or {}).items()}
        asked = call_needs.needs(store, Called(service, operation, params, ACCOUNT, REGION))
        known = [Asked(one.action, one.resource, {**one.context, **told}, one.known) for one in asked]
        return bool(_refused(known, policies))

    assert not refused("eks", "DescribeCluster", name="team")
    assert refused("eks", "DeleteCluster", name="team")
    assert refused("eks", "UpdateClusterConfig", name="team")
    assert refused("eks", "DeleteNodegroup", clusterName="team", nodegroupName="n")
    assert refused("eks", "DeleteAddon", clusterName="team", addonName="coredns")
    balancer = {"LoadBalancerArn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/net/x/1"}
    theirs = {"elbv2.k8s.aws/cluster": "team"}
    assert not refused("elbv2", "DeleteLoadBalancer", theirs | _OURS, **balancer)
    assert refused("elbv2", "DeleteLoadBalancer", theirs, **balancer)
    claim = "kubernetes.io/created-for/pvc/namespace"
    assert not refused("ec2", "DeleteVolume", {claim: "beta9", "KubernetesCluster": "team"}, VolumeId="vol-1")
    assert refused("ec2", "DeleteVolume", {claim: "apps", "KubernetesCluster": "team"}, VolumeId="vol-1")


@pytest.mark.parametrize("operation", sorted({operation for _, operation, _ in RARE_CALLS}))
def test_what_is_rarely_called_is_called_by_the_product(operation: str) -> None:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).strip("_")
    named = snake.replace("i_d_", "id_").replace("d_b_", "db_")
    sources = Path(permissions.__file__).parent.rglob("*.py")
    assert any(named in source.read_text() for source in sources), named


@contextmanager
def _policies(world: World, documents: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Let the role have other policies meanwhile."""
    policies = {name: world.store.find("aws_iam_policy", name=name)[0] for name in permissions.policies()}
    for name, document in documents.items():
        world.store.edit(policies[name], policy=json.dumps(document))
    try:
        yield
    finally:
        for one in policies.values():
            world.store.edit(one, policy=one.state["policy"])


@contextmanager
def _taken_away(world: World, *actions: str) -> Iterator[None]:
    """Let the role lack actions meanwhile."""
    left = permissions.policies()
    for action in actions:
        left = _without(action, left)
    with _policies(world, left):
        yield


@pytest.mark.parametrize(
    "action",
    [
        "ec2:DescribeAvailabilityZones",
        "s3:PutObject",
        "s3:CreateBucket",
        "ec2:CreateVpc",
        "iam:TagRole",
        "secretsmanager:CreateSecret",
        "kms:CreateKey",
    ],
)
def test_a_permission_that_is_missing_is_named(bench: Bench, action: str) -> None:
    """By the call that is refused, where IAM may not be asked before."""
    made = bench.make()
    with _taken_away(bench.world, action, ASKS):
        assert bench.run(made.operation_id) is OperationStatus.FAILED
        error = bench.error(made.operation_id)
    assert error["code"] == "permission_missing"
    assert action in error["message"] + error["detail"]
    bench.must_destroy(made)


def test_all_that_is_missing_is_named_before_anything_is_made(bench: Bench) -> None:
    made = bench.make()
    before = bench.world.leftovers()
    lost = ("ec2:CreateVpc", "ec2:DescribeVpcs", "eks:UpdateAddon", "ec2:DeleteSubnet")
    with _taken_away(bench.world, *lost):
        assert bench.run(made.operation_id) is OperationStatus.FAILED
    error = bench.error(made.operation_id)
    assert error["code"] == "permissions_missing"
    for phase, action in zip(("Create", "Read", "Operate", "Destroy"), lost, strict=True):
        assert f"Beta9Provisioner{phase}: {action}" in error["detail"]
    assert "setup-iam.sh" in error["remedy"]
    assert bench.world.leftovers() == before
    bench.must_destroy(made)


def test_without_the_check_a_life_goes_on_until_a_call_is_refused(bench: Bench) -> None:
    """What only a destroy needs is named by it, before anything is taken away where IAM may be asked."""
    made = bench.make()
    with _taken_away(bench.world, ASKS):
        assert bench.run(made.operation_id) is OperationStatus.SUCCEEDED
        assert len(bench.history(made, "access.unchecked")) == 1
    for lost, code in (
        (("ec2:DeleteSubnet",), "permissions_missing"),
        (("ec2:DeleteSubnet", ASKS), "permission_missing"),
    ):
        destroy = add_destroy(bench.sessions, made.environment_id)
        with _taken_away(bench.world, *lost):
            assert bench.run(destroy) is OperationStatus.FAILED
        error = bench.error(destroy)
        assert error["code"] == code
        assert "ec2:DeleteSubnet" in error["message"] + error["detail"]
    bench.must_destroy(made)


def test_a_life_in_which_every_role_has_a_boundary(bench: Bench) -> None:
    """Without one in the configuration no role could be made, which is told before anything is."""
    arn = f"arn:aws:iam::{ACCOUNT}:policy/BoundaryOfRoles"
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    state = {"id": arn, "arn": arn, "name": "BoundaryOfRoles", "path": "/", "policy": text}
    boundary = NewObject(ACCOUNT, GLOBAL, "aws_iam_policy", arn, "BoundaryOfRoles", state, origin="seed")
    bench.world.store.create(boundary)
    with _policies(bench.world, permissions.policies(boundary_of_roles=arn)):
        unbounded = bench.make()
        assert bench.run(unbounded.operation_id) is OperationStatus.FAILED
        error = bench.error(unbounded.operation_id)
        assert (error["code"], "iam:CreateRole" in error["detail"]) == ("permissions_missing", True)
        assert "cloud.permissions_boundary_arn" in error["remedy"]
        made = bench.make(cloud=CONFIG["cloud"] | {"permissions_boundary_arn": arn})
        assert bench.run(made.operation_id) is OperationStatus.SUCCEEDED
        roles = [one for one in bench.world.store.find("aws_iam_role") if one.origin != "seed"]
        assert {one.state["permissions_boundary"] for one in roles} == {arn}
        bench.must_destroy(made)
        bench.must_destroy(unbounded)
