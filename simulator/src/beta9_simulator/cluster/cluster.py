"""One simulated cluster: its types, its objects, and the writes that keep them in order."""

from __future__ import annotations

import copy
import uuid
from datetime import UTC, datetime
from typing import Any, Protocol

from beta9_simulator.cluster import errors, pod_security, webhooks
from beta9_simulator.cluster.defaults import apply_defaults
from beta9_simulator.cluster.directory import ClusterNetwork
from beta9_simulator.cluster.errors import ApiError, refusing_wrong_types
from beta9_simulator.cluster.resources import BUILTIN, Resource, ResourceTable
from beta9_simulator.cluster.shapes import check_types
from beta9_simulator.cluster.store import Object, ObjectStore, name_of
from beta9_simulator.cluster.validation import check_change, check_object, check_shape

NAMESPACES = BUILTIN["namespaces"]
_PODS = BUILTIN["pods"]
_CLAIMS = BUILTIN["persistentvolumeclaims"]
_API_SERVICES = BUILTIN["apiservices"]
_CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
_KEPT_METADATA = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_PROPAGATION = ("Background", "Foreground", "Orphan")


def timestamp() -> str:
    """Now, as Kubernetes writes it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Observer(Protocol):
    """Is told of every write; the controllers are one."""

    def changed(self, resource: Resource, body: Object, previous: Object | None) -> None:
        """An object was added (``previous`` is None) or modified."""

    def removed(self, resource: Resource, body: Object) -> None:
        """An object is gone."""


class Cluster:
    """The API machinery of one cluster, without HTTP. Not safe for threads.

    Without a network nobody holds its pods to network policies.
    """

    def __init__(self, network: ClusterNetwork | None = None) -> None:
        self.network = network
        self.resources = ResourceTable()
        self.store = ObjectStore()
        self.observers: list[Observer] = []
        self.closed = False
        self.addons: frozenset[str] = frozenset()
        self._addresses = 0
        self._pod_addresses = 0

    def close(self) -> None:
        """The cluster is gone: open watches end."""
        self.closed = True
        self.store.wake_watchers()

    def require(self, resource: Resource, namespace: str, name: str) -> Object:
        """The object of that name.

        Raises:
            ApiError: 404.
        """
        body = self.store.get(resource, namespace, name)
        if body is None:
            raise errors.not_found(resource, name)
        return body

    def insert(
        self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False, status: bool = False
    ) -> Object:
        """Create an object; ``status`` keeps the status given, as only controllers may.

        Raises:
            ApiError: 400, 403, 404 (namespace), 409 (name taken) or 422.
        """
        check_shape(resource, body)
        body = _without_nulls(body)
        metadata = body.setdefault("metadata", {})
        body["apiVersion"], body["kind"] = resource.group_version, resource.kind
        self._place(resource, namespace, metadata)
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                raise errors.invalid(resource, "", "metadata.name", "Required value: name or generateName")
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        if self.store.get(resource, *name_of(body)) is not None:
            raise errors.already_exists(resource, metadata["name"])
        metadata.update(uid=str(uuid.uuid4()), creationTimestamp=timestamp(), generation=1)
        metadata.pop("deletionTimestamp", None)
        metadata.pop("resourceVersion", None)
        if "status" in resource.subresources and not status:
            body.pop("status", None)
        if resource == _CLAIMS:
            # As the admission plugin StorageObjectInUseProtection does.
            metadata["finalizers"] = sorted({*(metadata.get("finalizers") or []), _CLAIM_FINALIZER})
        webhooks.ask(self.store, resource, body, "CREATE")
        self._admit(resource, body, None)
        if resource == _PODS:
            pod_security.admit(self.require(NAMESPACES, "", namespace), body)
        if dry_run:
            return body
        self.store.put(resource, body)
        self._tell_changed(resource, body, None)
        return body

    def replace(self, resource: Resource, current: Object, body: Object, *, dry_run: bool = False) -> Object:
        """Write a new form of an object; an unchanged one keeps its resource version.

        Raises:
            ApiError: 400, 409 (the body has an outdated resource version) or 422.
        """
        check_shape(resource, {**body, "apiVersion": resource.group_version})
        body = _without_nulls(body)
        body["apiVersion"], body["kind"] = resource.group_version, resource.kind
        metadata, before = body.setdefault("metadata", {}), current["metadata"]
        if metadata.get("resourceVersion", before["resourceVersion"]) != before["resourceVersion"]:
            why = (
                "the object has been modified; please apply your changes to the latest version and try again"
            )
            raise errors.conflict(resource, before["name"], why)
        metadata["name"] = before["name"]
        metadata.update({key: before[key] for key in ("namespace", *_KEPT_METADATA) if key in before})
        self._admit(resource, body, current)
        metadata["generation"] = before.get("generation", 1) + (_content(body) != _content(current))
        metadata["resourceVersion"] = before["resourceVersion"]
        if dry_run or body == {**current, "apiVersion": resource.group_version}:
            return body
        self.store.put(resource, body)
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers") and resource != NAMESPACES:
            return self._remove(resource, body)
        self._tell_changed(resource, body, current)
        return body

    def set_status(self, resource: Resource, body: Object, status: dict[str, Any]) -> Object:
        """Write the status of an object as a controller does: fields not given stay."""
        merged = {**body.get("status", {}), **status}
        if merged == body.get("status"):
            return body
        return self.replace(resource, body, {**copy.deepcopy(body), "status": merged})

    def delete(self, resource: Resource, namespace: str, name: str, policy: str = "Background") -> Object:
        """Delete an object and what it owns; one with finalizers is only marked.

        Returns the object; it is gone from the store unless finalizers hold it, or it is a namespace, whose
        content goes first.

        Raises:
            ApiError: 400 (unknown propagation policy), 404, or 403 for namespaces that every cluster has.
        """
        if policy not in _PROPAGATION:
            raise ApiError(
                400, f"propagationPolicy {policy!r} is unknown; use one of {', '.join(_PROPAGATION)}"
            )
        body = self.require(resource, namespace, name)
        if resource == NAMESPACES and name in ("default", "kube-system", "kube-public"):
            raise ApiError(403, f'namespaces "{name}" is forbidden: this namespace may not be deleted')
        if policy == "Orphan":
            self._disown(body)
        elif policy == "Foreground":
            self._delete_owned(body, policy)
        if resource == NAMESPACES or body["metadata"].get("finalizers"):
            return self._mark_deleted(resource, body)
        return self._remove(resource, body)

    def finish_namespace(self, name: str) -> None:
        """Remove a namespace that is being deleted, if nothing is left in it, as far as that can be told.

        An API that another server answers, and that does not, may hold something: so no namespace ends.
        """
        body = self.store.get(NAMESPACES, "", name)
        if body is None or not body["metadata"].get("deletionTimestamp") or self.content_of(name):
            return
        away = [one for one in self.store.select(_API_SERVICES) if _is_away(one)]
        if not away:
            self._remove(NAMESPACES, body)
            return
        names = ", ".join(one["metadata"]["name"] for one in away)
        told = {
            "type": "NamespaceDeletionDiscoveryFailure",
            "status": "True",
            "reason": "DiscoveryFailed",
            "message": f"Discovery failed for some groups, {len(away)} failing: unable to retrieve the "
            f"complete list of server APIs: {names}: stale GroupVersion discovery",
        }
        self.set_status(NAMESPACES, body, {"conditions": [told]})

    def content_of(self, namespace: str) -> list[tuple[Resource, Object]]:
        """Everything in a namespace."""
        types = [r for r in self.resources.storage_types() if r.namespaced]
        return [(r, body) for r in types for body in self.store.select(r, namespace)]

    def _mark_deleted(self, resource: Resource, body: Object) -> Object:
        if body["metadata"].get("deletionTimestamp"):
            return body
        marked = copy.deepcopy(body)
        marked["metadata"].update(deletionTimestamp=timestamp(), deletionGracePeriodSeconds=0)
        if resource == NAMESPACES:
            marked["status"] = {"phase": "Terminating"}
        self.store.put(resource, marked)
        self._tell_changed(resource, marked, body)
        return marked

    def _remove(self, resource: Resource, body: Object) -> Object:
        gone = self.store.remove(resource, body)
        for observer in self.observers:
            observer.removed(resource, gone)
        self._delete_owned(gone, "Background")
        return gone

    def _owned_by(self, owner: Object) -> list[tuple[Resource, Object]]:
        uid = owner["metadata"]["uid"]
        return [
            (resource, body)
            for resource in self.resources.storage_types()
            for body in self.store.select(resource)
            if any(ref.get("uid") == uid for ref in body["metadata"].get("ownerReferences") or [])
        ]

    def _delete_owned(self, owner: Object, policy: str) -> None:
        for resource, body in self._owned_by(owner):
            namespace, name = name_of(body)
            if self.store.get(resource, namespace, name) is not None:
                self.delete(resource, namespace, name, policy)

    def _disown(self, owner: Object) -> None:
        uid = owner["metadata"]["uid"]
        for resource, body in self._owned_by(owner):
            kept = copy.deepcopy(body)
            references = kept["metadata"]["ownerReferences"]
            kept["metadata"]["ownerReferences"] = [ref for ref in references if ref.get("uid") != uid]
            self.replace(resource, body, kept)

    def _place(self, resource: Resource, namespace: str, metadata: dict[str, Any]) -> None:
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        if metadata.setdefault("namespace", namespace) != namespace:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise ApiError(400, message)
        parent = self.require(NAMESPACES, "", namespace)
        if parent["metadata"].get("deletionTimestamp"):
            raise ApiError(
                403,
                f"unable to create new content in namespace {namespace} because it is being terminated",
                details={"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]},
            )

    def _admit(self, resource: Resource, body: Object, before: Object | None) -> None:
        """Fill in defaults and check the rules, whatever shape the client sent."""
        check_types(resource, body)
        with refusing_wrong_types(resource.kind):
            apply_defaults(resource, body)
            self._assign_address(resource, body, before)
            check_object(resource, body)
            if before is not None:
                check_change(resource, before, body)

    def _assign_address(self, resource: Resource, body: Object, before: Object | None) -> None:
        if resource != BUILTIN["services"] or body["spec"]["type"] == "ExternalName":
            return
        spec = body["spec"]
        if not spec.get("clusterIP") and before is not None:
            spec["clusterIP"] = before["spec"].get("clusterIP")
        if not spec.get("clusterIP"):
            self._addresses += 1
            spec["clusterIP"] = f"10.100.{self._addresses >> 8 & 255}.{self._addresses & 255}"
        spec["clusterIPs"] = [spec["clusterIP"]]

    def next_pod_address(self) -> str:
        """An address that no pod of this cluster has had."""
        self._pod_addresses += 1
        return f"10.1.{self._pod_addresses >> 8 & 255}.{self._pod_addresses & 255}"

    def _tell_changed(self, resource: Resource, body: Object, previous: Object | None) -> None:
        for observer in self.observers:
            observer.changed(resource, body, previous)


def _is_away(api_service: Object) -> bool:
    conditions = api_service.get("status", {}).get("conditions") or []
    return any(one["type"] == "Available" and one["status"] == "False" for one in conditions)


def _content(body: Object) -> Object:
    """What counts for ``metadata.generation``."""
    return {k: v for k, v in body.items() if k not in ("metadata", "status", "apiVersion", "kind")}


def _without_nulls(value: Any) -> Any:
    """A deep copy without null fields, which Kubernetes treats as absent."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
