"""A simulated Kubernetes API that genuine Helm and kubectl accept; one server hosts many clusters."""

from beta9_provisioning.local.cluster.directory import ClusterDirectory, SimCluster, SimNode
from beta9_provisioning.local.cluster.server import ClusterServer, serve

__all__ = ["ClusterDirectory", "ClusterServer", "SimCluster", "SimNode", "serve"]
