"""What the worker itself looks at, makes and removes in a cluster, beside Helm's releases."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.kubernetes.access import ClusterAccess
from beta9_provisioning.engine.kubernetes.api import SERVER_SIDE_APPLY, ClusterError, KubernetesApi
from beta9_provisioning.engine.kubernetes.patience import Patience

log = structlog.get_logger(__name__)

FIELD_MANAGER = "beta9-provisioning"
# Within this time another try at the clean-up after a failure may begin; a call adds its own bound.
CLEANUP_SECONDS = 5.0


@dataclass(frozen=True)
class _Kind:
    """A kind of object and where the API has it."""

    name: str
    root: str
    plural: str

    def all(self) -> str:
        """Return the path of all objects of the kind, in all namespaces."""
        return f"{self.root}/{self.plural}"

    def inside(self, namespace: str) -> str:
        """Return the path of a namespace's objects of the kind."""
        return f"{self.root}/namespaces/{namespace}/{self.plural}"

    def one(self, namespace: str, name: str) -> str:
        """Return the path of one object in a namespace."""
        return f"{self.inside(namespace)}/{name}"


_NODE = _Kind("Node", "/api/v1", "nodes")
_NAMESPACE = _Kind("Namespace", "/api/v1", "namespaces")
_SECRET = _Kind("Secret", "/api/v1", "secrets")
_SERVICE = _Kind("Service", "/api/v1", "services")
_INGRESS = _Kind("Ingress", "/apis/networking.k8s.io/v1", "ingresses")
_NETWORK_POLICY = _Kind("NetworkPolicy", "/apis/networking.k8s.io/v1", "networkpolicies")
_CLAIM = _Kind("PersistentVolumeClaim", "/api/v1", "persistentvolumeclaims")
_VOLUME = _Kind("PersistentVolume", "/api/v1", "persistentvolumes")


class Kubernetes:
    """One cluster's Kubernetes API, by what the worker needs of it. Threads may share it.

    Every method tries again while the API is busy or away, and raises ClusterError (`cluster_unreachable`,
    `cluster_unauthorized`, `certificate_untrusted`, `cluster_failed`) when it stays so, and Stopped when the
    stop event is set.
    """

    def __init__(self, access: ClusterAccess, stop: threading.Event) -> None:
        self._api = KubernetesApi(access, stop)

    def close(self) -> None:
        """Close the connections to the API."""
        self._api.close()

    def wait_nodes_ready(self, count: int, *, timeout: float = 600.0, remedy: str = "") -> list[str]:
        """Wait until `count` nodes are ready and return their names.

        Raises:
            ClusterError: `nodes_not_ready` after `timeout` seconds, naming those that are not ready and why,
                with `remedy`.
        """
        patience = self._api.patience(timeout)
        while True:
            nodes = self._list(_NODE, patience)
            troubles = {node["metadata"]["name"]: trouble for node in nodes if (trouble := _trouble(node))}
            ready = [name for node in nodes if (name := node["metadata"]["name"]) not in troubles]
            if len(ready) >= count:
                return ready
            if not patience.wait():
                why = "; ".join(f"{name}: {trouble}" for name, trouble in troubles.items())
                raise ClusterError(
                    f"Of {count} nodes, {len(ready)} became ready within {timeout:.0f} s.",
                    detail=why or f"{len(nodes)} nodes have joined the cluster.",
                    remedy=remedy,
                    code="nodes_not_ready",
                )

    def ensure_namespace(self, name: str) -> None:
        """Make the namespace if it does not exist."""
        manifest = {"apiVersion": "v1", "kind": _NAMESPACE.name, "metadata": {"name": name}}
        self._api.call("POST", _NAMESPACE.all(), body=manifest, expected="AlreadyExists")

    def apply_network_policy(self, namespace: str, name: str, spec: Mapping[str, Any]) -> None:
        """Make the network policy, or give the one of that name this form, whoever made it."""
        metadata = {"name": name, "namespace": namespace}
        manifest = {"apiVersion": "networking.k8s.io/v1", "kind": _NETWORK_POLICY.name, "metadata": metadata}
        self._apply(_NETWORK_POLICY, {**manifest, "spec": spec})

    def secret_once(self, namespace: str, name: str, data: Mapping[str, str]) -> dict[str, str]:
        """Create a Secret with that data, unless it exists; return what it holds now, whoever made it."""
        answer = self._api.call(
            "POST",
            _SECRET.inside(namespace),
            body=_secret(namespace, name, data),
            expected="AlreadyExists",
            confidential=True,
        )
        if answer.ok:
            return dict(data)
        kept = self._get(_SECRET.one(namespace, name)).get("data") or {}
        return {key: base64.b64decode(value).decode() for key, value in kept.items()}

    @contextmanager
    def passing_secret(self, namespace: str, name: str, data: Mapping[str, str]) -> Iterator[None]:
        """Keep a Secret in the cluster for the time of the block; one that exists is overwritten.

        It is removed when the block fails, too, and although the stop event is set.
        """
        try:
            self._apply(_SECRET, _secret(namespace, name, data), confidential=True)
            yield
            self._delete(_SECRET, namespace, name)
        except BaseException as error:
            try:
                self._delete(_SECRET, namespace, name, Patience(CLEANUP_SECONDS, threading.Event()))
            except EngineError as second:
                # The first error is the one to report.
                left = f"The Secret {namespace}/{name} was not removed: {second.message} {second.detail}"
                log.warning("secret_left", namespace=namespace, name=name, error=second.message)
                if isinstance(error, EngineError):
                    error.detail = f"{error.detail}\n\n{left}".strip()
                else:
                    error.add_note(left)
            raise

    def load_balancer_host(self, namespace: str, service: str, *, timeout: float = 300.0) -> str:
        """Wait for the host name (or address) of a Service's load balancer and return it.

        Raises:
            ClusterError: `load_balancer_missing` after `timeout` seconds.
        """
        patience = self._api.patience(timeout)
        while True:
            found = self._get(_SERVICE.one(namespace, service), patience)
            for entry in found.get("status", {}).get("loadBalancer", {}).get("ingress", ()):
                if host := entry.get("hostname") or entry.get("ip"):
                    return str(host)
            if not patience.wait():
                raise ClusterError(
                    f"The Service {namespace}/{service} got no load balancer within {timeout:.0f} s.",
                    remedy=f"Look at its events: kubectl --namespace {namespace} describe service {service}.",
                    code="load_balancer_missing",
                )

    def remove_load_balancers(self, *, timeout: float = 600.0) -> None:
        """Delete all load balancer Services and Ingresses, and wait until they are gone.

        They stand for cloud resources that Terraform does not know and that would block the destruction of
        the network. What makes these must still run.

        Raises:
            ClusterError: `cluster_objects_stuck` after `timeout` seconds, naming what is left.
        """
        self._remove((_SERVICE, _INGRESS), timeout)

    def remove_volumes(self, *, timeout: float = 600.0) -> None:
        """Delete all volume claims, and wait until they and their volumes are gone.

        Uninstall the releases that use them first: a claim in use is not deleted.

        Raises:
            ClusterError: `cluster_objects_stuck` after `timeout` seconds, naming what is left.
        """
        self._remove((_CLAIM, _VOLUME), timeout)

    def _remove(self, kinds: Iterable[_Kind], timeout: float) -> None:
        patience = self._api.patience(timeout)
        while left := self._cloud_objects(kinds, patience):
            for kind, item in left:
                metadata = item["metadata"]
                if kind is not _VOLUME and "deletionTimestamp" not in metadata:
                    self._delete(kind, metadata["namespace"], metadata["name"], patience)
            if not patience.wait():
                raise ClusterError(
                    f"Objects that stand for cloud resources were not gone in {timeout:.0f} s.",
                    detail="; ".join(_describe(kind, item) for kind, item in left),
                    remedy="Remove what uses or holds them, then repeat the operation.",
                    code="cluster_objects_stuck",
                )

    def _cloud_objects(
        self, kinds: Iterable[_Kind], patience: Patience
    ) -> list[tuple[_Kind, dict[str, Any]]]:
        # The items of a list do not tell their kind.
        return [
            (kind, item)
            for kind in kinds
            for item in self._list(kind, patience)
            if _stands_for_cloud_resource(kind, item)
        ]

    def _apply(self, kind: _Kind, manifest: Mapping[str, Any], *, confidential: bool = False) -> None:
        """Make an object, or take over what the manifest says of one that exists."""
        metadata = manifest["metadata"]
        self._api.call(
            "PATCH",
            kind.one(metadata["namespace"], metadata["name"]),
            body=manifest,
            content_type=SERVER_SIDE_APPLY,
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            confidential=confidential,
        )

    def _list(self, kind: _Kind, patience: Patience) -> list[dict[str, Any]]:
        # Go writes an empty list as null.
        return self._get(kind.all(), patience).get("items") or []

    def _get(self, path: str, patience: Patience | None = None) -> dict[str, Any]:
        return self._api.call("GET", path, patience=patience).document

    def _delete(self, kind: _Kind, namespace: str, name: str, patience: Patience | None = None) -> None:
        """Ask for the deletion of an object, which may be gone already."""
        path = kind.one(namespace, name)
        policy = {"propagationPolicy": "Background"}
        self._api.call("DELETE", path, query=policy, expected="NotFound", patience=patience)


def _trouble(node: dict[str, Any]) -> str | None:
    """Return why a node is not ready, or None if it is."""
    for condition in node.get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready":
            if condition["status"] == "True":
                return None
            return f"{condition.get('reason', 'NotReady')}: {condition.get('message', '')}".rstrip(": ")
    return "it has not reported yet"


def _stands_for_cloud_resource(kind: _Kind, item: dict[str, Any]) -> bool:
    spec = item.get("spec", {})
    if kind is _SERVICE:
        return bool(spec.get("type") == "LoadBalancer")
    if kind is _VOLUME:
        return bool(spec.get("persistentVolumeReclaimPolicy") == "Delete")
    return True


def _describe(kind: _Kind, item: dict[str, Any]) -> str:
    metadata = item["metadata"]
    name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
    finalizers = metadata.get("finalizers")
    return f"{kind.name} {name}" + (f" (held by {', '.join(finalizers)})" if finalizers else "")


def _secret(namespace: str, name: str, data: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": _SECRET.name,
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
