"""Webhooks that do not answer, and load balancers that nobody makes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.clusters import node
from tests.support.controlled import World

from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.resources import BUILTIN

SERVICES, DEPLOYMENTS = BUILTIN["services"], BUILTIN["deployments"]
HOOKS = BUILTIN["mutatingwebhookconfigurations"]
EXTERNAL = {"service.beta.kubernetes.io/aws-load-balancer-type": "external"}
LABELS = {"app.kubernetes.io/name": "aws-load-balancer-controller"}


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 443}], **spec}}


def hook(**changes: Any) -> dict[str, Any]:
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["services"]}]
    webhook = {
        "name": "mservice.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "clientConfig": {"service": {"name": "hook", "namespace": "default", "path": "/mutate"}},
        "rules": rules,
        **changes,
    }
    return {"metadata": {"name": "hook"}, "webhooks": [webhook]}


def deployment() -> dict[str, Any]:
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 443}]}
    return {
        "metadata": {"name": "controller", "labels": LABELS},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}},
        },
    }


def test_a_service_is_refused_while_the_webhook_that_is_asked_has_no_ready_pod() -> None:
    world = World(node("n"))
    world.cluster.insert(SERVICES, "default", service("hook", selector=LABELS))
    world.cluster.insert(HOOKS, "", hook())
    with pytest.raises(ApiError) as refused:
        world.cluster.insert(SERVICES, "default", service("web"))
    assert refused.value.code == 500
    assert refused.value.message == (
        'Internal error occurred: failed calling webhook "mservice.example.com": failed to call webhook: '
        'Post "https://hook.default.svc:443/mutate?timeout=10s": no endpoints available for service "hook"'
    )
    world.cluster.insert(DEPLOYMENTS, "default", deployment())
    world.run()
    world.cluster.insert(SERVICES, "default", service("web"))


@pytest.mark.parametrize(
    "changes",
    [
        {"failurePolicy": "Ignore"},
        {"objectSelector": {"matchLabels": {"a": "b"}}},
        {"rules": [{"apiGroups": ["apps"], "operations": ["CREATE"], "resources": ["*"]}]},
        {"rules": [{"apiGroups": [""], "operations": ["UPDATE"], "resources": ["services"]}]},
    ],
)
def test_webhooks_that_are_not_asked_refuse_nothing(changes: dict[str, Any]) -> None:
    world = World(node("n"))
    world.cluster.insert(HOOKS, "", hook(**changes))
    world.cluster.insert(SERVICES, "default", service("web"))


def address(world: World, name: str) -> Any:
    body = world.cluster.require(SERVICES, "default", name)
    return body.get("status", {}).get("loadBalancer")


def test_external_load_balancers_appear_only_when_their_controller_runs() -> None:
    world = World(node("n"))
    external = service("external", type="LoadBalancer")
    external["metadata"]["annotations"] = EXTERNAL
    world.cluster.insert(SERVICES, "default", external)
    world.cluster.insert(SERVICES, "default", service("own", type="LoadBalancer"))
    world.run()
    assert address(world, "own")
    assert not address(world, "external")
    world.cluster.insert(DEPLOYMENTS, "default", deployment())
    world.run()
    assert address(world, "external")["ingress"][0]["hostname"]
