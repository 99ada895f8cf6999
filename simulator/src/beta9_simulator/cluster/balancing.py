"""Who makes the load balancer of a Service: EKS's own controller, or one that runs in the cluster."""

from __future__ import annotations

from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.selectors import dig
from beta9_simulator.cluster.store import Object

_TYPE = "service.beta.kubernetes.io/aws-load-balancer-type"
_LEFT_TO_CONTROLLER = ("external", "nlb-ip")
_CONTROLLER = "aws-load-balancer-controller"


def is_served(cluster: Cluster, service: Object) -> bool:
    """Whether somebody makes the load balancer: EKS leaves some types to the AWS Load Balancer Controller."""
    wanted = (service["metadata"].get("annotations") or {}).get(_TYPE)
    return wanted not in _LEFT_TO_CONTROLLER or any(
        dig(one, "status.availableReplicas")
        for one in cluster.store.select(BUILTIN["deployments"])
        if (one["metadata"].get("labels") or {}).get("app.kubernetes.io/name") == _CONTROLLER
    )
