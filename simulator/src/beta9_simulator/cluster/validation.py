"""Rules that catch mistakes in charts and manifests: names, labels, and required fields of common kinds.

Only a part of what a real API server checks. Rules of pods are in ``pod_rules.py``, those of Services,
Ingresses and NetworkPolicies in ``network_rules.py``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from beta9_simulator.cluster.errors import ApiError, invalid
from beta9_simulator.cluster.network_rules import check_ingress, check_policy, check_service
from beta9_simulator.cluster.pod_rules import PodRules
from beta9_simulator.cluster.resources import Resource
from beta9_simulator.cluster.selectors import dig, selects
from beta9_simulator.cluster.store import Object
from beta9_simulator.cluster.syntax import (
    LABEL,
    SUBDOMAIN,
    check_label_key,
    check_labels,
    check_selector,
)

_PATH_SEGMENT = re.compile(r"(?!\.{1,2}$)[^/%]+")
_DNS_LABEL_NAMES = {"Namespace", "Service"}
_FREE_NAMES = {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
_IMMUTABLE = {
    "Deployment": ("spec.selector",),
    "DaemonSet": ("spec.selector",),
    "StatefulSet": ("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates"),
    "Job": ("spec.selector", "spec.template", "spec.completions"),
    "PersistentVolumeClaim": ("spec.storageClassName", "spec.accessModes", "spec.volumeName"),
    "StorageClass": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
    "Secret": ("type",),
}
_REQUIRED = {
    "Deployment": ("spec.selector", "spec.template"),
    "DaemonSet": ("spec.selector", "spec.template"),
    "StatefulSet": ("spec.selector", "spec.template"),
    "ReplicaSet": ("spec.selector",),
    "Job": ("spec.template",),
    "Pod": ("spec.containers",),
    "Service": ("spec",),
    "PersistentVolumeClaim": ("spec.accessModes", "spec.resources.requests.storage"),
    "StorageClass": ("provisioner",),
    "RoleBinding": ("roleRef.name",),
    "ClusterRoleBinding": ("roleRef.name",),
    "CustomResourceDefinition": ("spec.group", "spec.names.plural", "spec.names.kind", "spec.versions"),
    "HorizontalPodAutoscaler": ("spec.scaleTargetRef.kind", "spec.scaleTargetRef.name", "spec.maxReplicas"),
    "Ingress": ("spec",),
    "NetworkPolicy": ("spec",),
    "PodDisruptionBudget": ("spec",),
    "APIService": ("spec.group", "spec.version"),
}


def check_shape(resource: Resource, body: Any) -> None:
    """Refuse bodies that are no object at all, or not of the type that the path names.

    Raises:
        ApiError: 400.
    """
    if not isinstance(body, dict) or not isinstance(body.get("metadata", {}), dict):
        raise ApiError(400, f"the body must be an object of kind {resource.kind}")
    kind, api_version = body.get("kind", resource.kind), body.get("apiVersion", resource.group_version)
    if kind != resource.kind or api_version != resource.group_version:
        wanted = f"{resource.group_version} {resource.kind}"
        raise ApiError(400, f"the body is a {api_version} {kind}, but the path is that of {wanted}")


def check_object(resource: Resource, body: Object) -> None:
    """Refuse objects that break a rule of their kind.

    Raises:
        ApiError: 422, naming the field.
    """
    _check_metadata(resource, body)
    if resource.custom:
        return
    name = body["metadata"]["name"]
    for path in _REQUIRED.get(resource.kind, ()):
        if dig(body, path) in (None, "", [], {}):
            raise invalid(resource, name, path, "Required value")
    check = _CHECKS.get(resource.kind)
    if check:
        check(resource, name, body)


def check_change(resource: Resource, before: Object, after: Object) -> None:
    """Refuse changes of fields that cannot change once they are set.

    Raises:
        ApiError: 422, naming the field.
    """
    for path in () if resource.custom else _IMMUTABLE.get(resource.kind, ()):
        if dig(before, path) not in (None, dig(after, path)):
            name = after["metadata"]["name"]
            raise invalid(resource, name, path, "Invalid value: field is immutable")
    if before.get("immutable") and any(before.get(k) != after.get(k) for k in ("data", "binaryData")):
        name = after["metadata"]["name"]
        raise invalid(resource, name, "data", "Forbidden: field is immutable when `immutable` is set")


def _check_metadata(resource: Resource, body: Object) -> None:
    metadata = body["metadata"]
    name = metadata["name"]
    limit, pattern = 253, SUBDOMAIN
    if not resource.custom and resource.kind in _DNS_LABEL_NAMES:
        limit, pattern = 63, LABEL
    elif not resource.custom and resource.kind in _FREE_NAMES:
        pattern = _PATH_SEGMENT
    if not isinstance(name, str) or len(name) > limit or not pattern.fullmatch(name):
        why = f"Invalid value: {name!r}: lower case letters, digits and '-' only, at most {limit} characters"
        raise invalid(resource, str(name), "metadata.name", why)
    check_labels(resource, name, "metadata.labels", metadata.get("labels"))
    for key, value in (metadata.get("annotations") or {}).items():
        check_label_key(resource, name, "metadata.annotations", key)
        if not isinstance(value, str):
            raise invalid(
                resource, name, f"metadata.annotations.{key}", f"Invalid value: {value!r}: quote it"
            )


def _check_template(resource: Resource, name: str, body: Object) -> None:
    template = body["spec"]["template"]
    check_selector(resource, name, "spec.selector", body["spec"]["selector"])
    labels = dig(template, "metadata.labels")
    check_labels(resource, name, "spec.template.metadata.labels", labels)
    if not selects(body["spec"]["selector"], labels or {}):
        why = "Invalid value: `selector` does not match template `labels`"
        raise invalid(resource, name, "spec.template.metadata.labels", why)
    PodRules(resource, name, "spec.template.spec").check(template.get("spec"))
    for index, claim in enumerate(body["spec"].get("volumeClaimTemplates") or []):
        for path in ("metadata.name", *_REQUIRED["PersistentVolumeClaim"]):
            if not dig(claim, path):
                raise invalid(resource, name, f"spec.volumeClaimTemplates[{index}].{path}", "Required value")


def _check_deployment(resource: Resource, name: str, body: Object) -> None:
    _check_template(resource, name, body)
    rolling = dig(body, "spec.strategy.rollingUpdate") or {}
    if rolling and all(str(rolling.get(field, 0)) in ("0", "0%") for field in ("maxSurge", "maxUnavailable")):
        why = "Invalid value: may not be 0 when `maxSurge` is 0"
        raise invalid(resource, name, "spec.strategy.rollingUpdate.maxUnavailable", why)


def _check_job(resource: Resource, name: str, body: Object) -> None:
    spec = dig(body, "spec.template.spec")
    PodRules(resource, name, "spec.template.spec").check(spec)
    if spec.get("restartPolicy") not in ("Never", "OnFailure"):
        why = "Required value: valid values: OnFailure, Never"
        raise invalid(resource, name, "spec.template.spec.restartPolicy", why)


def _check_pod(resource: Resource, name: str, body: Object) -> None:
    PodRules(resource, name, "spec").check(body["spec"])


def _check_secret(resource: Resource, name: str, body: Object) -> None:
    for key, value in (body.get("data") or {}).items():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise invalid(resource, name, f"data.{key}", "Invalid value: must be base64") from error


def _check_config_map(resource: Resource, name: str, body: Object) -> None:
    for key, value in (body.get("data") or {}).items():
        if not isinstance(value, str):
            raise invalid(resource, name, f"data.{key}", f"Invalid value: {value!r}: must be text; quote it")


def _check_definition(resource: Resource, name: str, body: Object) -> None:
    expected = f"{body['spec']['names']['plural']}.{body['spec']['group']}"
    if name != expected:
        why = f"Invalid value: must be spec.names.plural+'.'+spec.group, which is {expected}"
        raise invalid(resource, name, "metadata.name", why)
    if sum(bool(version.get("storage")) for version in body["spec"]["versions"]) != 1:
        raise invalid(resource, name, "spec.versions", "Invalid value: exactly one must have `storage: true`")
    if body["spec"].get("scope") not in ("Namespaced", "Cluster"):
        raise invalid(resource, name, "spec.scope", "Invalid value: must be Namespaced or Cluster")


def _check_budget(resource: Resource, name: str, body: Object) -> None:
    spec = body["spec"]
    check_selector(resource, name, "spec.selector", spec.get("selector"))
    if "minAvailable" in spec and "maxUnavailable" in spec:
        raise invalid(resource, name, "spec", "Invalid value: only one of minAvailable and maxUnavailable")
    for field in ("minAvailable", "maxUnavailable"):
        value = spec.get(field, 0)
        if not isinstance(value, int) and not re.fullmatch(r"\d+%", str(value)):
            why = f"Invalid value: {value!r}: a number or percentage"
            raise invalid(resource, name, f"spec.{field}", why)


def _check_autoscaler(resource: Resource, name: str, body: Object) -> None:
    """The labels by which a metric is selected are not looked at: a real API server accepts any."""
    spec = body["spec"]
    if spec["maxReplicas"] < spec["minReplicas"]:
        raise invalid(resource, name, "spec.maxReplicas", "Invalid value: less than minReplicas")
    for direction in ("scaleUp", "scaleDown"):
        rules = dig(spec, f"behavior.{direction}") or {}
        where = f"spec.behavior.{direction}"
        if not 0 <= rules.get("stabilizationWindowSeconds", 0) <= 3600:
            why = "Invalid value: must be from 0 to 3600"
            raise invalid(resource, name, f"{where}.stabilizationWindowSeconds", why)
        for policy in rules.get("policies") or []:
            if not 1 <= policy.get("periodSeconds", 0) <= 1800:
                why = "Invalid value: periodSeconds must be from 1 to 1800"
                raise invalid(resource, name, f"{where}.policies", why)
            if policy.get("value", 0) < 1:
                raise invalid(resource, name, f"{where}.policies", "Invalid value: value must be positive")


_CHECKS: dict[str, Callable[[Resource, str, Object], None]] = {
    "Deployment": _check_deployment,
    "DaemonSet": _check_template,
    "StatefulSet": _check_template,
    "Job": _check_job,
    "Pod": _check_pod,
    "Service": check_service,
    "Ingress": check_ingress,
    "NetworkPolicy": check_policy,
    "PodDisruptionBudget": _check_budget,
    "HorizontalPodAutoscaler": _check_autoscaler,
    "Secret": _check_secret,
    "ConfigMap": _check_config_map,
    "CustomResourceDefinition": _check_definition,
}
