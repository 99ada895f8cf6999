"""Manifests broken on purpose: each mistake is found by a schema, by the cluster, or by what it leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.manifests.conftest import Operator
from tests.support.manifests import NAMESPACE, VERSIONS, Manifest, container, faults, find, objects

Break = Callable[[Manifest], Any]


_OTHER_LABEL = "/matchLabels:/,/strategy:/s/app: provisioning-worker/app: worker/"


def refused_by_schema(kind: str, name: str, file: str, how: Break) -> list[str]:
    body = find(objects(file), kind, name)
    assert faults(body, VERSIONS[-1]) == []
    how(body)
    return faults(body, VERSIONS[-1])


@pytest.mark.parametrize(
    ("kind", "name", "file", "how"),
    [
        (
            "Deployment",
            "provisioning-api",
            "provisioning-api.yaml",
            lambda b: container(b).update(readinesProbe={}),
        ),
        (
            "Deployment",
            "provisioning-worker",
            "provisioning-api.yaml",
            lambda b: b["spec"]["template"]["spec"].update(terminationGracePeriod=300),
        ),
        ("Deployment", "provisioning-api", "provisioning-api.yaml", lambda b: b["spec"].pop("selector")),
        ("Service", "provisioning-api", "provisioning-api.yaml", lambda b: b["spec"].update(port=80)),
        (
            "Ingress",
            "provisioning-api",
            "provisioning-api.yaml",
            lambda b: b["spec"].update(ingressClass="x"),
        ),
        (
            "PodDisruptionBudget",
            "provisioning-api",
            "provisioning-api.yaml",
            lambda b: b["spec"].update(maxUnavailble=1),
        ),
        (
            "HorizontalPodAutoscaler",
            "provisioning-worker",
            "autoscaling.yaml",
            lambda b: b["spec"].update(minReplicas="2"),
        ),
        (
            "NetworkPolicy",
            "provisioning-api",
            "network-policies.yaml",
            lambda b: b["spec"]["ingress"][0].update(form=[]),
        ),
        (
            "ScaledObject",
            "provisioning-worker",
            "autoscaling-keda.yaml",
            lambda b: b["spec"].update(minReplicas=2),
        ),
        (
            "ScaledObject",
            "provisioning-worker",
            "autoscaling-keda.yaml",
            lambda b: b["spec"]["triggers"][0]["metadata"].update(threshold=1),
        ),
        (
            "ExternalSecret",
            "provisioning-db-credentials",
            "external-secrets.yaml",
            lambda b: b.update(apiVersion="external-secrets.io/v1beta1"),
        ),
        (
            "SecretStore",
            "aws-secrets-manager",
            "external-secrets.yaml",
            lambda b: b["spec"]["provider"]["aws"].pop("region"),
        ),
        (
            "ServiceMonitor",
            "provisioning-api",
            "monitoring.yaml",
            lambda b: b["spec"]["endpoints"][0].update(prt="http"),
        ),
        (
            "PodMonitor",
            "provisioning-worker",
            "monitoring.yaml",
            lambda b: b["spec"].update(endpoints=[]),
        ),
        (
            "PrometheusRule",
            "provisioning-alerts",
            "monitoring.yaml",
            lambda b: b["spec"]["groups"][0]["rules"][0].pop("expr"),
        ),
        (
            "PrometheusRule",
            "provisioning-alerts",
            "monitoring.yaml",
            lambda b: b["spec"]["groups"][0]["rules"][0].update(keep_firing="5m"),
        ),
    ],
)
def test_a_schema_finds_it(kind: str, name: str, file: str, how: Break) -> None:
    assert refused_by_schema(kind, name, file, how)


def test_a_kind_without_a_schema_is_a_fault_and_no_warning() -> None:
    body = {"apiVersion": "example.com/v1", "kind": "Unknown", "metadata": {"name": "a"}}
    assert "no schema" in faults(body, VERSIONS[-1])[0]


@pytest.mark.parametrize(
    ("file", "sed", "told"),
    [
        ("provisioning-api.yaml", "s/track: blue/track: blue:1/", "metadata.labels.track"),
        ("provisioning-api.yaml", "s/mountPath: .tmp/mountPath: \\/var\\/lib\\/beta9/", "Duplicate value"),
        ("provisioning-api.yaml", "s/memory: 3Gi/memory: 6Gi/", "more than the limit"),
        ("provisioning-api.yaml", "/mountPath/{n;s/name: tmp/name: temp/}", "there is no volume"),
        ("provisioning-api.yaml", "s/pathType: Prefix/pathType: prefix/", "pathType"),
        ("provisioning-api.yaml", "s/port: http$/port: Http/", "Probe.httpGet.port"),
        ("provisioning-api.yaml", "s/port: 80$/port: 80000/", "spec.ports[0].port"),
        ("provisioning-api.yaml", _OTHER_LABEL, "does not match template"),
        ("provisioning-api.yaml", "s/name: provisioning-worker$/name: Provisioning/", "metadata.name"),
        ("autoscaling.yaml", "s/minReplicas: 2/minReplicas: 20/", "less than minReplicas"),
        ("autoscaling.yaml", "s/periodSeconds: 600/periodSeconds: 6000/", "periodSeconds"),
        ("network-policies.yaml", "s/169.254.169.254.32/169.254.169.254\\/33/", "ipBlock.except"),
        ("network-policies.yaml", "s/operator: In/operator: in/", "not a valid selector operator"),
    ],
)
def test_the_cluster_refuses_it(prepared: Operator, file: str, sed: str, told: str) -> None:
    done = prepared.tries(f"sed '{sed}' manifests/{file} | tee broken.yaml | kubectl apply -f -")
    original = (prepared.home / "manifests" / file).read_text()
    assert (prepared.home / "broken.yaml").read_text() != original
    assert done.returncode != 0
    assert told in done.stdout


@pytest.mark.parametrize(
    ("sed", "told"),
    [
        ("s/runAsNonRoot: true/runAsNonRoot: false/", "runAsNonRoot"),
        ("/allowPrivilegeEscalation/d", "allowPrivilegeEscalation"),
        ("s/type: RuntimeDefault/type: Unconfined/", "seccompProfile"),
        ("s/emptyDir:/hostPath:/;s/sizeLimit: .*/path: \\/tmp/", "hostPath"),
    ],
)
def test_pod_security_keeps_its_pods_away(prepared: Operator, sed: str, told: str) -> None:
    prepared.types(f"sed '{sed}' manifests/provisioning-api.yaml | kubectl apply -f -")
    prepared.types(
        "kubectl wait --for=condition=ReplicaFailure deployment/provisioning-api "
        f"-n {NAMESPACE} --timeout=60s"
    )
    conditions = prepared.get("deployment", "provisioning-api")["status"]["conditions"]
    assert told in next(c["message"] for c in conditions if c["type"] == "ReplicaFailure")
    assert prepared.pods() == []


def test_one_label_less_in_a_selector_mixes_the_tracks(deployed: Operator) -> None:
    """Why `track` is in every selector: without it the first Service serves the second track's pods too."""
    deployed.types("kubectl apply -f manifests/provisioning-api-v2.yaml")
    green = deployed.until_served("provisioning-api-v2", 2)
    assert not green & deployed.addresses("provisioning-api")
    patch = '{"spec": {"selector": {"track": null}}}'
    deployed.types(f"kubectl patch service provisioning-api -n {NAMESPACE} -p '{patch}'")
    assert green < deployed.until_served("provisioning-api", 3)


def test_a_selector_cannot_be_changed_once_it_is_there(deployed: Operator) -> None:
    done = deployed.tries(
        "sed 's/track: blue/track: other/' manifests/provisioning-api.yaml | kubectl apply -f -"
    )
    assert done.returncode != 0
    assert "field is immutable" in done.stdout
