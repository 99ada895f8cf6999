"""What a step knows: the claimed operation, the tools, its working directory, and ways to report."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beta9_provisioning.clouds.cloud import Account, Cloud
from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.engine.synthesis.synthesizer import Synthesizer
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.recorder import Recorder
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.settings import Settings

# What a child process may see of the worker's environment: the way to programs, the proxy and certificates,
# and what its cloud needs. Not the database's or the queue's address.
_PASSED_NAMES = frozenset({"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "HOME"})
_PASSED_PREFIXES = ("TF_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def child_environment(
    source: Mapping[str, str], settings: Settings, cloud_prefixes: Iterable[str]
) -> dict[str, str]:
    """Return the complete environment for Terraform; Helm passes on less of it (`engine.helm.command`)."""
    prefixes = (*_PASSED_PREFIXES, *cloud_prefixes)
    passed = {
        name: value
        for name, value in source.items()
        if name in _PASSED_NAMES or name.upper().startswith(prefixes)
    }
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
        outputs: Terraform's outputs, the sensitive ones included.
        sensitive_outputs: the names of those that nobody may be shown.
        finish_base_charts: waits for the base charts that are installed beside the apply, and tells whether
            all of them are.
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
    outputs: dict[str, Any] = field(default_factory=dict, repr=False)
    sensitive_outputs: frozenset[str] = frozenset()
    public_outputs: dict[str, Any] | None = None

    @property
    def workdir(self) -> Path:
        """The environment's own directory under WORKDIR_BASE."""
        return self.settings.workdir_base / self.claim.environment_id

    @property
    def child_env(self) -> dict[str, str]:
        """The complete environment of child processes."""
        return child_environment(os.environ, self.settings, self.cloud.child_variables)
