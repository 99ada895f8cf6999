"""A claimed provision whose one step does what the test wants."""

from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from tests.operations.rows import make_environment, operation, take

from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Runner, Step, Unfinished
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.settings import Settings


def _nothing(_: Context) -> None:
    """Do nothing."""


class Provision:
    """Runs it; `settings` and `sessions` may be a test's own."""

    def __init__(self, sessions: Sessions, workdir: Path) -> None:
        self.sessions = sessions
        self.made = make_environment(sessions)
        self.claim = take(sessions, self.made.operation_id)
        self.settings = Settings(workdir_base=workdir, control_plane_cidrs=(IPv4Network("203.0.113.0/24"),))

    def run(self, work: Callable[[Context], None], stop: Stop | None = None) -> OperationStatus | Unfinished:
        """Run it with a first step that does `work`."""
        walked = (OperationStatus.PLANNING, OperationStatus.APPLYING, OperationStatus.BOOTSTRAPPING)
        steps = tuple(
            Step(
                status, "Working", status, Reason.TERRAFORM_FAILED, work if status is walked[0] else _nothing
            )
            for status in walked
        )
        return self.run_workflow(lambda _: steps, stop)

    def run_workflow(
        self, workflows: Callable[[Claim], tuple[Step, ...]], stop: Stop | None = None
    ) -> OperationStatus | Unfinished:
        """Run it with a workflow of the test's own."""
        runner = Runner(self.sessions, self.settings, new_synthesizer(), workflows)
        return runner.run(self.claim, stop or Stop())

    @property
    def reason(self) -> str | None:
        """Why it ended."""
        return operation(self.sessions, self.made.operation_id).reason

    @property
    def error(self) -> dict[str, Any]:
        """The error that it ended with."""
        found = operation(self.sessions, self.made.operation_id).error
        assert found is not None
        return found
