"""Mistakes that a real API server would refuse, too."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from beta9_simulator.cluster.cluster import NAMESPACES, Cluster
from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.resources import BUILTIN

POD_SPEC = {"containers": [{"name": "c", "image": "i"}]}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD_SPEC}
DEPLOYMENT = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
CRD = {
    "group": "g.io",
    "scope": "Cluster",
    "names": {"plural": "things", "kind": "Thing"},
    "versions": [{"name": "v1", "served": True, "storage": True}],
}


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster()
    cluster.insert(NAMESPACES, "", {"metadata": {"name": "ns"}})
    return cluster


def create(cluster: Cluster, plural: str, body: dict[str, Any]) -> dict[str, Any]:
    resource = BUILTIN[plural]
    return cluster.insert(resource, "ns" if resource.namespaced else "", body)


@pytest.mark.parametrize(
    ("plural", "body", "field"),
    [
        ("configmaps", {"metadata": {}}, "metadata.name"),
        ("configmaps", {"metadata": {"name": "Upper"}}, "metadata.name"),
        ("configmaps", {"metadata": {"name": "x" * 254}}, "metadata.name"),
        ("services", {"metadata": {"name": "a.b"}, "spec": {"ports": [{"port": 1}]}}, "metadata.name"),
        (
            "configmaps",
            {"metadata": {"name": "a", "labels": {"q": "provisioning:jobs"}}},
            "metadata.labels.q",
        ),
        ("configmaps", {"metadata": {"name": "a", "labels": {"q": 1}}}, "metadata.labels.q"),
        ("configmaps", {"metadata": {"name": "a", "labels": {"a b": "x"}}}, "metadata.labels"),
        ("configmaps", {"metadata": {"name": "a", "annotations": {"x": True}}}, "metadata.annotations.x"),
        ("configmaps", {"metadata": {"name": "a"}, "data": {"port": 80}}, "data.port"),
        ("secrets", {"metadata": {"name": "a"}, "data": {"k": "not base64!"}}, "data.k"),
        ("services", {"metadata": {"name": "a"}, "spec": {}}, "spec.ports"),
        ("services", {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 0}]}}, "spec.ports[0].port"),
        (
            "services",
            {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}, {"port": 2}]}},
            "spec.ports[0].name",
        ),
        ("deployments", {"metadata": {"name": "a"}, "spec": {"template": TEMPLATE}}, "spec.selector"),
        (
            "deployments",
            {"metadata": {"name": "a"}, "spec": {**DEPLOYMENT, "selector": {"matchLabels": {"a": "c"}}}},
            "spec.template.metadata.labels",
        ),
        (
            "deployments",
            {
                "metadata": {"name": "a"},
                "spec": {
                    **DEPLOYMENT,
                    "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}},
                },
            },
            "spec.strategy.rollingUpdate.maxUnavailable",
        ),
        ("pods", {"metadata": {"name": "a"}, "spec": {"containers": []}}, "spec.containers"),
        (
            "poddisruptionbudgets",
            {"metadata": {"name": "a"}, "spec": {"minAvailable": "x"}},
            "spec.minAvailable",
        ),
        (
            "statefulsets",
            {"metadata": {"name": "a"}, "spec": {**DEPLOYMENT, "volumeClaimTemplates": [{"spec": {}}]}},
            "spec.volumeClaimTemplates[0].metadata.name",
        ),
        (
            "pods",
            {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}},
            "spec.containers[0].image",
        ),
        (
            "jobs",
            {"metadata": {"name": "a"}, "spec": {"template": TEMPLATE}},
            "spec.template.spec.restartPolicy",
        ),
        ("storageclasses", {"metadata": {"name": "a"}}, "provisioner"),
        ("persistentvolumeclaims", {"metadata": {"name": "a"}, "spec": {}}, "spec.accessModes"),
        ("customresourcedefinitions", {"metadata": {"name": "other.g.io"}, "spec": CRD}, "metadata.name"),
        (
            "customresourcedefinitions",
            {"metadata": {"name": "things.g.io"}, "spec": {**CRD, "scope": "Everywhere"}},
            "spec.scope",
        ),
        (
            "customresourcedefinitions",
            {"metadata": {"name": "things.g.io"}, "spec": {**CRD, "versions": [{"name": "v1"}]}},
            "spec.versions",
        ),
    ],
)
def test_mistakes_are_refused_and_name_the_field(
    cluster: Cluster, plural: str, body: dict[str, Any], field: str
) -> None:
    with pytest.raises(ApiError) as refused:
        create(cluster, plural, body)
    assert refused.value.code == 422
    assert refused.value.details["causes"][0]["field"] == field


@pytest.mark.parametrize(
    ("plural", "body"),
    [
        ("clusterroles", {"metadata": {"name": "system:a"}}),
        ("configmaps", {"metadata": {"name": "kube-root-ca.crt"}}),
        (
            "configmaps",
            {"metadata": {"name": "a", "labels": {"example.com/x": ""}, "creationTimestamp": None}},
        ),
        ("services", {"metadata": {"name": "a"}, "spec": {"type": "ExternalName", "externalName": "b"}}),
        ("services", {"metadata": {"name": "a"}, "spec": {"clusterIP": "None"}}),
        ("deployments", {"metadata": {"name": "a"}, "spec": DEPLOYMENT}),
    ],
)
def test_what_is_right_is_accepted(cluster: Cluster, plural: str, body: dict[str, Any]) -> None:
    assert create(cluster, plural, body)["metadata"]["uid"]


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        {"metadata": []},
        {"metadata": {"name": "a"}, "kind": "Secret"},
        {"metadata": {"name": "a"}, "apiVersion": "apps/v2"},
        {"metadata": {"name": "a", "labels": {}}, "spec": "text"},
        {"metadata": {"name": "a"}, "spec": {"selector": {}, "template": []}},
        {
            "metadata": {"name": "a"},
            "spec": {**DEPLOYMENT, "template": {**TEMPLATE, "spec": {"containers": [7]}}},
        },
        {"metadata": {"name": "a", "labels": "x"}, "spec": DEPLOYMENT},
    ],
)
def test_bodies_of_the_wrong_shape_are_refused_and_not_tripped_over(cluster: Cluster, body: Any) -> None:
    with pytest.raises(ApiError) as refused:
        create(cluster, "deployments", body)
    assert refused.value.code in (400, 422)


@pytest.mark.parametrize(
    ("plural", "fields", "culprit"),
    [
        ("configmaps", {"data": []}, "data must be a map"),
        ("nodes", {"spec": {"taints": {}}}, "spec.taints must be a list of maps"),
        ("nodes", {"spec": {}, "status": {"conditions": [{"type": "Ready"}]}}, "status.conditions must be"),
        ("nodes", {"status": "up"}, "status must be a map"),
        ("deployments", {"spec": {**DEPLOYMENT, "replicas": "2"}}, "spec.replicas must be a whole number"),
        ("deployments", {"spec": {**DEPLOYMENT, "replicas": -1}}, "spec.replicas must be a whole number"),
        (
            "pods",
            {"spec": {"containers": [{"name": "a", "image": "b", "env": ["x"]}]}},
            r"spec.containers\[0\].env must be a list of maps",
        ),
        (
            "persistentvolumeclaims",
            {"spec": {"accessModes": "RWO"}},
            "spec.accessModes must be a list of texts",
        ),
        ("ingresses", {"spec": {"ingressClassName": 1}}, "spec.ingressClassName must be a text"),
    ],
)
def test_fields_of_the_wrong_type_are_named(
    cluster: Cluster, plural: str, fields: dict[str, Any], culprit: str
) -> None:
    with pytest.raises(ApiError, match=culprit) as refused:
        cluster.insert(BUILTIN[plural], "ns", {"metadata": {"name": "a"}, **fields}, status=True)
    assert refused.value.code == 400


def test_names_that_only_built_in_kinds_use_are_free_in_custom_kinds(cluster: Cluster) -> None:
    cluster.resources.add_custom({"spec": CRD})
    thing = cluster.resources.get("g.io/v1", "things")
    assert thing
    cluster.insert(thing, "", {"metadata": {"name": "a"}, "spec": {"replicas": "two", "ports": {"a": 1}}})
    with pytest.raises(ApiError, match=r"metadata\.labels must be a map"):
        cluster.insert(thing, "", {"metadata": {"name": "b", "labels": []}})


@pytest.mark.parametrize(
    ("plural", "body", "change", "field"),
    [
        (
            "deployments",
            {"spec": DEPLOYMENT},
            {"spec": {**DEPLOYMENT, "selector": {"matchLabels": {}}}},
            "spec.selector",
        ),
        ("secrets", {"type": "a"}, {"type": "b"}, "type"),
        ("storageclasses", {"provisioner": "a"}, {"provisioner": "b"}, "provisioner"),
        ("configmaps", {"immutable": True, "data": {"a": "1"}}, {"data": {"a": "2"}}, "data"),
    ],
)
def test_fields_that_cannot_change(
    cluster: Cluster, plural: str, body: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    current = create(cluster, plural, {"metadata": {"name": "a"}, **body})
    with pytest.raises(ApiError, match="immutable") as refused:
        cluster.replace(BUILTIN[plural], current, {**copy.deepcopy(current), **change})
    assert refused.value.details["causes"][0]["field"] == field
