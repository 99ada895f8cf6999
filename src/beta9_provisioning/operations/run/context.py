"""What a step knows: the claimed operation, the tools, its working directory, and ways to report."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from beta9_provisioning.clouds.cloud import Account, Cloud
from beta9_provisioning.clouds.registry import cloud_of
from beta9_provisioning.engine.beta9.platform import Platform
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.processes.child_variables import TERRAFORM, chosen
from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.engine.terraform.plan import Plan
from beta9_provisioning.engine.terraform.progress import Progress
from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.certificates import for_tools
from beta9_provisioning.lifecycle import Kind
from beta9_provisioning.operations.records.proof import Fate
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.charts import chart_source
from beta9_provisioning.operations.run.recorder import Recorder
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.operations.run.toolbox import GENUINE, SynthesizerPort, Tools
from beta9_provisioning.schemas.configuration import Cloud as CloudSection
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.settings import Settings

_LAST_WORD_SECONDS = 20.0


def child_environment(
    source: Mapping[str, str], settings: Settings, cloud_variables: Iterable[str]
) -> dict[str, str]:
    """Return the complete environment for Terraform; Helm passes on less of it (`engine.helm.command`)."""
    passed = chosen(for_tools(source), (*TERRAFORM, *cloud_variables))
    if settings.terraform_cli_config is not None:
        passed["TF_CLI_CONFIG_FILE"] = str(settings.terraform_cli_config.resolve())
    return passed


class ConfigurationUnreadable(EngineError):
    """The stored configuration is not one of this version."""

    code = "configuration_invalid"


def _not_begun() -> bool:
    return False


@dataclass
class Context:
    """One attempt at an operation.

    The fields after `tools` are what one step leaves for the next. `resources` is closed at the end of the
    attempt, before its end is written, however it ends. A destroy gets along without `config`, which may be
    one that this version refuses (ADR 9).

    Attributes:
        choices: what was chosen for the environment, with which its stack is made.
        fate_of: tells of a lease token whether its attempt is proven over, children and all.
        tools: makes what the steps work with.
        secrets: what Terraform's ephemeral variables are given, by name.
        outputs: Terraform's outputs, the sensitive ones included.
        sensitive_outputs: the names of those that nobody may be shown.
        plan: what an apply is to do, judged; None before it is made, and after the apply.
        progress: how far plan and apply have come; None before the plan.
        has_state: whether Terraform's state holds anything; only a destroy asks.
        finish_base_charts: waits for the base charts that are installed beside the apply, and tells whether
            all of them are.
        left_in_cluster: why what is the environment's could not be removed from a cluster of the user's.
        kept_disks: ids of disks of the environment there that somebody wants kept.
        unaccounted: what the journal says was created, and neither Terraform nor an earlier destroy deleted.
    """

    claim: Claim
    settings: Settings
    stop: Stop
    recorder: Recorder
    synthesizer: SynthesizerPort
    resources: ExitStack
    fate_of: Callable[[str], Fate]
    tools: Tools = GENUINE
    choices: Mapping[str, Any] | None = None
    backend: Backend | None = None
    stack: Path | None = None
    plan: Plan | None = None
    progress: Progress | None = None
    has_state: bool = True
    finish_base_charts: Callable[[], bool] = _not_begun
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    outputs: dict[str, Any] = field(default_factory=dict, repr=False)
    sensitive_outputs: frozenset[str] = frozenset()
    left_in_cluster: EngineError | None = None
    kept_disks: frozenset[str] = frozenset()
    unaccounted: Sequence[str] = ()
    public_outputs: dict[str, Any] | None = None

    @cached_property
    def config(self) -> EnvironmentConfig:
        """The configuration, as this version reads it.

        Raises:
            ConfigurationUnreadable: it is not one of this version.
        """
        try:
            return EnvironmentConfig.model_validate(self.claim.config)
        except ValidationError as error:
            raise ConfigurationUnreadable(
                "The stored configuration does not fit this version.",
                detail="; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()),
            ) from error

    @property
    def outdir(self) -> Path:
        """The directory below which stacks are written."""
        return self.workdir / "cdktf.out"

    @property
    def bare_stack(self) -> Mapping[str, Any]:
        """The environment's stack without a resource: provider and backend, which must be known."""
        assert self.backend is not None
        return self.cloud.bare_stack(self.place, self.claim.environment_id, self.backend)

    @cached_property
    def place(self) -> CloudSection:
        """Where the environment is, and whom the worker becomes there; for a destroy as it was stored."""
        if self.claim.kind is not Kind.DESTROY:
            return self.config.cloud
        claim = self.claim
        return CloudSection.stored(
            claim.config, provider=claim.provider, region=claim.region, account_id=claim.account_id
        )

    @cached_property
    def cloud(self) -> Cloud:
        """The provider of the cloud.

        Raises:
            NotSupported: this release does not know it.
        """
        return cloud_of(self.place)

    @cached_property
    def chart_source(self) -> str:
        """Where the charts are that this operation installs.

        Raises:
            ChartsNotConfigured: the worker has none.
        """
        return chart_source(self.settings, self.cloud, self.place.region)

    @cached_property
    def account(self) -> Account:
        """The customer's account, one object for the whole attempt: it holds credentials that refresh."""
        return self.open_account(self.stop.event)

    def open_account(self, stop: runtime.Event) -> Account:
        """Return the customer's account as an object that another event than the attempt's closes."""
        environment_id, settings = self.claim.environment_id, self.settings
        return self.tools.account(self.cloud, self.place, environment_id, settings=settings, stop=stop)

    @contextmanager
    def late_account(self) -> Iterator[Account]:
        """Give the account for a last word, also when the attempt was asked to stop, which closes its own.

        No worker that shuts down waits longer than 20 s for a cloud that does not answer.
        """
        over = runtime.event()
        timer = runtime.timer(_LAST_WORD_SECONDS, over.set)
        timer.start()
        try:
            yield self.open_account(over)
        finally:
            timer.cancel()
            timer.join()

    @property
    def chosen(self) -> Mapping[str, Any] | None:
        """What is known of the environment's choices: in a destroy, those that are kept, of whatever form."""
        return self.claim.choices if self.choices is None else self.choices

    @cached_property
    def platform(self) -> Platform:
        """What the charts must know of the cloud, and of the cluster."""
        assert self.choices is not None
        return self.cloud.platform_of(self.config, self.claim.environment_id, self.choices)

    @property
    def workers_from(self) -> tuple[str, ...]:
        """The networks from which workers reach the internet."""
        return tuple(map(str, self.settings.control_plane_cidrs))

    @property
    def workdir(self) -> Path:
        """The environment's own directory under WORKDIR_BASE."""
        return self.settings.workdir_base / self.claim.environment_id

    @property
    def child_env(self) -> dict[str, str]:
        """The complete environment of child processes."""
        return child_environment(os.environ, self.settings, self.cloud.child_variables)
