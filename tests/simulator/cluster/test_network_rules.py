"""Services, Ingresses and NetworkPolicies that a real API server refuses."""

from __future__ import annotations

from typing import Any

import pytest

from beta9_simulator.cluster.cluster import NAMESPACES, Cluster
from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.resources import BUILTIN

BACKEND: dict[str, Any] = {"service": {"name": "s", "port": {"name": "http"}}}
PATH = {"path": "/", "pathType": "Prefix", "backend": BACKEND}


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster()
    cluster.insert(NAMESPACES, "", {"metadata": {"name": "ns"}})
    return cluster


def rule(**path: Any) -> dict[str, Any]:
    kept = {key: value for key, value in {**PATH, **path}.items() if value is not None}
    return {"rules": [{"host": "a.example.com", "http": {"paths": [kept]}}]}


def service_port(**port: Any) -> dict[str, Any]:
    return rule(backend={"service": {"name": "s", "port": port}})


def policy(*peers: dict[str, Any]) -> dict[str, Any]:
    return {"podSelector": {}, "ingress": [{"from": list(peers)}]}


def block(cidr: str, *parts: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr, "except": list(parts)}}


@pytest.mark.parametrize(
    ("plural", "spec", "field"),
    [
        ("services", {"ports": [{"port": 80, "targetPort": "http://"}]}, "spec.ports[0].targetPort"),
        ("services", {"ports": [{"port": 80, "protocol": "tcp"}]}, "spec.ports[0].protocol"),
        ("services", {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}, "spec.ports.name"),
        ("services", {"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}, "spec.ports.port"),
        ("services", {"selector": {"a": "b:c"}, "ports": [{"port": 80}]}, "spec.selector.a"),
        ("ingresses", {"ingressClassName": "traefik"}, "spec"),
        ("ingresses", rule(pathType=None), "spec.rules[0].http.paths[0].pathType"),
        ("ingresses", rule(pathType="prefix"), "spec.rules[0].http.paths[0].pathType"),
        ("ingresses", rule(path="health"), "spec.rules[0].http.paths[0].path"),
        ("ingresses", rule(backend={}), "spec.rules[0].http.paths[0].backend"),
        ("ingresses", rule(backend={"service": {}}), "spec.rules[0].http.paths[0].backend"),
        ("ingresses", service_port(), "spec.rules[0].http.paths[0].backend.service.port"),
        ("ingresses", service_port(number=80, name="x"), "spec.rules[0].http.paths[0].backend.service.port"),
        ("ingresses", service_port(number=0, name=""), "spec.rules[0].http.paths[0].backend.service.port"),
        ("ingresses", {"rules": [{"host": "https://a"}]}, "spec.rules[0].host"),
        ("ingresses", {"rules": [{"http": {"paths": []}}]}, "spec.rules[0].http.paths"),
        ("ingresses", {**rule(), "tls": [{"hosts": ["*"]}]}, "spec.tls[0].hosts"),
        ("networkpolicies", {"podSelector": {"matchLabels": {"a": "b c"}}}, "spec.podSelector.matchLabels.a"),
        ("networkpolicies", {"podSelector": {}, "policyTypes": ["egress"]}, "spec.policyTypes"),
        ("networkpolicies", policy({}), "spec.ingress[0].from[0]"),
        ("networkpolicies", policy({**block("10.0.0.0/8"), "podSelector": {}}), "spec.ingress[0].from[0]"),
        ("networkpolicies", policy(block("10.0.0.1/8")), "spec.ingress[0].from[0].ipBlock.cidr"),
        (
            "networkpolicies",
            policy(block("10.0.0.0/8", "11.0.0.0/16")),
            "spec.ingress[0].from[0].ipBlock.except",
        ),
        (
            "networkpolicies",
            policy(block("10.0.0.0/8", "10.0.0.0/8")),
            "spec.ingress[0].from[0].ipBlock.except",
        ),
        (
            "networkpolicies",
            policy(block("0.0.0.0/0", "fd00::/8")),
            "spec.ingress[0].from[0].ipBlock.except",
        ),
        (
            "networkpolicies",
            policy({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}),
            "spec.ingress[0].from[0].namespaceSelector.matchExpressions[0].operator",
        ),
        (
            "networkpolicies",
            policy({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            "spec.ingress[0].from[0].namespaceSelector.matchExpressions[0].values",
        ),
        (
            "networkpolicies",
            {"podSelector": {}, "ingress": [{"ports": [{"protocol": "HTTP"}]}]},
            "spec.ingress[0].ports[0].protocol",
        ),
        (
            "networkpolicies",
            {"podSelector": {}, "ingress": [{"ports": [{"port": "http", "endPort": 90}]}]},
            "spec.ingress[0].ports[0].endPort",
        ),
    ],
)
def test_mistakes_are_refused(cluster: Cluster, plural: str, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ApiError) as refused:
        cluster.insert(BUILTIN[plural], "ns", {"metadata": {"name": "a"}, "spec": spec})
    assert refused.value.code == 422
    assert refused.value.details["causes"][0]["field"] == field


@pytest.mark.parametrize(
    ("plural", "spec"),
    [
        ("services", {"ports": [{"port": 53, "name": "a"}, {"port": 53, "name": "b", "protocol": "UDP"}]}),
        ("ingresses", {"defaultBackend": BACKEND}),
        ("ingresses", {"rules": [{"host": "*.example.com"}]}),
        ("ingresses", rule(path=None, pathType="ImplementationSpecific")),
        ("networkpolicies", policy(block("0.0.0.0/0", "169.254.169.254/32"))),
        ("networkpolicies", {"podSelector": {}, "ingress": [{"ports": [{"port": 80, "endPort": 90}]}]}),
    ],
)
def test_what_is_right_is_accepted(cluster: Cluster, plural: str, spec: dict[str, Any]) -> None:
    assert cluster.insert(BUILTIN[plural], "ns", {"metadata": {"name": "a"}, "spec": spec})


def test_a_policy_that_names_egress_is_one_of_egress(cluster: Cluster) -> None:
    policies = BUILTIN["networkpolicies"]
    plain = cluster.insert(policies, "ns", {"metadata": {"name": "a"}, "spec": {"podSelector": {}}})
    assert plain["spec"]["policyTypes"] == ["Ingress"]
    both: dict[str, Any] = {"podSelector": {}, "egress": [{}]}
    assert cluster.insert(policies, "ns", {"metadata": {"name": "b"}, "spec": both})["spec"][
        "policyTypes"
    ] == [
        "Ingress",
        "Egress",
    ]
