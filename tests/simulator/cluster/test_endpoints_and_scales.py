"""Endpoints of Services, autoscalers and their bounds, revisions of Deployments, and disruption budgets."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.support.clusters import Kube
from tests.support.controlled import World
from tests.support.waiting import until

from beta9_simulator.cluster.behaviour import Target
from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.resources import BUILTIN


def workload(labels: dict[str, str], replicas: int = 1, image: str = "i:1") -> dict[str, Any]:
    ports = [{"name": "http", "containerPort": 8000}]
    spec = {"containers": [{"name": "c", "image": image, "ports": ports}]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}


def autoscaler(target: str, least: int = 2, most: int = 4, **spec: Any) -> dict[str, Any]:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    return {"scaleTargetRef": reference, "minReplicas": least, "maxReplicas": most, **spec}


def external(**labels: str) -> list[dict[str, Any]]:
    metric = {"name": "queue", "selector": {"matchLabels": labels}}
    return [{"type": "External", "external": {"metric": metric, "target": {"type": "AverageValue"}}}]


def condition(body: dict[str, Any], kind: str) -> tuple[str, str]:
    return next((c["status"], c["reason"]) for c in body["status"]["conditions"] if c["type"] == kind)


def endpoints(world: World) -> list[tuple[list[str], bool]]:
    (found,) = world.cluster.store.select(BUILTIN["endpointslices"])
    return [(endpoint["addresses"], endpoint["conditions"]["ready"]) for endpoint in found["endpoints"]]


def test_a_service_finds_the_pods_that_its_whole_selector_covers(world: World) -> None:
    world.create("deployments", "blue", spec=workload({"app": "a", "track": "blue"}, 2))
    world.create("deployments", "green", spec=workload({"app": "a", "track": "green"}))
    selector = {"app": "a", "track": "blue"}
    world.create("services", "s", spec={"selector": selector, "ports": [{"port": 80, "targetPort": "http"}]})
    world.run()
    addresses = {
        pod["status"]["podIP"] for pod in world.pods() if pod["metadata"]["labels"]["track"] == "blue"
    }
    assert {address for found, ready in endpoints(world) for address in found if ready} == addresses
    assert len({pod["status"]["podIP"] for pod in world.pods()}) == 3
    (found,) = world.names("endpointslices")
    assert world.get("endpointslices", found)["ports"] == [{"name": "", "port": 8000, "protocol": "TCP"}]
    world.change("services", "s", {"selector": {"app": "a"}})
    world.run()
    assert len(endpoints(world)) == 3
    world.change("deployments", "blue", {"replicas": 0})
    world.run()
    assert len(endpoints(world)) == 1
    world.cluster.delete(BUILTIN["services"], "default", "s")
    assert world.names("endpointslices") == []


def test_a_pod_that_is_not_ready_gets_no_traffic_and_a_port_that_no_pod_has_leads_nowhere(
    world: World,
) -> None:
    world.behaviour.never_ready.add(Target("Deployment"))
    world.create("deployments", "a", spec=workload({"app": "a"}))
    world.create(
        "services", "s", spec={"selector": {"app": "a"}, "ports": [{"port": 80, "targetPort": "web"}]}
    )
    world.run()
    assert [ready for _, ready in endpoints(world)] == [False]
    (found,) = world.names("endpointslices")
    assert world.get("endpointslices", found)["ports"] == []


def test_a_pod_that_is_done_is_no_endpoint(world: World) -> None:
    template = {**workload({"app": "a"})["template"]}
    template["spec"] = {**template["spec"], "restartPolicy": "Never"}
    world.create("jobs", "once", spec={"template": template})
    world.create("services", "s", spec={"selector": {"app": "a"}, "ports": [{"port": 80}]})
    world.run()
    assert [pod["status"]["phase"] for pod in world.pods()] == ["Succeeded"]
    assert endpoints(world) == []


def test_a_service_without_a_selector_has_no_endpoints_of_ours(world: World) -> None:
    world.create("services", "s", spec={"ports": [{"port": 80}]})
    world.run()
    assert world.names("endpointslices") == []


@pytest.mark.parametrize(("replicas", "becomes"), [(1, 2), (3, 3), (9, 4), (0, 0)])
def test_an_autoscaler_keeps_the_scale_within_its_bounds(world: World, replicas: int, becomes: int) -> None:
    world.create("deployments", "web", spec=workload({"app": "a"}, replicas))
    world.create("horizontalpodautoscalers", "web", spec=autoscaler("web"))
    world.run()
    assert world.get("deployments", "web")["spec"]["replicas"] == becomes
    world.change("deployments", "web", {"replicas": 7})
    world.run()
    assert world.get("deployments", "web")["spec"]["replicas"] == 4


def test_an_autoscaler_says_why_it_does_nothing(world: World) -> None:
    world.create("horizontalpodautoscalers", "web", spec=autoscaler("web", metrics=external(queue="a:b")))
    world.run()
    assert condition(world.get("horizontalpodautoscalers", "web"), "AbleToScale") == (
        "False",
        "FailedGetScale",
    )
    world.create("deployments", "web", spec=workload({"app": "a"}))
    world.run()
    found = world.get("horizontalpodautoscalers", "web")
    assert condition(found, "ScalingActive") == ("False", "FailedGetExternalMetric")
    world.change("horizontalpodautoscalers", "web", {"metrics": external(queue="a.b")})
    world.run()
    assert condition(world.get("horizontalpodautoscalers", "web"), "ScalingActive")[0] == "True"
    world.change("deployments", "web", {"replicas": 1})
    world.create("horizontalpodautoscalers", "other", spec=autoscaler("web", 3))
    world.run()
    for name in ("web", "other"):
        found = world.get("horizontalpodautoscalers", name)
        assert condition(found, "ScalingActive") == ("False", "AmbiguousSelector")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (autoscaler("web", 5, 4), "spec.maxReplicas"),
        ({**autoscaler("web"), "scaleTargetRef": {"name": "web"}}, "spec.scaleTargetRef.kind"),
        (
            autoscaler("web", behavior={"scaleDown": {"stabilizationWindowSeconds": 3601}}),
            "spec.behavior.scaleDown.stabilizationWindowSeconds",
        ),
        (
            autoscaler("web", behavior={"scaleDown": {"policies": [{"type": "Pods", "value": 1}]}}),
            "spec.behavior.scaleDown.policies",
        ),
        (
            autoscaler("web", behavior={"scaleUp": {"policies": [{"value": 0, "periodSeconds": 60}]}}),
            "spec.behavior.scaleUp.policies",
        ),
    ],
)
def test_autoscalers_that_are_refused(world: World, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ApiError) as refused:
        world.create("horizontalpodautoscalers", "web", spec=spec)
    assert refused.value.details["causes"][0]["field"] == field


def revisions(world: World) -> dict[str, str]:
    """Images by the revision of their ReplicaSet."""
    return {
        body["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: body["spec"]["template"][
            "spec"
        ]["containers"][0]["image"]
        for name in world.names("replicasets")
        for body in [world.get("replicasets", name)]
    }


def test_revisions_count_forms_and_one_that_comes_back_is_the_newest(world: World) -> None:
    world.create("deployments", "web", spec=workload({"app": "a"}))
    world.run()
    world.change("deployments", "web", {"replicas": 2})
    world.run()
    assert revisions(world) == {"1": "i:1"}
    for image in ("i:2", "i:1"):
        world.change("deployments", "web", workload({"app": "a"}, 2, image))
        world.run()
    assert revisions(world) == {"2": "i:2", "3": "i:1"}
    annotations = world.get("deployments", "web")["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "3"


def test_a_revision_that_somebody_spoiled_counts_as_none(world: World) -> None:
    world.create("deployments", "web", spec=workload({"app": "a"}))
    world.run()
    (name,) = world.names("replicasets")
    spoiled = copy.deepcopy(world.get("replicasets", name))
    spoiled["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "first"
    world.cluster.replace(BUILTIN["replicasets"], world.get("replicasets", name), spoiled)
    world.change("deployments", "web", workload({"app": "a"}, image="i:2"))
    world.run()
    assert revisions(world) == {"first": "i:1", "1": "i:2"}


def test_old_revisions_are_forgotten_beyond_the_limit(world: World) -> None:
    world.create("deployments", "web", spec={**workload({"app": "a"}), "revisionHistoryLimit": 2})
    for number in range(2, 7):
        world.run()
        world.change("deployments", "web", workload({"app": "a"}, image=f"i:{number}"))
    world.run()
    assert revisions(world) == {"4": "i:4", "5": "i:5", "6": "i:6"}


def test_a_pod_under_two_budgets_cannot_be_evicted(kube: Kube) -> None:
    spec = workload({"app": "a", "track": "blue"}, 2)
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    kube.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    terms = {
        "one": {"matchLabels": {"app": "a"}},
        "two": {"matchExpressions": [{"key": "track", "operator": "Exists"}]},
    }
    for name, selector in terms.items():
        budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}}
        spec = {"maxUnavailable": 1, "selector": selector}
        kube.kubectl("apply", "-f", "-", stdin=json.dumps({**budget, "spec": spec}))
    until(
        lambda: all(
            b.get("status", {}).get("disruptionsAllowed")
            for b in kube.objects("PodDisruptionBudget").values()
        ),
        "both budgets count the pods",
    )
    name = next(iter(kube.objects("Pod")))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    place = f"/api/v1/namespaces/default/pods/{name}/eviction"
    refused = kube.http("POST", place, eviction)
    assert (refused.status, "more than one" in refused.json["message"]) == (500, True)
    kube.kubectl("delete", "pdb", "two")
    assert kube.http("POST", place, eviction).status == 201


@pytest.mark.parametrize(
    "spec",
    [
        {"minAvailable": 1, "maxUnavailable": 1},
        {"minAvailable": 1, "selector": {"matchLabels": {"a": "b:c"}}},
    ],
)
def test_budgets_that_are_refused(world: World, spec: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        world.create("poddisruptionbudgets", "web", spec=spec)
    assert refused.value.code == 422
