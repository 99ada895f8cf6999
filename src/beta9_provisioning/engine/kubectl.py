"""kubectl: what the worker itself looks at, makes and removes in a cluster, beside Helm's releases."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beta9_provisioning.engine.cluster_process import ClusterError, ClusterProcess, Output, Patience

CALL_SECONDS = 60.0
# A call that was begun gets this long, even past a deadline: its answer is what the error will say.
LEAST_SECONDS = 10.0
CLEANUP_SECONDS = 20.0


class Kubectl:
    """kubectl against one cluster.

    Every method tries again while the API is busy or away, and raises ClusterError (`cluster_unreachable`,
    `cluster_unauthorized`, `cluster_failed`) when it stays so, and Stopped when the stop event is set.
    """

    def __init__(
        self,
        *,
        binary: Path | str,
        directory: Path,
        kubeconfig: Callable[[], str],
        env: Mapping[str, str],
        stop: threading.Event,
    ) -> None:
        self._process = ClusterProcess(binary, directory, kubeconfig, env, stop)

    def wait_nodes_ready(self, count: int, *, timeout: float = 600.0) -> list[str]:
        """Wait until `count` nodes are ready and return their names.

        Raises:
            ClusterError: `nodes_not_ready` after `timeout` seconds, naming those that are not ready and why.
        """
        patience = self._process.patience(timeout)
        while True:
            nodes = self._get("nodes", patience=patience)["items"]
            troubles = {node["metadata"]["name"]: trouble for node in nodes if (trouble := _trouble(node))}
            ready = [name for node in nodes if (name := node["metadata"]["name"]) not in troubles]
            if len(ready) >= count:
                return ready
            if not patience.wait():
                why = "; ".join(f"{name}: {trouble}" for name, trouble in troubles.items())
                raise ClusterError(
                    f"Of {count} nodes, {len(ready)} became ready within {timeout:.0f} s.",
                    detail=why or f"{len(nodes)} nodes have joined the cluster.",
                    remedy="Look at the node group's health in EKS, and at its instances' limits in EC2.",
                    code="nodes_not_ready",
                )

    def ensure_namespace(self, name: str) -> None:
        """Make the namespace if it does not exist."""
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self._create(manifest)

    def secret_once(self, namespace: str, name: str, data: Mapping[str, str]) -> dict[str, str]:
        """Create a Secret with that data, unless it exists; return what it holds now, whoever made it."""
        if self._create(_secret(namespace, name, data)):
            return dict(data)
        secret = self._get("secret", name, f"--namespace={namespace}")
        return {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}

    @contextmanager
    def passing_secret(self, namespace: str, name: str, data: Mapping[str, str]) -> Iterator[None]:
        """Keep a Secret in the cluster for the time of the block; one that exists is overwritten."""
        # Not `kubectl apply` alone: that would copy the data into an annotation.
        manifest = json.dumps(_secret(namespace, name, data))
        self._must(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=beta9-provisioning",
            "--filename=-",
            stdin=manifest,
        )
        delete = ("delete", "secret", name, f"--namespace={namespace}", "--ignore-not-found")
        try:
            yield
        except BaseException:
            # The first error is the one to report, whether this one try succeeds or not.
            self._process.call(*delete, timeout=CLEANUP_SECONDS, stoppable=False)
            raise
        self._must(*delete)

    def load_balancer_host(self, namespace: str, service: str, *, timeout: float = 300.0) -> str:
        """Wait for the host name (or address) of a Service's load balancer and return it.

        Raises:
            ClusterError: `load_balancer_missing` after `timeout` seconds.
        """
        patience = self._process.patience(timeout)
        while True:
            found = self._get("service", service, f"--namespace={namespace}", patience=patience)
            for entry in found.get("status", {}).get("loadBalancer", {}).get("ingress", ()):
                if host := entry.get("hostname") or entry.get("ip"):
                    return str(host)
            if not patience.wait():
                raise ClusterError(
                    f"The Service {namespace}/{service} got no load balancer within {timeout:.0f} s.",
                    remedy=f"Look at its events: kubectl --namespace {namespace} describe service {service}.",
                    code="load_balancer_missing",
                )

    def remove_cloud_objects(self, *, timeout: float = 600.0) -> None:
        """Delete all load balancer Services, Ingresses and volume claims; wait until they and their volumes
        are gone.

        They stand for cloud resources that Terraform does not know and that would block the destruction of
        the network. Uninstall the releases that use them first: a claim in use is not deleted.

        Raises:
            ClusterError: `cluster_objects_stuck` after `timeout` seconds, naming what is left.
        """
        patience = self._process.patience(timeout)
        while left := self._cloud_objects(patience):
            for item in left:
                if item["kind"] != "PersistentVolume" and "deletionTimestamp" not in item["metadata"]:
                    self._delete(item, patience)
            if not patience.wait():
                raise ClusterError(
                    f"Objects that stand for cloud resources were not gone in {timeout:.0f} s.",
                    detail="; ".join(_describe(item) for item in left),
                    remedy="Remove what uses or holds them, then repeat the operation.",
                    code="cluster_objects_stuck",
                )

    def _cloud_objects(self, patience: Patience) -> list[dict[str, Any]]:
        kinds = "services,ingresses,persistentvolumeclaims,persistentvolumes"
        items = self._get(kinds, "--all-namespaces", patience=patience)["items"]
        return [item for item in items if _stands_for_cloud_resource(item)]

    def _delete(self, item: dict[str, Any], patience: Patience) -> None:
        metadata = item["metadata"]
        self._must(
            "delete",
            f"{item['kind'].lower()}/{metadata['name']}",
            f"--namespace={metadata['namespace']}",
            "--ignore-not-found",
            "--wait=false",
            patience=patience,
        )

    def _create(self, manifest: dict[str, Any]) -> bool:
        """Create an object; return whether it was new."""
        patience = self._process.patience(CALL_SECONDS)
        text = json.dumps(manifest)
        while not (output := self._call("create", "--filename=-", patience=patience, stdin=text)).ok:
            if output.says("(alreadyexists)"):
                return False
            if not patience.wait_after(output):
                raise _failed(output)
        return True

    def _get(self, *arguments: str, patience: Patience | None = None) -> dict[str, Any]:
        document: dict[str, Any] = self._must(
            "get", *arguments, "--output=json", patience=patience
        ).document()
        return document

    def _must(self, *arguments: str, patience: Patience | None = None, stdin: str | None = None) -> Output:
        patience = patience or self._process.patience(CALL_SECONDS)
        while not (output := self._call(*arguments, patience=patience, stdin=stdin)).ok:
            if not patience.wait_after(output):
                raise _failed(output)
        return output

    def _call(self, *arguments: str, patience: Patience, stdin: str | None = None) -> Output:
        timeout = min(CALL_SECONDS, max(LEAST_SECONDS, patience.left))
        return self._process.call(*arguments, timeout=timeout, stdin=stdin, whole_output=True)


def _trouble(node: dict[str, Any]) -> str | None:
    """Return why a node is not ready, or None if it is."""
    for condition in node.get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready":
            if condition["status"] == "True":
                return None
            return f"{condition.get('reason', 'NotReady')}: {condition.get('message', '')}".rstrip(": ")
    return "it has not reported yet"


def _stands_for_cloud_resource(item: dict[str, Any]) -> bool:
    spec = item.get("spec", {})
    if item["kind"] == "Service":
        return bool(spec.get("type") == "LoadBalancer")
    if item["kind"] == "PersistentVolume":
        return bool(spec.get("persistentVolumeReclaimPolicy") == "Delete")
    return True


def _describe(item: dict[str, Any]) -> str:
    metadata = item["metadata"]
    name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
    finalizers = metadata.get("finalizers")
    return f"{item['kind']} {name}" + (f" (held by {', '.join(finalizers)})" if finalizers else "")


def _secret(namespace: str, name: str, data: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "stringData": dict(data),
    }


def _failed(output: Output) -> ClusterError:
    detail = output.text.strip()[-4000:]
    if output.refused:
        return ClusterError(
            "The cluster did not accept the role's token.",
            detail=detail,
            remedy="Check that the cluster has an access entry with a policy for the role Beta9Provisioner.",
            code="cluster_unauthorized",
        )
    if output.transient or output.timed_out:
        return ClusterError(
            "The cluster's Kubernetes API could not be reached.",
            detail=detail or "It did not answer in time.",
            remedy="Check that the cluster is ACTIVE and that the worker's network reaches its endpoint.",
            code="cluster_unreachable",
        )
    return ClusterError("kubectl failed.", detail=detail)
