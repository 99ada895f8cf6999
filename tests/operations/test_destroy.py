"""Destroys of what AWS and clusters leave behind: genuine Terraform and Helm on the simulated cloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.engine.beta9.test_worker_jobs import WORKER, job
from tests.operations.bench import Bench, client
from tests.operations.rows import Made, add_destroy, operation, status
from tests.support.simulated import World

from beta9_provisioning.audit.record import Author
from beta9_provisioning.engine.kubernetes.api import KubernetesApi
from beta9_provisioning.engine.kubernetes.kinds import JOB
from beta9_provisioning.environments.commands import delete
from beta9_provisioning.kit.database import transaction
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Step
from beta9_provisioning.operations.workflows import PROVISION
from beta9_provisioning.schemas.configuration import OnDelete
from beta9_simulator.cloud.interfaces import add_interface
from beta9_simulator.cloud.rules import INTERFACE
from beta9_simulator.cloud.services.groups import SNAPSHOT
from beta9_simulator.cloud.store import GLOBAL, NewObject, StoredObject

S = OperationStatus


def ready(bench: Bench, **changes: Any) -> Made:
    made = bench.make(**changes)
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    return made


def one(world: World, type_: str) -> StoredObject:
    [found] = world.store.find(type_)
    return found


def bucket_of(bench: Bench, made: Made) -> str:
    suffix = made.environment_id[-12:]
    return next(one.id for one in bench.world.store.find("aws_s3_bucket") if one.id.endswith(suffix))


def with_store(**fields: Any) -> dict[str, Any]:
    return {"data": {"object_store": fields}}


def test_what_the_cni_left_is_removed_between_cluster_and_network(bench: Bench) -> None:
    made = ready(bench)
    bench.must_destroy(made)
    [swept] = bench.history(made, "sweep.removed")
    kinds = [each.split(" ", 1)[0] for each in swept["resources"]]
    assert kinds.count("ec2:network-interface") >= 1
    assert kinds.count("ec2:security-group") >= 1
    gone = [one["address"] for one in bench.history(made, "terraform.resource") if one["action"] == "delete"]
    assert gone.index("aws_eks_cluster.main") < gone.index("aws_vpc.main")


def test_a_cluster_whose_finalizers_hang_delays_the_destroy_for_a_deadline_only(bench: Bench) -> None:
    """The disks' driver is gone, so no volume can go: disks and load balancer are deleted in the cloud."""
    made = ready(bench)
    for addon in bench.world.store.find("aws_eks_addon"):
        if addon.state["addon_name"] == "aws-ebs-csi-driver":
            bench.world.store.delete(addon)
    bench.settings = bench.settings.model_copy(update={"drain_timeout_minutes": 0.1})
    bench.must_destroy(made)
    [told] = bench.history(made, "cluster.drain_given_up")
    assert told["code"] == "cluster_objects_stuck"
    assert "PersistentVolume pvc-" in told["detail"]
    [swept] = bench.history(made, "sweep.removed")
    assert any(each.startswith("ec2:volume vol-") for each in swept["resources"])


def test_a_cluster_that_does_not_let_us_in_leaves_nothing_either(bench: Bench) -> None:
    """The worker's access is gone: load balancers and disks go by their tags; nobody waits for the cluster.

    Somebody has removed it, or an attempt that was lost in the middle of the deletion has.
    """
    made = ready(bench)
    for type_ in ("aws_eks_access_policy_association", "aws_eks_access_entry"):
        for found in bench.world.store.find(type_):
            bench.world.store.edit(found, principal_arn="arn:aws:iam::123456789012:role/Another")
    bench.must_destroy(made)
    assert bench.history(made, "cluster.absent")
    [swept] = bench.history(made, "sweep.removed")
    kinds = {each.split(" ", 1)[0] for each in swept["resources"]}
    assert kinds >= {"elasticloadbalancing:loadbalancer", "elasticloadbalancing:targetgroup", "ec2:volume"}


def test_more_versions_than_a_request_may_delete_go_before_their_bucket(bench: Bench) -> None:
    made = ready(bench)
    bucket, s3 = bucket_of(bench, made), client(bench, "s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(1200):
        s3.put_object(Bucket=bucket, Key=f"objects/{number % 600}", Body=b"")
    s3.delete_object(Bucket=bucket, Key="objects/0")
    bench.must_destroy(made)
    assert [one["count"] for one in bench.history(made, "objects.deleted")][-1] == 1201


def test_a_log_group_that_eks_makes_again_is_deleted_again(bench: Bench) -> None:
    made = ready(bench)
    cluster = one(bench.world, "aws_eks_cluster")
    bench.world.store.edit(cluster, enabled_cluster_log_types=["api"])
    name = f"/aws/eks/{cluster.name}/cluster"
    state = {"id": name, "name": name, "arn": f"arn:aws:logs:::{name}", "retention_in_days": 0, "tags": {}}
    if not bench.world.store.find("aws_cloudwatch_log_group", name=name):
        group = NewObject(
            cluster.account, cluster.region, "aws_cloudwatch_log_group", name, name, state, "", "api"
        )
        bench.world.store.create(group)
    bench.must_destroy(made)
    deleted = [op for op in bench.world.store.operations() if (op.op, op.id) == ("delete", name)]
    assert len(deleted) == 2


def test_a_tagging_api_that_lags_for_hours_hides_and_invents_nothing(bench: Bench) -> None:
    made = ready(bench)
    for what in ("tagging_new", "tagging_gone", "terminated", "nat_gateway_deleted"):
        bench.world.store.set_setting(f"lasts:{what}", "10800")
    try:
        bench.must_destroy(made)
    finally:
        for what in ("tagging_new", "tagging_gone", "terminated", "nat_gateway_deleted"):
            bench.world.store.set_setting(f"lasts:{what}", "")


@pytest.fixture
def kept_objects(bench: Bench) -> Callable[[Made], None]:
    def put(made: Made) -> None:
        s3, bucket = client(bench, "s3"), bucket_of(bench, made)
        s3.put_object(Bucket=bucket, Key="thesis.pdf", Body=b"x" * 2048)
        s3.put_object(Bucket=bucket, Key="0f3c.rclip", Body=b"an image of Beta9's own")

    return put


def test_objects_are_kept_when_the_configuration_says_so_until_a_request_says_otherwise(
    bench: Bench, kept_objects: Callable[[Made], None]
) -> None:
    made = ready(bench, **with_store(on_delete="refuse"))
    kept_objects(made)
    before = {found.uid for found in bench.world.store.find()}
    destroy = add_destroy(bench.sessions, made.environment_id)
    assert bench.run(destroy) is S.FAILED
    assert operation(bench.sessions, destroy).reason == Reason.CONFIGURATION
    error = bench.error(destroy)
    assert error["code"] == "objects_kept"
    assert error["detail"].endswith(": 1 objects, 0.0 MiB")
    assert "--delete-objects" in error["remedy"]
    assert {found.uid for found in bench.world.store.find()} == before, "nothing may be deleted"

    with transaction(bench.sessions) as session:
        by = Author("default")
        outcome = delete(session, made.environment_id, owner="default", by=by, objects=OnDelete.DELETE)
    assert outcome.operation_id is not None
    assert bench.run(outcome.operation_id) is S.SUCCEEDED, bench.error(outcome.operation_id)
    assert status(bench.sessions, made.environment_id) == "destroyed"


def test_beta9s_own_objects_do_not_keep_an_environment(bench: Bench) -> None:
    made = ready(bench, **with_store(on_delete="refuse"))
    s3, bucket = client(bench, "s3"), bucket_of(bench, made)
    s3.put_object(Bucket=bucket, Key="0f3c.rclip", Body=b"an image")
    s3.put_object(Bucket=f"{bucket}-logs", Key="accesses/2026-11-28-07-16-38-3F1C", Body=b"GET")
    bench.must_destroy(made)


def test_workers_that_the_gateway_made_end_before_their_cluster_is_taken_apart(bench: Bench) -> None:
    made = bench.make()

    def start_a_worker(context: Context) -> None:
        api = KubernetesApi(context.account.cluster_access(), context.stop.event)
        api.call("POST", JOB.inside("beta9"), body=job("worker-default-1", WORKER))

    last = Step("worker", "Starting a worker", S.BOOTSTRAPPING, Reason.INTERNAL, start_a_worker)
    assert bench.run(made.operation_id, lambda _: (*PROVISION, last)) is S.SUCCEEDED
    bench.must_destroy(made)
    assert [told["jobs"] for told in bench.history(made, "cluster.workers_removed")] == [["worker-default-1"]]


def test_what_others_have_named_after_the_environment_is_left(bench: Bench) -> None:
    made = ready(bench)
    cluster, s3, bucket = (
        one(bench.world, "aws_eks_cluster"),
        client(bench, "s3"),
        bucket_of(bench, made),
    )
    s3.create_bucket(Bucket=f"{bucket}-backup")
    s3.put_object(Bucket=f"{bucket}-backup", Key="thesis.pdf", Body=b"x")
    group = f"/aws/containerinsights/{cluster.name}/application"
    for region, type_, name in (
        (cluster.region, "aws_cloudwatch_log_group", group),
        (GLOBAL, "aws_iam_role", f"{cluster.name}-external-dns"),
    ):
        like = bench.world.store.find(type_)[0].state
        state = {**like, "id": name, "name": name, "tags": {}, "tags_all": {}}
        bench.world.store.create(NewObject(cluster.account, region, type_, name, name, state, "", "api"))
    bench.must_destroy(made)

    assert s3.list_objects_v2(Bucket=f"{bucket}-backup")["KeyCount"] == 1
    s3.delete_object(Bucket=f"{bucket}-backup", Key="thesis.pdf")
    s3.delete_bucket(Bucket=f"{bucket}-backup")
    left = [found for found in bench.world.store.find() if found.origin == "api"]
    assert {found.name for found in left} == {group, f"{cluster.name}-external-dns"}
    for found in left:
        bench.world.store.delete(found)


def test_a_cluster_that_failed_is_deleted_as_it_is(bench: Bench) -> None:
    """EKS changes nothing of it, and lets it be deleted although it is protected."""
    made = ready(bench)
    bench.world.store.edit(one(bench.world, "aws_eks_cluster"), failed="EC2 had no capacity.")
    bench.must_destroy(made)
    assert [each["what"].split()[0] for each in bench.history(made, "protection.lifted")] == ["database"]


def test_objects_of_an_environment_that_was_never_ready_do_not_keep_it(
    bench: Bench, kept_objects: Callable[[Made], None]
) -> None:
    bench.world.store.inject_fault(
        "aws_elasticache_replication_group", "create", "ClusterQuotaExceeded", "no"
    )
    made = bench.make(**with_store(on_delete="refuse"))
    assert bench.run(made.operation_id) is S.FAILED
    kept_objects(made)
    bench.must_destroy(made)
    assert bench.history(made, "objects.deleted")[-1]["count"] == 2


def test_a_strangers_interface_keeps_the_network_and_is_named(bench: Bench) -> None:
    made = ready(bench)
    subnet = bench.world.store.find("aws_subnet")[0]
    strange = add_interface(bench.world.store, subnet, subnet.id, [], description="somebody's machine")
    bench.settings = bench.settings.model_copy(update={"drain_timeout_minutes": 0.02})
    destroy = add_destroy(bench.sessions, made.environment_id)
    assert bench.run(destroy) is S.FAILED
    assert operation(bench.sessions, destroy).reason == Reason.LEFTOVERS
    detail = bench.error(destroy)["detail"]
    assert f"ec2:subnet {subnet.id} (available), blocked by network interface {strange.id}" in detail
    assert f"The subnet '{subnet.id}' has dependencies and cannot be deleted." in detail
    assert bench.world.store.find("aws_eks_cluster") == [], "all else is gone, and costs nothing"
    [there] = bench.world.store.find(INTERFACE)
    bench.world.store.delete(there)
    bench.must_destroy(made)


def test_protection_is_lifted_and_a_last_snapshot_stays(bench: Bench) -> None:
    """Also of a database that somebody has stopped, and while EKS takes a moment to change a cluster."""
    made = ready(bench, data={"postgres": {"final_snapshot": True}})
    for type_ in ("aws_db_instance", "aws_eks_cluster"):
        assert one(bench.world, type_).state["deletion_protection"]
    bench.world.store.edit(one(bench.world, "aws_db_instance"), stopped=True)
    bench.world.store.set_setting("lasts:cluster_update", "0.5")
    try:
        bench.must_destroy(made)
    finally:
        bench.world.store.set_setting("lasts:cluster_update", "")
    assert len(bench.history(made, "protection.lifted")) == 2
    [taken] = bench.history(made, "snapshot.taken")
    [kept] = bench.history(made, "inventory.kept")
    assert [each["id"] for each in kept["resources"]] == [taken["name"]]
    snapshot = one(bench.world, SNAPSHOT)
    assert snapshot.id == taken["name"]
    bench.world.store.delete(snapshot)
