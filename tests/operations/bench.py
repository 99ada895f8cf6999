"""A bench for whole operations: genuine Terraform and Helm, in this process, on the simulated cloud."""

import threading
from typing import Any

from ruamel.yaml import YAML
from tests.operations.rows import Made, add_destroy, events, make_environment, operation, take
from tests.support.simulated import ROOT, World

from beta9_provisioning.clouds.aws.account import AwsAccount
from beta9_provisioning.clouds.aws.state_bucket import bucket_name, state_key
from beta9_provisioning.clouds.registry import cloud_of
from beta9_provisioning.engine.synthesis.synthesizer import Synthesizer
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import Kind, OperationStatus
from beta9_provisioning.operations.records import store
from beta9_provisioning.operations.run.runner import Runner, Unfinished, Workflows
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.operations.workflows import workflow_of
from beta9_provisioning.schemas.configuration import Cloud as CloudSection
from beta9_provisioning.settings import Settings

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


def client(bench: Bench, made: Made, service: str) -> Any:
    """A client of AWS in the customer's account."""
    place = CloudSection.model_validate(CONFIG["cloud"])
    account = cloud_of(place).open_account(
        place, made.environment_id, settings=bench.settings, stop=threading.Event()
    )
    assert isinstance(account, AwsAccount)
    return account._session.client(service)


def stored(made: Made) -> dict[str, str]:
    """Return where the environment's state is kept."""
    bucket = bucket_name(CONFIG["cloud"]["account_id"], CONFIG["cloud"]["region"])
    return {"Bucket": bucket, "Key": state_key(made.environment_id)}


def kept_stack(made: Made) -> dict[str, str]:
    """Return where the environment's last stack is kept."""
    where = stored(made)
    return {**where, "Key": where["Key"].replace("terraform.tfstate", "stack.tf.json")}
