"""What steps work with in a customer's account and cluster: ports, and the genuine tools behind them.

Steps receive these and construct none. So all of a workflow can run on a world that a simulation makes up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from beta9_provisioning.engine.helm.helm import Helm
from beta9_provisioning.engine.kubernetes.kubernetes import Kubernetes
from beta9_provisioning.engine.terraform.terraform import Terraform
from beta9_provisioning.engine.tool_ports import HelmPort, KubernetesPort, TerraformPort
from beta9_provisioning.kit.runtime import Event

if TYPE_CHECKING:
    from beta9_provisioning.clouds.cloud import Account, Cloud
    from beta9_provisioning.engine.kubernetes.access import ClusterAccess
    from beta9_provisioning.engine.synthesis.subject import Subject
    from beta9_provisioning.engine.terraform.errors import Rule
    from beta9_provisioning.engine.terraform.events import TerraformEvent
    from beta9_provisioning.schemas.configuration import Cloud as CloudSection
    from beta9_provisioning.settings import Settings


class SynthesizerPort(Protocol):
    """Turns a configuration into Terraform's; see `engine.synthesis.synthesizer`."""

    def synthesize(self, subject: Subject, outdir: Path, stop: Event) -> Path:
        """Write the stack below `outdir` and return its directory."""


class Tools(Protocol):
    """Makes the tools of one attempt; the arguments are those of the genuine classes."""

    def account(
        self, cloud: Cloud, place: CloudSection, environment_id: str, *, settings: Settings, stop: Event
    ) -> Account:
        """Return the account of an environment; `stop` ends its waiting."""

    def terraform(
        self,
        *,
        binary: Path | str,
        directory: Path,
        env: Mapping[str, str],
        stop: Event,
        on_event: Callable[[TerraformEvent], None],
        rules: Sequence[Rule],
        grace: float,
    ) -> TerraformPort:
        """Return Terraform in a directory."""

    def helm(
        self,
        *,
        binary: Path | str,
        directory: Path,
        kubeconfig: Callable[[], str],
        env: Mapping[str, str],
        stop: Event,
        chart_source: str,
    ) -> HelmPort:
        """Return Helm against a cluster."""

    def kubernetes(self, access: ClusterAccess, stop: Event) -> KubernetesPort:
        """Return a cluster's API."""


class _Genuine:
    """The customer's cloud, Terraform, Helm and the cluster themselves."""

    def account(
        self, cloud: Cloud, place: CloudSection, environment_id: str, *, settings: Settings, stop: Event
    ) -> Account:
        return cloud.open_account(place, environment_id, settings=settings, stop=stop)

    def terraform(
        self,
        *,
        binary: Path | str,
        directory: Path,
        env: Mapping[str, str],
        stop: Event,
        on_event: Callable[[TerraformEvent], None],
        rules: Sequence[Rule],
        grace: float,
    ) -> TerraformPort:
        return Terraform(
            binary=binary,
            directory=directory,
            env=env,
            stop=stop,
            on_event=on_event,
            rules=rules,
            grace=grace,
        )

    def helm(
        self,
        *,
        binary: Path | str,
        directory: Path,
        kubeconfig: Callable[[], str],
        env: Mapping[str, str],
        stop: Event,
        chart_source: str,
    ) -> HelmPort:
        return Helm(
            binary=binary,
            directory=directory,
            kubeconfig=kubeconfig,
            env=env,
            stop=stop,
            chart_source=chart_source,
        )

    def kubernetes(self, access: ClusterAccess, stop: Event) -> KubernetesPort:
        return Kubernetes(access, stop)


GENUINE: Tools = _Genuine()
"""The tools of every process that is no simulation."""
