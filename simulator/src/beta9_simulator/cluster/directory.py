"""What the simulated Kubernetes API must know of the cloud it stands in: which clusters and nodes exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class ClusterNetwork(Protocol):
    """The network around a cluster."""

    def enforces_policies(self) -> bool:
        """Whether pods are held to network policies."""

    def address_of(self, host: str) -> str | None:
        """The address of a host of the cloud, or None for one that it does not know."""


@dataclass(frozen=True)
class SimNode:
    """One machine of a cluster. ``taints`` have the keys ``key``, ``value`` and ``effect`` of Kubernetes."""

    name: str
    labels: dict[str, str]
    taints: list[dict[str, str]]
    instance_type: str


@dataclass(frozen=True)
class SimCluster:
    """One cluster of the cloud. ``uid`` differs for a later cluster of the same name."""

    name: str
    account: str
    region: str
    version: str
    active: bool
    nodes: tuple[SimNode, ...]
    uid: str


class ClusterDirectory(Protocol):
    """Looks clusters up in the cloud.

    Called from the API server's thread on every request, so it must answer within a few milliseconds.
    """

    def find(self, account: str, region: str, name: str) -> SimCluster | None:
        """The cluster as it is now, or None when there is none of that name."""

    def network_of(self, cluster: SimCluster) -> ClusterNetwork:
        """The network around a cluster."""

    def authenticate(self, cluster: SimCluster, token: str) -> str | None:
        """Username for a bearer token, or None."""
