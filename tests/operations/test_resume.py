"""What the next attempt takes from the one before: its stack, and a state that could not be saved."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tests.operations.bench import Bench
from tests.operations.rows import Made
from tests.operations.test_adoption import done, in_cloud, in_state, state_of
from tests.operations.test_workflows import NEVER, as_soon_as

from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.synthesis.synthesize import STACK_FILE
from beta9_provisioning.engine.terraform.errors import TerraformFailed
from beta9_provisioning.engine.tool_ports import TerraformPort
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Step, Unfinished, Workflows
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.operations.steps.state_saving import saving
from beta9_provisioning.operations.workflows import PROVISION

S = OperationStatus


def stack(bench: Bench, made: Made) -> str:
    directory = bench.settings.workdir_base / made.environment_id / "cdktf.out" / "stacks" / "environment"
    return (directory / STACK_FILE).read_text()


def test_the_next_attempt_applies_the_stack_of_the_first(bench: Bench) -> None:
    bench.world.delay("aws_db_instance", NEVER)
    made, stop = bench.make(), Stop()
    stops = as_soon_as(done(bench, made, "aws_vpc.main"), lambda: stop.request(StopReason.WORKER_STOPPED))
    with stops:
        assert bench.run(made.operation_id, stop=stop) is Unfinished.HANDED_BACK
    first = stack(bench, made)
    bench.world.delay("aws_db_instance", None)
    bench.world.finish("aws_db_instance")
    # A worker of another release would make another stack of the same configuration, as this setting does.
    bench.settings = bench.settings.model_copy(update={"control_plane_cidrs": ("203.0.113.0/24",)})
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    assert len(bench.history(made, "stack.resumed")) == 1
    assert stack(bench, made) == first
    assert in_state(bench, made) == in_cloud(bench)

    following = bench.again(made)
    assert bench.run(following) is S.SUCCEEDED, bench.error(following)
    assert "203.0.113.0/24" in stack(bench, made)
    bench.must_destroy(made)


@dataclass
class Unsavable:
    """Stands for a Terraform whose state no backend takes while the attempt lives."""

    errored_state: Path
    stop: Stop

    def recover_state(self) -> None:
        self.stop.request(StopReason.WORKER_STOPPED)
        raise Stopped("terraform state push was stopped.")


def test_a_state_that_cannot_be_saved_is_laid_where_the_next_attempt_finds_it(bench: Bench) -> None:
    made = bench.make()
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    late = {**state_of(bench, made), "serial": state_of(bench, made)["serial"] + 7}
    stop = Stop()

    def fail_to_save(context: Context) -> None:
        assert context.stack is not None
        file = context.stack / "unsaved"
        file.write_text(json.dumps(late))
        with saving(context, cast(TerraformPort, Unsavable(file, stop))):
            raise TerraformFailed("It could not be saved.", code="state_not_saved")

    def until_init(_: Claim) -> tuple[Step, ...]:
        steps = PROVISION[: next(n for n, step in enumerate(PROVISION) if step.name == "init") + 1]
        return (*steps, Step("x", "X", S.APPLYING, Reason.TERRAFORM_FAILED, fail_to_save))

    following = bench.again(made)
    assert bench.run(following, cast(Workflows, until_init), stop) is Unfinished.HANDED_BACK
    assert len(bench.history(made, "terraform.state_laid")) == 1
    assert state_of(bench, made)["serial"] < late["serial"]
    assert bench.run(following) is S.SUCCEEDED, bench.error(following)
    assert len(bench.history(made, "terraform.state_recovered")) == 1
    assert state_of(bench, made)["serial"] >= late["serial"]
    bench.must_destroy(made)
