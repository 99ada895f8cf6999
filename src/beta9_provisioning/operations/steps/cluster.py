"""An environment's cluster as the steps use it: nodes, charts, and what they report to the journal."""

import os
from contextvars import copy_context
from types import TracebackType
from typing import Self

from beta9_provisioning.engine.beta9.network_policies import write_policies
from beta9_provisioning.engine.beta9.releases import base_releases, namespaces_of
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.helm.helm import Installed
from beta9_provisioning.engine.helm.release import Release
from beta9_provisioning.kit import runtime, tracing
from beta9_provisioning.lifecycle import Kind
from beta9_provisioning.operations.run.context import Context

SYSTEM_NAMESPACE = "kube-system"
"""Where a cluster keeps what it needs itself, and what makes its load balancers."""


class Cluster:
    """Reaches the cluster as who the worker is there, with a new token for every call.

    Use it in a `with` statement.

    Raises:
        EngineError: `cluster_missing`, `cluster_not_ready` or `cluster_access_missing`, when it is made.
    """

    def __init__(self, context: Context, stop: runtime.Event | None = None) -> None:
        self._context = context
        self.access = context.account.cluster_access(context.chosen)
        directory = context.workdir / "cluster"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        stop = stop or context.stop.event
        self.kubernetes = context.tools.kubernetes(self.access, stop)
        self.helm = context.tools.helm(
            binary=context.settings.helm_binary,
            directory=directory,
            kubeconfig=self.access.kubeconfig,
            env=os.environ,
            stop=stop,
            # A destroy installs nothing, and must not depend on charts.
            chart_source="" if context.claim.kind is Kind.DESTROY else context.chart_source,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kubernetes.close()

    @property
    def _timeout(self) -> float:
        return self._context.settings.bootstrap_timeout_minutes * 60

    def wait_for_nodes(self) -> None:
        """Wait until as many nodes are ready as the profile wants."""
        context = self._context
        assert context.choices is not None
        ready = self.kubernetes.wait_nodes_ready(
            context.cloud.node_count(context.choices),
            timeout=self._timeout,
            remedy=context.cloud.nodes_remedy,
        )
        context.recorder.emit("cluster.nodes_ready", f"{len(ready)} nodes became ready.", nodes=ready)

    def install_base(self) -> None:
        """Install the cloud's own charts, one after another, and then the others side by side.

        The others need the cloud's, and none of them another. Network policies come before any pod. In a
        cluster of the user's only what was missing is installed.
        """
        context = self._context
        assert context.choices is not None
        self.claim_namespaces()
        guarded = context.cloud.guarded_networks(context.choices)
        if context.platform.shared is None:
            write_policies(self.kubernetes, guarded)
            first = context.cloud.first_releases(context.config, context.claim.environment_id, self.access)
            for one in first:
                self.install(one)
        else:
            write_policies(self.kubernetes, guarded, namespaces_of(context.platform))
        releases = base_releases(
            context.config, context.platform, ingress_controller=context.settings.ingress_controller
        )
        with runtime.pool(max(len(releases), 1), "helm") as pool:
            # A context of its own for each: one cannot be entered twice at a time.
            for future in [pool.submit(copy_context().run, self.install, one) for one in releases]:
                future.result()

    def claim_namespaces(self) -> None:
        """Make the environment's namespaces in a cluster of the user's, unless somebody has their names."""
        context = self._context
        if context.platform.shared is not None:
            for name in namespaces_of(context.platform):
                self.kubernetes.claim_namespace(name, context.claim.environment_id)

    def install(self, release: Release) -> None:
        """Install or upgrade one chart and wait until it is ready."""
        emit = self._context.recorder.emit
        title = f"{release.name} {release.version}"
        emit("helm.release", f"Started to install {title}.", release=release.name, phase="start")
        began = runtime.monotonic()
        try:
            with tracing.span(f"helm install {release.name}", {"helm.chart": title}):
                # The lock on the state, which comes before any step here, proves that no other attempt's Helm
                # lives; and this one's installs of one release come one after another.
                self.helm.install(release, no_live_holder=True)
        except EngineError as error:
            emit("helm.release", error.message, release=release.name, phase="errored", code=error.code)
            raise
        seconds = round(runtime.monotonic() - began, 3)
        emit("helm.release", f"Installed {title}.", release=release.name, phase="complete", seconds=seconds)

    def uninstall(self, one: Installed, timeout: float) -> None:
        """Uninstall a release, whoever installed it."""
        with tracing.span("helm uninstall", {"helm.release": one.name}):
            self.helm.uninstall(one.name, one.namespace, timeout=timeout)
        self._context.recorder.emit(
            "helm.release", f"Uninstalled {one.name}.", release=one.name, phase="uninstalled"
        )
