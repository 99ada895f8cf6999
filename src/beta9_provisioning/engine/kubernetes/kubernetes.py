"""What the worker itself looks at, makes and removes in a cluster, beside Helm's releases."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.kubernetes.access import ClusterAccess
from beta9_provisioning.engine.kubernetes.api import (
    REPEAT_SECONDS,
    SERVER_SIDE_APPLY,
    ClusterError,
    KubernetesApi,
)
from beta9_provisioning.engine.kubernetes.kinds import (
    CLAIM,
    INGRESS,
    NAMESPACE,
    NETWORK_POLICY,
    NODE,
    SECRET,
    SERVICE,
    VOLUME,
    Kind,
)
from beta9_provisioning.engine.kubernetes.patience import Patience

log = structlog.get_logger(__name__)

FIELD_MANAGER = "beta9-provisioning"
ENVIRONMENT_LABEL = "beta9-provisioning/environment"
"""Of the namespaces that an environment has in a cluster with other users: its id."""
# Within this time another try at the clean-up after a failure may begin; a call adds its own bound.
CLEANUP_SECONDS = 5.0


# So many objects are asked for at once: lists of a cluster with other users may be of any length.
_PAGE = "250"


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
            nodes = self._list(NODE, patience)
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
        manifest = {"apiVersion": "v1", "kind": NAMESPACE.name, "metadata": {"name": name}}
        self._api.call("POST", NAMESPACE.all(), body=manifest, expected="AlreadyExists")

    def claim_namespace(self, name: str, owner: str) -> None:
        """Make the namespace for an environment, whose id it is marked with; one that is its own stays.

        Raises:
            ClusterError: `namespace_taken`; it is there, and is not the environment's.
        """
        metadata = {"name": name, "labels": {ENVIRONMENT_LABEL: owner}}
        manifest = {"apiVersion": "v1", "kind": NAMESPACE.name, "metadata": metadata}
        answer = self._api.call("POST", NAMESPACE.all(), body=manifest, expected="AlreadyExists")
        if answer.ok:
            return
        found = self.find(NAMESPACE, name)
        if found is None or not is_owned(found, owner):
            raise ClusterError(
                f"The namespace {name} is in the cluster already, and is not this environment's.",
                remedy="A cluster takes one environment. Delete the other one, or remove the namespace if "
                "nobody needs what is in it; then repeat the operation.",
                code="namespace_taken",
            )

    def find(self, kind: Kind, name: str, namespace: str = "") -> dict[str, Any] | None:
        """Return an object; None if there is none, or if the cluster does not know its kind."""
        answer = self._api.call("GET", kind.one(namespace, name), expected="NotFound")
        return answer.document if answer.ok else None

    def objects(self, kind: Kind, namespace: str = "") -> list[dict[str, Any]]:
        """Return all objects of a kind, of one namespace or of all."""
        return self._list(kind, self._api.patience(REPEAT_SECONDS), namespace)

    def delete(self, kind: Kind, name: str, namespace: str = "") -> None:
        """Ask for the deletion of an object, which may be gone already."""
        self._delete(kind, namespace, name)

    def patience(self, seconds: float) -> Patience:
        """Return patience with the cluster, which ends at once when the stop event is set."""
        return self._api.patience(seconds)

    def apply_network_policy(self, namespace: str, name: str, spec: Mapping[str, Any]) -> None:
        """Make the network policy, or give the one of that name this form, whoever made it."""
        metadata = {"name": name, "namespace": namespace}
        manifest = {"apiVersion": "networking.k8s.io/v1", "kind": NETWORK_POLICY.name, "metadata": metadata}
        self._apply(NETWORK_POLICY, {**manifest, "spec": spec})

    def secret_once(self, namespace: str, name: str, data: Mapping[str, str]) -> dict[str, str]:
        """Create a Secret with that data, unless it exists; return what it holds now, whoever made it."""
        answer = self._api.call(
            "POST",
            SECRET.inside(namespace),
            body=_secret(namespace, name, data),
            expected="AlreadyExists",
            confidential=True,
        )
        if answer.ok:
            return dict(data)
        kept = self._get(SECRET.one(namespace, name)).get("data") or {}
        return {key: base64.b64decode(value).decode() for key, value in kept.items()}

    @contextmanager
    def passing_secret(self, namespace: str, name: str, data: Mapping[str, str]) -> Iterator[None]:
        """Keep a Secret in the cluster for the time of the block; one that exists is overwritten.

        It is removed when the block fails, too, and although the stop event is set.
        """
        try:
            self._apply(SECRET, _secret(namespace, name, data), confidential=True)
            yield
            self._delete(SECRET, namespace, name)
        except BaseException as error:
            try:
                self._delete(SECRET, namespace, name, Patience(CLEANUP_SECONDS, threading.Event()))
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
            found = self._get(SERVICE.one(namespace, service), patience)
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
        self._remove((SERVICE, INGRESS), timeout)

    def remove_volumes(self, *, timeout: float = 600.0) -> None:
        """Delete all volume claims, and wait until they and their volumes are gone.

        Uninstall the releases that use them first: a claim in use is not deleted.

        Raises:
            ClusterError: `cluster_objects_stuck` after `timeout` seconds, naming what is left.
        """
        self._remove((CLAIM, VOLUME), timeout)

    def _remove(self, kinds: Iterable[Kind], timeout: float) -> None:
        patience = self._api.patience(timeout)
        while left := self._cloud_objects(kinds, patience):
            for kind, item in left:
                metadata = item["metadata"]
                if kind is not VOLUME and "deletionTimestamp" not in metadata:
                    self._delete(kind, metadata["namespace"], metadata["name"], patience)
            if not patience.wait():
                raise ClusterError(
                    f"Objects that stand for cloud resources were not gone in {timeout:.0f} s.",
                    detail="; ".join(_describe(kind, item) for kind, item in left),
                    remedy="Remove what uses or holds them, then repeat the operation.",
                    code="cluster_objects_stuck",
                )

    def _cloud_objects(self, kinds: Iterable[Kind], patience: Patience) -> list[tuple[Kind, dict[str, Any]]]:
        # The items of a list do not tell their kind.
        return [
            (kind, item)
            for kind in kinds
            for item in self._list(kind, patience)
            if _stands_for_cloud_resource(kind, item)
        ]

    def _apply(self, kind: Kind, manifest: Mapping[str, Any], *, confidential: bool = False) -> None:
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

    def _list(self, kind: Kind, patience: Patience, namespace: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        query = {"limit": _PAGE}
        while True:
            path = kind.inside(namespace)
            answer = self._api.call("GET", path, query=query, expected="Expired", patience=patience)
            if not answer.ok:
                # The API has forgotten how the list was when its first page was read.
                found, query = [], {"limit": _PAGE}
                continue
            # Go writes an empty list as null.
            found += answer.document.get("items") or []
            further = answer.document.get("metadata", {}).get("continue")
            if not further:
                return found
            query = {"limit": _PAGE, "continue": further}

    def _get(self, path: str, patience: Patience | None = None) -> dict[str, Any]:
        return self._api.call("GET", path, patience=patience).document

    def _delete(self, kind: Kind, namespace: str, name: str, patience: Patience | None = None) -> None:
        """Ask for the deletion of an object, which may be gone already."""
        path = kind.one(namespace, name)
        policy = {"propagationPolicy": "Background"}
        self._api.call("DELETE", path, query=policy, expected="NotFound", patience=patience)


def is_owned(body: Mapping[str, Any], owner: str) -> bool:
    """Return whether an object is marked as an environment's."""
    return bool((body["metadata"].get("labels") or {}).get(ENVIRONMENT_LABEL) == owner)


def _trouble(node: dict[str, Any]) -> str | None:
    """Return why a node is not ready, or None if it is."""
    for condition in node.get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready":
            if condition["status"] == "True":
                return None
            return f"{condition.get('reason', 'NotReady')}: {condition.get('message', '')}".rstrip(": ")
    return "it has not reported yet"


def _stands_for_cloud_resource(kind: Kind, item: dict[str, Any]) -> bool:
    spec = item.get("spec", {})
    if kind is SERVICE:
        return bool(spec.get("type") == "LoadBalancer")
    if kind is VOLUME:
        return bool(spec.get("persistentVolumeReclaimPolicy") == "Delete")
    return True


def _describe(kind: Kind, item: dict[str, Any]) -> str:
    metadata = item["metadata"]
    name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
    finalizers = metadata.get("finalizers")
    return f"{kind.name} {name}" + (f" (held by {', '.join(finalizers)})" if finalizers else "")


def _secret(namespace: str, name: str, data: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": SECRET.name,
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
