"""What a step knows: the claimed operation, the tools, its working directory, and ways to report."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beta9_provisioning.clouds.cloud import Account, Cloud
from beta9_provisioning.engine.processes.child_variables import TERRAFORM, chosen
from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.engine.synthesis.synthesizer import Synthesizer
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.recorder import Recorder
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.settings import Settings


def child_environment(
    source: Mapping[str, str], settings: Settings, cloud_variables: Iterable[str]
) -> dict[str, str]:
    """Return the complete environment for Terraform; Helm passes on less of it (`engine.helm.command`)."""
    passed = chosen(source, (*TERRAFORM, *cloud_variables))
    if settings.terraform_cli_config is not None:
        passed["TF_CLI_CONFIG_FILE"] = str(settings.terraform_cli_config.resolve())
    return passed


def _not_begun() -> bool:
    return False


@dataclass
class Context:
    """One attempt at an operation.

    The fields after `resources` are what one step leaves for the next. `resources` is closed at the end
    of the attempt, before its end is written, however it ends.

    Attributes:
        account: the customer's account, one object for the whole attempt: it holds credentials that refresh.
        finish_base_charts: waits for the base charts that are installed beside the apply, and tells whether
            all of them are.
        unaccounted: what the journal says was created, and neither Terraform nor an earlier destroy deleted.
    """

    claim: Claim
    config: EnvironmentConfig
    settings: Settings
    stop: Stop
    recorder: Recorder
    synthesizer: Synthesizer
    cloud: Cloud
    account: Account
    resources: ExitStack
    backend: Backend | None = None
    stack: Path | None = None
    finish_base_charts: Callable[[], bool] = _not_begun
    unaccounted: Sequence[str] = ()
    outputs: dict[str, Any] = field(default_factory=dict)
    public_outputs: dict[str, Any] | None = None

    @property
    def workdir(self) -> Path:
        """The environment's own directory under WORKDIR_BASE."""
        return self.settings.workdir_base / self.claim.environment_id

    @property
    def child_env(self) -> dict[str, str]:
        """The complete environment of child processes."""
        return child_environment(os.environ, self.settings, self.cloud.child_variables)
