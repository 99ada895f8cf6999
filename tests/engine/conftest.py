"""A simulated cluster, and what Kubernetes and Helm of the engine need to use it."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.clusters import ROOT, Kube, StaticDirectory

from beta9_provisioning.engine.helm.helm import Helm
from beta9_provisioning.engine.kubernetes.access import ClusterAccess, Token
from beta9_provisioning.engine.kubernetes.kubernetes import Kubernetes
from beta9_provisioning.local.tools import ensure_tools
from beta9_simulator import charts
from beta9_simulator.cluster.server import serve

CHARTS = Path(charts.__path__[0])


@dataclass(frozen=True)
class Access:
    """One simulated cluster, and the engine's ways to it. Setting `stop` stops them."""

    kube: Kube
    directory: Path
    resources: ExitStack
    stop: threading.Event = field(default_factory=threading.Event)
    lines: list[str] = field(default_factory=list)

    def cluster_access(
        self, *, endpoint: str | None = None, token: Callable[[], str] | None = None
    ) -> ClusterAccess:
        """What AWS would tell of the cluster; `token` signs."""
        authority = base64.b64encode(self.kube.server.ca_pem.encode()).decode()
        sign = token or (lambda: self.kube.token)
        return ClusterAccess(
            self.kube.name,
            endpoint or self.kube.endpoint,
            authority,
            lambda: Token(sign(), datetime.now(UTC) + timedelta(minutes=14)),
        )

    def kubernetes(
        self, *, endpoint: str | None = None, token: Callable[[], str] | None = None
    ) -> Kubernetes:
        kubernetes = Kubernetes(self.cluster_access(endpoint=endpoint, token=token), self.stop)
        self.resources.callback(kubernetes.close)
        return kubernetes

    def helm(
        self,
        *,
        token: str | None = None,
        source: Path | str = CHARTS,
        binary: Path | None = None,
        kubeconfig: Callable[[], str] | None = None,
    ) -> Helm:
        kube = self.kube if token is None else replace(self.kube, token=token)
        return Helm(
            binary=binary or self.kube.tools.helm,
            directory=self.directory,
            kubeconfig=kubeconfig or kube.kubeconfig.read_text,
            env=os.environ,
            stop=self.stop,
            chart_source=str(source),
            on_line=self.lines.append,
        )

    def files(self) -> set[str]:
        """Names of the files that Helm left in its directory."""
        return {path.name for path in self.directory.iterdir() if path.name != "home"}


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    clusters = StaticDirectory()
    clusters.put("main")
    server = serve(clusters)
    home, directory = tmp_path / "client", tmp_path / "work"
    home.mkdir()
    directory.mkdir()
    with ExitStack() as resources:
        yield Access(Kube(server, clusters, ensure_tools(ROOT), home, "main"), directory, resources)
    server.stop()
