"""HorizontalPodAutoscalers: they keep a scale within its bounds, and say why they could not follow a metric.

Metrics themselves are taken as steady: nothing is measured here.
"""

from __future__ import annotations

import copy
from typing import Any

from beta9_simulator.cluster import statuses
from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.selectors import dig
from beta9_simulator.cluster.store import Object
from beta9_simulator.cluster.syntax import is_label_key, is_label_value

_AUTOSCALERS = BUILTIN["horizontalpodautoscalers"]
_SCALED = {"Deployment": "deployments", "StatefulSet": "statefulsets", "ReplicaSet": "replicasets"}
_METRIC_SOURCES = ("external", "object", "pods")


def sync_autoscaler(cluster: Cluster, body: Object) -> None:
    """Scale the target into the bounds, and write the status."""
    spec, namespace = body["spec"], body["metadata"]["namespace"]
    reference = spec["scaleTargetRef"]
    resource = BUILTIN.get(_SCALED.get(reference["kind"], ""))
    target = cluster.store.get(resource, namespace, reference["name"]) if resource else None
    if resource is None or target is None:
        status = statuses.autoscaler_without_target(body)
        cluster.set_status(_AUTOSCALERS, body, status)
        return
    current = target["spec"]["replicas"]
    # A scale of 0 turns autoscaling off.
    wanted = min(max(current, spec["minReplicas"]), spec["maxReplicas"]) if current else 0
    ambiguity = _ambiguity(cluster, body)
    if ambiguity:
        wanted = current
    if wanted != current:
        scaled = copy.deepcopy(target)
        scaled["spec"]["replicas"] = wanted
        cluster.replace(resource, target, scaled)
    status = statuses.autoscaler(
        body, current=current, wanted=wanted, trouble=ambiguity or _unusable_selector(spec)
    )
    cluster.set_status(_AUTOSCALERS, body, status)


def _ambiguity(cluster: Cluster, body: Object) -> statuses.Trouble | None:
    """Two autoscalers of one target do nothing at all."""
    namespace, reference = body["metadata"]["namespace"], body["spec"]["scaleTargetRef"]
    names = [
        other["metadata"]["name"]
        for other in cluster.store.select(_AUTOSCALERS, namespace)
        if all(other["spec"]["scaleTargetRef"].get(key) == reference[key] for key in ("kind", "name"))
    ]
    if len(names) < 2:
        return None
    return "AmbiguousSelector", f"pods are controlled by multiple HPAs: {', '.join(names)}"


def _unusable_selector(spec: dict[str, Any]) -> statuses.Trouble | None:
    """The API accepts any labels to select a metric by; it is the controller that stumbles over them."""
    for metric in spec.get("metrics") or []:
        for source in _METRIC_SOURCES:
            labels = dig(metric, f"{source}.metric.selector.matchLabels") or {}
            for key, value in labels.items():
                if not is_label_key(key) or not is_label_value(value):
                    reason = f"FailedGet{source.title()}Metric"
                    return reason, f"the selector {key}={value!r} cannot be used: it is no legal label"
    return None
