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


def ports(*given: dict[str, Any]) -> dict[str, Any]:
    return {"podSelector": {}, "egress": [{"ports": list(given)}]}


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
        ("networkpolicies", {"podSelector": {}, "policyTypes": ["egress"]}, "spec.policyTypes[0]"),
        ("networkpolicies", policy({}), "spec.ingress[0].from[0]"),
        ("networkpolicies", policy({**block("10.0.0.0/8"), "podSelector": {}}), "spec.ingress[0].from[0]"),
        ("networkpolicies", policy(block("10.0.0.1/8")), "spec.ingress[0].from[0].ipBlock.cidr"),
        (
            "networkpolicies",
            policy(block("10.0.0.0/8", "11.0.0.0/16")),
            "spec.ingress[0].from[0].ipBlock.except[0]",
        ),
        (
            "networkpolicies",
            policy(block("10.0.0.0/8", "10.0.0.0/8")),
            "spec.ingress[0].from[0].ipBlock.except[0]",
        ),
        (
            "networkpolicies",
            policy(block("0.0.0.0/0", "fd00::/8")),
            "spec.ingress[0].from[0].ipBlock.except[0]",
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


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (policy({}), "spec.ingress[0].from[0]: Required value: must specify a peer"),
        (
            policy({**block("10.0.0.0/8"), "namespaceSelector": {}}),
            "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
        ),
        (policy({"ipBlock": {}}), "spec.ingress[0].from[0].ipBlock.cidr: Required value"),
        (
            policy(block("10.0.0.0")),
            'ipBlock.cidr: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24',
        ),
        (
            policy(block("10.0.0.1/8")),
            'Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length',
        ),
        (
            policy(block("10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/8")),
            'ipBlock.except[1]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`',
        ),
        (
            {"podSelector": {}, "policyTypes": ["Ingress", "Egress", "Ingress"]},
            "spec.policyTypes: Invalid value: "
            '["Ingress", "Egress", "Ingress"]: may not specify more than two policyTypes',
        ),
        (
            {"podSelector": {}, "policyTypes": ["Ingress", "Exgress"]},
            'spec.policyTypes[1]: Unsupported value: "Exgress": supported values: "Ingress", "Egress"',
        ),
        (ports({"port": 0}), "ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        (ports({"port": "A"}), 'ports[0].port: Invalid value: "A"'),
        (
            ports({"port": 90, "endPort": 80}),
            "ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
        ),
        (
            ports({"port": 90, "endPort": 70000}),
            "ports[0].endPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            ports({"endPort": 80}),
            "endPort: Invalid value: 80: may not be specified when `port` is not specified",
        ),
        (
            ports({"port": "a", "endPort": 80}),
            "endPort: Invalid value: 80: may not be specified when `port` is non-numeric",
        ),
        (
            ports({"protocol": "tcp"}),
            'protocol: Unsupported value: "tcp": supported values: "TCP", "UDP", "SCTP"',
        ),
    ],
)
def test_a_bad_policy_is_refused_in_the_words_of_kubernetes(
    cluster: Cluster, spec: dict[str, Any], words: str
) -> None:
    with pytest.raises(ApiError) as refused:
        cluster.insert(BUILTIN["networkpolicies"], "ns", {"metadata": {"name": "a"}, "spec": spec})
    assert refused.value.message.startswith('NetworkPolicy "a" is invalid: spec.')
    assert words in refused.value.message


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
    empty = {"podSelector": {}, "policyTypes": [], "ingress": [{"ports": [{"port": 80}]}]}
    filled = cluster.insert(policies, "ns", {"metadata": {"name": "c"}, "spec": empty})["spec"]
    assert filled["policyTypes"] == ["Ingress"]
    assert filled["ingress"] == [{"ports": [{"port": 80, "protocol": "TCP"}]}]
