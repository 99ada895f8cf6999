"""The life of an environment in a cluster of its user's, which is there before it and after it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.operations.bench import Bench
from tests.operations.rows import Made, add_destroy, operation, status
from tests.support.owners import CLUSTER, ROLE, Owner
from tests.support.simulated import ROOT, World

from beta9_provisioning.lifecycle import OperationStatus, Reason

S = OperationStatus
EXAMPLE = ROOT / "examples" / "existing-cluster.yaml"
CONFIG: dict[str, Any] = YAML(typ="safe", pure=True).load(EXAMPLE.read_text())
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
}
POLICIES = "aws_eks_access_policy_association"


@pytest.fixture(scope="module")
def owner(world: World, tmp_path_factory: pytest.TempPathFactory) -> Owner:
    """Somebody who has made the example's cluster, which no test takes away."""
    owner = Owner(world, tmp_path_factory.mktemp("owner"))
    owner.makes_the_example()
    owner.furnishes()
    return owner


@pytest.fixture
def shared(owner: Owner, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The bench; at the end everything is as the owner had it."""
    seen, had = owner.sees(), owner.has()
    theirs = set(bench.world.leftovers())
    genuine = bench.world.leftovers
    monkeypatch.setattr(bench.world, "leftovers", lambda: sorted(set(genuine()) - theirs))
    yield bench
    assert owner.sees() == seen
    assert owner.has() == had


def filled(owner: Owner) -> dict[str, Any]:
    """Return the example's configuration with the subnets that the owner has."""
    return CONFIG | {"network": {"data_subnet_ids": owner.output("data_subnet_ids")}}


def ready(bench: Bench, owner: Owner) -> Made:
    made = bench.make(**filled(owner))
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    return made


def test_what_is_in_the_way_is_told_at_once_before_anything_is_made(shared: Bench, owner: Owner) -> None:
    """The role is not let in, and the data subnets are those of the example, which nobody has."""
    [association] = shared.world.store.find(POLICIES)
    shared.world.store.edit(association, principal_arn="arn:aws:iam::123456789012:role/Another")
    before, made = owner.has(), shared.make(**CONFIG)
    assert shared.run(made.operation_id) is S.FAILED
    assert operation(shared.sessions, made.operation_id).reason == Reason.ACCESS_REFUSED
    error = shared.error(made.operation_id)
    assert error["code"] == "cluster_unfit"
    assert (
        f"aws eks associate-access-policy --region us-east-1 --cluster-name {CLUSTER} --principal-arn {ROLE} "
        "--policy-arn arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy "
        "--access-scope type=cluster"
    ) in error["detail"]
    for words in ("subnet-00000001: there is no such subnet", "two zones", "can be looked at only then"):
        assert words in error["detail"]
    assert owner.has() == before, "nothing is made"
    shared.world.store.edit(association, principal_arn=ROLE)
    shared.must_destroy(made)


def test_it_becomes_ready_beside_others_and_leaves_what_was_there(shared: Bench, owner: Owner) -> None:
    seen = owner.sees()
    made = ready(shared, owner)
    assert status(shared.sessions, made.environment_id) == "ready"
    now = owner.sees()
    assert {key: now[key] for key in seen} == seen
    again = shared.again(made)
    assert shared.run(again) is S.SUCCEEDED, shared.error(again)
    assert [one["total"] for one in shared.history(made, "terraform.planned")][-1] == 0
    shared.must_destroy(made)
    assert owner.changes_nothing()


def test_a_second_environment_in_the_same_cluster_is_refused(shared: Bench, owner: Owner) -> None:
    made = ready(shared, owner)
    second = shared.make(**filled(owner))
    assert shared.run(second.operation_id) is S.FAILED
    assert "A cluster takes one environment" in shared.error(second.operation_id)["detail"]
    shared.must_destroy(second)
    shared.must_destroy(made)


def test_a_cluster_that_lets_nobody_in_is_told_with_what_is_left_in_it(shared: Bench, owner: Owner) -> None:
    made = ready(shared, owner)
    [association] = shared.world.store.find(POLICIES)
    shared.world.store.edit(association, principal_arn="arn:aws:iam::123456789012:role/Another")
    destroy = add_destroy(shared.sessions, made.environment_id)
    assert shared.run(destroy) is S.FAILED
    error = shared.error(destroy)
    assert error["code"] == "leftovers"
    assert "ec2:volume vol-" in error["detail"]
    assert "elasticloadbalancing:loadbalancer" in error["detail"]
    [told] = shared.history(made, "cluster.not_left")
    assert "aws eks associate-access-policy" in told["detail"]
    assert not shared.world.store.find("aws_db_instance"), "what is in the cloud is removed"
    shared.world.store.edit(association, principal_arn=ROLE)
    shared.must_destroy(made)


def test_a_cluster_that_is_gone_leaves_nothing_of_the_environment(bench: Bench, owner: Owner) -> None:
    """Its load balancer and its disk are told by their tags; those of others stay."""
    owner.kubectl("apply", "-f", "-", stdin=json.dumps(SERVICE))
    made = ready(bench, owner)
    store = bench.world.store
    for type_ in ("aws_eks_addon", "aws_eks_node_group", "aws_eks_access_entry", POLICIES, "aws_eks_cluster"):
        for one in store.find(type_):
            store.delete(one)
    bench.must_destroy(made)
    [swept] = bench.history(made, "sweep.removed")
    kinds = {each.split(" ", 1)[0] for each in swept["resources"]}
    assert kinds >= {"elasticloadbalancing:loadbalancer", "elasticloadbalancing:targetgroup", "ec2:volume"}
    [theirs] = store.find("elbv2:load-balancer")
    assert theirs.tags["kubernetes.io/service-name"] == "default/web"
    for one in store.find():
        if one.origin not in ("seed", "snapshot"):
            store.delete(one)
