"""Where pods can run: node selectors, taints, cordons and readiness. Resources and affinity do not count."""

from __future__ import annotations

from typing import Any

from beta9_simulator.cluster.store import Object

_BLOCKING_EFFECTS = ("NoSchedule", "NoExecute")


def is_ready(body: Object) -> bool:
    """Whether a node or pod has the condition ``Ready``."""
    conditions = body.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def feasible_nodes(pod_spec: dict[str, Any], nodes: list[Object], *, daemon: bool = False) -> list[str]:
    """Names of the nodes that may take the pod. Pods of DaemonSets ignore cordons and unready nodes."""
    return [node["metadata"]["name"] for node in nodes if not why_not(pod_spec, node, daemon=daemon)]


def why_not(pod_spec: dict[str, Any], node: Object, *, daemon: bool = False) -> str:
    """Why the pod cannot run on the node, in the scheduler's words; empty if it can."""
    labels = node["metadata"].get("labels") or {}
    spec = node.get("spec") or {}
    if not daemon and not is_ready(node):
        return "node(s) were not ready"
    if not daemon and spec.get("unschedulable"):
        return "node(s) were unschedulable"
    wanted = pod_spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return "node(s) didn't match Pod's node affinity/selector"
    for taint in spec.get("taints") or []:
        tolerations = pod_spec.get("tolerations") or []
        if taint["effect"] in _BLOCKING_EFFECTS and not any(_tolerates(t, taint) for t in tolerations):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return ""


def unschedulable_message(pod_spec: dict[str, Any], nodes: list[Object]) -> str:
    """The message of the pod's condition when no node takes it."""
    reasons = [why_not(pod_spec, node) for node in nodes]
    counted = sorted({reason: reasons.count(reason) for reason in reasons}.items())
    detail = ", ".join(f"{count} {reason}" for reason, count in counted) or "no nodes available"
    return f"0/{len(nodes)} nodes are available: {detail}."


def _tolerates(toleration: dict[str, Any], taint: dict[str, str]) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    same_key = toleration.get("key") == taint["key"]
    return same_key and toleration.get("value", "") == taint.get("value", "")
