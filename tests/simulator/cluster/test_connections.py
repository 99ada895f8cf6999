"""A pod that policies keep from what it needs does not become ready, and its Job fails."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.clusters import StaticNetwork, node
from tests.support.controlled import World

from beta9_simulator.cluster.connections import CONNECTS
from beta9_simulator.cluster.store import Object

NOTHING: dict[str, Any] = {"podSelector": {}, "policyTypes": ["Egress"]}


@pytest.fixture
def world() -> World:
    world = World(node("n1"))
    world.cluster.network = StaticNetwork(enforcing=True, hosts={"db.example": "10.9.0.4"})
    return world


def pod_of(connects: str, **spec: Any) -> dict[str, Any]:
    metadata = {"labels": {"app": "a"}, "annotations": {CONNECTS: connects}}
    container = {"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": 8080}]}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def deploy(world: World, connects: str, **spec: Any) -> None:
    selector = {"matchLabels": {"app": "a"}}
    template = pod_of(connects, **spec)
    world.create("deployments", "web", spec={"selector": selector, "template": template})
    world.run()


def forbid(world: World, **spec: Any) -> None:
    world.create("networkpolicies", "none", spec={**NOTHING, **spec})
    world.run()


def ready(world: World) -> bool:
    return bool(world.get("deployments", "web")["status"]["readyReplicas"])


def conditions(body: Object) -> dict[str, str]:
    return {one["type"]: one["status"] for one in body["status"]["conditions"]}


def test_a_deployment_that_is_cut_off_does_not_get_on(world: World) -> None:
    forbid(world)
    deploy(world, "db.example:5432")
    assert not ready(world)
    assert conditions(world.get("deployments", "web"))["Progressing"] == "False"
    (pod,) = world.pods()
    waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
    assert waiting == "CrashLoopBackOff"
    message = {one["message"] for one in pod["status"]["conditions"] if one["type"] == "Ready"}
    assert message == {"connection to db.example port 5432 timed out: network policies do not allow it"}


def test_a_policy_that_comes_and_goes_is_noticed(world: World) -> None:
    deploy(world, "db.example:5432")
    assert ready(world)
    forbid(world)
    assert not ready(world)
    world.change("networkpolicies", "none", {"egress": [{"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}]}]})
    world.run()
    assert ready(world)
    world.change("networkpolicies", "none", {"egress": []})
    world.run()
    assert not ready(world)


@pytest.mark.parametrize(("host", "outcome"), [("db.example", "Failed"), ("elsewhere.example", "Complete")])
def test_a_job_connects_where_libpq_is_told_to(world: World, host: str, outcome: str) -> None:
    forbid(world)
    env = [{"name": "PGHOST", "value": host}, {"name": "PGPORT", "value": "5432"}]
    container = {"name": "psql", "image": "postgres", "env": env}
    spec = {"restartPolicy": "Never", "containers": [container]}
    world.create("jobs", "user", spec={"template": {"metadata": {}, "spec": spec}})
    world.run()
    assert conditions(world.get("jobs", "user"))[outcome] == "True"


def test_without_a_plugin_that_enforces_them_policies_are_paper(world: World) -> None:
    world.cluster.network = StaticNetwork(hosts={"db.example": "10.9.0.4"})
    forbid(world)
    deploy(world, "db.example:5432")
    assert ready(world)


def test_pods_on_the_nodes_network_are_not_held(world: World) -> None:
    forbid(world)
    deploy(world, "db.example:5432", hostNetwork=True)
    assert ready(world)


def test_pods_that_nobody_owns_are_not_held(world: World) -> None:
    forbid(world)
    pod = pod_of("db.example:5432")
    world.create("pods", "lone", spec=pod["spec"])
    world.run()
    assert conditions(world.get("pods", "lone"))["Ready"] == "True"


@pytest.mark.parametrize("host", ["api", "api.default", "api.default.svc", "api.default.svc.cluster.local"])
@pytest.mark.parametrize(("allowed", "outcome"), [(8080, True), (80, False)])
def test_a_service_leads_to_its_pods_and_their_port(
    world: World, host: str, allowed: int, outcome: bool
) -> None:
    ports = [{"port": 80, "targetPort": "web"}]
    world.create("services", "api", spec={"selector": {"app": "api"}, "ports": ports})
    template = pod_of("")
    template["metadata"] = {"labels": {"app": "api"}}
    selector = {"matchLabels": {"app": "api"}}
    world.create("deployments", "api", spec={"selector": selector, "template": template})
    world.run()
    forbid(world, podSelector={"matchLabels": {"app": "a"}}, egress=[{"ports": [{"port": allowed}]}])
    deploy(world, f"{host}:80")
    assert ready(world) is outcome


def test_the_other_end_may_refuse_as_well(world: World) -> None:
    selector = {"matchLabels": {"app": "api"}}
    template = pod_of("")
    template["metadata"] = {"labels": {"app": "api"}}
    world.create("deployments", "api", spec={"selector": selector, "template": template})
    world.create("services", "api", spec={"selector": {"app": "api"}, "ports": [{"port": 8080}]})
    forbid(world, podSelector=selector, policyTypes=["Ingress"])
    deploy(world, "api:8080")
    assert not ready(world)


@pytest.mark.parametrize("connects", ["db.example:x", "db.example", "db.example:-1", ":"])
def test_what_is_no_port_is_told_and_stops_nobody_else(world: World, connects: str) -> None:
    deploy(world, connects)
    assert not ready(world)
    (pod,) = world.pods()
    assert any("invalid port number" in one["message"] for one in pod["status"]["conditions"])


def test_a_pod_that_waits_for_a_node_connects_to_nothing(world: World) -> None:
    forbid(world, policyTypes=["Ingress"], ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}])
    deploy(world, "10.9.0.4:5432", nodeSelector={"no": "node"})
    assert conditions(world.get("deployments", "web"))["Progressing"] == "True"
