"""Whether NetworkPolicies allow a connection, as Kubernetes defines it.

A pod that no policy selects for a direction is open in that direction. One that some select may use what any
of them allows: policies only ever add. https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.selectors import selects
from beta9_simulator.cluster.store import Object, ObjectStore, name_of

_POLICIES = BUILTIN["networkpolicies"]
_NAMESPACES = BUILTIN["namespaces"]


@dataclass(frozen=True)
class End:
    """One end of a connection: an address, and the pod that has it, if one does."""

    address: str
    pod: Object | None = None


@dataclass(frozen=True)
class Connection:
    """What the source opens to a port of the target."""

    source: End
    target: End
    port: int
    protocol: str = "TCP"


def allows(store: ObjectStore, connection: Connection) -> bool:
    """Whether the connection may be opened.

    Both ends have a word: policies for egress that select the source, and for ingress that select the target.
    """
    source, target = connection.source, connection.target
    if source.pod is not None and target.pod is not None and name_of(source.pod) == name_of(target.pod):
        return True  # no pod can be kept from itself
    return _lets(store, connection, "Egress") and _lets(store, connection, "Ingress")


def _lets(store: ObjectStore, connection: Connection, direction: str) -> bool:
    """Whether the policies of one end let it; ports are the target's, whichever end has the policies."""
    own, other = connection.source, connection.target
    rules, side = "egress", "to"
    if direction == "Ingress":
        own, other = other, own
        rules, side = "ingress", "from"
    if own.pod is None:
        return True
    isolating = [one for one in _selecting(store, own.pod) if direction in one["spec"]["policyTypes"]]
    return not isolating or any(
        _is_peer(store, policy["metadata"]["namespace"], rule.get(side) or [], other)
        and _is_port(rule.get("ports") or [], connection)
        for policy in isolating
        for rule in policy["spec"].get(rules) or ()
    )


def _selecting(store: ObjectStore, pod: Object) -> list[Object]:
    labels = pod["metadata"].get("labels") or {}
    policies = store.select(_POLICIES, pod["metadata"]["namespace"])
    return [one for one in policies if selects(one["spec"].get("podSelector") or {}, labels)]


def _is_peer(store: ObjectStore, namespace: str, peers: list[dict[str, Any]], end: End) -> bool:
    """Whether one of the peers is the end; a rule without peers is for everybody."""
    return not peers or any(_covers(store, namespace, peer, end) for peer in peers)


def _covers(store: ObjectStore, namespace: str, peer: dict[str, Any], end: End) -> bool:
    if "ipBlock" in peer:
        return _in_block(peer["ipBlock"], end.address)
    if end.pod is None:
        return False
    metadata = end.pod["metadata"]
    if "namespaceSelector" in peer:
        found = store.get(_NAMESPACES, "", metadata["namespace"])
        labels = (found or {"metadata": {}})["metadata"].get("labels") or {}
        if not selects(peer["namespaceSelector"], labels):
            return False
    elif metadata["namespace"] != namespace:
        return False
    return "podSelector" not in peer or selects(peer["podSelector"], metadata.get("labels") or {})


def _in_block(block: dict[str, Any], text: str) -> bool:
    address = ipaddress.ip_address(text)
    return address in ipaddress.ip_network(block["cidr"]) and not any(
        address in ipaddress.ip_network(part) for part in block.get("except") or ()
    )


def _is_port(ports: list[dict[str, Any]], connection: Connection) -> bool:
    """Whether one of the ports is the connection's; a rule without ports is for all."""
    return not ports or any(_is_number(port, connection) for port in ports)


def _is_number(port: dict[str, Any], connection: Connection) -> bool:
    if port.get("protocol", "TCP") != connection.protocol:
        return False
    wanted = port.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return connection.port in _named(connection.target, wanted, connection.protocol)
    return bool(wanted <= connection.port <= port.get("endPort", wanted))


def _named(target: End, name: str, protocol: str) -> set[int]:
    """The numbers that a name of a port stands for; only pods have such names."""
    containers = target.pod["spec"]["containers"] if target.pod else []
    return {
        port["containerPort"]
        for container in containers
        for port in container.get("ports") or ()
        if port.get("name") == name and port.get("protocol", "TCP") == protocol
    }
