"""Statuses that controllers write, in the form that kstatus calls ready; Helm's ``--wait`` uses it."""

from __future__ import annotations

from typing import Any

from beta9_simulator.cluster.cluster import timestamp
from beta9_simulator.cluster.store import Object

Status = dict[str, Any]
Condition = tuple[str, bool, str, str]  # type, whether it holds, reason, message
Trouble = tuple[str, str]  # reason, message


def conditions(body: Object, *wanted: Condition) -> list[dict[str, str]]:
    """The list for ``status.conditions``; a condition that did not change keeps its times."""
    before = {c["type"]: c for c in body.get("status", {}).get("conditions") or []}
    return [_condition(before.get(kind), kind, holds, why, text) for kind, holds, why, text in wanted]


def _condition(
    before: dict[str, str] | None, kind: str, holds: bool, reason: str, message: str
) -> dict[str, str]:
    status = "True" if holds else "False"
    new = {"type": kind, "status": status, "reason": reason, "message": message}
    if before and all(before.get(key) == value for key, value in new.items()):
        return before
    moved = before is None or before["status"] != status
    since = timestamp() if before is None or moved else before["lastTransitionTime"]
    return {**new, "lastUpdateTime": timestamp(), "lastTransitionTime": since}


def deployment(
    body: Object, *, updated: int, ready: int, total: int, stalled: bool, refusal: str = ""
) -> Status:
    """``updated`` pods are of the newest form, of ``total`` pods ``ready`` are ready.

    ``refusal`` says why the newest pods could not be created.
    """
    wanted = body["spec"]["replicas"]
    complete = updated == wanted and ready >= wanted and total == wanted
    enough = ready >= max(wanted - wanted // 4, 1) or wanted == 0
    available = "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable"
    progress = "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated"
    if stalled:
        progress = "ProgressDeadlineExceeded"
    name = body["metadata"]["name"]
    return {
        "observedGeneration": body["metadata"]["generation"],
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(wanted - ready, 0),
        "conditions": conditions(
            body,
            ("Available", enough, available, f"{ready} of {wanted} replicas are available"),
            ("Progressing", not stalled, progress, f'Deployment "{name}" has {updated} updated replicas'),
            *_failure(refusal),
        ),
    }


def _failure(refusal: str) -> list[Condition]:
    return [("ReplicaFailure", True, "FailedCreate", refusal)] if refusal else []


def replica_set(body: Object, *, total: int, ready: int, refusal: str = "") -> Status:
    """Counts of pods; ``refusal`` says why there are no more."""
    return {
        "observedGeneration": body["metadata"]["generation"],
        "replicas": total,
        "fullyLabeledReplicas": total,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "conditions": conditions(body, *_failure(refusal)),
    }


def stateful_set(body: Object, *, total: int, ready: int, updated: int) -> Status:
    """Counts of pods; the revision is current once all pods are of the newest form and ready."""
    newest = f"{body['metadata']['name']}-{body['metadata']['generation']}"
    current = body.get("status", {}).get("currentRevision", newest)
    done = updated == total == ready == body["spec"]["replicas"]
    return {
        "observedGeneration": body["metadata"]["generation"],
        "replicas": total,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "currentReplicas": total if done else total - updated,
        "updatedReplicas": updated,
        "currentRevision": newest if done else current,
        "updateRevision": newest,
    }


def daemon_set(body: Object, *, wanted: int, total: int, ready: int, updated: int) -> Status:
    """Counts of pods; ``wanted`` nodes should have one."""
    return {
        "observedGeneration": body["metadata"]["generation"],
        "desiredNumberScheduled": wanted,
        "currentNumberScheduled": total,
        "updatedNumberScheduled": updated,
        "numberReady": ready,
        "numberAvailable": ready,
        "numberUnavailable": wanted - ready,
        "numberMisscheduled": 0,
    }


def job(body: Object, *, outcome: str) -> Status:
    """``outcome`` is ``active``, ``complete`` or ``failed``."""
    start = body.get("status", {}).get("startTime") or timestamp()
    if outcome == "active":
        return {"active": 1, "ready": 0, "startTime": start}
    if outcome == "failed":
        why, text = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        holds = conditions(body, ("FailureTarget", True, why, text), ("Failed", True, why, text))
        return {"active": 0, "failed": 1, "startTime": start, "conditions": holds}
    why, text = "CompletionsReached", "Reached expected number of succeeded pods"
    return {
        "active": 0,
        "ready": 0,
        "succeeded": body["spec"]["completions"],
        "startTime": start,
        "completionTime": body.get("status", {}).get("completionTime") or timestamp(),
        "conditions": conditions(
            body, ("SuccessCriteriaMet", True, why, text), ("Complete", True, why, text)
        ),
    }


def pod(body: Object, *, phase: str, ready: bool, reason: str = "", message: str = "") -> Status:
    """``phase`` is that of Kubernetes; ``reason`` says why a pod that should be ready is not."""
    scheduled = bool(body["spec"].get("nodeName"))
    gate = (ready, "" if ready else reason or "ContainersNotReady", message)
    done = phase in ("Succeeded", "Failed")
    return {
        "phase": phase,
        "conditions": conditions(
            body,
            ("PodScheduled", scheduled, "" if scheduled else "Unschedulable", message),
            ("Initialized", scheduled, "", ""),
            ("ContainersReady", *gate),
            ("Ready", *gate),
        ),
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": ready,
                "started": ready,
                "restartCount": 5 if reason == "CrashLoopBackOff" else 0,
                "state": _container_state(body, phase, reason) if scheduled or done else {},
            }
            for container in body["spec"]["containers"]
        ],
    }


def _container_state(body: Object, phase: str, reason: str) -> dict[str, Any]:
    since = body["metadata"]["creationTimestamp"]
    if phase in ("Succeeded", "Failed"):
        code, why = (0, "Completed") if phase == "Succeeded" else (1, "Error")
        return {"terminated": {"exitCode": code, "reason": why, "startedAt": since, "finishedAt": since}}
    if phase == "Running" and not reason:
        return {"running": {"startedAt": since}}
    return {"waiting": {"reason": reason or "ContainerCreating"}}


def established(body: Object) -> Status:
    """Of a CustomResourceDefinition whose types are served."""
    return {
        "acceptedNames": body["spec"]["names"],
        "storedVersions": [v["name"] for v in body["spec"]["versions"] if v.get("storage")],
        "conditions": conditions(
            body,
            ("NamesAccepted", True, "NoConflicts", "no conflicts found"),
            ("Established", True, "InitialNamesAccepted", "the initial names have been accepted"),
        ),
    }


def autoscaler(body: Object, *, current: int, wanted: int, trouble: Trouble | None) -> Status:
    """Of a HorizontalPodAutoscaler whose target is there; ``trouble`` keeps it from following its metrics."""
    active: Condition = ("ScalingActive", True, "ValidMetricFound", "the metrics are taken as steady")
    if trouble:
        active = ("ScalingActive", False, *trouble)
    return {
        "observedGeneration": body["metadata"]["generation"],
        "currentReplicas": current,
        "desiredReplicas": wanted,
        "conditions": conditions(
            body,
            ("AbleToScale", True, "ReadyForNewScale", "the last scale time was sufficiently old"),
            active,
        ),
    }


def autoscaler_without_target(body: Object) -> Status:
    """Of a HorizontalPodAutoscaler that finds nothing to scale."""
    name = body["spec"]["scaleTargetRef"]["name"]
    why: Condition = ("AbleToScale", False, "FailedGetScale", f'there is nothing named "{name}" to scale')
    return {"desiredReplicas": 0, "conditions": conditions(body, why)}


def disruption_budget(body: Object, *, expected: int, healthy: int) -> Status:
    """Of a PodDisruptionBudget over ``expected`` pods, ``healthy`` of which are ready."""
    spec = body["spec"]
    if "minAvailable" in spec:
        needed = _share(spec["minAvailable"], expected)
    else:
        needed = expected - _share(spec.get("maxUnavailable", 1), expected)
    return {
        "observedGeneration": body["metadata"]["generation"],
        "expectedPods": expected,
        "currentHealthy": healthy,
        "desiredHealthy": max(needed, 0),
        "disruptionsAllowed": max(healthy - needed, 0),
        "conditions": conditions(
            body, ("DisruptionAllowed", healthy > needed, "SufficientPods" if healthy > needed else "", "")
        ),
    }


def _share(value: int | str, whole: int) -> int:
    """A number, or a percentage of the whole, rounded up as Kubernetes does."""
    if isinstance(value, int):
        return value
    return -(-whole * int(value.removesuffix("%")) // 100)
