"""Genuine kubectl against the simulated API."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.clusters import Kube, node
from tests.support.waiting import GUARD_SECONDS, until

PATIENCE = f"--timeout={GUARD_SECONDS:.0f}s"
CRDS = str(Path(__file__).with_name("chart") / "crds")


def deployment(replicas: int = 1, image: str = "example:1", **pod: Any) -> str:
    labels = {"app": "web"}
    spec = {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}]}], **pod}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
    )


def test_version_nodes_and_health(kube: Kube) -> None:
    kube.directory.put("main", version="1.33")
    assert "v1.33.0" in kube.kubectl("version")
    lines = kube.kubectl("get", "nodes").splitlines()
    assert lines[0].split() == ["NAME", "STATUS", "VERSION", "AGE"]
    assert [line.split()[:3] for line in lines[1:]] == [
        [f"node-{n}", "Ready", "v1.33.0-eks-simulated"] for n in (1, 2)
    ]
    assert kube.kubectl("get", "--raw", "/readyz") == "ok"
    assert "tester" in kube.kubectl("auth", "whoami")
    assert kube.kubectl("auth", "can-i", "create", "pods").strip() == "yes"


def test_client_side_apply_changes_and_removes_fields(kube: Kube) -> None:
    kube.kubectl("apply", "-f", "-", stdin=deployment(1, nodeSelector={"kubernetes.io/os": "linux"}))
    assert "configured" in kube.kubectl("apply", "-f", "-", stdin=deployment(2, image="example:2"))
    body = kube.objects("Deployment")["web"]
    assert body["spec"]["replicas"] == 2
    assert body["spec"]["template"]["spec"]["containers"][0]["image"] == "example:2"
    assert "nodeSelector" not in body["spec"]["template"]["spec"]
    assert "unchanged" in kube.kubectl("apply", "-f", "-", stdin=deployment(2, image="example:2"))
    assert "deployment.apps/web" in kube.kubectl("rollout", "restart", "deployment/web")
    kube.kubectl("rollout", "status", "deployment/web", PATIENCE)


def test_server_side_apply_knows_who_owns_what(kube: Kube) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    kube.kubectl(*apply, "--field-manager=one", stdin=deployment(1))
    refused = kube.run(kube.tools.kubectl, *apply, "--field-manager=two", stdin=deployment(3))
    assert refused.returncode != 0
    assert 'conflict with "one": .spec.replicas' in refused.stderr
    kube.kubectl(*apply, "--field-manager=two", "--force-conflicts", stdin=deployment(3))
    assert kube.objects("Deployment")["web"]["spec"]["replicas"] == 3


def test_moving_from_client_side_to_server_side_apply(kube: Kube) -> None:
    kube.kubectl("apply", "-f", "-", stdin=deployment(1))
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=deployment(2))
    body = kube.objects("Deployment")["web"]
    assert body["spec"]["replicas"] == 2
    managers = {entry["manager"] for entry in body["metadata"]["managedFields"]}
    assert "kubectl" in managers
    assert "kubectl-client-side-apply" not in managers


def test_dry_runs_store_nothing(kube: Kube) -> None:
    assert "server dry run" in kube.kubectl("apply", "--dry-run=server", "-f", "-", stdin=deployment())
    assert "web" not in kube.objects("Deployment")
    kube.kubectl("apply", "-f", "-", stdin=deployment())
    kube.kubectl("delete", "deployment", "web", "--dry-run=server")
    kube.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=deployment(5)
    )
    assert kube.objects("Deployment")["web"]["spec"]["replicas"] == 1


def test_wait_follows_a_deployment_that_becomes_available(kube: Kube) -> None:
    kube.server.hold("Deployment")
    kube.kubectl("apply", "-f", "-", stdin=deployment())
    late = kube.run(
        kube.tools.kubectl, "wait", "deployment/web", "--for=condition=Available", "--timeout=300ms"
    )
    assert "timed out" in late.stderr
    with ThreadPoolExecutor(1) as pool:
        wait = ("wait", "deployment/web", "--for=condition=Available", PATIENCE)
        waiting = pool.submit(kube.kubectl, *wait)
        kube.server.release()
        assert "condition met" in waiting.result(GUARD_SECONDS)


def test_wait_sees_a_node_that_joins(kube: Kube) -> None:
    kube.server.set_node_ready("node-3", False)
    kube.directory.put("main", nodes=(node("node-3"),))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(kube.kubectl, "wait", "node/node-3", "--for=condition=Ready", PATIENCE)
        until(lambda: "node-3" in kube.objects("Node"), "the node has joined")
        assert not waiting.done()
        kube.server.set_node_ready("node-3", True)
        assert "condition met" in waiting.result(GUARD_SECONDS)


def test_scale_logs_and_describe(kube: Kube) -> None:
    kube.kubectl("apply", "-f", "-", stdin=deployment())
    kube.kubectl("scale", "deployment/web", "--replicas=3")
    until(lambda: len(kube.objects("Pod")) == 3, "there are three pods")
    described = kube.kubectl("describe", "deployments,pods,nodes")
    assert "3 desired" in described
    assert "MinimumReplicasAvailable" in described
    assert "simulated" in kube.kubectl("logs", "deployment/web")


def test_a_namespace_takes_everything_with_it(kube: Kube) -> None:
    kube.kubectl("create", "namespace", "team")
    kube.kubectl("-n", "team", "apply", "-f", "-", stdin=deployment(2))
    kube.kubectl("-n", "team", "create", "secret", "generic", "key", "--from-literal=a=b")
    kube.kubectl("-n", "team", "create", "configmap", "settings", "--from-literal=a=b")
    kube.kubectl("-n", "team", "create", "serviceaccount", "robot")
    assert kube.objects("Secret")["key"]["data"] == {"a": "Yg=="}
    kube.kubectl("delete", "namespace", "team", PATIENCE)
    found = [
        body
        for kind in ("Pod", "Secret", "ConfigMap", "ServiceAccount")
        for body in kube.objects(kind).values()
    ]
    assert [body for body in found if body["metadata"]["namespace"] == "team"] == []


def test_custom_resources(kube: Kube) -> None:
    widget = {
        "apiVersion": "tests.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w"},
        "spec": {"size": 4},
    }
    early = kube.run(kube.tools.kubectl, "apply", "-f", "-", stdin=json.dumps(widget))
    assert "no matches for kind" in early.stderr
    kube.kubectl("apply", "-f", CRDS)
    kube.kubectl("wait", "crd/widgets.tests.example.com", "--for=condition=Established", PATIENCE)
    kube.server.set_custom_status("Widget", {"conditions": [{"type": "Ready", "status": "True"}]})
    kube.kubectl("apply", "-f", "-", stdin=json.dumps(widget))
    kube.kubectl("wait", "wd/w", "--for=condition=Ready", PATIENCE)
    header, row = kube.kubectl("get", "widgets").splitlines()
    assert (header.split(), row.split()[:2]) == (["NAME", "SIZE", "AGE"], ["w", "4"])
    kube.kubectl("delete", "-f", CRDS)
    assert kube.objects("Widget") == {}
    assert "could not find" in kube.run(kube.tools.kubectl, "get", "widgets").stderr


def test_drain_respects_disruption_budgets(kube: Kube) -> None:
    kube.kubectl("apply", "-f", "-", stdin=deployment(1))
    until(lambda: kube.objects("Pod"), "there is a pod")
    home = next(iter(kube.objects("Pod").values()))["spec"]["nodeName"]
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    kube.kubectl("apply", "-f", "-", stdin=json.dumps(budget))
    name = next(iter(kube.objects("Pod")))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    refused = kube.http("POST", f"/api/v1/namespaces/default/pods/{name}/eviction", eviction)
    assert (refused.status, "disruption budget" in refused.json["message"]) == (429, True)
    kube.kubectl("delete", "pdb", "web")
    kube.kubectl("drain", home, PATIENCE)
    until(
        lambda: [p["spec"].get("nodeName") for p in kube.objects("Pod").values()] not in ([], [home]),
        "the pod is elsewhere",
    )


def test_a_wrong_token_is_refused(kube: Kube) -> None:
    stranger = replace(kube, token="stolen")
    done = stranger.run(kube.tools.kubectl, "get", "pods")
    assert done.returncode != 0
    assert "Unauthorized" in done.stderr or "must be logged in" in done.stderr


def test_clusters_do_not_see_each_other(kube: Kube) -> None:
    kube.directory.put("other", nodes=(node("lonely"),))
    other = replace(kube, name="other")
    kube.kubectl("create", "configmap", "mine", "--from-literal=a=b")
    assert "mine" not in other.objects("ConfigMap")
    assert other.kubectl("get", "nodes", "-o", "name").split() == ["node/lonely"]


def test_a_later_cluster_of_the_same_name_starts_empty(kube: Kube) -> None:
    kube.kubectl("create", "configmap", "mine", "--from-literal=a=b")
    kube.directory.put("main", uid="another")
    assert "NotFound" in kube.run(kube.tools.kubectl, "get", "configmap", "mine").stderr


def test_get_watch_ends_when_the_cluster_goes(kube: Kube) -> None:
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(kube.run, kube.tools.kubectl, "get", "nodes", "-w")
        kube.objects("Node")
        kube.directory.drop("main")
        assert watching.result(GUARD_SECONDS) is not None
