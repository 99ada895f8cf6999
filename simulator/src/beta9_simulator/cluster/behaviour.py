"""How the simulated clusters behave: time until things are ready, and the faults that tests ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Seconds until an object of the kind is ready at time scale 1: rough figures of a fresh EKS cluster.
READY_SECONDS: Mapping[str, float] = {
    "Deployment": 20.0,
    "StatefulSet": 30.0,
    "DaemonSet": 15.0,
    "ReplicaSet": 15.0,
    "Pod": 10.0,
    "Job": 10.0,
    "Service": 30.0,
    "PersistentVolumeClaim": 10.0,
    "Namespace": 5.0,
}


@dataclass(frozen=True)
class Target:
    """Objects that a fault is meant for; None stands for any."""

    kind: str | None = None
    namespace: str | None = None
    name: str | None = None

    def covers(self, kind: str, namespace: str, name: str) -> bool:
        """Whether the object is meant."""
        pairs = ((self.kind, kind), (self.namespace, namespace), (self.name, name))
        return all(wanted is None or wanted == actual for wanted, actual in pairs)


@dataclass
class HttpFault:
    """Spoils requests: after ``delay`` seconds answers ``status``, drops the connection or goes on.

    ``path`` is a regular expression, searched in path and query below the cluster's prefix. The fault is
    spent after ``times`` requests. ``retry_after`` (seconds) becomes the header; without it Helm does not
    retry 429 and 503.
    """

    status: int | None = None
    path: str = ""
    method: str | None = None
    times: int = 1
    delay: float = 0.0
    retry_after: int | None = None
    drop: bool = False

    def matches(self, method: str, path: str) -> bool:
        """Whether the request is to be spoiled."""
        return self.times > 0 and self.method in (None, method) and bool(re.search(self.path, path))


@dataclass
class Behaviour:
    """The knobs of one server, shared by all its clusters.

    ``time_scale`` multiplies ``ready_seconds``; 0 makes everything ready at once. ``never_ready`` objects
    stay in progress, ``failing`` ones report failure. ``custom_status`` gives, by kind, the status
    that the controller of custom objects writes. ``unready_nodes`` holds names of nodes.
    """

    time_scale: float = 0.0
    ready_seconds: dict[str, float] = field(default_factory=lambda: dict(READY_SECONDS))
    never_ready: set[Target] = field(default_factory=set)
    failing: set[Target] = field(default_factory=set)
    unready_nodes: set[str] = field(default_factory=set)
    custom_status: dict[str, dict[str, Any]] = field(default_factory=dict)
    http_faults: list[HttpFault] = field(default_factory=list)

    def delay(self, kind: str) -> float:
        """Seconds until an object of the kind is ready."""
        return self.ready_seconds.get(kind, 0.0) * self.time_scale

    def take_http_fault(self, method: str, path: str) -> HttpFault | None:
        """The fault that the request runs into, now spent once more."""
        for fault in self.http_faults:
            if fault.matches(method, path):
                fault.times -= 1
                return fault
        return None
