"""The controllers that make pods: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job; and the pods."""

from __future__ import annotations

import copy
import hashlib
import json
import uuid
from typing import Any

from beta9_simulator.cluster import statuses
from beta9_simulator.cluster.behaviour import Behaviour
from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.connections import unreached
from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.references import has_unbound_claims, missing_reference
from beta9_simulator.cluster.resources import BUILTIN, Resource
from beta9_simulator.cluster.scheduling import feasible_nodes, is_ready, unschedulable_message
from beta9_simulator.cluster.store import Object, name_of

PODS = BUILTIN["pods"]
_NODES = BUILTIN["nodes"]
_DEPLOYMENTS = BUILTIN["deployments"]
_REPLICA_SETS = BUILTIN["replicasets"]
_STATEFUL_SETS = BUILTIN["statefulsets"]
_DAEMON_SETS = BUILTIN["daemonsets"]
_JOBS = BUILTIN["jobs"]
_CLAIMS = BUILTIN["persistentvolumeclaims"]
_REVISION = "deployment.kubernetes.io/revision"
_FORM = "local.beta9/template"  # annotation: which form of its owner's template a pod was made from


class Workloads:
    """Brings the pods of an object, and its status, in line with its specification, repeatably.

    ``settled`` says that the time the object takes to become ready has passed.
    """

    def __init__(self, cluster: Cluster, behaviour: Behaviour) -> None:
        self._cluster = cluster
        self._behaviour = behaviour

    def deployment(self, body: Object, settled: bool) -> None:
        """Make the newest ReplicaSet, and empty the older ones once it is ready."""
        template = copy.deepcopy(body["spec"]["template"])
        form = _form(template)
        replica_sets = self._children(_REPLICA_SETS, body)
        newest = next(
            (rs for rs in replica_sets if rs["metadata"]["labels"]["pod-template-hash"] == form), None
        )
        if settled and newest is None:
            newest = self._new_replica_set(body, template, form)
        updated: list[Object] = []
        if newest is not None:
            body, newest = self._number(body, newest, replica_sets)
            newest = self._scale(newest, body["spec"]["replicas"] if settled else newest["spec"]["replicas"])
            updated = self.replica_set(newest, settled)
        enough = newest is not None and len(updated) == newest["spec"]["replicas"]
        complete = settled and enough and all(map(is_ready, updated))
        older = [rs for rs in replica_sets if newest is None or name_of(rs) != name_of(newest)]
        rest: list[Object] = []
        for replica_set in older:
            kept = self._scale(replica_set, 0) if complete else replica_set
            rest += self.replica_set(kept, True, owner=kept)
        pods = updated + rest
        if complete:
            self._forget_revisions(body, older)
        status = statuses.deployment(
            body,
            updated=len(updated),
            ready=sum(map(is_ready, pods)),
            total=len(pods),
            stalled=settled and (self._is_failing("Deployment", body) or self._is_cut_off(updated)),
            refusal=self._refusal(newest),
        )
        self._cluster.set_status(_DEPLOYMENTS, body, status)

    def _number(self, body: Object, newest: Object, replica_sets: list[Object]) -> tuple[Object, Object]:
        """Give the newest form the highest revision, also when it is an older one that came back."""
        others = [_revision(rs) for rs in replica_sets if name_of(rs) != name_of(newest)]
        number = max([1, _revision(newest), *(revision + 1 for revision in others)])
        newest = self._annotate(_REPLICA_SETS, newest, _REVISION, str(number))
        return self._annotate(_DEPLOYMENTS, body, _REVISION, str(number)), newest

    def _forget_revisions(self, body: Object, older: list[Object]) -> None:
        """Delete the oldest empty ReplicaSets that the Deployment does not want kept."""
        surplus = len(older) - body["spec"]["revisionHistoryLimit"]
        for replica_set in sorted(older, key=_revision)[: max(surplus, 0)]:
            self._cluster.delete(_REPLICA_SETS, *name_of(replica_set))

    def _refusal(self, replica_set: Object | None) -> str:
        """Why the ReplicaSet could not make its pods; empty if it could."""
        current = replica_set and self._cluster.store.get(_REPLICA_SETS, *name_of(replica_set))
        found = ((current or {}).get("status") or {}).get("conditions") or []
        return next((c["message"] for c in found if c["type"] == "ReplicaFailure"), "")

    def _annotate(self, resource: Resource, body: Object, key: str, value: str) -> Object:
        annotations = body["metadata"].get("annotations") or {}
        if annotations.get(key) == value:
            return body
        changed = copy.deepcopy(body)
        changed["metadata"]["annotations"] = {**annotations, key: value}
        return self._cluster.replace(resource, body, changed)

    def replica_set(self, body: Object, settled: bool, owner: Object | None = None) -> list[Object]:
        """Make or delete pods until there are enough; returns them."""
        wanted = body["spec"]["replicas"]
        pods = self._children(PODS, body)
        for surplus in pods[wanted:]:
            self._cluster.delete(PODS, *name_of(surplus))
        pods = pods[:wanted]
        refusal = ""
        while len(pods) < wanted and not refusal:
            suffix = uuid.uuid4().hex[:5]
            try:
                pods.append(self._new_pod(_REPLICA_SETS, body, f"{body['metadata']['name']}-{suffix}"))
            except ApiError as error:
                refusal = error.message
        faulty = owner or self._owner(_DEPLOYMENTS, body) or body
        pods = [self._run(pod, settled, faulty) for pod in pods]
        ready = sum(map(is_ready, pods))
        status = statuses.replica_set(body, total=len(pods), ready=ready, refusal=refusal)
        self._cluster.set_status(_REPLICA_SETS, body, status)
        return pods

    def stateful_set(self, body: Object, settled: bool) -> None:
        """Make pods with fixed names and, before them, their volume claims, which outlive the StatefulSet."""
        base, form = body["metadata"]["name"], _form(body["spec"]["template"])
        names = [f"{base}-{index}" for index in range(body["spec"]["replicas"])]
        pods = {pod["metadata"]["name"]: pod for pod in self._children(PODS, body)}
        for name, pod in list(pods.items()):
            outdated = settled and pod["metadata"]["annotations"].get(_FORM) != form
            if name not in names or outdated:
                self._cluster.delete(PODS, *name_of(pod))
                del pods[name]
        for name in names:
            self._claims_of(body, name)
            if name not in pods:
                pods[name] = self._new_pod(_STATEFUL_SETS, body, name)
        running = [self._run(pods[name], settled, body) for name in names]
        updated = sum(pod["metadata"]["annotations"].get(_FORM) == form for pod in running)
        ready = sum(map(is_ready, running))
        status = statuses.stateful_set(body, total=len(running), ready=ready, updated=updated)
        self._cluster.set_status(_STATEFUL_SETS, body, status)

    def daemon_set(self, body: Object, settled: bool) -> None:
        """Make one pod on every node that may take it."""
        spec, form = body["spec"]["template"]["spec"], _form(body["spec"]["template"])
        nodes = feasible_nodes(spec, self._cluster.store.select(_NODES), daemon=True)
        pods = {pod["spec"].get("nodeName"): pod for pod in self._children(PODS, body)}
        for node, pod in list(pods.items()):
            outdated = settled and pod["metadata"]["annotations"].get(_FORM) != form
            if node not in nodes or outdated:
                self._cluster.delete(PODS, *name_of(pod))
                del pods[node]
        for node in nodes:
            if node not in pods:
                name = f"{body['metadata']['name']}-{uuid.uuid4().hex[:5]}"
                pods[node] = self._new_pod(_DAEMON_SETS, body, name, node)
        running = [self._run(pod, settled, body) for pod in pods.values()]
        status = statuses.daemon_set(
            body,
            wanted=len(nodes),
            total=len(running),
            ready=sum(map(is_ready, running)),
            updated=sum(pod["metadata"]["annotations"].get(_FORM) == form for pod in running),
        )
        self._cluster.set_status(_DAEMON_SETS, body, status)

    def job(self, body: Object, settled: bool) -> None:
        """Make one pod and let it finish."""
        if any(c["status"] == "True" for c in body.get("status", {}).get("conditions") or []):
            return
        pods = self._children(PODS, body)
        name = f"{body['metadata']['name']}-{uuid.uuid4().hex[:5]}"
        pod = self._run(pods[0] if pods else self._new_pod(_JOBS, body, name), False, body)
        outcome = "active"
        startable = pod["spec"].get("nodeName") and not missing_reference(self._cluster.store, pod)
        if settled and startable and not self._is_held("Job", body):
            timed_out = unreached(self._cluster, pod)
            outcome = "failed" if timed_out or self._is_failing("Job", body) else "complete"
            phase = "Failed" if outcome == "failed" else "Succeeded"
            self._cluster.set_status(
                PODS, pod, statuses.pod(pod, phase=phase, ready=False, message=timed_out)
            )
        self._cluster.set_status(_JOBS, body, statuses.job(body, outcome=outcome))

    def pod(self, body: Object, settled: bool) -> None:
        """A pod that no controller made."""
        if not _controller(body):
            self._run(body, settled, body)

    def _run(self, pod: Object, settled: bool, owner: Object) -> Object:
        """Place the pod on a node and write its status; ``owner`` is whose faults count besides its own."""
        nodes = self._cluster.store.select(_NODES)
        if not pod["spec"].get("nodeName"):
            feasible = feasible_nodes(pod["spec"], nodes)
            if not feasible or has_unbound_claims(self._cluster.store, pod):
                message = "pod has unbound PersistentVolumeClaims"
                if not feasible:
                    message = unschedulable_message(pod["spec"], nodes)
                status = statuses.pod(pod, phase="Pending", ready=False, message=message)
                return self._cluster.set_status(PODS, pod, status)
            placed = copy.deepcopy(pod)
            placed["spec"]["nodeName"] = self._least_loaded(feasible)
            pod = self._cluster.replace(PODS, pod, placed)
        if not pod.get("status", {}).get("podIP"):
            pod = self._cluster.set_status(PODS, pod, {"podIP": self._cluster.next_pod_address()})
        where = pod["spec"]["nodeName"]
        healthy = any(node["metadata"]["name"] == where and is_ready(node) for node in nodes)
        faulty = ((owner["kind"], owner), ("Pod", pod))
        settled = settled or is_ready(pod)  # what runs keeps running while its owner changes
        missing = "" if is_ready(pod) else missing_reference(self._cluster.store, pod)
        if missing:
            why = "CreateContainerConfigError"
            status = statuses.pod(pod, phase="Pending", ready=False, reason=why, message=missing)
        elif settled and (
            (timed_out := unreached(self._cluster, pod))
            or any(self._is_failing(kind, body) for kind, body in faulty)
        ):
            why = "CrashLoopBackOff"
            status = statuses.pod(pod, phase="Running", ready=False, reason=why, message=timed_out)
        elif settled and healthy and not any(self._is_held(kind, body) for kind, body in faulty):
            status = statuses.pod(pod, phase="Running", ready=True)
        else:
            status = statuses.pod(pod, phase="Pending", ready=False)
        return self._cluster.set_status(PODS, pod, status)

    def _least_loaded(self, nodes: list[str]) -> str:
        taken = [pod["spec"].get("nodeName") for pod in self._cluster.store.select(PODS)]
        return min(nodes, key=lambda node: (taken.count(node), node))

    def _new_replica_set(self, body: Object, template: dict[str, Any], form: str) -> Object:
        metadata = body["metadata"]
        labels = {**(template.get("metadata", {}).get("labels") or {}), "pod-template-hash": form}
        template.setdefault("metadata", {})["labels"] = labels
        selector = copy.deepcopy(body["spec"]["selector"])
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), "pod-template-hash": form}
        replica_set = {
            "metadata": {
                "name": f"{metadata['name']}-{form}",
                "labels": labels,
                "annotations": {_REVISION: "0"},
                "ownerReferences": [_reference(_DEPLOYMENTS, body)],
            },
            "spec": {"replicas": body["spec"]["replicas"], "selector": selector, "template": template},
        }
        return self._cluster.insert(_REPLICA_SETS, metadata["namespace"], replica_set)

    def _scale(self, body: Object, replicas: int) -> Object:
        if body["spec"]["replicas"] == replicas:
            return body
        return self._cluster.replace(
            _REPLICA_SETS, body, {**copy.deepcopy(body), "spec": {**body["spec"], "replicas": replicas}}
        )

    def _new_pod(self, resource: Resource, owner: Object, name: str, node: str | None = None) -> Object:
        template = copy.deepcopy(owner["spec"]["template"])
        metadata = template.get("metadata") or {}
        form = _form(owner["spec"]["template"])
        claims = owner["spec"].get("volumeClaimTemplates") if resource == _STATEFUL_SETS else None
        for claim in claims or []:
            volume = {"claimName": _claim_name(claim, name)}
            template["spec"].setdefault("volumes", []).append(
                {"name": claim["metadata"]["name"], "persistentVolumeClaim": volume}
            )
        pod = {
            "metadata": {
                "name": name,
                "labels": metadata.get("labels") or {},
                "annotations": {**(metadata.get("annotations") or {}), _FORM: form},
                "ownerReferences": [_reference(resource, owner)],
            },
            "spec": {**template["spec"], **({"nodeName": node} if node else {})},
            "status": {"phase": "Pending"},
        }
        return self._cluster.insert(PODS, owner["metadata"]["namespace"], pod, status=True)

    def _claims_of(self, body: Object, pod_name: str) -> None:
        namespace = body["metadata"]["namespace"]
        for template in body["spec"].get("volumeClaimTemplates") or []:
            name = _claim_name(template, pod_name)
            if self._cluster.store.get(_CLAIMS, namespace, name) is None:
                labels = body["spec"]["selector"].get("matchLabels") or {}
                claim = {"metadata": {"name": name, "labels": labels}, "spec": template["spec"]}
                self._cluster.insert(_CLAIMS, namespace, claim)

    def _children(self, resource: Resource, owner: Object) -> list[Object]:
        uid, namespace = owner["metadata"]["uid"], owner["metadata"]["namespace"]
        return [body for body in self._cluster.store.select(resource, namespace) if _controller(body) == uid]

    def _owner(self, resource: Resource, body: Object) -> Object | None:
        uid = _controller(body)
        namespace = body["metadata"]["namespace"]
        owners = self._cluster.store.select(resource, namespace) if uid else []
        return next((owner for owner in owners if owner["metadata"]["uid"] == uid), None)

    def _is_held(self, kind: str, body: Object) -> bool:
        return any(target.covers(kind, *name_of(body)) for target in self._behaviour.never_ready)

    def _is_cut_off(self, pods: list[Object]) -> bool:
        return any(unreached(self._cluster, pod) for pod in pods)

    def _is_failing(self, kind: str, body: Object) -> bool:
        return any(target.covers(kind, *name_of(body)) for target in self._behaviour.failing)


def _claim_name(template: dict[str, Any], pod_name: str) -> str:
    return f"{template['metadata']['name']}-{pod_name}"


def _form(template: dict[str, Any]) -> str:
    """A short name for one form of a pod template, as in the names of ReplicaSets."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def _revision(replica_set: Object) -> int:
    text = (replica_set["metadata"].get("annotations") or {}).get(_REVISION, "")
    return int(text) if text.isdecimal() else 0


def _controller(body: Object) -> str:
    """The uid of the object that controls this one, or nothing."""
    references = body["metadata"].get("ownerReferences") or []
    return next((ref["uid"] for ref in references if ref.get("controller")), "")


def _reference(resource: Resource, owner: Object) -> dict[str, Any]:
    return {
        "apiVersion": resource.group_version,
        "kind": resource.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
