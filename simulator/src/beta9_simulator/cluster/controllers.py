"""What happens in a cluster after a write: statuses, pods, volumes, load balancers, namespaces, types."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from beta9_simulator.cluster import statuses
from beta9_simulator.cluster.autoscaling import sync_autoscaler
from beta9_simulator.cluster.behaviour import Behaviour
from beta9_simulator.cluster.cloud_objects import CLAIMS, SERVICES, VOLUMES, CloudObjects
from beta9_simulator.cluster.cluster import NAMESPACES, Cluster
from beta9_simulator.cluster.directory import ClusterCloud
from beta9_simulator.cluster.endpoints import sync_endpoints
from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.resources import BUILTIN, Resource
from beta9_simulator.cluster.scheduling import is_ready
from beta9_simulator.cluster.selectors import dig, selects
from beta9_simulator.cluster.store import Object, ObjectName, name_of
from beta9_simulator.cluster.workloads import PODS, Workloads

logger = logging.getLogger(__name__)
_CLASSES = BUILTIN["storageclasses"]
_INGRESS_CLASSES = BUILTIN["ingressclasses"]
_DEFINITIONS = BUILTIN["customresourcedefinitions"]
_ACCOUNTS = BUILTIN["serviceaccounts"]
_API_SERVICES = BUILTIN["apiservices"]
_NODES = BUILTIN["nodes"]
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "Pod", "ReplicaSet")
# A change of the first may change the status of the others.
_DEPENDENTS = {
    "Node": (*_WORKLOADS, "PersistentVolumeClaim", "PersistentVolume"),
    "StorageClass": ("PersistentVolumeClaim",),
    "PersistentVolumeClaim": (*_WORKLOADS, "PersistentVolume"),
    "Secret": _WORKLOADS,
    "ConfigMap": _WORKLOADS,
    "IngressClass": ("Ingress",),
    "Service": ("Ingress", "APIService"),
    "Namespace": _WORKLOADS,
    "NetworkPolicy": _WORKLOADS,
    "Pod": ("APIService", "PodDisruptionBudget", "Service", "PersistentVolumeClaim"),
    "Deployment": ("HorizontalPodAutoscaler",),
    "StatefulSet": ("HorizontalPodAutoscaler",),
    "HorizontalPodAutoscaler": ("HorizontalPodAutoscaler",),
}
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_DEFAULT_INGRESS_CLASS = "ingressclass.kubernetes.io/is-default-class"

Later = Callable[[float, Callable[[], None]], None]
"""Runs a function after some seconds, never at once."""
Handler = Callable[[Object, bool], None]


class Controllers:
    """Observes one cluster and reacts, always later and never inside a client's write."""

    def __init__(self, cluster: Cluster, behaviour: Behaviour, later: Later, cloud: ClusterCloud) -> None:
        self._cluster = cluster
        self._behaviour = behaviour
        self._later = later
        self._cloud_objects = CloudObjects(cluster, cloud)
        self._settled: dict[str, int] = {}  # uid -> generation whose time to become ready has passed
        self._to_sync: set[str] = set()
        workloads = Workloads(cluster, behaviour)
        self._handlers: dict[str, Handler] = {
            "Deployment": workloads.deployment,
            "ReplicaSet": self._lone_replica_set(workloads),
            "StatefulSet": workloads.stateful_set,
            "DaemonSet": workloads.daemon_set,
            "Job": workloads.job,
            "Pod": workloads.pod,
            "Service": self._service,
            "Ingress": self._ingress,
            "PersistentVolumeClaim": self._claim,
            "PodDisruptionBudget": self._budget,
            "HorizontalPodAutoscaler": self._autoscaler,
            "APIService": self._api_service,
            "CustomResourceDefinition": self._definition,
            "Namespace": self._namespace,
        }
        self._releases: dict[str, Callable[[Object], None]] = {
            "Service": self._cloud_objects.release_service,
            "PersistentVolumeClaim": self._cloud_objects.release_claim,
            "PersistentVolume": self._cloud_objects.release_volume,
        }

    def changed(self, resource: Resource, body: Object, previous: Object | None) -> None:
        """See :class:`Observer`."""
        metadata = body["metadata"]
        self._sync_dependents(resource)
        before = previous["metadata"] if previous else {}
        if all(metadata.get(key) == before.get(key) for key in ("generation", "deletionTimestamp")):
            return
        place, uid, generation = name_of(body), metadata["uid"], metadata["generation"]
        delay = self._behaviour.delay(resource.kind)
        if delay:
            self._later(0, partial(self.sync, resource, place))
        self._later(delay, partial(self._settle, resource, place, uid, generation))

    def removed(self, resource: Resource, body: Object) -> None:
        """See :class:`Observer`."""
        metadata = body["metadata"]
        self._settled.pop(metadata["uid"], None)
        self._sync_dependents(resource)
        if resource == _DEFINITIONS:
            self._drop_type(body)
        elif resource == CLAIMS and body["spec"].get("volumeName"):
            self._later(0, partial(self._delete_volume, body["spec"]["volumeName"]))
        elif resource == _NODES:
            self._later(0, partial(self._delete_pods_on, metadata["name"]))
        elif resource == PODS:
            self._later(0, partial(self._sync_kinds, *(kind for kind in _WORKLOADS if kind != "Pod")))
        if resource.namespaced:
            self._later(0, partial(self._cluster.finish_namespace, metadata["namespace"]))
        elif resource == _API_SERVICES:
            self._later(0, self._finish_namespaces)

    def _finish_namespaces(self) -> None:
        for body in self._cluster.store.select(NAMESPACES):
            self._cluster.finish_namespace(body["metadata"]["name"])

    def sync_all(self) -> None:
        """Bring everything in line, after the behaviour was changed."""
        self._sync_kinds(*self._handlers, *self._behaviour.custom_status)

    def sync(self, resource: Resource, place: ObjectName) -> None:
        """Bring one object in line."""
        body = self._cluster.store.get(resource, *place)
        if body is None:
            return
        metadata = body["metadata"]
        settled = self._settled.get(metadata["uid"]) == metadata.get("generation")
        handler = self._custom if resource.custom else self._handlers.get(resource.kind)
        release = self._releases.get(resource.kind) if metadata.get("deletionTimestamp") else None
        try:
            if release and not self._held(body):
                release(body)
            elif handler and not self._is_going(resource, body):
                handler(body, settled)
        except ApiError as error:
            # As in a real cluster, a controller that was refused tries again at the next change.
            logger.warning("the controller of %s %s was refused: %s", resource.kind, place, error)

    def _settle(self, resource: Resource, place: ObjectName, uid: str, generation: int) -> None:
        body = self._cluster.store.get(resource, *place)
        if body is not None and body["metadata"]["uid"] == uid:
            self._settled[uid] = generation
            self.sync(resource, place)
            if resource == NAMESPACES and body["metadata"].get("deletionTimestamp"):
                self._empty_namespace(place[1])

    def _is_going(self, resource: Resource, body: Object) -> bool:
        """Objects that are being deleted, or whose namespace is, are left alone."""
        namespace = self._cluster.store.get(NAMESPACES, "", body["metadata"].get("namespace", ""))
        owners = (body, namespace) if resource.namespaced else (body,)
        return any(owner is None or owner["metadata"].get("deletionTimestamp") for owner in owners)

    def _sync_dependents(self, resource: Resource) -> None:
        if resource.custom:
            return
        kinds = _DEPENDENTS.get(resource.kind, ())
        if kinds and not self._to_sync:
            self._later(0, self._sync_pending)
        self._to_sync.update(kinds)

    def _sync_pending(self) -> None:
        kinds = sorted(self._to_sync)
        self._to_sync.clear()
        self._sync_kinds(*kinds)

    def _sync_kinds(self, *kinds: str) -> None:
        for resource in self._cluster.resources.storage_types():
            if resource.kind in kinds:
                for body in self._cluster.store.select(resource):
                    self.sync(resource, name_of(body))

    def _held(self, body: Object) -> bool:
        return any(t.covers(body["kind"], *name_of(body)) for t in self._behaviour.never_ready)

    @staticmethod
    def _lone_replica_set(workloads: Workloads) -> Handler:
        def handle(body: Object, settled: bool) -> None:
            if not body["metadata"].get("ownerReferences"):
                workloads.replica_set(body, settled)

        return handle

    def _custom(self, body: Object, settled: bool) -> None:
        status = self._behaviour.custom_status.get(body["kind"])
        resource = self._cluster.resources.of_kind(body["apiVersion"], body["kind"])
        if status and resource and settled and not self._held(body):
            self._cluster.set_status(resource, body, copy.deepcopy(status))

    def _service(self, body: Object, settled: bool) -> None:
        sync_endpoints(self._cluster, body)
        if body["spec"]["type"] != "LoadBalancer" or not settled or self._held(body):
            return
        self._cloud_objects.load_balancer(body)

    def _ingress(self, body: Object, settled: bool) -> None:
        """An Ingress gets the address of a load balancer if there is a controller for its class."""
        classes = self._cluster.store.select(_INGRESS_CLASSES)
        wanted = body["spec"].get("ingressClassName")
        served = [c for c in classes if c["metadata"]["name"] == wanted or (not wanted and _is_default(c))]
        addresses = [dig(s, "status.loadBalancer.ingress") for s in self._cluster.store.select(SERVICES)]
        address: list[dict[str, str]] = next((found for found in addresses if found), [])
        if served and settled and not self._held(body):
            ingresses = BUILTIN["ingresses"]
            self._cluster.set_status(ingresses, body, {"loadBalancer": {"ingress": address}})

    def _claim(self, body: Object, settled: bool) -> None:
        """Bind the claim to a new volume, provided that its storage class exists."""
        classes = {c["metadata"]["name"]: c for c in self._cluster.store.select(_CLASSES)}
        default = next((name for name, c in classes.items() if _is_default(c)), None)
        wanted = body["spec"].get("storageClassName", default)
        found = classes.get(wanted)
        if not settled or found is None or self._held(body) or body["spec"].get("volumeName"):
            status = body.get("status") or {"phase": "Pending"}
            self._cluster.set_status(CLAIMS, body, status)
            return
        if not self._cloud_objects.drives(found["provisioner"]):
            return
        spec, volume_name = body["spec"], f"pvc-{body['metadata']['uid']}"
        volume = self._cloud_objects.make_volume(body, found, volume_name)
        self._cluster.insert(VOLUMES, "", volume, status=True)
        bound = copy.deepcopy(body)
        bound["spec"].update(volumeName=volume_name, storageClassName=wanted)
        bound["status"] = {
            "phase": "Bound",
            "accessModes": spec["accessModes"],
            "capacity": spec["resources"]["requests"],
        }
        # The binding changes the generation, which must not start the clock again.
        self._settled[body["metadata"]["uid"]] = body["metadata"]["generation"] + 1
        self._cluster.replace(CLAIMS, body, bound)

    def _budget(self, body: Object, _settled: bool) -> None:
        pods = self._pods_matching(body["metadata"]["namespace"], body["spec"].get("selector"))
        status = statuses.disruption_budget(body, expected=len(pods), healthy=sum(map(is_ready, pods)))
        self._cluster.set_status(BUILTIN["poddisruptionbudgets"], body, status)

    def _autoscaler(self, body: Object, settled: bool) -> None:
        if settled:
            sync_autoscaler(self._cluster, body)

    def _api_service(self, body: Object, _settled: bool) -> None:
        """Available once a ready pod stands behind its Service."""
        reference = body["spec"].get("service")
        available, why = True, "Local"
        if reference:
            service = self._cluster.store.get(SERVICES, reference["namespace"], reference["name"])
            labels = dig(service, "spec.selector")
            selector = {"matchLabels": labels} if labels else None
            pods = self._pods_matching(reference["namespace"], selector)
            available = any(map(is_ready, pods)) and not self._held(body)
            why = "Passed" if available else "MissingEndpoints"
        conditions = statuses.conditions(body, ("Available", available, why, ""))
        self._cluster.set_status(_API_SERVICES, body, {"conditions": conditions})
        if available:
            self._later(0, self._finish_namespaces)

    def _pods_matching(self, namespace: str, selector: dict[str, Any] | None) -> list[Object]:
        return [
            pod
            for pod in self._cluster.store.select(PODS, namespace)
            if selects(selector, pod["metadata"].get("labels") or {})
        ]

    def _definition(self, body: Object, _settled: bool) -> None:
        self._cluster.resources.add_custom(body)
        if not self._held(body):
            self._cluster.set_status(_DEFINITIONS, body, statuses.established(body))

    def _drop_type(self, definition: Object) -> None:
        group, plural = definition["spec"]["group"], definition["spec"]["names"]["plural"]
        types = [r for r in self._cluster.resources.all() if r.custom and r.key == (group, plural)]
        for body in self._cluster.store.select(types[0]) if types else []:
            self._cluster.store.remove(types[0], body)
        self._cluster.resources.remove_custom(definition)

    def _namespace(self, body: Object, _settled: bool) -> None:
        name = body["metadata"]["name"]
        self._cluster.set_status(NAMESPACES, body, {"phase": "Active"})
        if self._cluster.store.get(_ACCOUNTS, name, "default") is None:
            self._cluster.insert(_ACCOUNTS, name, {"metadata": {"name": "default"}})

    def _empty_namespace(self, name: str) -> None:
        for resource, body in self._cluster.content_of(name):
            if self._cluster.store.get(resource, *name_of(body)) is not None:
                self._cluster.delete(resource, *name_of(body))
        self._cluster.finish_namespace(name)

    def _delete_volume(self, name: str) -> None:
        volume = self._cluster.store.get(VOLUMES, "", name)
        if volume is not None and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
            self._cluster.delete(VOLUMES, "", name)

    def _delete_pods_on(self, node: str) -> None:
        for pod in self._cluster.store.select(PODS):
            if pod["spec"].get("nodeName") == node and self._cluster.store.get(PODS, *name_of(pod)):
                self._cluster.delete(PODS, *name_of(pod))


def _is_default(body: Object) -> bool:
    annotations = body["metadata"].get("annotations") or {}
    return "true" in (annotations.get(_DEFAULT_CLASS), annotations.get(_DEFAULT_INGRESS_CLASS))
