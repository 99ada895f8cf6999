"""Refuses bodies whose fields have the wrong type, as decoding into Kubernetes' Go types would.

There is no full schema here. But the field names below have one type wherever built-in kinds use them, and
they are what the rest of the simulator reads.
"""

from __future__ import annotations

from typing import Any

from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.resources import Resource

_MAPS = frozenset(
    [
        "annotations",
        "binaryData",
        "capacity",
        "claimRef",
        "configMap",
        "configMapKeyRef",
        "configMapRef",
        "data",
        "labels",
        "loadBalancer",
        "matchLabels",
        "metadata",
        "names",
        "nodeSelector",
        "persistentVolumeClaim",
        "requests",
        "rollingUpdate",
        "scaleTargetRef",
        "secret",
        "secretKeyRef",
        "secretRef",
        "selector",
        "service",
        "spec",
        "strategy",
        "stringData",
        "subresources",
        "template",
        "updateStrategy",
        "valueFrom",
    ]
)
_LISTS_OF_MAPS = frozenset(
    [
        "additionalPrinterColumns",
        "conditions",
        "containerStatuses",
        "containers",
        "env",
        "envFrom",
        "ingress",
        "initContainers",
        "ownerReferences",
        "paths",
        "ports",
        "rules",
        "taints",
        "tolerations",
        "versions",
        "volumeClaimTemplates",
        "volumeMounts",
        "volumes",
    ]
)
_LISTS_OF_TEXT = frozenset({"accessModes", "finalizers", "shortNames"})
_NUMBERS = frozenset(
    [
        "completions",
        "containerPort",
        "disruptionsAllowed",
        "maxReplicas",
        "minReplicas",
        "parallelism",
        "port",
        "replicas",
        "revisionHistoryLimit",
        "terminationGracePeriodSeconds",
    ]
)
_TEXTS = frozenset(
    [
        "claimName",
        "effect",
        "group",
        "host",
        "ingressClassName",
        "jsonPath",
        "kind",
        "name",
        "namespace",
        "nodeName",
        "plural",
        "provisioner",
        "reclaimPolicy",
        "restartPolicy",
        "scope",
        "secretName",
        "storageClassName",
        "uid",
        "volumeName",
    ]
)
# What lies below these is for users, or of no interest here.
_OPAQUE = frozenset({"annotations", "binaryData", "data", "labels", "managedFields", "schema", "stringData"})


def check_types(resource: Resource, body: dict[str, Any]) -> None:
    """Check the metadata of any object, and the rest of objects of built-in kinds.

    Raises:
        ApiError: 400, naming the field.
    """
    checked = {"metadata": body.get("metadata", {})} if resource.custom else body
    try:
        _walk(checked, "")
        if "status" in checked:
            _require(isinstance(checked["status"], dict), "status", "a map")
    except _WrongTypeError as error:
        raise ApiError(400, f"the body cannot be handled as a {resource.kind}: {error}") from error


class _WrongTypeError(Exception):
    """A field must have another type."""


def _walk(value: Any, path: str) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            _walk(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, child in value.items():
            below = f"{path}.{name}".lstrip(".")
            _check(name, child, below)
            if name not in _OPAQUE:
                _walk(child, below)


def _check(name: str, value: Any, path: str) -> None:
    if name in _MAPS or _is_of_endpoint(name, path):
        _require(isinstance(value, dict), path, "a map")
    elif name in _LISTS_OF_MAPS:
        _require(_is_list_of(value, dict), path, "a list of maps")
        if name == "conditions":
            complete = all(isinstance(c.get(field), str) for c in value for field in ("type", "status"))
            _require(complete, path, "a list of maps with the texts `type` and `status`")
    elif name in _LISTS_OF_TEXT:
        _require(_is_list_of(value, str), path, "a list of texts")
    elif name in _TEXTS:
        _require(isinstance(value, str), path, "a text")
    elif name in _NUMBERS:
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        _require(whole or (name == "port" and isinstance(value, str | dict)), path, "a whole number from 0")


def _is_of_endpoint(name: str, path: str) -> bool:
    """The one kind whose conditions are no list is EndpointSlice."""
    return name == "conditions" and path.startswith("endpoints[")


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _require(holds: bool, path: str, what: str) -> None:
    if not holds:
        raise _WrongTypeError(f"{path} must be {what}")
