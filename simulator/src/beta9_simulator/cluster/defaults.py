"""What the API server fills in when an object does not say: defaults of Kubernetes 1.34 that clients read."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from beta9_simulator.cluster.resources import Resource
from beta9_simulator.cluster.store import Object


def apply_defaults(resource: Resource, body: Object) -> None:
    """Fill the object in place."""
    fill = None if resource.custom else _FILL.get(resource.kind)
    if fill:
        fill(body)


def _spec(body: Object) -> dict[str, Any]:
    spec = body.setdefault("spec", {})
    return spec if isinstance(spec, dict) else {}


def _secret(body: Object) -> None:
    plain = body.pop("stringData", None) or {}
    encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in plain.items()}
    if encoded:
        body["data"] = {**(body.get("data") or {}), **encoded}
    body.setdefault("type", "Opaque")


def _deployment(body: Object) -> None:
    spec = _spec(body)
    spec.setdefault("replicas", 1)
    spec.setdefault("progressDeadlineSeconds", 600)
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {"maxUnavailable": "25%", "maxSurge": "25%"})
    _template(spec)


def _stateful_set(body: Object) -> None:
    spec = _spec(body)
    spec.setdefault("replicas", 1)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    spec.setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    _template(spec)


def _daemon_set(body: Object) -> None:
    spec = _spec(body)
    rolling = {"maxUnavailable": 1, "maxSurge": 0}
    spec.setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": rolling})
    _template(spec)


def _replica_set(body: Object) -> None:
    _spec(body).setdefault("replicas", 1)


def _job(body: Object) -> None:
    spec = _spec(body)
    for field, value in (("completions", 1), ("parallelism", 1), ("backoffLimit", 6)):
        spec.setdefault(field, value)


def _template(spec: dict[str, Any]) -> None:
    pod = spec.setdefault("template", {}).setdefault("spec", {})
    if isinstance(pod, dict):
        _pod_spec(pod)


def _pod(body: Object) -> None:
    _pod_spec(_spec(body))


def _pod_spec(spec: dict[str, Any]) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        for port in container.get("ports") or []:
            port.setdefault("protocol", "TCP")


def _service(body: Object) -> None:
    spec = _spec(body)
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))


def _claim(body: Object) -> None:
    _spec(body).setdefault("volumeMode", "Filesystem")


def _storage_class(body: Object) -> None:
    body.setdefault("reclaimPolicy", "Delete")
    body.setdefault("volumeBindingMode", "Immediate")


def _namespace(body: Object) -> None:
    body["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = body["metadata"]["name"]
    _spec(body).setdefault("finalizers", ["kubernetes"])


def _policy(body: Object) -> None:
    spec = _spec(body)
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in [*(spec.get("ingress") or []), *(spec.get("egress") or [])]:
        for port in rule.get("ports") or []:
            port.setdefault("protocol", "TCP")


def _autoscaler(body: Object) -> None:
    _spec(body).setdefault("minReplicas", 1)


_FILL: dict[str, Callable[[Object], None]] = {
    "Secret": _secret,
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "ReplicaSet": _replica_set,
    "Job": _job,
    "Pod": _pod,
    "Service": _service,
    "PersistentVolumeClaim": _claim,
    "StorageClass": _storage_class,
    "Namespace": _namespace,
    "HorizontalPodAutoscaler": _autoscaler,
    "NetworkPolicy": _policy,
}
