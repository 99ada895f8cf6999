"""What the simulated Kubernetes API must know of the cloud it stands in: which clusters and nodes exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

EBS_DRIVER = "aws-ebs-csi-driver"


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
    instance_id: str = ""
    zone: str = ""


@dataclass(frozen=True)
class User:
    """Who a token belongs to; who is no administrator may do nothing but ask what there is to ask for."""

    name: str
    is_admin: bool = True


@dataclass(frozen=True)
class SimCluster:
    """One cluster of the cloud. ``uid`` differs for a later cluster of the same name.

    ``addons`` are those that the cloud runs in it, such as the driver of EBS.
    """

    name: str
    account: str
    region: str
    version: str
    active: bool
    nodes: tuple[SimNode, ...]
    uid: str
    addons: frozenset[str] = frozenset({EBS_DRIVER})


@dataclass(frozen=True)
class LoadBalancer:
    """What a Service asks for; ``by_controller`` when the AWS Load Balancer Controller makes it.

    ``subnets`` are those that it names; without any, they are looked for by their tags.
    """

    name: str
    namespace: str
    service: str
    ports: tuple[int, ...]
    by_controller: bool
    internal: bool = False
    subnets: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Volume:
    """What a claim asks for; ``name`` is that of its PersistentVolume."""

    name: str
    namespace: str
    claim: str
    gib: int
    encrypted: bool


class ClusterCloud(Protocol):
    """The cloud as the controllers in one cluster use it."""

    def make_load_balancer(self, wanted: LoadBalancer) -> str:
        """Make it if it is not there; return its host name, empty while it cannot be made."""

    def remove_load_balancer(self, name: str) -> None:
        """Remove it with what belongs to it, if it is there."""

    def make_volume(self, wanted: Volume) -> str:
        """Make it if it is not there, and return its id."""

    def remove_volume(self, name: str) -> None:
        """Remove it if it is there."""


class ClusterDirectory(Protocol):
    """Looks clusters up in the cloud.

    Called from the API server's thread on every request, so it must answer within a few milliseconds.
    """

    def find(self, account: str, region: str, name: str) -> SimCluster | None:
        """The cluster as it is now, or None when there is none of that name."""

    def network_of(self, cluster: SimCluster) -> ClusterNetwork:
        """The network around a cluster."""

    def authenticate(self, cluster: SimCluster, token: str) -> User | None:
        """The user of a bearer token, or None."""

    def cloud_of(self, cluster: SimCluster) -> ClusterCloud:
        """The cloud as the cluster's controllers use it."""
