"""The API of a cluster in the simulated world, as the product's steps ask for it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.kubernetes.api import ClusterError
from beta9_provisioning.engine.kubernetes.kinds import Kind
from beta9_provisioning.engine.kubernetes.patience import Patience
from beta9_provisioning.kit.runtime import Event
from simulation.catalog import LOAD_BALANCER
from simulation.cloud import READY, Refused
from simulation.world import World

_POLL_SECONDS = 2.0


class SimulatedKubernetes:
    """Implements `engine.tool_ports.KubernetesPort`."""

    def __init__(self, world: World, environment: str, stop: Event) -> None:
        self._world = world
        self._environment = environment
        self._stop = stop

    def close(self) -> None:
        """Close nothing."""

    def wait_nodes_ready(self, count: int, *, timeout: float = 600.0, remedy: str = "") -> list[str]:
        """Wait for the groups of nodes."""
        deadline = self._world.baton.now + timeout
        while True:
            self._ask("list nodes")
            ready = self._world.cloud.nodes_ready(self._environment)
            if ready >= count:
                return [f"node-{number}" for number in range(ready)]
            self._wait(
                deadline, ClusterError("Nodes did not become ready.", remedy=remedy, code="nodes_not_ready")
            )

    def ensure_namespace(self, name: str) -> None:
        """Make nothing that matters."""
        self._write(f"make namespace {name}")

    def claim_namespace(self, name: str, owner: str) -> None:  # noqa: ARG002
        """Make nothing that matters."""
        self._write(f"claim namespace {name}")

    def find(self, kind: Kind, name: str, namespace: str = "") -> dict[str, Any] | None:
        """No cluster of a user's is looked at here."""
        raise NotImplementedError

    def objects(self, kind: Kind, namespace: str = "") -> list[dict[str, Any]]:
        """Find none of a namespace's: a worker of Beta9 is never made here."""
        self._ask(f"list {kind.plural} in {namespace}")
        return []

    def delete(self, kind: Kind, name: str, namespace: str = "") -> None:
        """Nothing is deleted one by one."""
        raise NotImplementedError

    def patience(self, seconds: float) -> Patience:
        """Return patience."""
        return Patience(seconds, self._stop)

    def apply_network_policy(self, namespace: str, name: str, spec: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Make nothing that matters."""
        self._write(f"apply policy {namespace}/{name}")

    def secret_once(self, namespace: str, name: str, data: Mapping[str, str]) -> dict[str, str]:
        """Keep the first."""
        self._write(f"keep secret {namespace}/{name}")
        return self._world.cluster(self._environment).secrets.setdefault((namespace, name), dict(data))

    @contextmanager
    def passing_secret(self, namespace: str, name: str, data: Mapping[str, str]) -> Iterator[None]:
        """Have a secret there meanwhile."""
        self._write(f"pass secret {namespace}/{name}")
        secrets = self._world.cluster(self._environment).secrets
        secrets[namespace, name] = dict(data)
        try:
            yield
        finally:
            self._world.baton.check()
            secrets.pop((namespace, name), None)

    def load_balancer_host(self, namespace: str, service: str, *, timeout: float = 300.0) -> str:
        """Wait for the load balancer."""
        deadline = self._world.baton.now + timeout
        while True:
            self._ask(f"look at service {namespace}/{service}")
            found = self._world.cloud.find(self._environment, LOAD_BALANCER.address)
            if found is not None and found.status == READY:
                return f"{found.id}.invalid"
            self._wait(deadline, ClusterError("It got no load balancer.", code="load_balancer_missing"))

    def remove_load_balancers(self, *, timeout: float = 600.0) -> None:
        """Delete the load balancer and wait until it is gone."""
        deadline = self._world.baton.now + timeout
        cloud = self._world.cloud
        while (found := cloud.find(self._environment, LOAD_BALANCER.address)) is not None:
            self._write("delete load balancer")
            try:
                cloud.delete(found, self._world.baton.current.tag)
            except Refused:
                self._world.baton.note("load balancer is held")
            self._wait(deadline, ClusterError("It stays.", code="cluster_objects_stuck"))

    def remove_volumes(self, *, timeout: float = 600.0) -> None:  # noqa: ARG002
        """Find none."""
        self._ask("list volumes")

    def _ask(self, what: str) -> None:
        if self._stop.is_set():
            raise Stopped("The work on the cluster was stopped.")
        baton = self._world.baton
        baton.pause(f"cluster: {what}")
        cluster = self._world.cloud.find(self._environment, "aws_eks_cluster.main")
        if cluster is None or cluster.status != READY:
            raise ClusterError("The cluster could not be reached.", code="cluster_unreachable")

    def _write(self, what: str) -> None:
        self._ask(what)
        self._world.write(self._environment, what)

    def _wait(self, deadline: float, failure: ClusterError) -> None:
        if self._world.baton.now >= deadline:
            raise failure
        if self._stop.wait(_POLL_SECONDS):
            raise Stopped("The work on the cluster was stopped.")
