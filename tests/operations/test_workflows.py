"""The workflows in one process, with genuine Terraform and Helm on the simulated cloud."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.operations.bench import CONFIG, Bench, client, kept_stack
from tests.operations.rows import add_destroy, events, operation, status
from tests.support.process_tree import descendants
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.engine.errors import EngineError, Stopped
from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Step, Unfinished, Workflows
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.operations.steps.state_keeping import prepare_state
from beta9_provisioning.operations.workflows import DESTROY, PROVISION
from beta9_simulator.cloud.store import NewObject

S = OperationStatus
NEVER = 3600.0
"""Seconds that no test waits for."""


def twice_until_stopped_behind(last: Step, steps: tuple[Step, ...], stop: Stop) -> Workflows:
    """Return a workflow that runs each step twice, and is told to stop behind one of them."""

    def tell(_: Context) -> None:
        stop.request(StopReason.WORKER_STOPPED)
        raise Stopped("The worker was told to stop.")

    told = replace(last, run=tell)
    twice = tuple(one for step in steps for one in (step, step, *((told,) if step is last else ())))
    return lambda _: twice


@pytest.mark.parametrize("steps", [PROVISION, DESTROY], ids=["provision", "destroy"])
def test_every_step_runs_twice_and_is_interrupted_once(bench: Bench, steps: tuple[Step, ...]) -> None:
    """Each attempt runs every step twice and stops behind another one, as by a rolling update; the last one
    finds everything done, or gone.
    """
    made = bench.make()
    operation_id = made.operation_id
    if steps is DESTROY:
        assert bench.run(operation_id) is S.SUCCEEDED, bench.error(operation_id)
        operation_id = add_destroy(bench.sessions, made.environment_id)
    for step in steps:
        stop = Stop()
        ended = bench.run(operation_id, twice_until_stopped_behind(step, steps, stop), stop)
        assert ended is Unfinished.HANDED_BACK
    assert bench.run(operation_id) is S.SUCCEEDED, bench.error(operation_id)
    attempts = operation(bench.sessions, operation_id).attempts
    assert attempts == len(steps) + 1
    if steps is PROVISION:
        assert status(bench.sessions, made.environment_id) == "ready"
        planned = bench.history(made, "terraform.planned")
        before = sum(one["add"] > 40 for one in planned)
        assert before
        assert {one["total"] for one in planned[before:]} == {0}, "nothing is made twice"
        assert len(bench.world.leftovers()) > 40
        bench.must_destroy(made)
    assert status(bench.sessions, made.environment_id) == "destroyed"
    assert not (bench.settings.workdir_base / made.environment_id).exists()


@pytest.mark.parametrize("failing", [step.name for step in PROVISION])
def test_after_a_failure_in_any_step_a_destroy_leaves_nothing(bench: Bench, failing: str) -> None:
    def breaking(step: Step) -> Step:
        def run(context: Context) -> None:
            step.run(context)
            raise EngineError("It broke at the end of the step.", code="broken")

        return Step(step.name, step.title, step.status, step.reason, run)

    made = bench.make()
    steps = tuple(breaking(step) if step.name == failing else step for step in PROVISION)
    assert bench.run(made.operation_id, lambda _: steps) is S.FAILED
    assert bench.error(made.operation_id)["code"] == "broken"
    bench.must_destroy(made)
    assert status(bench.sessions, made.environment_id) == "destroyed"


def test_what_terraform_says_of_a_failure_reaches_the_user(bench: Bench) -> None:
    bench.world.store.inject_fault("aws_db_instance", "create", "InstanceQuotaExceeded", "no more instances")
    made = bench.make()
    assert bench.run(made.operation_id) is S.FAILED
    row = operation(bench.sessions, made.operation_id)
    assert row.reason == Reason.TERRAFORM_FAILED
    assert "aws_db_instance.main" in str(row.error)
    assert "InstanceQuotaExceeded" in str(row.error)
    assert status(bench.sessions, made.environment_id) == "failed"
    bench.must_destroy(made)


def test_a_wrong_external_id_is_refused_and_can_still_be_deleted(bench: Bench) -> None:
    made = bench.make(cloud=CONFIG["cloud"] | {"external_id": "somebody-elses"})
    assert bench.run(made.operation_id) is S.FAILED
    assert operation(bench.sessions, made.operation_id).reason == Reason.ACCESS_REFUSED
    assert bench.error(made.operation_id)["code"] == "role_refused"
    # Nothing was ever built, so the account need not be asked.
    bench.must_destroy(made)
    assert status(bench.sessions, made.environment_id) == "destroyed"


@contextmanager
def as_soon_as(condition: Callable[[], bool], action: Callable[[], None]) -> Iterator[None]:
    """Do something as soon as the condition holds, beside what the block does."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            if condition():
                action()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def test_base_charts_are_installed_while_the_database_is_being_created(bench: Bench) -> None:
    """Its creation does not end before the charts have begun."""
    bench.world.delay("aws_db_instance", NEVER)
    bench.settings = bench.settings.model_copy(update={"apply_timeout_minutes": GUARD_SECONDS / 60})
    made = bench.make()

    def charts_have_started() -> bool:
        return {data["release"] for data in bench.history(made, "helm.release")} >= {
            "traefik",
            "cert-manager",
        }

    with as_soon_as(charts_have_started, lambda: bench.world.finish("aws_db_instance")):
        assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    types = [
        (kind, data.get("release") or data.get("address"), data.get("phase"))
        for _, kind, data in events(bench.sessions, made.environment_id)
    ]
    database = types.index(("terraform.resource", "aws_db_instance.main", "complete"))
    charts = [types.index(("helm.release", name, "start")) for name in ("traefik", "cert-manager")]
    assert max(charts) < database
    bench.must_destroy(made)


def test_a_chart_that_fails_beside_the_apply_is_tried_again(bench: Bench, tmp_path: Path) -> None:
    """The helm of this test fails at its first install and is the genuine one after that."""
    helm = tmp_path / "helm"
    once = f'[ "$1" = upgrade ] && [ "$2" = traefik ] && mkdir {tmp_path}/failed 2>/dev/null && exit 1'
    helm.write_text(f'#!/bin/sh\n{once}\nexec {bench.settings.helm_binary} "$@"\n')
    helm.chmod(0o755)
    bench.settings = bench.settings.model_copy(update={"helm_binary": str(helm)})
    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED
    assert [data["code"] for data in bench.history(made, "overlap.failed")] == ["helm_failed"]
    traefik = [data["phase"] for data in bench.history(made, "helm.release") if data["release"] == "traefik"]
    assert traefik == ["start", "errored", "start", "complete"]
    bench.must_destroy(made)


def test_a_cancel_stops_terraform_and_helm_and_loses_nothing(bench: Bench) -> None:
    bench.world.delay("aws_db_instance", NEVER)
    made = bench.make()
    stop = Stop()

    def charts_have_started() -> bool:
        return bool(bench.history(made, "helm.release"))

    with as_soon_as(charts_have_started, lambda: stop.request(StopReason.CANCELLED)):
        assert bench.run(made.operation_id, stop=stop) is S.CANCELLED
    complete = [
        data["address"] for data in bench.history(made, "terraform.resource") if data["phase"] == "complete"
    ]
    assert "aws_db_instance.main" not in complete
    bench.world.delay("aws_db_instance", None)
    # AWS lifts the protection of no database that it is still making.
    bench.world.finish("aws_db_instance")
    bench.must_destroy(made)


def test_a_failed_apply_stops_the_charts_too(bench: Bench, tmp_path: Path) -> None:
    """The helm of this test installs the first chart, then nothing until it is stopped, which it notes."""
    helm = tmp_path / "helm"
    helm.write_text(f"""#!/bin/sh
[ "$1 $2" = "upgrade aws-load-balancer-controller" ] && exec {bench.settings.helm_binary} "$@"
[ "$1" = upgrade ] || exec {bench.settings.helm_binary} "$@"
trap 'touch {tmp_path}/stopped-$2; exit 1' TERM
touch {tmp_path}/started-$2
while :; do sleep 0.1; done
""")
    helm.chmod(0o755)
    genuine = bench.settings
    bench.settings = genuine.model_copy(update={"helm_binary": str(helm)})
    bench.world.delay("aws_db_instance", NEVER)
    made = bench.make()

    def those_that(word: str) -> list[str]:
        return sorted(path.name[8:] for path in tmp_path.glob(f"{word}-*"))

    with as_soon_as(lambda: len(those_that("started")) == 3, interrupt_terraform):
        assert bench.run(made.operation_id) is S.FAILED
    assert operation(bench.sessions, made.operation_id).reason == Reason.TERRAFORM_FAILED
    assert those_that("started") == those_that("stopped") == ["cert-manager", "metrics-server", "traefik"]
    bench.settings = genuine
    bench.world.delay("aws_db_instance", None)
    # AWS lifts the protection of no database that it is still making.
    bench.world.finish("aws_db_instance")
    bench.must_destroy(made)


def interrupt_terraform() -> None:
    """Have the apply below this process end early and in order, as if somebody had interrupted it by hand."""
    below = descendants(os.getpid())
    [pid] = [pid for pid, line in below.items() if " apply -json" in line and "launcher.py" not in line]
    os.kill(pid, signal.SIGINT)


def test_an_operation_that_takes_too_long_stops_terraform_and_loses_nothing(bench: Bench) -> None:
    bench.world.delay("aws_db_instance", NEVER)
    genuine = bench.settings
    bench.settings = genuine.model_copy(update={"operation_timeout_minutes": 0.15})
    made = bench.make()
    assert bench.run(made.operation_id) is S.FAILED
    assert operation(bench.sessions, made.operation_id).reason == Reason.TIMEOUT
    assert bench.error(made.operation_id)["code"] == "operation_timeout"
    bench.settings = genuine
    bench.world.delay("aws_db_instance", None)
    bench.world.finish("aws_db_instance")
    bench.must_destroy(made)


def test_an_apply_that_takes_too_long_says_so(bench: Bench) -> None:
    genuine = bench.settings
    bench.settings = genuine.model_copy(update={"apply_timeout_minutes": 0.01})
    made = bench.make()
    assert bench.run(made.operation_id) is S.FAILED
    assert operation(bench.sessions, made.operation_id).reason == Reason.TIMEOUT
    bench.settings = genuine
    bench.must_destroy(made)


def test_what_is_left_in_the_account_fails_the_destroy_and_is_named(bench: Bench) -> None:
    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED
    id_ = "sg-0123456789abcdef0"
    tags = {"beta9:environment-id": made.environment_id}
    account = CONFIG["cloud"]["account_id"]
    sample = bench.world.store.find("aws_security_group")[0]
    state = sample.state | {"id": id_, "name": "left", "vpc_id": "vpc-0", "tags": tags, "tags_all": tags}
    left = NewObject(account, "us-east-1", "aws_security_group", id_, "left", state, "somebody", "api")
    bench.world.store.create(left, 0, lambda: None)
    destroy = add_destroy(bench.sessions, made.environment_id)
    assert bench.run(destroy) is S.FAILED
    assert operation(bench.sessions, destroy).reason == Reason.LEFTOVERS
    assert id_ in bench.error(destroy)["detail"]
    [found] = bench.world.store.find("aws_security_group", id=id_)
    bench.world.store.delete(found, 0)
    bench.must_destroy(made)


def test_what_an_earlier_run_left_in_the_working_directory_decides_nothing(bench: Bench) -> None:
    """Terraform refused the lock file of an older provider, and so did every later delete."""
    made = bench.make()
    left = bench.settings.workdir_base / made.environment_id / "cdktf.out" / "stacks" / "environment"
    (left / ".terraform").mkdir(parents=True)
    (left / ".terraform" / "environment").write_text("elsewhere")
    (left / "old.tf.json").write_text('{"resource": {"no_such_type": {"a": {}}}}')
    (left / ".terraform.lock.hcl").write_text(
        'provider "registry.terraform.io/hashicorp/aws" {\n  version = "5.0.0"\n  hashes = ["h1:wrong="]\n}\n'
    )
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    bench.must_destroy(made)


def test_a_destroy_with_an_empty_state_names_what_was_created_and_is_no_success(bench: Bench) -> None:
    """As with a TF_WORKSPACE on one of two workers: Terraform had nothing to do, and 32 resources stayed.

    A stack that could tell what they are is not there, either: earlier releases kept none.
    """

    def look_elsewhere(context: Context) -> None:
        prepare_state(context)
        assert context.backend is not None
        found = context.backend.arguments
        context.backend = Backend({**found, "key": found["key"].replace("terraform.", "elsewhere.")})

    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED
    client(bench, "s3").delete_object(**kept_stack(made))
    steps = tuple(replace(step, run=look_elsewhere) if step.name == "state" else step for step in DESTROY)
    destroy = add_destroy(bench.sessions, made.environment_id)
    assert bench.run(destroy, lambda _: steps) is S.FAILED
    assert operation(bench.sessions, destroy).reason == Reason.LEFTOVERS
    assert bench.error(destroy)["code"] == "leftovers"
    assert "terraform.unaccounted" in bench.error(destroy)["remedy"]
    [event] = bench.history(made, "terraform.unaccounted")
    assert len(event["resources"]) > 40
    assert any(one.startswith("aws_eks_cluster.main (beta9-") for one in event["resources"])
    bench.must_destroy(made)
    assert len(bench.history(made, "terraform.unaccounted")) == 1


def test_a_destroy_leaves_the_neighbour_in_the_account_alone(bench: Bench) -> None:
    def objects() -> set[str]:
        return {one.uid for one in bench.world.store.find()}

    neighbour = bench.make(name="neighbour")
    assert bench.run(neighbour.operation_id) is S.SUCCEEDED
    before = objects()
    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED
    bench.must_destroy(made)
    assert objects() == before
    # Its cluster still lets the worker in, and its state is where it was.
    bench.must_destroy(neighbour)
