"""The deployment guide's commands, typed into genuine kubectl against the simulated cluster."""

from __future__ import annotations

from typing import Any

import pytest
from tests.manifests.conftest import REGISTRY, Operator
from tests.support.manifests import NAMESPACE, PLAIN
from tests.support.waiting import until

API, WORKER = "provisioning-api", "provisioning-worker"
PATCH = (
    "kubectl patch ingress provisioning-api -n beta9-provisioning \\\n"
    """  --type=json -p='[{"op": "replace", "path": "/spec/rules/0/http/paths/0/backend/service/name", """
    """"value": "SERVICE"}]'"""
)


def backend(operator: Operator) -> Any:
    return operator.get("ingress", API)["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]


def values(operator: Operator) -> dict[str, Any]:
    """What others own in the namespace, and what the guide's later steps change."""
    accounts = {name: operator.get("serviceaccount", name) for name in (API, WORKER)}
    return {
        "config": operator.get("configmap", "provisioning-config")["data"],
        "secret": operator.get("secret", "provisioning-secrets")["data"],
        "roles": {n: a["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] for n, a in accounts.items()},
        "makers": {n: a["metadata"]["labels"]["app.kubernetes.io/managed-by"] for n, a in accounts.items()},
        "replicas": {name: operator.replicas(name) for name in (API, WORKER)},
        "images": {name: operator.image(name) for name in (API, WORKER)},
        "address": operator.get("service", API)["spec"]["clusterIP"],
        "pods": sorted(pod["metadata"]["uid"] for pod in operator.pods()),
    }


def test_the_manifest_brings_pods_up_from_what_the_earlier_steps_left(deployed: Operator) -> None:
    shown = deployed.types(
        """
        kubectl get pods -n beta9-provisioning
        kubectl logs -n beta9-provisioning -l app=provisioning-api
        kubectl logs -n beta9-provisioning -l app=provisioning-worker
        kubectl get ingress -n beta9-provisioning
        """
    )
    assert shown.count("1/1") == 2
    assert "provisioning.beta9.example.com" in shown
    assert deployed.image(API) == f"{REGISTRY}/provisioning-api:v0.1.0"
    assert deployed.image(WORKER) == f"{REGISTRY}/provisioning-worker:v0.1.0"


def test_pods_wait_for_the_secret_and_start_when_it_comes(operator: Operator) -> None:
    operator.types(
        "kubectl apply -f manifests/provisioning-api.yaml -f manifests/examples/provisioning-config.yaml"
    )
    waiting = 'secret "provisioning-secrets" not found'
    until(lambda: waiting in operator.types(f"kubectl get pods -n {NAMESPACE} -o yaml"), "the pods say why")
    assert operator.addresses(API) == set()
    operator.types("kubectl apply -f manifests/examples/provisioning-secrets.yaml")
    operator.until_served(API, 1)


def test_applying_again_keeps_every_value(deployed: Operator) -> None:
    deployed.types(
        """
        # Scale API
        kubectl scale deployment provisioning-api \\
          --replicas=3 \\
          -n beta9-provisioning
        # Scale workers
        kubectl scale deployment provisioning-worker \\
          --replicas=5 \\
          -n beta9-provisioning
        """
    )
    until(lambda: len(deployed.pods(app=WORKER)) == 5, "there are five workers")
    deployed.until_served(API, 3)
    before = values(deployed)
    assert before["replicas"] == {API: 3, WORKER: 5}
    for _ in range(2):
        told = deployed.types("kubectl apply -f manifests/provisioning-api.yaml")
        # kubectl always sends something for a PodDisruptionBudget: its selector is replaced, not merged.
        assert {line for line in told.splitlines() if "unchanged" not in line} == {
            "poddisruptionbudget.policy/provisioning-api configured",
            "poddisruptionbudget.policy/provisioning-worker configured",
        }
        assert values(deployed) == before


def test_applying_again_keeps_what_an_autoscaler_has_set(deployed: Operator) -> None:
    deployed.types("kubectl apply -f manifests/autoscaling.yaml")
    until(lambda: (deployed.replicas(API), deployed.replicas(WORKER)) == (2, 2), "the least are there")
    # An autoscaler writes through the same subresource.
    deployed.types(f"kubectl scale deployment {WORKER} --replicas=7 -n {NAMESPACE}")
    until(lambda: len(deployed.pods(app=WORKER)) == 7, "there are seven workers")
    deployed.types("kubectl apply -f manifests/provisioning-api.yaml -f manifests/autoscaling.yaml")
    assert (deployed.replicas(API), deployed.replicas(WORKER)) == (2, 7)


def test_the_guides_autoscale_makes_an_autoscaler_by_cpu(deployed: Operator) -> None:
    deployed.types(
        """
        kubectl autoscale deployment provisioning-api \\
          --cpu-percent=70 \\
          --min=2 \\
          --max=10 \\
          -n beta9-provisioning
        """
    )
    made = deployed.get("hpa", API)["spec"]
    deployed.until_served(API, 2)
    deployed.types(f"kubectl delete hpa {API} -n {NAMESPACE}")
    deployed.types("kubectl apply -f manifests/autoscaling.yaml")
    ours = deployed.get("hpa", API)["spec"]
    assert made == {key: value for key, value in ours.items() if key != "behavior"}
    again = deployed.tries(
        f"kubectl autoscale deployment {API} --cpu-percent=70 --min=2 --max=10 -n {NAMESPACE}"
    )
    # kubectl 1.34 does not say that there is one already.
    assert again.returncode != 0
    assert deployed.get("hpa", API)["spec"] == ours


def test_the_selector_of_the_guide_never_scales_and_ours_does(deployed: Operator) -> None:
    def state() -> tuple[str, str]:
        conditions = deployed.get("hpa", WORKER).get("status", {}).get("conditions", [])
        return next(
            ((c["status"], c["reason"]) for c in conditions if c["type"] == "ScalingActive"), ("", "")
        )

    deployed.types("kubectl apply -f manifests/autoscaling.yaml")
    until(lambda: state() == ("True", "ValidMetricFound"), "the workers are scaled by the queue")
    deployed.types(
        "sed 's/queue_name: provisioning.jobs/queue: provisioning:jobs/' manifests/autoscaling.yaml"
        " | kubectl apply -f -"
    )
    until(lambda: state() == ("False", "FailedGetExternalMetric"), "the selector cannot be used")


def test_a_rolling_update_and_its_undoing(deployed: Operator) -> None:
    deployed.types(f"kubectl scale deployment {API} --replicas=2 -n {NAMESPACE}")
    deployed.until_served(API, 2)
    worker = deployed.get("deployment", WORKER)
    shown = deployed.types(
        """
        # Update image tag
        kubectl set image deployment/provisioning-api \\
          api=$DOCKER_REGISTRY/provisioning-api:v0.2.0 \\
          -n beta9-provisioning

        # Check rollout status
        kubectl rollout status deployment/provisioning-api -n beta9-provisioning
        """
    )
    assert "successfully rolled out" in shown
    assert {p["spec"]["containers"][0]["image"] for p in deployed.pods(app=API)} == {
        f"{REGISTRY}/provisioning-api:v0.2.0"
    }
    deployed.types("kubectl rollout undo deployment/provisioning-api -n beta9-provisioning")
    deployed.types("kubectl rollout status deployment/provisioning-api -n beta9-provisioning")
    assert deployed.image(API) == f"{REGISTRY}/provisioning-api:v0.1.0"
    assert deployed.replicas(API) == 2
    # The guide's commands leave the workers alone; they have the same ones.
    assert deployed.get("deployment", WORKER) == worker
    deployed.types(
        """
        kubectl set image deployment/provisioning-worker \\
          worker=$DOCKER_REGISTRY/provisioning-worker:v0.2.0 -n beta9-provisioning
        kubectl rollout status deployment/provisioning-worker -n beta9-provisioning
        kubectl rollout undo deployment/provisioning-worker -n beta9-provisioning
        kubectl rollout status deployment/provisioning-worker -n beta9-provisioning
        """
    )
    assert deployed.image(WORKER) == f"{REGISTRY}/provisioning-worker:v0.1.0"


def test_a_changed_secret_is_read_by_pods_that_are_restarted(deployed: Operator) -> None:
    before = {pod["metadata"]["uid"] for pod in deployed.pods()}
    deployed.types(
        """
        kubectl create secret generic provisioning-secrets \\
          --namespace beta9-provisioning \\
          --from-literal=database-url='postgresql://user:other@host:5432/provisioning' \\
          --dry-run=client -o yaml | kubectl apply -f -
        """
    )
    assert {pod["metadata"]["uid"] for pod in deployed.pods()} == before
    deployed.types(
        """
        kubectl rollout restart deployment/provisioning-api deployment/provisioning-worker \\
          -n beta9-provisioning
        kubectl rollout status deployment/provisioning-api -n beta9-provisioning
        kubectl rollout status deployment/provisioning-worker -n beta9-provisioning
        """
    )
    until(lambda: not before & {pod["metadata"]["uid"] for pod in deployed.pods()}, "all pods are new")
    deployed.types("kubectl apply -f manifests/provisioning-api.yaml")
    annotations = deployed.get("deployment", API)["spec"]["template"]["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/restartedAt" in annotations


def test_the_config_map_can_be_made_without_the_password(operator: Operator) -> None:
    """The guide's own command copies DATABASE_URL into the ConfigMap, where the manifests do not read it."""
    operator.types(f"kubectl create namespace {NAMESPACE}")
    again = operator.tries(f"kubectl create namespace {NAMESPACE}")
    assert (again.returncode, "AlreadyExists" in again.stdout) == (1, True)
    operator.types(
        """
        kubectl create configmap provisioning-config \\
          --namespace beta9-provisioning \\
          --from-env-file=<(grep -v '^DATABASE_URL=' .env)
        """
    )
    data = operator.get("configmap", "provisioning-config")["data"]
    assert "DATABASE_URL" not in data
    assert data["LOG_LEVEL"] == "INFO"


def test_a_new_release_that_never_becomes_ready_takes_no_traffic_away(deployed: Operator) -> None:
    before = deployed.until_served(API, 1)
    deployed.kube.server.hold("Deployment", NAMESPACE, API)
    deployed.types(f"kubectl set image deployment/{API} api=broken:1 -n {NAMESPACE}")
    until(lambda: len(deployed.pods(app=API)) == 2, "the new pod is there")
    waiting = deployed.tries(f"kubectl rollout status deployment/{API} -n {NAMESPACE} --timeout=500ms")
    assert waiting.returncode != 0
    assert deployed.addresses(API) == before
    deployed.types(f"kubectl rollout undo deployment/{API} -n {NAMESPACE}")
    deployed.kube.server.release()
    deployed.types(f"kubectl rollout status deployment/{API} -n {NAMESPACE}")
    assert deployed.image(API).endswith(":v0.1.0")


def test_blue_and_green_share_no_endpoint_and_the_patch_moves_the_traffic(deployed: Operator) -> None:
    deployed.types(f"kubectl scale deployment {API} --replicas=2 -n {NAMESPACE}")
    blue = deployed.until_served(API, 2)
    deployed.types("kubectl apply -f manifests/provisioning-api-v2.yaml")
    green = deployed.until_served(f"{API}-v2", 2)
    assert deployed.addresses(API) == blue
    assert not green & blue
    assert all(address.endswith(":8000") for address in green | blue)
    assert backend(deployed) == {"name": API, "port": {"name": "http"}}

    deployed.types(PATCH.replace("SERVICE", f"{API}-v2"))
    assert backend(deployed) == {"name": f"{API}-v2", "port": {"name": "http"}}
    assert deployed.addresses(f"{API}-v2") == green

    deployed.types(PATCH.replace("SERVICE", API))
    assert backend(deployed)["name"] == API
    deployed.types("kubectl delete -f manifests/provisioning-api-v2.yaml")
    until(lambda: not deployed.addresses(f"{API}-v2"), "nothing is behind the second track")
    assert deployed.addresses(API) == blue


def test_applying_the_first_file_again_moves_the_traffic_back(deployed: Operator) -> None:
    """The Ingress is in that file: after a switch it is edited first, as the deployment page says."""
    deployed.types("kubectl apply -f manifests/provisioning-api-v2.yaml")
    deployed.types(PATCH.replace("SERVICE", f"{API}-v2"))
    deployed.types("kubectl apply -f manifests/provisioning-api.yaml")
    assert backend(deployed)["name"] == API


def test_a_node_is_drained_pod_by_pod_on_both_tracks(deployed: Operator) -> None:
    deployed.types("kubectl apply -f manifests/provisioning-api-v2.yaml -f manifests/autoscaling.yaml")
    deployed.until_served(API, 2)
    deployed.until_served(f"{API}-v2", 2)
    wanted = {API: 1, f"{API}-v2": 1, WORKER: 1}
    until(lambda: disruptions(deployed) == wanted, "one pod of each may go")
    deployed.types("kubectl drain node-1 --delete-emptydir-data --timeout=60s")
    until(lambda: {pod["spec"].get("nodeName") for pod in deployed.pods()} == {"node-2"}, "all are elsewhere")


def disruptions(operator: Operator) -> dict[str, int]:
    found = operator.kube.objects("PodDisruptionBudget").items()
    return {name: body.get("status", {}).get("disruptionsAllowed", 0) for name, body in found}


@pytest.mark.parametrize("name", PLAIN)
def test_every_file_is_applied_twice(with_custom_types: Operator, name: str) -> None:
    first = with_custom_types.types(f"kubectl apply -f manifests/{name}")
    again = with_custom_types.types(f"kubectl apply -f manifests/{name}")
    assert "created" in first
    changed = {line for line in again.splitlines() if not line.endswith("unchanged")}
    assert {
        line for line in changed if not line.startswith(("poddisruptionbudget", "networkpolicy"))
    } == set()


def test_the_overlay_for_development_is_applied_by_kustomize(prepared: Operator) -> None:
    prepared.types("kubectl apply -k manifests/overlays/development")
    prepared.until_served(API, 1)
    assert prepared.get("ingress", API)["spec"]["rules"][0]["host"] == "provisioning.localhost"


def test_server_side_apply_takes_the_file_too(deployed: Operator) -> None:
    deployed.types(f"kubectl scale deployment {API} --replicas=3 -n {NAMESPACE}")
    deployed.types("kubectl apply --server-side -f manifests/provisioning-api.yaml")
    assert deployed.replicas(API) == 3
