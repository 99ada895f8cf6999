"""What an attempt made before it was lost: found, waited for and kept, with genuine Terraform."""

import json
import os
import random
import signal
from collections.abc import Callable
from typing import Any

import pytest
from tests.operations.bench import Bench, client, kept_stack, stored
from tests.operations.rows import Made, add_destroy, operation
from tests.operations.test_workflows import NEVER, as_soon_as
from tests.support.process_tree import descendants

from beta9_provisioning.kit.database import transaction
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.records import store
from beta9_provisioning.operations.records.model import OperationRow
from beta9_provisioning.operations.run.runner import Unfinished
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_simulator.cloud.store import StoredObject

S = OperationStatus


def kill_terraform() -> None:
    """End the apply below this process as the kernel does when memory is short: no state is saved."""
    below = descendants(os.getpid())
    [pid] = [pid for pid, line in below.items() if " apply -json" in line and "launcher.py" not in line]
    os.kill(pid, signal.SIGKILL)


def done(bench: Bench, made: Made, address: str) -> Callable[[], bool]:
    """Return whether the journal says that a resource is complete."""

    def told() -> bool:
        return any(
            data["address"] == address and data["phase"] == "complete"
            for data in bench.history(made, "terraform.resource")
        )

    return told


def state_of(bench: Bench, made: Made) -> dict[str, Any]:
    answer = client(bench, "s3").get_object(**stored(made))
    document: dict[str, Any] = json.loads(answer["Body"].read())
    return document


def change_state(bench: Bench, made: Made, change: Callable[[dict[str, Any]], None]) -> None:
    """Write another state, as a Terraform would that came that far."""
    state = state_of(bench, made)
    change(state)
    state["serial"] += 1
    client(bench, "s3").put_object(**stored(made), Body=json.dumps(state).encode())


def lose_half(bench: Bench, made: Made, seed: int) -> None:
    """Have the state forget about every second resource."""
    draw = random.Random(seed)

    def forget(state: dict[str, Any]) -> None:
        state["resources"] = [one for one in state["resources"] if draw.random() < 0.5]

    change_state(bench, made, forget)


def in_state(bench: Bench, made: Made) -> set[tuple[str, str]]:
    """Return types and ids of what the environment's state holds."""
    found = state_of(bench, made)["resources"]
    return {(one["type"], one["instances"][0]["attributes"]["id"]) for one in found}


def in_cloud(bench: Bench) -> set[tuple[str, str]]:
    return {(one.type, one.id) for one in bench.world.store.find() if one.origin == "terraform"}


def creations(bench: Bench, type_: str) -> int:
    return sum(one.op == "create" and one.type == type_ for one in bench.world.store.operations())


def one(bench: Bench, type_: str) -> StoredObject:
    return next(found for found in bench.world.store.find(type_) if found.origin == "terraform")


def killed_provision(bench: Bench, made: Made) -> None:
    """Provision until the cluster stands and the database is being made; lose Terraform with its state."""
    bench.world.delay("aws_db_instance", NEVER)

    def is_half_made() -> bool:
        return done(bench, made, "aws_eks_cluster.main")() and bool(bench.world.store.find("aws_db_instance"))

    with as_soon_as(is_half_made, kill_terraform):
        assert bench.run(made.operation_id) is Unfinished.HANDED_BACK


def test_what_a_killed_terraform_made_is_adopted_and_waited_for(bench: Bench) -> None:
    """The database was still being made: that is waited for, and no second one is tried."""
    made = bench.make()
    killed_provision(bench, made)
    counts = {type_: creations(bench, type_) for type_ in ("aws_vpc", "aws_eks_cluster", "aws_db_instance")}

    def waits() -> bool:
        return bool(bench.history(made, "terraform.waiting"))

    with as_soon_as(waits, lambda: bench.world.finish("aws_db_instance")):
        assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    assert "aws_db_instance.main" in bench.history(made, "terraform.waiting")[0]["resources"]
    [event] = bench.history(made, "terraform.adopted")
    assert {"aws_vpc.main", "aws_eks_cluster.main", "aws_db_instance.main"} <= set(event["resources"])
    assert {type_: creations(bench, type_) for type_ in counts} == counts
    assert in_state(bench, made) == in_cloud(bench)
    once_more = bench.again(made)
    assert bench.run(once_more) is S.SUCCEEDED
    assert bench.history(made, "terraform.planned")[-1] == {"total": 0, "add": 0, "change": 0, "remove": 0}
    bench.must_destroy(made)


def delete(bench: Bench, made: Made) -> None:
    """Delete an environment in the middle of its provision, as its user does."""
    with transaction(bench.sessions) as session:
        row = session.get_one(OperationRow, made.operation_id)
        store.request_cancel(session, row)
    bench.must_destroy(made)


def test_what_a_killed_terraform_made_is_deleted_with_the_environment(bench: Bench) -> None:
    """No state was written: the destroy named it all as leftovers, and deleted none of it."""
    made = bench.make()
    killed_provision(bench, made)

    def waits() -> bool:
        return bool(bench.history(made, "terraform.waiting"))

    with as_soon_as(waits, lambda: bench.world.finish("aws_db_instance")):
        delete(bench, made)
    [event] = bench.history(made, "terraform.adopted")
    assert {"aws_vpc.main", "aws_eks_cluster.main", "aws_db_instance.main"} <= set(event["resources"])
    assert bench.world.leftovers() == []


@pytest.mark.parametrize("seed", range(2))
def test_a_destroy_knows_any_part_of_a_lost_state(bench: Bench, seed: int) -> None:
    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    lose_half(bench, made, seed)
    bench.must_destroy(made)
    [event] = bench.history(made, "terraform.adopted")
    assert len(event["resources"]) > 20
    assert bench.world.leftovers() == []


def test_a_destroy_goes_on_when_nothing_can_be_taken_in(bench: Bench) -> None:
    """Terraform refuses the stack that lies beside the state: what is left is named."""
    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    lose_half(bench, made, 1)
    s3 = client(bench, "s3")
    laid = s3.get_object(**kept_stack(made))["Body"].read()
    changed = json.loads(laid)
    changed["resource"]["aws_vpc"]["main"]["no_such_argument"] = "x"
    s3.put_object(**kept_stack(made), Body=json.dumps(changed).encode())
    destroy = add_destroy(bench.sessions, made.environment_id)
    assert bench.run(destroy) is S.FAILED
    assert bench.error(destroy)["code"] == "leftovers"
    assert bench.history(made, "terraform.not_adopted")
    s3.put_object(**kept_stack(made), Body=laid)
    bench.must_destroy(made)


def test_a_creation_that_takes_too_long_is_told_and_nothing_is_made_twice(bench: Bench) -> None:
    made = bench.make()
    before = creations(bench, "aws_db_instance")
    killed_provision(bench, made)
    genuine = bench.settings
    bench.settings = genuine.model_copy(update={"apply_timeout_minutes": 0.001})
    assert bench.run(made.operation_id) is S.FAILED
    assert bench.error(made.operation_id)["code"] == "adoption_timeout"
    assert "aws_db_instance.main" in bench.error(made.operation_id)["detail"]
    assert operation(bench.sessions, made.operation_id).reason == Reason.TIMEOUT
    bench.settings = genuine
    bench.world.finish("aws_db_instance")
    last = bench.again(made)
    assert bench.run(last) is S.SUCCEEDED, bench.error(last)
    assert creations(bench, "aws_db_instance") == before + 1
    bench.must_destroy(made)


def test_what_a_stop_left_tainted_is_kept(bench: Bench) -> None:
    """It was deleted and made anew, which took a quarter of an hour."""
    bench.world.delay("aws_db_instance", NEVER)
    made = bench.make()
    stop = Stop()
    with as_soon_as(
        lambda: (
            bool(bench.world.store.find("aws_db_instance")) and done(bench, made, "aws_eks_cluster.main")()
        ),
        lambda: stop.request(StopReason.CANCELLED),
    ):
        assert bench.run(made.operation_id, stop=stop) is S.CANCELLED
    before = one(bench, "aws_db_instance")
    bench.world.finish("aws_db_instance")
    again = bench.again(made)
    assert bench.run(again) is S.SUCCEEDED, bench.error(again)
    [event] = bench.history(made, "terraform.untainted")
    assert "aws_db_instance.main" in event["resources"]
    assert one(bench, "aws_db_instance").uid == before.uid
    assert in_state(bench, made) == in_cloud(bench)
    bench.must_destroy(made)


def test_what_failed_for_good_and_holds_nothing_is_made_anew(bench: Bench) -> None:
    """Nodes that could not join: the group is replaced, and nothing else."""
    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    group = one(bench, "aws_eks_node_group")
    bench.world.store.edit(
        group, failed="NodeCreationFailure: Instances failed to join the kubernetes cluster"
    )
    taint(bench, made, "aws_eks_node_group", group.id)
    again = bench.again(made)
    assert bench.run(again) is S.SUCCEEDED, bench.error(again)
    [event] = bench.history(made, "terraform.failed_removed")
    assert (event["id"], event["status"]) == (group.id, "CREATE_FAILED")
    assert one(bench, "aws_eks_node_group").uid != group.uid
    bench.must_destroy(made)


def test_what_failed_and_may_hold_data_is_not_touched(bench: Bench) -> None:
    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    database = one(bench, "aws_db_instance")
    bench.world.store.edit(database, failed="it broke")
    taint(bench, made, "aws_db_instance", database.id)
    again = bench.again(made)
    assert bench.run(again) is S.FAILED
    assert bench.error(again)["code"] == "resource_failed"
    assert one(bench, "aws_db_instance").uid == database.uid
    bench.world.store.edit(database, failed="")
    bench.must_destroy(made)


def test_a_plan_that_would_replace_something_is_refused(bench: Bench) -> None:
    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    before = {found.uid for found in bench.world.store.find()}
    database = one(bench, "aws_db_instance")
    bench.world.store.edit(database, username="somebody")
    again = bench.again(made)
    assert bench.run(again) is S.FAILED
    error = bench.error(again)
    assert error["code"] == "plan_destructive"
    assert "aws_db_instance.main" in error["message"]
    [event] = bench.history(made, "terraform.plan_refused")
    assert event["actions"]["aws_db_instance.main"] == ["delete", "create"]
    assert {found.uid for found in bench.world.store.find()} == before
    bench.must_destroy(made)


def taint(bench: Bench, made: Made, type_: str, id_: str) -> None:
    """Mark a resource in the state as unfinished, as a Terraform that is stopped does."""

    def change(state: dict[str, Any]) -> None:
        for resource in state["resources"]:
            instance = resource["instances"][0]
            if resource["type"] == type_ and instance["attributes"]["id"] == id_:
                instance["status"] = "tainted"

    change_state(bench, made, change)


@pytest.mark.parametrize("seed", range(2))
def test_any_part_of_the_state_may_be_lost(bench: Bench, seed: int) -> None:
    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    before = in_cloud(bench)
    lose_half(bench, made, seed)
    again = bench.again(made)
    assert bench.run(again) is S.SUCCEEDED, bench.error(again)
    assert in_cloud(bench) == before == in_state(bench, made)
    bench.must_destroy(made)
