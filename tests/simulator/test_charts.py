"""The stand-in charts: they lint, they render what their values say, they install."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.support.clusters import ROOT, Kube, StaticDirectory
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.local.tools import Tools, ensure_tools
from beta9_simulator.cluster.nodes import kubernetes_version
from beta9_simulator.cluster.server import serve

SIMULATED = ("--kube-version", kubernetes_version("1.34"))
PATIENCE = f"{GUARD_SECONDS:.0f}s"
CHARTS = ROOT / "simulator" / "src" / "beta9_simulator" / "charts"
NAMES = sorted(path.name for path in CHARTS.iterdir())
# What an installation on EKS sets at least.
BETA9 = {
    "config": {"database": {"postgres": {"host": "db.example.com", "password": "a: 'b'\n${c}"}}},
    "persistence": {"images": {"storageClass": "gp2"}},
    "redis": {"enabled": False},
    "postgresql": {"enabled": False},
    "juicefs-redis": {"enabled": True, "master": {"persistence": {"storageClass": "gp2", "size": "8Gi"}}},
}
CONTROLLER = "aws-load-balancer-controller"
VALUES: dict[str, dict[str, Any]] = {
    "beta9": BETA9,
    "cert-manager": {"crds": {"enabled": True}},
    CONTROLLER: {"clusterName": "main", "region": "us-east-1", "vpcId": "vpc-1"},
    "traefik": {
        "service": {"annotations": {"service.beta.kubernetes.io/aws-load-balancer-type": "external"}}
    },
}


@pytest.fixture(scope="session")
def tools() -> Tools:
    return ensure_tools(ROOT)


@pytest.fixture
def kube(tools: Tools, tmp_path: Path) -> Iterator[Kube]:
    directory = StaticDirectory()
    directory.put("main")
    server = serve(directory)
    yield Kube(server, directory, tools, tmp_path, "main")
    server.stop()


def helm(tools: Tools, *arguments: str, values: Any = None) -> subprocess.CompletedProcess[str]:
    command = [str(tools.helm), *arguments, *(["--values", "-"] if values is not None else [])]
    return subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, check=False, timeout=GUARD_SECONDS
    )


def render(tools: Tools, chart: str, values: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Rendered objects by kind and name."""
    done = helm(tools, "template", chart, str(CHARTS / chart), "-n", chart, *SIMULATED, values=values)
    assert done.returncode == 0, done.stderr
    documents = [d for d in YAML(typ="safe", pure=True).load_all(done.stdout) if d]
    return {(d["kind"], d["metadata"]["name"]): d for d in documents}


def test_all_five_are_there() -> None:
    assert NAMES == ["aws-load-balancer-controller", "beta9", "cert-manager", "metrics-server", "traefik"]


@pytest.mark.parametrize("chart", NAMES)
def test_they_lint(tools: Tools, chart: str) -> None:
    done = helm(tools, "lint", str(CHARTS / chart))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("chart", NAMES)
def test_they_say_that_they_are_stand_ins_of_a_pinned_version(chart: str) -> None:
    about = YAML(typ="safe", pure=True).load((CHARTS / chart / "Chart.yaml").read_text())
    assert "Stand-in" in about["description"]
    assert about["name"] == ("beta9-chart" if chart == "beta9" else chart)
    assert about["version"]
    assert about["appVersion"]


@pytest.mark.parametrize("chart", NAMES)
def test_stand_ins_refuse_a_genuine_cluster_wherever_they_come_from(tools: Tools, chart: str) -> None:
    genuine = ("--kube-version", "v1.34.1-eks-3cfe0ce")
    done = helm(tools, "template", chart, str(CHARTS / chart), *genuine, values=VALUES.get(chart, {}))
    assert done.returncode != 0
    assert "is the simulator's stand-in, and this cluster (v1.34.1-eks-3cfe0ce) is not" in done.stderr


@pytest.mark.parametrize("chart", NAMES)
def test_unknown_values_are_refused(tools: Tools, chart: str) -> None:
    done = helm(tools, "template", chart, str(CHARTS / chart), values={"surprise": 1})
    assert done.returncode != 0
    assert "surprise" in done.stderr


def test_a_whole_environment_installs_and_goes(kube: Kube) -> None:
    def install(chart: str) -> str:
        values = kube.home / f"{chart}.json"
        values.write_text(json.dumps(VALUES.get(chart, {})))
        arguments = ("-n", chart, "--create-namespace", "--wait", "--timeout", PATIENCE, "-f", str(values))
        return kube.helm("upgrade", "--install", chart, str(CHARTS / chart), *arguments)

    # Its webhook is asked about every Service, as cert-manager's is about Issuers.
    assert "STATUS: deployed" in install(CONTROLLER)
    others = [name for name in NAMES if name not in (CONTROLLER, "beta9")]
    with ThreadPoolExecutor(4) as pool:
        assert all("STATUS: deployed" in out for out in pool.map(install, others))
    assert "STATUS: deployed" in install("beta9")
    kube.kubectl(
        "wait", "apiservice/v1beta1.metrics.k8s.io", f"--timeout={PATIENCE}", "--for=condition=Available"
    )
    kube.kubectl("get", "clusterissuers,certificates,orders,challenges", "-A")
    service = kube.objects("Service")["traefik"]
    assert service["status"]["loadBalancer"]["ingress"][0]["hostname"]
    ready = [d["status"]["readyReplicas"] for d in kube.objects("Deployment").values()]
    assert sorted(ready) == [*([1] * 6), 2]

    for chart in reversed(NAMES):
        kube.helm("uninstall", chart, "-n", chart, "--wait", "--timeout", PATIENCE)
    left = {(item.kind, item.namespace, item.name) for item in kube.directory.leftovers()}
    assert left == {("Volume", "beta9", "data-juicefs-redis-master-0")}  # as of any StatefulSet
    kube.kubectl("delete", "namespace", "beta9", f"--timeout={PATIENCE}")
    assert kube.directory.leftovers() == []


def test_beta9_without_changes_waits_for_a_class_that_eks_does_not_have(kube: Kube) -> None:
    done = kube.run(
        kube.tools.helm,
        *("upgrade", "--install", "beta9", str(CHARTS / "beta9"), "-n", "beta9", "--create-namespace"),
        *("--wait", "--timeout", "1s"),
    )
    assert done.returncode != 0
    assert "PersistentVolumeClaim/beta9/beta9-images not ready" in done.stdout + done.stderr


def test_beta9_mounts_its_configuration_unchanged(tools: Tools) -> None:
    objects = render(tools, "beta9", BETA9)
    text = objects["Secret", "beta9-config-helm"]["stringData"]["config.yaml"]
    assert YAML(typ="safe", pure=True).load(text) == BETA9["config"]
    pod = objects["Deployment", "beta9-gateway"]["spec"]["template"]["spec"]
    assert {"name": "config", "secret": {"secretName": "beta9-config-helm"}} in pod["volumes"]
    assert {"name": "config", "mountPath": "/etc/beta9.d"} in pod["containers"][0]["volumeMounts"]
    assert pod["terminationGracePeriodSeconds"] == 195


def test_a_changed_configuration_restarts_the_gateway(tools: Tools) -> None:
    one, two = (render(tools, "beta9", {"config": {"debugMode": value}}) for value in (True, False))
    templates = [objects["Deployment", "beta9-gateway"]["spec"]["template"] for objects in (one, two)]
    assert templates[0] != templates[1]


def test_beta9_follows_its_values(tools: Tools) -> None:
    toleration = {"key": "gpu", "operator": "Exists"}
    init = {"image": {"repository": "busybox", "tag": "1"}, "command": ["true"]}
    objects = render(
        tools,
        "beta9",
        {
            "images": {"gateway": {"repository": "r/gateway", "tag": "1.2"}, "worker": {"tag": "3"}},
            "controllers": {
                "gateway": {
                    "replicas": 3,
                    "initContainers": {"wait-on-backends": init},
                    "pod": {"annotations": {"note": "x"}},
                }
            },
            "defaultPodOptions": {"tolerations": [toleration]},
            "serviceAccount": {"name": "robot", "annotations": {"eks.amazonaws.com/role-arn": "arn:x"}},
            "service": {"gateway": {"annotations": {"a": "b"}}},
            "persistence": {"images": {"enabled": False}},
            "redis": {"enabled": False},
            "juicefs-redis": {"master": {"tolerations": [toleration]}},
            "manifests": {
                "resources": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}}]
            },
        },
    )
    deployment = objects["Deployment", "beta9-gateway"]["spec"]
    pod = deployment["template"]["spec"]
    assert (deployment["replicas"], pod["serviceAccountName"]) == (3, "robot")
    assert pod["containers"][0]["image"] == "r/gateway:1.2"
    assert [(c["image"], c["command"]) for c in pod["initContainers"]] == [("busybox:1", ["true"])]
    assert pod["tolerations"] == [toleration]
    assert deployment["template"]["metadata"]["annotations"]["note"] == "x"
    assert objects["ServiceAccount", "robot"]["metadata"]["annotations"] == {
        "eks.amazonaws.com/role-arn": "arn:x"
    }
    ports = {p["name"]: p["port"] for p in objects["Service", "beta9-gateway"]["spec"]["ports"]}
    assert ports == {"grpc": 1993, "http": 1994, "metrics": 9090}
    assert ("ConfigMap", "extra") in objects
    assert {name for kind, name in objects if kind == "StatefulSet"} == {"postgresql", "juicefs-redis-master"}
    redis = objects["StatefulSet", "juicefs-redis-master"]["spec"]["template"]["spec"]
    assert redis["tolerations"] == [toleration]
    assert ("PersistentVolumeClaim", "beta9-images") not in objects


@pytest.mark.parametrize(
    ("service", "backend"),
    [
        (None, {"name": "beta9-gateway", "port": {"name": "http"}}),
        ({"name": "gateway", "port": 1994}, {"name": "beta9-gateway", "port": {"number": 1994}}),
        ({"name": "other", "port": "grpc"}, {"name": "other", "port": {"name": "grpc"}}),
    ],
)
def test_the_ingress_of_beta9(tools: Tools, service: Any, backend: dict[str, Any]) -> None:
    path = {"path": "/", "pathType": "Prefix", **({"service": service} if service else {})}
    ingress = {
        "enabled": True,
        "className": "traefik",
        "annotations": {"cert-manager.io/issuer": "x"},
        "hosts": [{"host": "b9.example.com", "paths": [path]}],
        "tls": [{"hosts": ["b9.example.com"], "secretName": "tls"}],
    }
    body = render(tools, "beta9", {"ingress": {"gateway": ingress}})["Ingress", "beta9-gateway"]
    assert body["metadata"]["annotations"] == ingress["annotations"]
    assert body["spec"]["ingressClassName"] == "traefik"
    assert body["spec"]["tls"] == ingress["tls"]
    (rule,) = body["spec"]["rules"]
    assert (rule["host"], rule["http"]["paths"][0]["backend"]["service"]) == ("b9.example.com", backend)


def test_crds_come_only_when_asked_for(tools: Tools) -> None:
    kinds = {kind for kind, _ in render(tools, "cert-manager", {})}
    assert "CustomResourceDefinition" not in kinds
    objects = render(tools, "cert-manager", {"crds": {"enabled": True}})
    crds = {name.split(".")[0]: body for (kind, name), body in objects.items() if kind.startswith("Custom")}
    assert set(crds) == {
        "certificates",
        "certificaterequests",
        "issuers",
        "clusterissuers",
        "orders",
        "challenges",
    }
    assert crds["issuers"]["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_traefik_follows_its_values(tools: Tools) -> None:
    values = {
        "deployment": {"replicas": 2},
        "ingressClass": {"name": "edge", "isDefaultClass": False},
        "service": {"annotations": {"x": "y"}},
        "podDisruptionBudget": {"enabled": True},
    }
    objects = render(tools, "traefik", values)
    assert objects["Deployment", "traefik"]["spec"]["replicas"] == 2
    service = objects["Service", "traefik"]
    assert (service["spec"]["type"], service["metadata"]["annotations"]) == ("LoadBalancer", {"x": "y"})
    edge = objects["IngressClass", "edge"]["metadata"]["annotations"]
    assert edge == {"ingressclass.kubernetes.io/is-default-class": "false"}
    assert ("PodDisruptionBudget", "traefik") in objects
