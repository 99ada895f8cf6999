"""The EndpointSlice of each Service: addresses of the pods that its selector covers.

One slice for a Service, however many pods there are. The older Endpoints objects are not made.
"""

from __future__ import annotations

import copy
from typing import Any

from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.scheduling import is_ready
from beta9_simulator.cluster.selectors import dig, selects
from beta9_simulator.cluster.store import Object

_SERVICES = BUILTIN["services"]
_SLICES = BUILTIN["endpointslices"]
_PODS = BUILTIN["pods"]
_OF = "kubernetes.io/service-name"


def sync_endpoints(cluster: Cluster, service: Object) -> None:
    """Bring the slice of a Service with a selector in line with its pods."""
    spec, metadata = service["spec"], service["metadata"]
    if not spec.get("selector") or spec["type"] == "ExternalName":
        return
    namespace = metadata["namespace"]
    pods = [
        pod
        for pod in cluster.store.select(_PODS, namespace)
        if selects({"matchLabels": spec["selector"]}, pod["metadata"].get("labels") or {})
        and dig(pod, "status.podIP")
        and dig(pod, "status.phase") not in ("Succeeded", "Failed")
    ]
    content = {"endpoints": [_endpoint(pod) for pod in pods], "ports": _ports(spec, pods)}
    present = next((s for s in cluster.store.select(_SLICES, namespace) if _is_of(s, metadata["name"])), None)
    if present is None:
        cluster.insert(_SLICES, namespace, {**_new(service), **content})
    elif any(present.get(key) != value for key, value in content.items()):
        cluster.replace(_SLICES, present, {**copy.deepcopy(present), **content})


def _is_of(endpoint_slice: Object, service: str) -> bool:
    return (endpoint_slice["metadata"].get("labels") or {}).get(_OF) == service


def _new(service: Object) -> Object:
    name = service["metadata"]["name"]
    owner = {"apiVersion": "v1", "kind": "Service", "name": name, "uid": service["metadata"]["uid"]}
    labels = {_OF: name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    return {
        "metadata": {
            "generateName": f"{name}-",
            "labels": labels,
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "addressType": "IPv4",
    }


def _endpoint(pod: Object) -> dict[str, Any]:
    ready = is_ready(pod)
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": ready, "terminating": False},
        "nodeName": pod["spec"].get("nodeName", ""),
        "targetRef": {"kind": "Pod", "namespace": namespace, "name": name, "uid": pod["metadata"]["uid"]},
    }


def _ports(spec: dict[str, Any], pods: list[Object]) -> list[dict[str, Any]]:
    """A target that is named is looked up in the pods; one that no pod has is left out."""
    found = []
    for port in spec.get("ports") or []:
        target = port["targetPort"]
        number = target if isinstance(target, int) else _named(pods, target)
        if number is not None:
            found.append({"name": port.get("name", ""), "port": number, "protocol": port["protocol"]})
    return found


def _named(pods: list[Object], name: str) -> int | None:
    ports = (
        port
        for pod in pods
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or []
    )
    return next((port["containerPort"] for port in ports if port.get("name") == name), None)
