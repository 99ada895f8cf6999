"""What a step knows: the claimed operation, the tools, its working directory, and ways to report."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beta9_provisioning.operations.recorder import Recorder
from beta9_provisioning.operations.stopping import Stop
from beta9_provisioning.operations.store import Claim
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.settings import Settings

# What a child process may see of the worker's environment: the way to programs, the cloud, the proxy
# and certificates. Not the database's or the queue's address.
_PASSED_NAMES = frozenset({"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "HOME"})
_PASSED_PREFIXES = ("AWS_", "TF_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def child_environment(source: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """Return the complete environment for Terraform, Helm and kubectl."""
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

    `results` carries what one step leaves for the next (Terraform's outputs, what is installed already).
    """

    claim: Claim
    config: EnvironmentConfig
    settings: Settings
    stop: Stop
    recorder: Recorder
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def workdir(self) -> Path:
        """The environment's own directory under WORKDIR_BASE."""
        return self.settings.workdir_base / self.claim.environment_id

    @property
    def child_env(self) -> dict[str, str]:
        """The complete environment of child processes."""
        return child_environment(os.environ, self.settings)
