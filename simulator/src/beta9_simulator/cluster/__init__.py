"""A simulated Kubernetes API that genuine Helm and kubectl accept; one server hosts many clusters."""

from beta9_simulator.cluster.directory import ClusterDirectory, SimCluster, SimNode
from beta9_simulator.cluster.server import ClusterServer, serve

__all__ = ["ClusterDirectory", "ClusterServer", "SimCluster", "SimNode", "serve"]
