"""Rules that catch mistakes in charts and manifests: names, labels, and required fields of common kinds.

Only a part of what a real API server checks. The patterns are those of
``k8s.io/apimachinery/pkg/util/validation``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from beta9_simulator.cluster.errors import ApiError, invalid
from beta9_simulator.cluster.resources import Resource
from beta9_simulator.cluster.selectors import dig
from beta9_simulator.cluster.store import Object

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PATH_SEGMENT = re.compile(r"(?!\.{1,2}$)[^/%]+")
_QUALIFIED_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?")
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
    "HorizontalPodAutoscaler": ("spec.scaleTargetRef.name", "spec.maxReplicas"),
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
    limit, pattern = 253, _SUBDOMAIN
    if not resource.custom and resource.kind in _DNS_LABEL_NAMES:
        limit, pattern = 63, _LABEL
    elif not resource.custom and resource.kind in _FREE_NAMES:
        pattern = _PATH_SEGMENT
    if not isinstance(name, str) or len(name) > limit or not pattern.fullmatch(name):
        why = f"Invalid value: {name!r}: lower case letters, digits and '-' only, at most {limit} characters"
        raise invalid(resource, str(name), "metadata.name", why)
    _check_labels(resource, name, "metadata.labels", metadata.get("labels"))
    for key, value in (metadata.get("annotations") or {}).items():
        _check_label_key(resource, name, "metadata.annotations", key)
        if not isinstance(value, str):
            raise invalid(
                resource, name, f"metadata.annotations.{key}", f"Invalid value: {value!r}: quote it"
            )


def _check_labels(resource: Resource, name: str, field: str, labels: Any) -> None:
    if not isinstance(labels, dict | None):
        raise invalid(resource, name, field, "Invalid value: must be a map")
    for key, value in (labels or {}).items():
        _check_label_key(resource, name, field, key)
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            why = f"Invalid value: {value!r}: at most 63 letters, digits, '-', '_' or '.', in quotes"
            raise invalid(resource, name, f"{field}.{key}", why)


def _check_label_key(resource: Resource, name: str, field: str, key: str) -> None:
    prefix, slash, bare = key.rpartition("/")
    if not _QUALIFIED_NAME.fullmatch(bare) or (slash and not _SUBDOMAIN.fullmatch(prefix)):
        raise invalid(resource, name, field, f"Invalid value: {key!r} is not a label or annotation key")


def _check_template(resource: Resource, name: str, body: Object) -> None:
    template = body["spec"]["template"]
    labels = dig(template, "metadata.labels")
    _check_labels(resource, name, "spec.template.metadata.labels", labels)
    wanted = dig(body, "spec.selector.matchLabels") or {}
    if any((labels or {}).get(key) != value for key, value in wanted.items()):
        why = "Invalid value: `selector` does not match template `labels`"
        raise invalid(resource, name, "spec.template.metadata.labels", why)
    _check_pod_spec(resource, name, "spec.template.spec", template.get("spec"))
    for index, claim in enumerate(body["spec"].get("volumeClaimTemplates") or []):
        for path in ("metadata.name", *_REQUIRED["PersistentVolumeClaim"]):
            if not dig(claim, path):
                raise invalid(resource, name, f"spec.volumeClaimTemplates[{index}].{path}", "Required value")


def _check_job(resource: Resource, name: str, body: Object) -> None:
    spec = dig(body, "spec.template.spec")
    _check_pod_spec(resource, name, "spec.template.spec", spec)
    if spec.get("restartPolicy") not in ("Never", "OnFailure"):
        why = "Required value: valid values: OnFailure, Never"
        raise invalid(resource, name, "spec.template.spec.restartPolicy", why)


def _check_pod(resource: Resource, name: str, body: Object) -> None:
    _check_pod_spec(resource, name, "spec", body["spec"])


def _check_pod_spec(resource: Resource, name: str, field: str, spec: Any) -> None:
    containers = dig(spec, "containers")
    if not isinstance(containers, list) or not containers:
        raise invalid(resource, name, f"{field}.containers", "Required value")
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or []):
            for required in ("name", "image"):
                if not container.get(required):
                    raise invalid(resource, name, f"{field}.{kind}[{index}].{required}", "Required value")
    volumes = {volume.get("name") for volume in spec.get("volumes") or []}
    mounts = [m for c in containers for m in c.get("volumeMounts") or []]
    for mount in mounts:
        # The controller of a StatefulSet adds the volumes of its claim templates to the pod.
        if mount.get("name") not in volumes and resource.kind not in ("StatefulSet", "Pod"):
            where = f"{field}.containers.volumeMounts"
            raise invalid(resource, name, where, f"Not found: there is no volume {mount.get('name')!r}")


def _check_service(resource: Resource, name: str, body: Object) -> None:
    spec = body["spec"]
    ports = spec.get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        raise invalid(resource, name, "spec.ports", "Required value")
    for index, port in enumerate(ports):
        if not isinstance(port.get("port"), int) or not 1 <= port["port"] <= 65535:
            why = f"Invalid value: {port.get('port')!r}: must be between 1 and 65535"
            raise invalid(resource, name, f"spec.ports[{index}].port", why)
        if len(ports) > 1 and not port.get("name"):
            raise invalid(resource, name, f"spec.ports[{index}].name", "Required value")


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
    for field in ("minAvailable", "maxUnavailable"):
        value = body["spec"].get(field, 0)
        if not isinstance(value, int) and not re.fullmatch(r"\d+%", str(value)):
            raise invalid(
                resource, name, f"spec.{field}", f"Invalid value: {value!r}: a number or percentage"
            )


_CHECKS: dict[str, Callable[[Resource, str, Object], None]] = {
    "Deployment": _check_template,
    "DaemonSet": _check_template,
    "StatefulSet": _check_template,
    "Job": _check_job,
    "Pod": _check_pod,
    "Service": _check_service,
    "PodDisruptionBudget": _check_budget,
    "Secret": _check_secret,
    "ConfigMap": _check_config_map,
    "CustomResourceDefinition": _check_definition,
}
