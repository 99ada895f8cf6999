"""Keeps the Node objects of a cluster in step with the machines that the cloud says it has."""

from __future__ import annotations

import copy
from typing import Any

from beta9_simulator.cluster import statuses
from beta9_simulator.cluster.behaviour import Behaviour
from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.directory import SimCluster, SimNode
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.store import Object

_NODES = BUILTIN["nodes"]
# Every simulated machine has this size: scheduling does not count resources.
_CAPACITY = {"cpu": "4", "memory": "16Gi", "pods": "110"}


def kubernetes_version(version: str) -> str:
    """The full version for EKS's ``1.34``: ``v1.34.0-eks-simulated``, as stand-in charts want it."""
    dots = version.count(".")
    return f"v{version}" + ".0" * (2 - dots) + "-eks-simulated"


def sync_nodes(cluster: Cluster, sim: SimCluster, behaviour: Behaviour) -> None:
    """Add, change and remove Node objects. Labels, taints and cordons that clients set stay."""
    wanted = {node.name: node for node in sim.nodes}
    present = {body["metadata"]["name"]: body for body in cluster.store.select(_NODES)}
    for name in present.keys() - wanted.keys():
        cluster.delete(_NODES, "", name)
    for name, node in wanted.items():
        body = present.get(name)
        if body is None:
            body = cluster.insert(_NODES, "", {"metadata": {"name": name}, "spec": {}})
        described = copy.deepcopy(body)
        described["metadata"]["labels"] = {**(body["metadata"].get("labels") or {}), **_labels(node, sim)}
        taints = [*node.taints, *(t for t in body["spec"].get("taints") or [] if t not in node.taints)]
        if taints:
            described["spec"]["taints"] = taints
        described["spec"]["providerID"] = f"aws:///{node.zone or sim.region}/{node.instance_id or name}"
        described["status"] = _status(body, sim, ready=name not in behaviour.unready_nodes)
        cluster.replace(_NODES, body, described)


def _labels(node: SimNode, sim: SimCluster) -> dict[str, str]:
    return {
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": node.instance_type,
        "topology.kubernetes.io/region": sim.region,
        **({"topology.kubernetes.io/zone": node.zone} if node.zone else {}),
        **node.labels,
    }


def _status(body: Object, sim: SimCluster, *, ready: bool) -> dict[str, Any]:
    reason = "KubeletReady" if ready else "KubeletNotReady"
    message = "kubelet is posting ready status" if ready else "container runtime is down"
    return {
        "capacity": _CAPACITY,
        "allocatable": _CAPACITY,
        "addresses": [{"type": "Hostname", "address": body["metadata"]["name"]}],
        "conditions": statuses.conditions(body, ("Ready", ready, reason, message)),
        "nodeInfo": {
            "kubeletVersion": kubernetes_version(sim.version),
            "kubeProxyVersion": "",
            "osImage": "simulated",
            "kernelVersion": "simulated",
            "containerRuntimeVersion": "containerd://2.1.0",
            "operatingSystem": "linux",
            "architecture": "amd64",
            "bootID": "",
            "machineID": "",
            "systemUUID": "",
        },
    }
