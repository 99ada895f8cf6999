"""What a step knows: the claimed operation, the tools, its working directory, and ways to report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.recorder import Recorder
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.settings import Settings

if TYPE_CHECKING:
    from beta9_provisioning.clouds.aws.account import AwsCloud
    from beta9_provisioning.engine.synthesis.synthesize import Backend
    from beta9_provisioning.engine.synthesis.synthesizer import Synthesizer
    from beta9_provisioning.operations.steps.overlap import BaseCharts

# What a child process may see of the worker's environment: the way to programs, the cloud, the proxy
# and certificates. Not the database's or the queue's address.
_PASSED_NAMES = frozenset({"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "HOME"})
_PASSED_PREFIXES = ("AWS_", "TF_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def child_environment(source: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """Return the complete environment for Terraform and Helm."""
    passed = {
        name: value
        for name, value in source.items()
        if name in _PASSED_NAMES or name.upper().startswith(_PASSED_PREFIXES)
    }
    if settings.terraform_cli_config is not None:
        passed["TF_CLI_CONFIG_FILE"] = str(settings.terraform_cli_config.resolve())
    return passed


@dataclass
class Context:
    """One attempt at an operation.

    The fields after `resources` are what one step leaves for the next. `resources` is closed at the end
    of the attempt, before its end is written, however it ends.
    """

    claim: Claim
    config: EnvironmentConfig
    settings: Settings
    stop: Stop
    recorder: Recorder
    synthesizer: Synthesizer
    resources: ExitStack
    cloud: AwsCloud | None = None
    backend: Backend | None = None
    stack: Path | None = None
    base_charts: BaseCharts | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    public_outputs: dict[str, Any] | None = None

    @property
    def workdir(self) -> Path:
        """The environment's own directory under WORKDIR_BASE."""
        return self.settings.workdir_base / self.claim.environment_id

    @property
    def child_env(self) -> dict[str, str]:
        """The complete environment of child processes."""
        return child_environment(os.environ, self.settings)
