"""A server whose directory tests fill by hand, and a cluster without a server whose time they move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clusters import ROOT, Kube, StaticDirectory, node
from tests.support.controlled import World

from beta9_provisioning.local.tools import Tools, ensure_tools
from beta9_simulator.cluster.server import ClusterServer, serve


@pytest.fixture(scope="session")
def tools() -> Tools:
    return ensure_tools(ROOT)


@pytest.fixture
def directory() -> StaticDirectory:
    return StaticDirectory()


@pytest.fixture
def server(directory: StaticDirectory) -> Iterator[ClusterServer]:
    server = serve(directory)
    yield server
    server.stop()


@pytest.fixture
def kube(server: ClusterServer, directory: StaticDirectory, tools: Tools, tmp_path: Path) -> Kube:
    directory.put("main")
    return Kube(server, directory, tools, tmp_path, "main")


@pytest.fixture
def world() -> World:
    return World(node("node-1"), node("node-2"))
