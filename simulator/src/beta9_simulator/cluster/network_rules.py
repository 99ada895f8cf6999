"""What Services, Ingresses and NetworkPolicies must look like."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from beta9_simulator.cluster.errors import invalid
from beta9_simulator.cluster.resources import Resource
from beta9_simulator.cluster.store import Object
from beta9_simulator.cluster.syntax import (
    check_labels,
    check_selector,
    check_unique,
    is_host,
    is_port,
    is_port_or_name,
)

_PATH_TYPES = ("Exact", "Prefix", "ImplementationSpecific")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_PEERS = ("ipBlock", "namespaceSelector", "podSelector")
_DIRECTIONS = ("Ingress", "Egress")
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def check_service(resource: Resource, name: str, body: Object) -> None:
    """Ports, their names, and the selector.

    Raises:
        ApiError: 422, as the other functions here.
    """
    spec = body["spec"]
    check_labels(resource, name, "spec.selector", spec.get("selector"))
    ports = spec.get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        raise invalid(resource, name, "spec.ports", "Required value")
    for index, port in enumerate(ports):
        where = f"spec.ports[{index}]"
        if not is_port(port.get("port")):
            why = f"Invalid value: {port.get('port')!r}: must be between 1 and 65535"
            raise invalid(resource, name, f"{where}.port", why)
        if len(ports) > 1 and not port.get("name"):
            raise invalid(resource, name, f"{where}.name", "Required value")
        if not is_port_or_name(port["targetPort"]):
            raise invalid(resource, name, f"{where}.targetPort", f"Invalid value: {port['targetPort']!r}")
        if port["protocol"] not in _PROTOCOLS:
            raise invalid(resource, name, f"{where}.protocol", f"Unsupported value: {port['protocol']!r}")
    check_unique(resource, name, "spec.ports.name", [port["name"] for port in ports if port.get("name")])
    check_unique(resource, name, "spec.ports.port", [(port["protocol"], port["port"]) for port in ports])


def check_ingress(resource: Resource, name: str, body: Object) -> None:
    """Hosts, paths and backends."""
    spec = body["spec"]
    if not spec.get("rules") and not spec.get("defaultBackend"):
        raise invalid(resource, name, "spec", "Invalid value: needs `defaultBackend` or `rules`")
    if spec.get("defaultBackend"):
        _check_backend(resource, name, "spec.defaultBackend", spec["defaultBackend"])
    for index, section in enumerate(spec.get("tls") or []):
        for host in section.get("hosts") or []:
            if not is_host(host):
                raise invalid(resource, name, f"spec.tls[{index}].hosts", f"Invalid value: {host!r}")
    for index, rule in enumerate(spec.get("rules") or []):
        _check_rule(resource, name, f"spec.rules[{index}]", rule)


def _check_rule(resource: Resource, name: str, where: str, rule: dict[str, Any]) -> None:
    if rule.get("host") and not is_host(rule["host"]):
        raise invalid(resource, name, f"{where}.host", f"Invalid value: {rule['host']!r}: a name of DNS")
    if "http" not in rule:
        return
    paths = rule["http"].get("paths") or []
    if not paths:
        raise invalid(resource, name, f"{where}.http.paths", "Required value")
    for number, path in enumerate(paths):
        _check_path(resource, name, f"{where}.http.paths[{number}]", path)


def _check_path(resource: Resource, name: str, where: str, path: dict[str, Any]) -> None:
    kind = path.get("pathType")
    if kind is None:
        raise invalid(resource, name, f"{where}.pathType", "Required value: pathType must be specified")
    if kind not in _PATH_TYPES:
        raise invalid(resource, name, f"{where}.pathType", f"Unsupported value: {kind!r}")
    if kind != "ImplementationSpecific" and not str(path.get("path", "")).startswith("/"):
        raise invalid(resource, name, f"{where}.path", "Invalid value: must be an absolute path")
    _check_backend(resource, name, f"{where}.backend", path.get("backend") or {})


def _check_backend(resource: Resource, name: str, where: str, backend: dict[str, Any]) -> None:
    service = backend.get("service")
    if bool(service) == bool(backend.get("resource")):
        raise invalid(resource, name, where, "Required value: exactly one of `service` and `resource`")
    if not service:
        return
    if not service.get("name"):
        raise invalid(resource, name, f"{where}.service.name", "Required value")
    port = service.get("port") or {}
    given = [port[key] for key in ("name", "number") if port.get(key)]
    if len(given) != 1:
        raise invalid(resource, name, f"{where}.service.port", "Required value: `name` or `number`")
    if not is_port_or_name(given[0]):
        raise invalid(resource, name, f"{where}.service.port", f"Invalid value: {given[0]!r}")


def check_policy(resource: Resource, name: str, body: Object) -> None:
    """Selectors, peers, addresses, ports and types of a NetworkPolicy.

    The rules and words are those of ``pkg/apis/networking/validation`` in kubernetes/kubernetes.
    """
    spec = body["spec"]
    check_selector(resource, name, "spec.podSelector", spec.get("podSelector"))
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or []):
            where = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or []):
                _check_policy_port(resource, name, f"{where}.ports[{number}]", port)
            for number, peer in enumerate(rule.get(side) or []):
                _check_peer(resource, name, f"{where}.{side}[{number}]", peer)
    types = spec.get("policyTypes") or []
    if len(types) > len(_DIRECTIONS):
        why = f"Invalid value: {json.dumps(types)}: may not specify more than two policyTypes"
        raise invalid(resource, name, "spec.policyTypes", why)
    for index, kind in enumerate(types):
        _check_one_of(resource, name, f"spec.policyTypes[{index}]", kind, _DIRECTIONS)


def _check_one_of(resource: Resource, name: str, where: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        supported = ", ".join(json.dumps(one) for one in known)
        why = f"Unsupported value: {json.dumps(value)}: supported values: {supported}"
        raise invalid(resource, name, where, why)


def _check_peer(resource: Resource, name: str, where: str, peer: dict[str, Any]) -> None:
    given = [kind for kind in _PEERS if kind in peer]
    if not given:
        raise invalid(resource, name, where, "Required value: must specify a peer")
    if "ipBlock" in given and len(given) > 1:
        raise invalid(resource, name, where, "Forbidden: may not specify both ipBlock and another peer")
    for kind in given:
        if kind == "ipBlock":
            _check_block(resource, name, f"{where}.ipBlock", peer[kind])
        else:
            check_selector(resource, name, f"{where}.{kind}", peer[kind])


def _check_block(resource: Resource, name: str, where: str, block: dict[str, Any]) -> None:
    if not block.get("cidr"):
        raise invalid(resource, name, f"{where}.cidr", "Required value")
    whole = _network(resource, name, f"{where}.cidr", block["cidr"])
    for index, text in enumerate(block.get("except") or []):
        part = _network(resource, name, f"{where}.except[{index}]", text)
        inside = part.version == whole.version and part != whole and part.subnet_of(whole)  # type: ignore[arg-type]
        if not inside:
            why = f"Invalid value: {json.dumps(text)}: must be a strict subset of `cidr`"
            raise invalid(resource, name, f"{where}.except[{index}]", why)


def _network(resource: Resource, name: str, where: str, text: Any) -> _Network:
    """Read an address range as strictly as Kubernetes does from 1.36 on."""
    why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    if isinstance(text, str) and "/" in text:
        try:
            found = ipaddress.ip_interface(text)
        except ValueError:
            found = None
        if found is not None and found.ip == found.network.network_address:
            return found.network
        if found is not None:
            why = "must not have bits set beyond the prefix length"
    raise invalid(resource, name, where, f"Invalid value: {json.dumps(text)}: {why}")


def _check_policy_port(resource: Resource, name: str, where: str, port: dict[str, Any]) -> None:
    _check_one_of(resource, name, f"{where}.protocol", port.get("protocol", "TCP"), _PROTOCOLS)
    number, last = port.get("port"), port.get("endPort")
    if isinstance(number, int):
        _check_number(resource, name, f"{where}.port", number)
    if last is not None:
        if not isinstance(number, int):
            state = "is not specified" if number is None else "is non-numeric"
            why = f"Invalid value: {last}: may not be specified when `port` {state}"
            raise invalid(resource, name, f"{where}.endPort", why)
        if last < number:
            why = f"Invalid value: {last}: must be greater than or equal to `port`"
            raise invalid(resource, name, f"{where}.endPort", why)
        _check_number(resource, name, f"{where}.endPort", last)
    if isinstance(number, str) and not is_port_or_name(number):
        why = f"Invalid value: {json.dumps(number)}: must be the name of a port, such as http"
        raise invalid(resource, name, f"{where}.port", why)


def _check_number(resource: Resource, name: str, where: str, number: int) -> None:
    if not is_port(number):
        why = f"Invalid value: {number}: must be between 1 and 65535, inclusive"
        raise invalid(resource, name, where, why)
