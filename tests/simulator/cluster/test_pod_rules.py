"""What a real API server refuses of pods, and what a namespace's level of pod security forbids."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.support.controlled import World

from beta9_simulator.cluster.cluster import NAMESPACES, Cluster
from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.pod_security import ENFORCE, violations
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.syntax import quantity

CONTAINER: dict[str, Any] = {"name": "c", "image": "i"}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def workload(**container: Any) -> dict[str, Any]:
    labels = {"a": "b"}
    spec = {"containers": [{**CONTAINER, **container}], "volumes": [{"name": "v", "emptyDir": {}}]}
    return {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}}


def probe(**fields: Any) -> dict[str, Any]:
    return {"livenessProbe": {"httpGet": {"port": 80}, **fields}}


@pytest.mark.parametrize(
    ("container", "field"),
    [
        ({"name": "Upper"}, "containers[0].name"),
        ({"imagePullPolicy": "always"}, "containers[0].imagePullPolicy"),
        ({"ports": [{"containerPort": 70000}]}, "containers[0].ports[0].containerPort"),
        (
            {"ports": [{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}]},
            "containers[0].ports.name",
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]},
            "containers[0].volumeMounts.mountPath",
        ),
        ({"volumeMounts": [{"name": "w", "mountPath": "/a"}]}, "containers.volumeMounts"),
        (
            {"env": [{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            "containers[0].env.valueFrom",
        ),
        ({"livenessProbe": {"periodSeconds": 3}}, "containers[0].livenessProbe"),
        (probe(tcpSocket={"port": 80}), "containers[0].livenessProbe"),
        (probe(httpGet={"port": "Not A Name"}), "containers[0].livenessProbe.httpGet.port"),
        (probe(periodSeconds=0), "containers[0].livenessProbe.periodSeconds"),
        (probe(successThreshold=2), "containers[0].livenessProbe.successThreshold"),
        ({"resources": {"limits": {"memory": "1 GB"}}}, "containers[0].resources.limits[memory]"),
        ({"resources": {"requests": {"cpu": "-1"}}}, "containers[0].resources.requests[cpu]"),
        (
            {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "2000M"}}},
            "containers[0].resources.requests[memory]",
        ),
    ],
)
def test_mistakes_in_containers_are_refused(container: dict[str, Any], field: str) -> None:
    cluster = Cluster()
    cluster.insert(NAMESPACES, "", {"metadata": {"name": "ns"}})
    with pytest.raises(ApiError) as refused:
        cluster.insert(
            BUILTIN["deployments"], "ns", {"metadata": {"name": "a"}, "spec": workload(**container)}
        )
    assert refused.value.details["causes"][0]["field"] == f"spec.template.spec.{field}"


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        ({"containers": [CONTAINER, CONTAINER]}, "containers.name"),
        ({"initContainers": [CONTAINER], "containers": [CONTAINER]}, "containers.name"),
        ({"volumes": [{"name": "v"}, {"name": "v"}]}, "volumes.name"),
        (
            {"initContainers": [{**CONTAINER, "name": "init", "readinessProbe": {"tcpSocket": {"port": 1}}}]},
            "initContainers[0].readinessProbe",
        ),
        (
            {
                "topologySpreadConstraints": [
                    {"topologyKey": "zone", "maxSkew": 0, "whenUnsatisfiable": "ScheduleAnyway"}
                ]
            },
            "topologySpreadConstraints[0].maxSkew",
        ),
        (
            {
                "topologySpreadConstraints": [
                    {
                        "topologyKey": "zone",
                        "maxSkew": 1,
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": {"matchLabels": {"a": "b:c"}},
                    }
                ]
            },
            "topologySpreadConstraints[0].labelSelector.matchLabels.a",
        ),
    ],
)
def test_mistakes_in_pods_are_refused(pod: dict[str, Any], field: str) -> None:
    body = workload()
    body["template"]["spec"] |= pod
    cluster = Cluster()
    cluster.insert(NAMESPACES, "", {"metadata": {"name": "ns"}})
    with pytest.raises(ApiError) as refused:
        cluster.insert(BUILTIN["deployments"], "ns", {"metadata": {"name": "a"}, "spec": body})
    assert refused.value.details["causes"][0]["field"] == f"spec.template.spec.{field}"


@pytest.mark.parametrize(
    ("text", "number"),
    [("250m", "0.25"), ("1Gi", "1073741824"), ("2", "2"), ("1e3", "1000"), (3, "3"), ("5k", "5000")],
)
def test_quantities(text: Any, number: str) -> None:
    assert quantity(text) == quantity(number)


@pytest.mark.parametrize("text", ["", "1 Gi", "1gi", "Gi", "1GiB", None, "one"])
def test_what_is_no_quantity(text: Any) -> None:
    assert quantity(text) is None


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"allowPrivilegeEscalation": None}, "allowPrivilegeEscalation"),
        ({"capabilities": {}}, 'must drop "ALL"'),
        ({"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}, "NET_BIND_SERVICE only"),
        ({"runAsNonRoot": False}, "runAsNonRoot"),
        ({"runAsUser": 0}, "runAsUser=0"),
        ({"seccompProfile": {"type": "Unconfined"}}, "seccompProfile"),
        ({"privileged": True}, "privileged"),
    ],
)
def test_the_restricted_level_finds_each_fault_of_a_container(fault: dict[str, Any], told: str) -> None:
    assert violations({"containers": [{**CONTAINER, "securityContext": RESTRICTED}]}, "restricted") == []
    spec = {"containers": [{**CONTAINER, "securityContext": {**RESTRICTED, **fault}}]}
    assert told in ", ".join(violations(spec, "restricted"))
    assert violations(spec, "privileged") == []


@pytest.mark.parametrize(
    "fault",
    [
        {"hostNetwork": True},
        {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
        {"containers": [{**CONTAINER, "ports": [{"containerPort": 1, "hostPort": 1}]}]},
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    ],
)
def test_the_baseline_level_keeps_pods_from_the_host(fault: dict[str, Any]) -> None:
    assert violations({"containers": [CONTAINER]}, "baseline") == []
    assert len(violations({"containers": [CONTAINER], **fault}, "baseline")) == 1


def test_a_namespace_that_is_restricted_takes_no_such_pod_and_the_deployment_says_so(world: World) -> None:
    world.cluster.insert(NAMESPACES, "", {"metadata": {"name": "safe", "labels": {ENFORCE: "restricted"}}})
    world.create("deployments", "web", "safe", spec=workload())
    world.run()
    assert world.pods() == []
    status = world.get("deployments", "web", "safe")["status"]
    failure = next(c for c in status["conditions"] if c["type"] == "ReplicaFailure")
    assert 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation' in failure["message"]
    assert status["updatedReplicas"] == 0
    with pytest.raises(ApiError, match="violates PodSecurity") as refused:
        world.create("pods", "alone", "safe", spec={"containers": [CONTAINER]})
    assert refused.value.code == 403

    current = world.get("deployments", "web", "safe")
    repaired = {**copy.deepcopy(current), "spec": {**current["spec"], **workload(securityContext=RESTRICTED)}}
    world.cluster.replace(BUILTIN["deployments"], current, repaired)
    world.run()
    assert len(world.pods()) == 1
    kinds = {c["type"] for c in world.get("deployments", "web", "safe")["status"]["conditions"]}
    assert kinds == {"Available", "Progressing"}


def test_a_new_form_that_is_refused_leaves_the_old_pods_running(world: World) -> None:
    world.cluster.insert(NAMESPACES, "", {"metadata": {"name": "safe", "labels": {ENFORCE: "restricted"}}})
    world.create("deployments", "web", "safe", spec=workload(securityContext=RESTRICTED))
    world.run()
    before = world.names("pods")
    current = world.get("deployments", "web", "safe")
    spoiled = {**copy.deepcopy(current), "spec": {**current["spec"], **workload(image="i:2")}}
    world.cluster.replace(BUILTIN["deployments"], current, spoiled)
    world.run()
    assert world.names("pods") == before
    conditions = world.get("deployments", "web", "safe")["status"]["conditions"]
    assert {c["type"]: c["status"] for c in conditions} == {
        "Available": "True",
        "Progressing": "True",
        "ReplicaFailure": "True",
    }


def test_a_namespace_whose_label_is_taken_away_gets_its_pods(world: World) -> None:
    world.cluster.insert(NAMESPACES, "", {"metadata": {"name": "safe", "labels": {ENFORCE: "restricted"}}})
    world.create("deployments", "web", "safe", spec=workload())
    world.run()
    current = world.get("namespaces", "safe")
    freed = copy.deepcopy(current)
    del freed["metadata"]["labels"][ENFORCE]
    world.cluster.replace(NAMESPACES, current, freed)
    world.run()
    assert len(world.pods()) == 1
