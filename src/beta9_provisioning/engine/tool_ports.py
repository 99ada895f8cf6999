"""What steps need of Terraform, Helm and a cluster, whoever offers it: the genuine tools, or imitations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from beta9_provisioning.engine.helm.helm import Installed
    from beta9_provisioning.engine.helm.release import Release
    from beta9_provisioning.engine.kubernetes.kinds import Kind
    from beta9_provisioning.engine.kubernetes.patience import Patience
    from beta9_provisioning.engine.terraform.plan import Plan
    from beta9_provisioning.engine.terraform.state_reading import State
    from beta9_provisioning.engine.terraform.terraform import Outputs
    from beta9_provisioning.engine.terraform.unsaved_state import Superseded


class TerraformPort(Protocol):
    """Terraform in one directory; see `engine.terraform.terraform.Terraform`."""

    @property
    def is_running(self) -> bool:
        """Whether a command that may write the state still runs here."""

    @property
    def errored_state(self) -> Path | None:
        """The state that an earlier command could not save to the backend, if there is one."""

    def init(self, timeout: float = 300) -> None:
        """Prepare backend and providers."""

    def plan(self, timeout: float, targets: Sequence[str] = (), *, refresh: bool = True) -> Plan:
        """Save a plan that makes the cloud match the configuration, and return what it would do."""

    def apply(self, timeout: float, plan: Plan | None = None) -> None:
        """Make the cloud match the configuration, by a saved plan or by one of its own."""

    def adopt(self, ids: Mapping[str, str]) -> None:
        """Have the next plan take what exists into the state: import ids by address."""

    def untaint(self, addresses: Sequence[str]) -> None:
        """Mark resources in the state as made to their end."""

    def destroy(self, timeout: float, targets: Sequence[str] = ()) -> None:
        """Delete everything that the state holds, or these addresses with all that depends on them."""

    def recover_state(self) -> Superseded | None:
        """Push the state that an earlier command could not save, or set it aside."""

    def outputs(self) -> Outputs:
        """Return the values of all outputs."""

    def resources(self) -> list[str]:
        """Return the addresses of the managed resources in the state."""

    def state(self) -> State:
        """Return what the state holds: ids, and what was made, but not to its end."""


class HelmPort(Protocol):
    """Helm against one cluster; see `engine.helm.helm.Helm`."""

    def install(self, release: Release, *, no_live_holder: bool = False) -> None:
        """Install or upgrade the release and wait until all its objects are ready."""

    def uninstall(self, name: str, namespace: str, *, timeout: float = 300.0) -> bool:
        """Remove a release and wait until its objects are gone; return whether it was there."""

    def releases(self, *, namespace: str = "", timeout: float = 60.0) -> list[Installed]:
        """Return all releases of a namespace, or of the cluster, in any state."""


class KubernetesPort(Protocol):
    """A cluster's API; see `engine.kubernetes.kubernetes.Kubernetes`."""

    def close(self) -> None:
        """Close the connections to the API."""

    def wait_nodes_ready(self, count: int, *, timeout: float = 600.0, remedy: str = "") -> list[str]:
        """Wait until `count` nodes are ready and return their names."""

    def ensure_namespace(self, name: str) -> None:
        """Make the namespace if it does not exist."""

    def claim_namespace(self, name: str, owner: str) -> None:
        """Make the namespace for an environment, unless it is its own already."""

    def find(self, kind: Kind, name: str, namespace: str = "") -> dict[str, Any] | None:
        """Return an object, or None."""

    def objects(self, kind: Kind, namespace: str = "") -> list[dict[str, Any]]:
        """Return all objects of a kind, of one namespace or of all."""

    def delete(self, kind: Kind, name: str, namespace: str = "") -> None:
        """Ask for the deletion of an object, which may be gone already."""

    def patience(self, seconds: float) -> Patience:
        """Return patience with the cluster."""

    def apply_network_policy(self, namespace: str, name: str, spec: Mapping[str, Any]) -> None:
        """Make the network policy, or give the one of that name this form."""

    def secret_once(self, namespace: str, name: str, data: Mapping[str, str]) -> dict[str, str]:
        """Create a Secret with that data, unless it exists; return what it holds now."""

    def passing_secret(
        self, namespace: str, name: str, data: Mapping[str, str]
    ) -> AbstractContextManager[None]:
        """Keep a Secret in the cluster for the time of the block."""

    def load_balancer_host(self, namespace: str, service: str, *, timeout: float = 300.0) -> str:
        """Wait for the host name of a Service's load balancer and return it."""

    def remove_load_balancers(self, *, timeout: float = 600.0) -> None:
        """Delete all load balancer Services and Ingresses, and wait until they are gone."""

    def remove_volumes(self, *, timeout: float = 600.0) -> None:
        """Delete all volume claims, and wait until they and their volumes are gone."""
