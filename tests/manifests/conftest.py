"""A simulated cluster, and an operator's shell with genuine kubectl in front of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.clusters import ROOT, Kube, StaticDirectory
from tests.support.manifests import MANIFESTS, NAMESPACE, SCHEMAS
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.local.tools import ensure_tools
from beta9_simulator.cluster.server import serve

GROUPS = {
    "ScaledObject": "scaledobjects",
    "ExternalSecret": "externalsecrets",
    "SecretStore": "secretstores",
    "ServiceMonitor": "servicemonitors",
    "PodMonitor": "podmonitors",
    "PrometheusRule": "prometheusrules",
}
REGISTRY = "your-registry.com/beta9"


@dataclass(frozen=True)
class Operator:
    """Types commands into a shell, in a copy of the checkout's manifests."""

    kube: Kube
    home: Path

    def types(self, commands: str) -> str:
        """Run commands in bash, as they are; returns what they print, errors included."""
        done = self.tries(commands)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def tries(self, commands: str) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it."""
        environment = {
            "PATH": f"{self.kube.tools.kubectl.parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(self.kube.kubeconfig),
            "HOME": str(self.home),
            "DOCKER_REGISTRY": REGISTRY,
        }
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.home,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=GUARD_SECONDS,
            check=False,
        )

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object of the namespace, by kubectl."""
        return dict(json.loads(self.types(f"kubectl get {kind} {name} -n {NAMESPACE} -o json")))

    def replicas(self, name: str) -> int:
        """How many replicas a Deployment should have."""
        return int(self.get("deployment", name)["spec"]["replicas"])

    def image(self, name: str) -> str:
        """The image of a Deployment's container."""
        (found,) = self.get("deployment", name)["spec"]["template"]["spec"]["containers"]
        return str(found["image"])

    def pods(self, **labels: str) -> list[dict[str, Any]]:
        """Pods of the namespace with these labels."""
        found = self.kube.objects("Pod").values()
        return [pod for pod in found if labels.items() <= (pod["metadata"].get("labels") or {}).items()]

    def addresses(self, service: str) -> set[str]:
        """Where a Service sends its traffic."""
        slices = [
            body
            for body in self.kube.objects("EndpointSlice").values()
            if body["metadata"]["labels"]["kubernetes.io/service-name"] == service
        ]
        return {
            f"{address}:{port['port']}"
            for body in slices
            for endpoint in body["endpoints"]
            if endpoint["conditions"]["ready"]
            for address in endpoint["addresses"]
            for port in body["ports"]
        }

    def until_served(self, service: str, pods: int) -> set[str]:
        """Wait until so many pods are behind a Service; returns their addresses."""
        until(lambda: len(self.addresses(service)) == pods, f"{pods} pods are behind {service}")
        return self.addresses(service)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    directory = StaticDirectory()
    server = serve(directory)
    directory.put("main")
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    yield Operator(Kube(server, directory, ensure_tools(ROOT), tmp_path, "main"), tmp_path)
    server.stop()


@pytest.fixture
def prepared(operator: Operator) -> Operator:
    """What the guide's steps before the manifests leave behind, eksctl's included."""
    operator.types(f"kubectl create namespace {NAMESPACE}")
    for account in ("provisioning-api", "provisioning-worker"):
        operator.types(
            f"kubectl create serviceaccount {account} -n {NAMESPACE}\n"
            f"kubectl label serviceaccount {account} -n {NAMESPACE} app.kubernetes.io/managed-by=eksctl\n"
            f"kubectl annotate serviceaccount {account} -n {NAMESPACE} "
            f"eks.amazonaws.com/role-arn=arn:aws:iam::123456789012:role/{account}"
        )
    operator.types(
        """
        kubectl create configmap provisioning-config \\
          --namespace beta9-provisioning \\
          --from-env-file=.env
        kubectl create secret generic provisioning-secrets \\
          --namespace beta9-provisioning \\
          --from-literal=database-url='postgresql://user:pass@host:5432/provisioning'
        """
    )
    return operator


@pytest.fixture
def deployed(prepared: Operator) -> Operator:
    """The guide's step 5."""
    prepared.types(
        """
        sed -i "s|beta9-provisioning-api:latest|$DOCKER_REGISTRY/provisioning-api:v0.1.0|g" \\
          manifests/provisioning-api.yaml
        sed -i "s|beta9-provisioning-worker:latest|$DOCKER_REGISTRY/provisioning-worker:v0.1.0|g" \\
          manifests/provisioning-api.yaml
        kubectl apply -f manifests/provisioning-api.yaml
        """
    )
    prepared.until_served("provisioning-api", 1)
    return prepared


def declare_custom_types(operator: Operator) -> None:
    """Have what the operators of KEDA, External Secrets and Prometheus bring: their types, no controllers."""
    for path in SCHEMAS.glob("*.json"):
        declared = json.loads(path.read_text())["$defs"][path.stem]["properties"]
        (group_version,) = declared["apiVersion"]["enum"]
        group, version = group_version.split("/")
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{GROUPS[path.stem]}.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": GROUPS[path.stem], "kind": path.stem},
                "versions": [{"name": version, "served": True, "storage": True}],
            },
        }
        (operator.home / "definition.json").write_text(json.dumps(definition))
        operator.types("kubectl apply -f definition.json")
        operator.types(
            f"kubectl wait --for=condition=Established crd/{definition['metadata']['name']} --timeout=60s"  # type: ignore[index]
        )


@pytest.fixture
def with_custom_types(prepared: Operator) -> Operator:
    """A cluster in which objects of these types can be made."""
    declare_custom_types(prepared)
    return prepared
