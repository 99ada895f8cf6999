"""Whether policies allow a connection: the cases of Kubernetes' page on network policies."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from beta9_simulator.cluster.cluster import NAMESPACES, Cluster
from beta9_simulator.cluster.reachability import Connection, End, allows
from beta9_simulator.cluster.resources import BUILTIN

ALL: dict[str, Any] = {}
EVERYBODY: dict[str, Any] = {"podSelector": {}}
OUTSIDE = End("203.0.113.7")


class Net:
    """A cluster with the namespaces a (team=x) and b (team=y), pods with addresses, and policies."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self._counter = itertools.count(1)
        for name, team in (("a", "x"), ("b", "y")):
            self.cluster.insert(NAMESPACES, "", {"metadata": {"name": name, "labels": {"team": team}}})

    def pod(self, namespace: str, **labels: str) -> End:
        number = next(self._counter)
        ports = [
            {"name": "web", "containerPort": 8080},
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
        ]
        container = {"name": "c", "image": "i", "ports": ports}
        metadata = {"name": f"p{number}", "labels": labels}
        made = self.cluster.insert(
            BUILTIN["pods"], namespace, {"metadata": metadata, "spec": {"containers": [container]}}
        )
        return End(f"10.1.0.{number}", made)

    def policy(self, namespace: str, pods: dict[str, Any] = ALL, **spec: Any) -> None:
        body = {"metadata": {"name": f"n{next(self._counter)}"}, "spec": {"podSelector": pods, **spec}}
        self.cluster.insert(BUILTIN["networkpolicies"], namespace, body)

    def open(self, source: End, target: End, port: int = 8080, protocol: str = "TCP") -> bool:
        return allows(self.cluster.store, Connection(source, target, port, protocol))


@pytest.fixture
def net() -> Net:
    return Net()


def peer(kind: str, **labels: str) -> dict[str, Any]:
    return {kind: {"matchLabels": labels}}


def test_without_policies_everything_is_open(net: Net) -> None:
    one, two = net.pod("a"), net.pod("b")
    assert net.open(one, two)
    assert net.open(one, OUTSIDE)
    assert net.open(OUTSIDE, two)


def test_a_policy_closes_its_direction_of_its_pods_only(net: Net) -> None:
    web, other, far = net.pod("a", app="web"), net.pod("a"), net.pod("b", app="web")
    net.policy("a", {"matchLabels": {"app": "web"}}, policyTypes=["Ingress"])
    assert not net.open(other, web)
    assert not net.open(OUTSIDE, web)
    assert net.open(web, other)
    assert net.open(other, far)


def test_both_ends_have_a_word(net: Net) -> None:
    client, server = net.pod("a", app="client"), net.pod("b", app="server")
    net.policy("a", {"matchLabels": {"app": "client"}}, policyTypes=["Egress"], egress=[{}])
    assert net.open(client, server)
    net.policy("b", policyTypes=["Ingress"])
    assert not net.open(client, server)


def test_policies_add_up_and_never_take_away(net: Net) -> None:
    one, two, three = net.pod("a", app="1"), net.pod("a", app="2"), net.pod("a", app="3")
    net.policy("a", policyTypes=["Ingress", "Egress"])
    assert not net.open(one, two)
    net.policy("a", policyTypes=["Ingress"], ingress=[{}])
    assert not net.open(one, two)
    net.policy("a", policyTypes=["Egress"], egress=[{"to": [peer("podSelector", app="2")]}])
    assert net.open(one, two)
    assert not net.open(one, three)
    assert net.open(OUTSIDE, three)


@pytest.mark.parametrize("rules", [{}, {"ingress": []}])
def test_no_rule_is_nobody_and_an_empty_rule_is_everybody(net: Net, rules: dict[str, Any]) -> None:
    one, two = net.pod("a"), net.pod("b")
    net.policy("a", policyTypes=["Ingress"], **rules)
    assert not net.open(two, one)
    net.policy("a", policyTypes=["Ingress"], ingress=[{"from": [], "ports": []}])
    assert net.open(two, one)
    assert net.open(OUTSIDE, one)


def test_types_that_are_left_out(net: Net) -> None:
    one, two = net.pod("a"), net.pod("b")
    net.policy("a")
    assert not net.open(two, one)
    assert net.open(one, two)
    net.policy("a", egress=[{"to": [peer("podSelector", app="none")]}])
    assert not net.open(one, two)


def test_a_pods_own_rules_count_only_for_the_types_that_are_named(net: Net) -> None:
    one, two = net.pod("a"), net.pod("b")
    net.policy("a", policyTypes=["Ingress"], egress=[{"to": [peer("podSelector", app="none")]}])
    assert net.open(one, two)


def test_pods_of_the_same_namespace_are_what_a_pod_selector_alone_means(net: Net) -> None:
    server, near, far = net.pod("a"), net.pod("a", role="client"), net.pod("b", role="client")
    net.policy("a", policyTypes=["Ingress"], ingress=[{"from": [peer("podSelector", role="client")]}])
    assert net.open(near, server)
    assert not net.open(far, server)


def test_in_one_peer_selectors_are_and_in_two_or(net: Net) -> None:
    together = {**peer("namespaceSelector", team="y"), **peer("podSelector", role="client")}
    server = net.pod("a", part="server")
    client, bystander, near = net.pod("b", role="client"), net.pod("b"), net.pod("a", role="client")
    net.policy(
        "a", {"matchLabels": {"part": "server"}}, policyTypes=["Ingress"], ingress=[{"from": [together]}]
    )
    assert [net.open(one, server) for one in (client, bystander, near)] == [True, False, False]
    apart = [peer("namespaceSelector", team="y"), peer("podSelector", role="client")]
    net.policy("a", {"matchLabels": {"part": "server"}}, policyTypes=["Ingress"], ingress=[{"from": apart}])
    assert [net.open(one, server) for one in (client, bystander, near)] == [True, True, True]


def test_an_empty_namespace_selector_is_every_namespace_and_nobody_outside(net: Net) -> None:
    server, near, far = net.pod("a"), net.pod("a"), net.pod("b")
    net.policy("a", policyTypes=["Ingress"], ingress=[{"from": [{"namespaceSelector": {}}]}])
    assert net.open(near, server)
    assert net.open(far, server)
    assert not net.open(OUTSIDE, server)


def test_selectors_by_expressions(net: Net) -> None:
    terms = [{"key": "tier", "operator": "NotIn", "values": ["gateway", "job"]}]
    gateway, other, bare = net.pod("a", tier="gateway"), net.pod("a", tier="web"), net.pod("a")
    net.policy("a", {"matchExpressions": terms}, policyTypes=["Egress"])
    assert [net.open(one, OUTSIDE) for one in (gateway, other, bare)] == [True, False, False]


def test_blocks_with_exceptions(net: Net) -> None:
    pod = net.pod("a")
    block = {"cidr": "10.0.0.0/8", "except": ["10.2.0.0/16", "10.3.0.4/32"]}
    net.policy("a", policyTypes=["Egress"], egress=[{"to": [{"ipBlock": block}]}])
    for address, reached in (
        ("10.0.0.1", True),
        ("10.2.255.255", False),
        ("10.3.0.4", False),
        ("10.3.0.5", True),
        ("11.0.0.1", False),
        ("fd00::1", False),
    ):
        assert net.open(pod, End(address)) is reached, address
    # An exception is none against another rule.
    net.policy("a", policyTypes=["Egress"], egress=[{"to": [{"ipBlock": {"cidr": "10.2.3.0/24"}}]}])
    assert net.open(pod, End("10.2.3.4"))
    assert not net.open(pod, End("10.2.4.4"))


def test_ports_are_the_targets_whichever_end_has_the_policy(net: Net) -> None:
    client, server = net.pod("a"), net.pod("b")
    net.policy("a", policyTypes=["Egress"], egress=[{"ports": [{"port": 8080}]}])
    assert net.open(client, server, 8080)
    assert not net.open(client, server, 8081)
    assert not net.open(client, server, 8080, "UDP")
    net.policy("b", policyTypes=["Ingress"], ingress=[{"ports": [{"port": 8000, "endPort": 8079}]}])
    assert not net.open(client, server, 8080)


@pytest.mark.parametrize(("port", "open_"), [(31999, False), (32000, True), (32768, True), (32769, False)])
def test_ranges_of_ports_hold_both_ends(net: Net, port: int, open_: bool) -> None:
    client = net.pod("a")
    ports = [{"protocol": "TCP", "port": 32000, "endPort": 32768}]
    net.policy("a", policyTypes=["Egress"], egress=[{"ports": ports}])
    assert net.open(client, OUTSIDE, port) is open_


def test_named_ports_are_looked_up_in_the_target(net: Net) -> None:
    client, server = net.pod("a"), net.pod("b")
    net.policy("a", policyTypes=["Egress"], egress=[{"ports": [{"port": "web"}]}])
    assert net.open(client, server, 8080)
    assert not net.open(client, server, 53, "UDP")
    assert not net.open(client, OUTSIDE, 8080)
    net.policy("a", policyTypes=["Egress"], egress=[{"ports": [{"port": "dns", "protocol": "UDP"}]}])
    assert net.open(client, server, 53, "UDP")
    assert not net.open(client, server, 53)


def test_a_protocol_without_a_port_is_all_its_ports(net: Net) -> None:
    client = net.pod("a")
    net.policy("a", policyTypes=["Egress"], egress=[{"ports": [{"protocol": "UDP"}]}])
    assert net.open(client, OUTSIDE, 1, "UDP")
    assert not net.open(client, OUTSIDE, 1)


def test_peers_and_ports_of_a_rule_belong_together(net: Net) -> None:
    client, server, other = net.pod("a"), net.pod("b", app="s"), net.pod("b")
    rules = [
        {
            "to": [{**peer("namespaceSelector", team="y"), **peer("podSelector", app="s")}],
            "ports": [{"port": 1}],
        },
        {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 2}]},
    ]
    net.policy("a", policyTypes=["Egress"], egress=rules)
    assert net.open(client, server, 1)
    assert net.open(client, OUTSIDE, 2)
    assert not net.open(client, server, 2)
    assert not net.open(client, OUTSIDE, 1)
    assert not net.open(client, other, 1)


def test_no_pod_is_kept_from_itself(net: Net) -> None:
    pod = net.pod("a")
    net.policy("a", policyTypes=["Ingress", "Egress"])
    assert net.open(pod, pod)
