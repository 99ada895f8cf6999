"""Genuine Helm against the simulated API."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.clusters import ACCOUNT, REGION, Kube, node
from tests.support.waiting import GUARD_SECONDS, until

from beta9_simulator.cluster.behaviour import HttpFault

CHART = str(Path(__file__).with_name("chart"))
PATIENCE = f"{GUARD_SECONDS:.0f}s"
UPGRADE = ("upgrade", "--install", "--create-namespace", "--wait", "--timeout", PATIENCE)


def test_a_release_lives_from_install_to_uninstall(kube: Kube) -> None:
    kube.helm(*UPGRADE, "app", CHART, "-n", "app")
    pods = kube.objects("Pod")
    assert sum(name.startswith("app-") for name in pods) == 2 + 1 + 2 + 1  # replicas, set, daemon, hook
    assert kube.objects("Widget")["app"]["spec"] == {"size": 3}
    assert kube.objects("Job")["app-hook"]["status"]["succeeded"] == 1

    kube.helm(*UPGRADE, "app", CHART, "-n", "app", "--set", "replicas=3", "--set", "message=bye")
    assert kube.objects("Deployment")["app"]["status"]["readyReplicas"] == 3
    assert kube.objects("ConfigMap")["app"]["data"] == {"message": "bye"}

    kube.helm("rollback", "app", "1", "-n", "app", "--wait", "--timeout", PATIENCE)
    assert kube.objects("Deployment")["app"]["spec"]["replicas"] == 2
    assert kube.objects("ConfigMap")["app"]["data"] == {"message": "hello"}
    history = json.loads(kube.helm("history", "app", "-n", "app", "-o", "json"))
    assert [entry["status"] for entry in history] == ["superseded", "superseded", "deployed"]

    kube.helm("uninstall", "app", "-n", "app", "--wait", "--timeout", PATIENCE)
    left = {name for kind in ("Deployment", "Secret", "Pod", "Widget") for name in kube.objects(kind)}
    assert {name.rsplit("-", 1)[0] for name in left} == {"app-hook"}  # hooks belong to nobody
    assert kube.directory.leftovers() == []


def test_what_never_becomes_ready_fails_the_release(kube: Kube) -> None:
    kube.server.hold("Deployment", "app", "app")
    done = kube.run(kube.tools.helm, *UPGRADE[:-1], "2s", "app", CHART, "-n", "app")
    assert done.returncode != 0
    assert "Deployment/app/app not ready" in done.stdout + done.stderr
    status = json.loads(kube.helm("status", "app", "-n", "app", "-o", "json"))
    assert status["info"]["status"] == "failed"
    kube.server.release()
    kube.helm(*UPGRADE, "app", CHART, "-n", "app")


def test_a_failing_hook_fails_the_release(kube: Kube) -> None:
    kube.server.fail("Job", "app", "app-hook")
    done = kube.run(kube.tools.helm, *UPGRADE, "app", CHART, "-n", "app")
    assert done.returncode != 0
    assert "app-hook" in done.stderr


def test_without_nodes_nothing_becomes_ready_until_one_comes(kube: Kube) -> None:
    kube.directory.put("main", nodes=())
    with ThreadPoolExecutor(1) as pool:
        release = pool.submit(kube.helm, *UPGRADE, "app", CHART, "-n", "app")
        until(lambda: "app" in kube.objects("Deployment"), "Helm has made the Deployment")
        assert not release.done()
        kube.directory.put("main", nodes=(node("late"),))
        release.result(GUARD_SECONDS)
    assert {pod["spec"]["nodeName"] for pod in kube.objects("Pod").values()} == {"late"}


def test_a_volume_claim_needs_a_storage_class_that_exists(kube: Kube) -> None:
    arguments = ("app", CHART, "-n", "app", "--set", "storageClass=local-path")
    done = kube.run(kube.tools.helm, *UPGRADE[:-1], "2s", *arguments)
    assert done.returncode != 0
    assert "PVC is not Bound" in done.stdout + done.stderr


def test_eight_releases_at_once(kube: Kube) -> None:
    def install(index: int) -> str:
        return kube.helm(*UPGRADE, f"app{index}", CHART, "-n", f"app{index}", "--skip-crds")

    kube.kubectl("apply", "-f", str(Path(CHART) / "crds"))
    with ThreadPoolExecutor(8) as pool:
        assert all("STATUS: deployed" in out for out in pool.map(install, range(8)))
    assert len(json.loads(kube.helm("list", "-A", "-o", "json"))) == 8


@pytest.mark.parametrize("status", [429, 503])
def test_helm_retries_when_told_to(kube: Kube, status: int) -> None:
    fault = HttpFault(status=status, method="PATCH", path="/configmaps/", retry_after=0)
    kube.server.inject(fault)
    kube.helm(*UPGRADE, "app", CHART, "-n", "app")
    assert fault.times == 0


def test_helm_gives_up_on_503_without_a_time_to_retry(kube: Kube) -> None:
    kube.server.inject(HttpFault(status=503, method="PATCH", path="/configmaps/"))
    done = kube.run(kube.tools.helm, *UPGRADE, "app", CHART, "-n", "app")
    assert done.returncode != 0
    assert "injected fault" in done.stderr
    kube.helm(*UPGRADE, "app", CHART, "-n", "app")


def test_a_cut_connection_is_survived(kube: Kube) -> None:
    kube.server.inject(HttpFault(drop=True, method="GET", path="/secrets"))
    kube.run(kube.tools.helm, "list", "-A")
    assert kube.helm("list", "-A", "-q") == ""


@pytest.mark.parametrize(("seconds", "steps"), [(0.0, [None, 2]), (0.3, [None, 0, 2])])
def test_readiness_takes_its_time(kube: Kube, seconds: float, steps: list[int | None]) -> None:
    kube.server.set_time_scale(1.0)
    for kind in ("StatefulSet", "DaemonSet", "Job", "Service", "PersistentVolumeClaim"):
        kube.server.set_ready_seconds(kind, 0.0)
    kube.server.set_ready_seconds("Deployment", seconds)
    deployments = "/apis/apps/v1/deployments"
    before = kube.http("GET", deployments).json["metadata"]["resourceVersion"]
    kube.helm(*UPGRADE, "app", CHART, "-n", "app")
    history = kube.http("GET", f"{deployments}?watch=1&resourceVersion={before}&timeoutSeconds=1").text
    seen = [
        json.loads(line)["object"].get("status", {}).get("readyReplicas") for line in history.splitlines()
    ]
    assert list(dict.fromkeys(seen)) == steps


def test_what_a_cluster_made_in_the_cloud_outlives_it(kube: Kube) -> None:
    kube.helm(*UPGRADE, "app", CHART, "-n", "app")
    kube.directory.drop("main")
    present = {(left.kind, left.namespace, left.name) for left in kube.directory.leftovers()}
    assert present == {("LoadBalancer", "app", "app"), ("Volume", "app", "app")}
    assert kube.server.objects(ACCOUNT, REGION, "main") == []
