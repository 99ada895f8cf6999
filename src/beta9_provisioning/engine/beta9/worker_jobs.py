"""The Jobs that Beta9's gateway makes for its workers: no objects of Helm's, so no release takes them along.

They run users' code, and write into the bucket for as long as they live.
"""

from __future__ import annotations

from typing import Any

from beta9_provisioning.engine.beta9.values import COMPONENT_LABEL, GATEWAY
from beta9_provisioning.engine.kubernetes.api import ClusterError
from beta9_provisioning.engine.kubernetes.kinds import JOB, POD, Kind
from beta9_provisioning.engine.tool_ports import KubernetesPort

# https://github.com/beam-cloud/beta9/blob/gateway-0.1.762/pkg/scheduler/pool.go#L20
_LABEL, _WORKER = "run.beam.cloud/role", "worker"
# Phases in which nothing of a pod runs any more, though it is still there.
_ENDED = ("Succeeded", "Failed")


def remove_workers(kubernetes: KubernetesPort, namespace: str, *, timeout: float) -> list[str]:
    """Delete the Jobs of Beta9's workers, and wait until their pods have ended; return the Jobs' names.

    Uninstall the gateway first: while it lives it makes others, up to the end of its pods, which may take
    minutes after their Deployment is gone.

    Raises:
        ClusterError: `cluster_objects_stuck` after `timeout` seconds, naming what is left.
        Stopped: the stop event was set.
    """
    patience = kubernetes.patience(timeout)
    removed = []
    while left := [*_writers(kubernetes, JOB, namespace), *_writers(kubernetes, POD, namespace)]:
        for kind, name, is_going in left:
            if kind is JOB and not is_going:
                kubernetes.delete(JOB, name, namespace)
                removed.append(name)
        if not patience.wait():
            raise ClusterError(
                f"Beta9's gateway or workers had not ended in {timeout:.0f} s.",
                detail="; ".join(f"{kind.name} {namespace}/{name}" for kind, name, _ in left),
                remedy="Look at their pods, and remove what holds them; then repeat the operation.",
                code="cluster_objects_stuck",
            )
    return removed


def _writers(kubernetes: KubernetesPort, kind: Kind, namespace: str) -> list[tuple[Kind, str, bool]]:
    """Return kind and name of what writes or makes what writes, and whether it is being deleted already."""
    return [
        (kind, body["metadata"]["name"], "deletionTimestamp" in body["metadata"])
        for body in kubernetes.objects(kind, namespace)
        if _is_writer(body)
    ]


def _is_writer(body: dict[str, Any]) -> bool:
    """Whether it is a worker's, or a pod that the gateway's Deployment made, and has not ended.

    Such a pod is marked as going some time after its Deployment is gone. One that only carries the label is
    nobody's: it would be waited for in vain.
    """
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    if (body.get("status") or {}).get("phase") in _ENDED:
        return False
    is_gateway = labels.get(COMPONENT_LABEL) == GATEWAY and bool(metadata.get("ownerReferences"))
    return labels.get(_LABEL) == _WORKER or is_gateway
