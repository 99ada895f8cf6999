"""Environments that nobody could delete: refused configurations, locks left behind, states with gaps."""

import fcntl
import json
import os
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select, update
from tests.operations.bench import CONFIG, Bench, client, kept_stack
from tests.operations.rows import Made, add_destroy, operation, status, take
from tests.support.simulated import World

from beta9_provisioning.clouds.aws.rules import ROLE_NAME
from beta9_provisioning.clouds.cloud import Account, StateLock
from beta9_provisioning.clouds.registry import cloud_of
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.kit.database import transaction
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.records.model import AttemptRow, EnvironmentRow, EventRow
from beta9_provisioning.operations.records.store import Failure, end_attempt, fail_operation
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Step
from beta9_provisioning.operations.workflows import PROVISION
from beta9_provisioning.schemas.configuration import Cloud as CloudSection

S = OperationStatus
# So long a destroy waits for a lock: see `steps.state_keeping.lock_state`.
SHORT_LEASE = 2.0
LONGER_LEASE = 5.0


def account(bench: Bench, made: Made) -> Account:
    place = CloudSection.model_validate(CONFIG["cloud"])
    return cloud_of(place).open_account(
        place, made.environment_id, settings=bench.settings, stop=threading.Event()
    )


def step(reason: Reason, run: Callable[[Context], None]) -> Step:
    return Step("last", "Doing the last", S.PLANNING, reason, run)


def fail_after(bench: Bench, made: Made, until: str, last: Callable[[Context], None]) -> None:
    """Run the first steps of a provision, until the one of this name, then `last`, and fail."""

    def run(context: Context) -> None:
        last(context)
        raise EngineError("It broke.", code="broken")

    first = [one.name for one in PROVISION].index(until) + 1
    steps = (*PROVISION[:first], step(Reason.TERRAFORM_FAILED, run))
    assert bench.run(made.operation_id, lambda _: steps) is S.FAILED
    assert bench.error(made.operation_id)["code"] == "broken"


def touch(bench: Bench) -> Made:
    """Return an environment that has a state bucket and nothing else."""
    made = bench.make()
    fail_after(bench, made, "lock", lambda _: None)
    return made


def remove_by_hand(world: World, *types: str) -> list[str]:
    """Delete what Terraform made of these types, or all with what AWS made beside it; return the ids."""
    found = [
        one
        for one in world.store.find()
        if (one.origin == "terraform" and one.type in types)
        or (one.origin in ("terraform", "aws") and not types)
    ]
    for one in found:
        world.store.delete(one, 0)
    return [one.id for one in found]


def test_an_environment_whose_bucket_name_is_refused_can_be_deleted(bench: Bench) -> None:
    """By S3, that is, for a role with policies for such names."""
    iam = client(bench, "iam")
    named = {"RoleName": ROLE_NAME, "PolicyName": "such-names"}
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::xn--abc-*"}
    iam.put_role_policy(
        **named, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": everything})
    )
    made = bench.make(data={"object_store": {"bucket_prefix": "xn--abc"}})
    assert bench.run(made.operation_id) is S.FAILED
    assert "bucket" in bench.error(made.operation_id)["message"]
    bench.must_destroy(made)
    assert status(bench.sessions, made.environment_id) == "destroyed"
    assert not (bench.settings.workdir_base / made.environment_id).exists()
    iam.delete_role_policy(**named)


def test_a_configuration_that_no_longer_validates_is_destroyed_from_its_state(bench: Bench) -> None:
    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    cloud = {name: CONFIG["cloud"][name] for name in ("role_arn", "external_id")}
    newer = {"schema": 7, "cloud": cloud | {"zones": [1]}, "data": {"object_store": "xn--abc"}}
    with transaction(bench.sessions) as session:
        session.execute(update(EnvironmentRow).values(config=newer))
    bench.must_destroy(made)
    assert sum(one["remove"] for one in bench.history(made, "terraform.planned")) > 40


def test_an_environment_that_was_never_built_can_be_deleted_whatever_its_configuration(bench: Bench) -> None:
    made = bench.make()
    with transaction(bench.sessions) as session:
        session.execute(update(EnvironmentRow).values(provider="gone", config={"no": "configuration"}))
    bench.must_destroy(made)


def test_what_the_state_lacks_is_named_and_the_rest_is_removed(bench: Bench) -> None:
    """The subnets are lost to the state: the network that holds them cannot be deleted.

    And no stack tells what they were: earlier releases kept none.
    """
    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    client(bench, "s3").delete_object(**kept_stack(made))
    stack = bench.settings.workdir_base / made.environment_id / "cdktf.out" / "stacks" / "environment"

    def terraform(*arguments: str) -> str:
        command = [bench.settings.terraform_binary, "state", *arguments]
        return subprocess.run(
            command, cwd=stack, env=terraform_env(bench), check=True, capture_output=True, text=True
        ).stdout

    terraform("rm", *[line for line in terraform("list").split() if line.startswith("aws_subnet.")])
    destroy = add_destroy(bench.sessions, made.environment_id)
    assert bench.run(destroy) is S.FAILED
    row = operation(bench.sessions, destroy)
    assert (row.reason, bench.error(destroy)["code"]) == (Reason.LEFTOVERS, "leftovers")
    left = [one for one in bench.world.store.find() if one.origin == "terraform"]
    assert {one.type for one in left} == {"aws_subnet", "aws_vpc"}
    assert all(one.id in bench.error(destroy)["detail"] for one in left)
    assert "DependencyViolation" in bench.error(destroy)["detail"]

    assert len(remove_by_hand(bench.world, "aws_subnet")) == len(left) - 1
    bench.must_destroy(made)


def terraform_env(bench: Bench) -> dict[str, str]:
    """Return the environment of somebody who runs Terraform by hand."""
    assert bench.settings.terraform_cli_config is not None
    return {**os.environ, "TF_CLI_CONFIG_FILE": str(bench.settings.terraform_cli_config)}


def test_a_humans_lock_is_respected_and_told(bench: Bench) -> None:
    made = touch(bench)
    human = StateLock(
        id="5b2c7f5e-0000-4000-8000-000000000001", who="alice@laptop", operation="OperationTypePlan"
    )
    own = account(bench, made)
    assert own.lock_state(human) is None
    bench.settings = bench.settings.model_copy(update={"lease_seconds": SHORT_LEASE})
    destroy = add_destroy(bench.sessions, made.environment_id)
    assert bench.run(destroy) is S.FAILED
    error = bench.error(destroy)
    assert error["code"] == "state_locked"
    assert "alice@laptop" in error["message"]
    assert "OperationTypePlan" in error["detail"]
    assert f"{made.environment_id}/terraform.tfstate.tflock" in error["remedy"]
    held = own.lock_state(StateLock(id="another"))
    assert held is not None
    assert held.id == human.id, "the lock must still be there"
    own.unlock_state(human.id)
    bench.must_destroy(made)


def test_the_lock_of_a_lost_worker_is_taken_only_when_its_children_must_be_gone(bench: Bench) -> None:
    made = touch(bench)
    lost = take(bench.sessions, add_destroy(bench.sessions, made.environment_id), lease=LONGER_LEASE)
    assert account(bench, made).lock_state(StateLock(id=str(lost.lease_token))) is None
    with transaction(bench.sessions) as session:
        end_attempt(session, lost.lease_token, "worker_lost", is_over=False)
        failure = Failure(Reason.WORKER_LOST, "worker_lost", "It was lost.")
        fail_operation(session, lost.operation_id, failure)

    # The operator has shortened the leases meanwhile: the lost worker's children do not know.
    bench.settings = bench.settings.model_copy(update={"lease_seconds": SHORT_LEASE})
    bench.must_destroy(made)
    assert [one["lock"] for one in bench.history(made, "state.lock_removed")] == [str(lost.lease_token)]
    removed = select(EventRow.at).where(EventRow.type == "state.lock_removed")
    with transaction(bench.sessions) as session:
        assert session.scalars(removed).one() > session.get_one(AttemptRow, lost.lease_token).lease_expires_at


def test_the_state_is_locked_as_long_as_the_attempt_runs(bench: Bench) -> None:
    made = bench.make()
    own, seen = account(bench, made), list[str]()

    def look(context: Context) -> None:
        held = own.lock_state(StateLock(id="another"))
        seen.append("free" if held is None else held.id)
        assert seen == [str(context.claim.lease_token)]

    fail_after(bench, made, "lock", look)
    assert own.lock_state(StateLock(id="another")) is None
    own.unlock_state("another")
    bench.must_destroy(made)


def test_a_state_that_terraform_still_writes_stays_locked(bench: Bench) -> None:
    made = bench.make()
    writers: list[Any] = []

    def leave_a_writer(context: Context) -> None:
        assert context.stack is not None
        log = (context.stack / "terraform.log").open("ab")
        fcntl.flock(log, fcntl.LOCK_EX)
        writers.append(log)

    fail_after(bench, made, "synthesis", leave_a_writer)
    assert len(bench.history(made, "state.lock_left")) == 1
    held = account(bench, made).lock_state(StateLock(id="another"))
    assert held is not None
    writers[0].close()
    with transaction(bench.sessions) as session:
        session.execute(update(AttemptRow).values(lease_expires_at=func.clock_timestamp()))
    bench.must_destroy(made)
    assert [one["lock"] for one in bench.history(made, "state.lock_removed")] == [held.id]
