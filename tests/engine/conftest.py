"""A simulated cluster, and what Kubectl and Helm of the engine need to use it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.clusters import ROOT, Kube, StaticDirectory

from beta9_provisioning.engine.helm import Helm
from beta9_provisioning.engine.kubectl import Kubectl
from beta9_provisioning.local import charts
from beta9_provisioning.local.cluster import serve
from beta9_provisioning.local.tools import ensure_tools

CHARTS = Path(charts.__path__[0])


@dataclass(frozen=True)
class Access:
    """One simulated cluster, and the engine's tools on it. Setting `stop` stops them."""

    kube: Kube
    directory: Path
    stop: threading.Event = field(default_factory=threading.Event)
    lines: list[str] = field(default_factory=list)

    def kubectl(self, *, token: str | None = None) -> Kubectl:
        return Kubectl(**self._arguments(self.kube.tools.kubectl, token))

    def helm(self, *, token: str | None = None, source: Path = CHARTS) -> Helm:
        arguments = self._arguments(self.kube.tools.helm, token)
        return Helm(**arguments, chart_source=str(source), on_line=self.lines.append)

    def files(self) -> set[str]:
        """Names of the files that the tools left in their directory."""
        return {path.name for path in self.directory.iterdir() if path.name != "home"}

    def _arguments(self, binary: Path, token: str | None) -> dict[str, Any]:
        kube = self.kube if token is None else replace(self.kube, token=token)
        return {
            "binary": binary,
            "directory": self.directory,
            "kubeconfig": kube.kubeconfig.read_text,
            "env": os.environ,
            "stop": self.stop,
        }


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    clusters = StaticDirectory()
    clusters.put("main")
    server = serve(clusters)
    home, directory = tmp_path / "client", tmp_path / "work"
    home.mkdir()
    directory.mkdir()
    yield Access(Kube(server, clusters, ensure_tools(ROOT), home, "main"), directory)
    server.stop()
