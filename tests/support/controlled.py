"""A simulated cluster without a server, whose time tests move by hand."""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable
from typing import Any

from tests.support.clusters import MemoryCloud

from beta9_simulator.cluster.behaviour import Behaviour
from beta9_simulator.cluster.cluster import NAMESPACES, Cluster
from beta9_simulator.cluster.controllers import Controllers
from beta9_simulator.cluster.directory import EBS_DRIVER, SimCluster, SimNode
from beta9_simulator.cluster.nodes import sync_nodes
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.store import Object


class World:
    """One cluster with its controllers, and a clock that only moves when told."""

    def __init__(self, *nodes: SimNode, time_scale: float = 0.0) -> None:
        self.behaviour = Behaviour(time_scale=time_scale)
        self.cluster = Cluster()
        self.cluster.addons = frozenset({EBS_DRIVER})
        self.cloud = MemoryCloud()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._now = 0.0
        self._count = 0
        self.controllers = Controllers(self.cluster, self.behaviour, self._later, self.cloud)
        self.cluster.observers.append(self.controllers)
        self.cluster.insert(NAMESPACES, "", {"metadata": {"name": "default"}})
        self.nodes(*nodes)

    def nodes(self, *nodes: SimNode) -> None:
        """From now on the cluster has these nodes."""
        sim = SimCluster("test", "123456789012", "us-east-1", "1.34", True, nodes, "uid")
        sync_nodes(self.cluster, sim, self.behaviour)
        self.run()

    def _later(self, seconds: float, function: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (self._now + seconds, self._count, function))

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass."""
        end = self._now + seconds
        while self._due and self._due[0][0] <= end:
            self._now, _, function = heapq.heappop(self._due)
            function()
        self._now = end

    def create(self, plural: str, name: str, namespace: str = "default", **fields: Any) -> Object:
        body = {"metadata": {"name": name}, **fields}
        return self.cluster.insert(BUILTIN[plural], namespace if BUILTIN[plural].namespaced else "", body)

    def change(self, plural: str, name: str, spec: dict[str, Any]) -> None:
        current = self.get(plural, name)
        changed = {**copy.deepcopy(current), "spec": {**current["spec"], **spec}}
        self.cluster.replace(BUILTIN[plural], current, changed)

    def get(self, plural: str, name: str, namespace: str = "default") -> Object:
        resource = BUILTIN[plural]
        return self.cluster.require(resource, namespace if resource.namespaced else "", name)

    def names(self, plural: str) -> list[str]:
        return [body["metadata"]["name"] for body in self.cluster.store.select(BUILTIN[plural])]

    def pods(self) -> list[Object]:
        return self.cluster.store.select(BUILTIN["pods"])
