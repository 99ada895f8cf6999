"""Answers in the forms that clients ask for: whole objects, tables for ``kubectl get``, metadata only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from beta9_simulator.cluster.resources import Resource
from beta9_simulator.cluster.scheduling import is_ready
from beta9_simulator.cluster.selectors import dig
from beta9_simulator.cluster.store import Object

Cell = Callable[[Object], Any]


def is_table(accept: str) -> bool:
    """Whether the client asks for a table."""
    return "as=Table" in accept.split(",", maxsplit=1)[0]


def present(resource: Resource, body: Object, accept: str, *, include_object: bool = False) -> dict[str, Any]:
    """One object, in the form asked for."""
    if is_table(accept):
        return _table(resource, [body], {}, include_object)
    if _is_metadata_only(accept):
        return _metadata_only(body)
    return {**body, "apiVersion": resource.group_version}


def present_list(
    resource: Resource,
    bodies: list[Object],
    metadata: dict[str, Any],
    accept: str,
    *,
    include_object: bool = False,
) -> dict[str, Any]:
    """Many objects, in the form asked for; ``metadata`` is the list's own."""
    if is_table(accept):
        return _table(resource, bodies, metadata, include_object)
    if _is_metadata_only(accept):
        kind, api_version = "PartialObjectMetadataList", "meta.k8s.io/v1"
        items = [_metadata_only(body) for body in bodies]
    else:
        kind, api_version = f"{resource.kind}List", resource.group_version
        items = [{**body, "apiVersion": api_version} for body in bodies]
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items}


def _is_metadata_only(accept: str) -> bool:
    return "as=PartialObjectMetadata" in accept.split(",", maxsplit=1)[0]


def _metadata_only(body: Object) -> dict[str, Any]:
    kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {**kind, "metadata": body["metadata"]}


def _table(
    resource: Resource, bodies: list[Object], metadata: dict[str, Any], include_object: bool
) -> dict[str, Any]:
    columns = _columns(resource)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [
            {
                "name": name,
                "type": "string",
                "format": "name" if name == "Name" else "",
                "description": "",
                "priority": 0,
            }
            for name in columns
        ],
        "rows": [
            {
                "cells": [cell(body) for cell in columns.values()],
                "object": {**body, "apiVersion": resource.group_version}
                if include_object
                else _metadata_only(body),
            }
            for body in bodies
        ],
    }


def _columns(resource: Resource) -> dict[str, Cell]:
    special: dict[str, Cell] = {} if resource.custom else _SPECIAL.get(resource.kind, {})
    custom = {column.name: _at(column.path.lstrip(".")) for column in resource.columns}
    custom.pop("Age", None)
    return {"Name": _at("metadata.name"), **special, **custom, "Age": _age}


def _at(path: str, missing: str = "<none>") -> Cell:
    """A cell with the value at a dotted path; the one filter printer columns use is that for conditions."""
    head, marker, rest = path.partition('[?(@.type=="')
    if not marker:
        return lambda body: missing if (value := dig(body, path)) is None else value
    kind, _, field = rest.partition('")].')

    def cell(body: Object) -> Any:
        return next((c.get(field) for c in dig(body, head) or [] if c["type"] == kind), missing)

    return cell


def _share(ready: str, wanted: str) -> Cell:
    return lambda body: f"{dig(body, ready) or 0}/{dig(body, wanted) or 0}"


def _age(body: Object) -> str:
    since = datetime.fromisoformat(body["metadata"]["creationTimestamp"])
    seconds = int((datetime.now(UTC) - since).total_seconds())
    for limit, unit, letter in ((120, 1, "s"), (7_200, 60, "m"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds // unit}{letter}"
    return f"{seconds // 86_400}d"


def _node_status(body: Object) -> str:
    cordoned = ",SchedulingDisabled" if dig(body, "spec.unschedulable") else ""
    return ("Ready" if is_ready(body) else "NotReady") + cordoned


def _pod_ready(body: Object) -> str:
    containers = dig(body, "status.containerStatuses") or []
    return f"{sum(bool(c['ready']) for c in containers)}/{len(body['spec']['containers'])}"


def _pod_status(body: Object) -> str:
    for container in dig(body, "status.containerStatuses") or []:
        for state in ("waiting", "terminated"):
            if reason := dig(container, f"state.{state}.reason"):
                return str(reason)
    return str(dig(body, "status.phase"))


def _external_address(body: Object) -> str:
    addresses = dig(body, "status.loadBalancer.ingress") or []
    if addresses:
        return str(addresses[0]["hostname"])
    return "<pending>" if dig(body, "spec.type") == "LoadBalancer" else "<none>"


def _ports(body: Object) -> str:
    ports = dig(body, "spec.ports") or []
    return ",".join(f"{p['port']}/{p['protocol']}" for p in ports) or "<none>"


def _hosts(body: Object) -> str:
    return ",".join(rule.get("host", "*") for rule in dig(body, "spec.rules") or []) or "*"


def _available(body: Object) -> str:
    conditions = dig(body, "status.conditions") or []
    return next((c["status"] for c in conditions if c["type"] == "Available"), "Unknown")


_SPECIAL: dict[str, dict[str, Cell]] = {
    "Node": {"Status": _node_status, "Version": _at("status.nodeInfo.kubeletVersion")},
    "Namespace": {"Status": _at("status.phase")},
    "Pod": {"Ready": _pod_ready, "Status": _pod_status, "Node": _at("spec.nodeName")},
    "Deployment": {
        "Ready": _share("status.readyReplicas", "spec.replicas"),
        "Up-to-date": _at("status.updatedReplicas", "0"),
        "Available": _at("status.availableReplicas", "0"),
    },
    "StatefulSet": {"Ready": _share("status.readyReplicas", "spec.replicas")},
    "ReplicaSet": {
        "Desired": _at("spec.replicas"),
        "Current": _at("status.replicas", "0"),
        "Ready": _at("status.readyReplicas", "0"),
    },
    "DaemonSet": {
        "Desired": _at("status.desiredNumberScheduled", "0"),
        "Ready": _at("status.numberReady", "0"),
    },
    "Job": {"Completions": _share("status.succeeded", "spec.completions")},
    "Service": {
        "Type": _at("spec.type"),
        "Cluster-IP": _at("spec.clusterIP"),
        "External-IP": _external_address,
        "Port(s)": _ports,
    },
    "Ingress": {
        "Class": _at("spec.ingressClassName"),
        "Hosts": _hosts,
        "Address": lambda body: _external_address(body).replace("<none>", ""),
    },
    "PersistentVolumeClaim": {
        "Status": _at("status.phase"),
        "Volume": _at("spec.volumeName", ""),
        "Storageclass": _at("spec.storageClassName", ""),
    },
    "HorizontalPodAutoscaler": {
        "Reference": lambda body: "{kind}/{name}".format_map(body["spec"]["scaleTargetRef"]),
        "Minpods": _at("spec.minReplicas"),
        "Maxpods": _at("spec.maxReplicas"),
        "Replicas": _at("status.currentReplicas", "0"),
    },
    "PodDisruptionBudget": {
        "Min available": _at("spec.minAvailable", "N/A"),
        "Max unavailable": _at("spec.maxUnavailable", "N/A"),
        "Allowed disruptions": _at("status.disruptionsAllowed", "0"),
    },
    "APIService": {"Available": _available},
    "Secret": {"Type": _at("type"), "Data": lambda body: len(body.get("data") or {})},
    "ConfigMap": {"Data": lambda body: len(body.get("data") or {})},
}
