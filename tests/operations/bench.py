"""A bench for whole operations: genuine Terraform and Helm, in this process, on the simulated cloud."""

from typing import Any

import boto3
from botocore.config import Config
from ruamel.yaml import YAML
from tests.operations.rows import Made, add_destroy, events, make_environment, operation, take
from tests.support.simulated import ACCOUNT, ROOT, World

from beta9_provisioning.clouds.aws.state_bucket import bucket_name, state_key
from beta9_provisioning.engine.synthesis.synthesizer import Synthesizer
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import Kind, OperationStatus
from beta9_provisioning.operations.records import store
from beta9_provisioning.operations.run.runner import Runner, Unfinished, Workflows
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.operations.workflows import workflow_of
from beta9_provisioning.settings import Settings
from beta9_simulator.cloud.principals import Principal, add_principal

CONFIG: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "example-config.yaml").read_text())


class Bench:
    """Runs operations of one environment in this process."""

    def __init__(
        self, sessions: Sessions, world: World, settings: Settings, synthesizer: Synthesizer
    ) -> None:
        self.sessions = sessions
        self.world = world
        self.settings = settings
        self.synthesizer = synthesizer

    def make(self, **changes: Any) -> Made:
        return make_environment(self.sessions, CONFIG | changes)

    def run(
        self, operation_id: str, workflows: Workflows = workflow_of, stop: Stop | None = None
    ) -> OperationStatus | Unfinished:
        claim = take(self.sessions, operation_id)
        runner = Runner(self.sessions, self.settings, self.synthesizer, workflows)
        return runner.run(claim, stop or Stop())

    def again(self, made: Made) -> str:
        """Queue another provision of an environment, and return its id."""
        with transaction(self.sessions) as session:
            row = store.lock_environment(session, made.environment_id)
            assert row is not None
            return store.queue(session, row, Kind.PROVISION, "default").id

    def must_destroy(self, made: Made) -> None:
        destroy = add_destroy(self.sessions, made.environment_id)
        ended = self.run(destroy)
        assert ended is OperationStatus.SUCCEEDED, self.error(destroy)

    def error(self, operation_id: str) -> dict[str, Any]:
        found = operation(self.sessions, operation_id).error
        assert found is not None
        return found

    def history(self, made: Made, type_: str) -> list[dict[str, Any]]:
        return [data for _, kind, data in events(self.sessions, made.environment_id) if kind == type_]


def client(bench: Bench, service: str) -> Any:
    """A client of AWS of somebody who may do everything in the customer's account."""
    who = Principal("AKIAOWNER", "secret", "", f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, None, "")
    add_principal(bench.world.store, who)
    return boto3.client(  # type: ignore[call-overload]
        service,
        region_name=CONFIG["cloud"]["region"],
        endpoint_url=bench.world.simulator.aws_url,
        aws_access_key_id=who.access_key,
        aws_secret_access_key=who.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )


def stored(made: Made) -> dict[str, str]:
    """Return where the environment's state is kept."""
    bucket = bucket_name(CONFIG["cloud"]["account_id"], CONFIG["cloud"]["region"])
    return {"Bucket": bucket, "Key": state_key(made.environment_id)}


def kept_stack(made: Made) -> dict[str, str]:
    """Return where the environment's last stack is kept."""
    where = stored(made)
    return {**where, "Key": where["Key"].replace("terraform.tfstate", "stack.tf.json")}
