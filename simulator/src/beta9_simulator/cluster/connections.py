"""Which connections a pod needs, and whether it gets them.

Nothing runs here, so a pod has to say what it connects to: by libpq's PGHOST and PGPORT, or by the annotation
CONNECTS, in which the stand-in charts note what the genuine program connects to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.directory import ClusterNetwork
from beta9_simulator.cluster.reachability import Connection, End, allows
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.selectors import selects
from beta9_simulator.cluster.store import Object

CONNECTS = "local.beta9/connects-to"
"""Annotation of a pod: `host:port`, any number of them with spaces between."""
_PODS = BUILTIN["pods"]
_SERVICES = BUILTIN["services"]
_POSTGRES_PORT = "5432"


def unreached(cluster: Cluster, pod: Object) -> str:
    """Why the pod does not get a connection that it needs; empty if it gets all, or has no address yet.

    A host that is not known here is taken as reached, and so is a Service without pods.
    """
    network, needed = cluster.network, list(_needed(pod))
    address = pod.get("status", {}).get("podIP")
    if network is None or not needed or not address or not _is_held(pod) or not network.enforces_policies():
        return ""
    source = End(address, pod)
    for host, port in needed:
        if not port.isdecimal():
            return f"invalid port number: {port!r}"
        ends = list(_ends(cluster, network, pod["metadata"]["namespace"], host, int(port)))
        if ends and not any(allows(cluster.store, Connection(source, end, number)) for end, number in ends):
            return f"connection to {host} port {port} timed out: network policies do not allow it"
    return ""


def _is_held(pod: Object) -> bool:
    """Whether the network plugin holds the pod to policies.

    Amazon's does not with pods in the network of their node, nor with those that no controller owns:
    https://docs.aws.amazon.com/eks/latest/userguide/cni-network-policy.html
    """
    return not pod["spec"].get("hostNetwork") and bool(pod["metadata"].get("ownerReferences"))


def _needed(pod: Object) -> Iterator[tuple[str, str]]:
    for text in ((pod["metadata"].get("annotations") or {}).get(CONNECTS) or "").split():
        host, _, port = text.rpartition(":")
        yield host, port
    for container in [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]:
        given = {one["name"]: str(one["value"]) for one in container.get("env") or () if "value" in one}
        if "PGHOST" in given:
            yield given["PGHOST"], given.get("PGPORT", _POSTGRES_PORT)


def _ends(
    cluster: Cluster, network: ClusterNetwork, namespace: str, host: str, port: int
) -> Iterator[tuple[End, int]]:
    """What a name or address leads to, and by which port."""
    name, _, rest = host.partition(".")
    place = rest.removesuffix(".cluster.local").removesuffix(".svc") or namespace
    service = cluster.store.get(_SERVICES, place, name)
    if service is not None:
        yield from _behind(cluster, service, port)
        return
    address = host if _is_address(host) else network.address_of(host)
    if address:
        having = (one for one in cluster.store.select(_PODS) if one.get("status", {}).get("podIP") == address)
        yield End(address, next(having, None)), port


def _behind(cluster: Cluster, service: Object, port: int) -> Iterator[tuple[End, int]]:
    """The pods of a Service: policies are about these, not about the Service's own address."""
    metadata, spec = service["metadata"], service["spec"]
    target = next((one["targetPort"] for one in spec.get("ports") or () if one["port"] == port), port)
    selector = {"matchLabels": spec["selector"]} if spec.get("selector") else None
    for pod in cluster.store.select(_PODS, metadata["namespace"]):
        address = pod.get("status", {}).get("podIP")
        if address and selects(selector, pod["metadata"].get("labels") or {}):
            yield from ((End(address, pod), number) for number in _numbers(pod, target))


def _numbers(pod: Object, target: int | str) -> list[int]:
    if isinstance(target, int):
        return [target]
    ports = (port for container in pod["spec"]["containers"] for port in container.get("ports") or ())
    return [port["containerPort"] for port in ports if port.get("name") == target]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
