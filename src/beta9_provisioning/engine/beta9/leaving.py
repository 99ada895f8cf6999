"""How an environment leaves a cluster that others use, too: what is its own goes, and nothing else (ADR 24).

Its own are the namespaces with its mark and all in them, the volumes of claims there, and the types that its
cert-manager brought. What others have made of these types meanwhile stays, and the types with it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from beta9_provisioning.engine.beta9.platform import CERT_MANAGER, SharedCluster
from beta9_provisioning.engine.beta9.releases import SHARED_NAMESPACE, SHARED_NAMESPACES
from beta9_provisioning.engine.kubernetes.api import ClusterError
from beta9_provisioning.engine.kubernetes.kinds import DEFINITION, NAMESPACE, VOLUME, Kind
from beta9_provisioning.engine.kubernetes.kubernetes import is_owned
from beta9_provisioning.engine.tool_ports import KubernetesPort

_TYPES = (
    "certificaterequests.cert-manager.io",
    "certificates.cert-manager.io",
    "challenges.acme.cert-manager.io",
    "clusterissuers.cert-manager.io",
    "issuers.cert-manager.io",
    "orders.acme.cert-manager.io",
)
_RELEASE = {
    "meta.helm.sh/release-name": CERT_MANAGER,
    "meta.helm.sh/release-namespace": SHARED_NAMESPACE,
}


def own_namespaces(kubernetes: KubernetesPort, owner: str) -> list[str]:
    """Return the namespaces that are an environment's."""
    found = {name: kubernetes.find(NAMESPACE, name) for name in SHARED_NAMESPACES}
    return [name for name, body in found.items() if body is not None and is_owned(body, owner)]


def remove_namespace(kubernetes: KubernetesPort, name: str, owner: str, *, timeout: float) -> None:
    """Delete a namespace with all in it, if it is the environment's, and wait until it is gone.

    Raises:
        ClusterError: `cluster_objects_stuck` after `timeout` seconds, with what Kubernetes says of it.
        Stopped: the stop event was set.
    """
    patience = kubernetes.patience(timeout)
    while (found := kubernetes.find(NAMESPACE, name)) is not None and is_owned(found, owner):
        if "deletionTimestamp" not in found["metadata"]:
            kubernetes.delete(NAMESPACE, name)
        if not patience.wait():
            said = [one["message"] for one in _conditions(found) if one.get("status") == "True"]
            raise ClusterError(
                f"The namespace {name} was not gone in {timeout:.0f} s.",
                detail="; ".join(said) or "Kubernetes does not say why.",
                remedy="Remove what holds it, then repeat the operation.",
                code="cluster_objects_stuck",
            )


def wait_for_volumes(kubernetes: KubernetesPort, cluster: SharedCluster, *, timeout: float) -> frozenset[str]:
    """Wait until the volumes of an environment's claims are gone, and with them their disks.

    Return the ids of those that stay: somebody has set them to be retained.

    Raises:
        ClusterError: `cluster_objects_stuck` after `timeout` seconds, naming what is left.
        Stopped: the stop event was set.
    """
    patience = kubernetes.patience(timeout)
    while True:
        ours = [one for one in kubernetes.objects(VOLUME) if _is_own(one, cluster)]
        leaving = [one for one in ours if one["spec"].get("persistentVolumeReclaimPolicy") == "Delete"]
        if not leaving:
            return frozenset(map(_disk, ours))
        if not patience.wait():
            raise ClusterError(
                f"Volumes of the environment were not gone in {timeout:.0f} s.",
                detail="; ".join(map(_described, leaving)),
                remedy="Remove what uses or holds them, then repeat the operation.",
                code="cluster_objects_stuck",
            )


def remove_types(kubernetes: KubernetesPort) -> list[str]:
    """Delete the types that the environment's cert-manager brought; return those that others use by now."""
    left = []
    for name in _TYPES:
        found = kubernetes.find(DEFINITION, name)
        if found is None or not _is_of_release(found):
            continue
        if _is_used(kubernetes, found["spec"]):
            left.append(name)
        else:
            kubernetes.delete(DEFINITION, name)
    return left


def _conditions(namespace: dict[str, Any]) -> Collection[dict[str, Any]]:
    return namespace.get("status", {}).get("conditions") or ()


def _is_own(volume: dict[str, Any], cluster: SharedCluster) -> bool:
    claim = volume["spec"].get("claimRef") or {}
    made = str(volume["metadata"].get("creationTimestamp", ""))
    return claim.get("namespace") in SHARED_NAMESPACES and made >= cluster.since


def _disk(volume: dict[str, Any]) -> str:
    return str((volume["spec"].get("csi") or {}).get("volumeHandle", volume["metadata"]["name"]))


def _described(volume: dict[str, Any]) -> str:
    status = volume.get("status", {})
    said = status.get("message") or status.get("phase", "")
    return f"PersistentVolume {volume['metadata']['name']} ({_disk(volume)}): {said}"


def _is_of_release(definition: dict[str, Any]) -> bool:
    annotations = definition["metadata"].get("annotations") or {}
    return all(annotations.get(key) == value for key, value in _RELEASE.items())


def _is_used(kubernetes: KubernetesPort, spec: dict[str, Any]) -> bool:
    version = next(one["name"] for one in spec["versions"] if one.get("served"))
    names = spec["names"]
    kind = Kind(names["kind"], f"/apis/{spec['group']}/{version}", names["plural"])
    return bool(kubernetes.objects(kind))
