"""A cluster of its owner's, made by the example's Terraform: an environment leaves it as it was."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.acceptance.test_product import Product
from tests.examples.conftest import Person, held, post
from tests.support.documents import ROOT
from tests.support.page import script

pytestmark = pytest.mark.timeout(600)
PAGE = ROOT / "docs" / "existing-cluster.md"
OTHERS = """
apiVersion: v1
kind: Namespace
metadata: {name: apps, labels: {team: ml}}
---
apiVersion: v1
kind: Secret
metadata: {name: password, namespace: apps}
stringData: {password: theirs}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: apps}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: apps}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: apps}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: apps}
spec: {ingressClassName: front, defaultBackend: {service: {name: web, port: {number: 80}}}}
"""
THEIR_CONTROLLERS = """
helm install front "$CHARTS/traefik" --namespace edge --create-namespace --wait
helm install cert-manager "$CHARTS/cert-manager" --namespace certificates --create-namespace --wait \\
  --set crds.enabled=true
helm install metrics "$CHARTS/metrics-server" --namespace kube-system --wait
"""
WITHOUT_THEM = """
helm uninstall front --namespace edge --wait
helm uninstall metrics --namespace kube-system --wait
helm uninstall cert-manager --namespace certificates --wait
"""


@pytest.fixture
def keeper(owner: Person, product: Product) -> Iterator[Person]:
    """The owner of a cluster, with others' objects in it."""
    # What of a node's interfaces stays is the owner's affair.
    product.world.store.set_setting("leaked_interfaces", "0")
    owner.variables["CHARTS"] = product.stack.simulator().charts
    owner.types(script(PAGE, "owner"))
    owner.types(script(PAGE, "furnish"))
    owner.types(f"kubectl apply --filename - <<'END'\n{OTHERS}\nEND")
    balanced = "--for=jsonpath='{.status.loadBalancer.ingress}' service/web"
    owner.types(f"kubectl wait --namespace apps {balanced} --timeout=60s")
    yield owner
    owner.types("kubectl delete namespace apps --wait")
    away = script(PAGE, "away")
    owner.types(away)
    assert product.world.leftovers() == []


def seen(owner: Person) -> dict[str, Any]:
    """Return every object of the cluster, of every kind; resource versions are no part of what one is."""
    kinds = ",".join(owner.types("kubectl api-resources --verbs=list --output=name").split())
    found = json.loads(owner.types(f"kubectl get {kinds} --all-namespaces --output=json"))
    for body in found["items"]:
        del body["metadata"]["resourceVersion"]
    return {
        "/".join((body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"])): body
        for body in found["items"]
    }


def lives(product: Product, keeper: Person) -> dict[str, Any]:
    """Create an environment in it and delete it, and compare; return what was in the cluster meanwhile."""
    keeper.types(script(PAGE, "fill"))
    objects, account = seen(keeper), held(product.world.store)
    environment_id = post(product, (keeper.home / "examples" / "existing-cluster.yaml").read_text())
    ready = product.wait(environment_id, "ready")
    assert ready["outputs"]["cluster_name"] == "team"
    during = seen(keeper)
    assert {key: during[key] for key in objects} == objects
    assert {key: value for key, value in held(product.world.store).items() if key in account} == account
    kubeconfig = product.http.get(f"/api/v1/environments/{environment_id}/kubeconfig").text
    assert "token --cluster team" in " ".join(kubeconfig.replace("- ", "").split())
    assert product.delete(environment_id).status_code == 202
    product.wait(environment_id, "destroyed")
    assert seen(keeper) == objects
    assert held(product.world.store) == account
    return during


def is_told_what_lets_it_in(product: Product, keeper: Person) -> None:
    """Without its access entry the environment fails, and tells the commands that make it."""
    terraform = "terraform -chdir=examples/existing-cluster"
    keeper.types(f"{terraform} destroy -input=false -auto-approve -target=aws_eks_access_entry.provisioner")
    account = held(product.world.store)
    environment_id = post(product, (keeper.home / "examples" / "existing-cluster.yaml").read_text())
    error = product.wait(environment_id, "failed")["error"]
    assert error["code"] == "cluster_unfit"
    assert held(product.world.store) == account
    told = [line.split() for line in error["detail"].splitlines() if line.startswith("  aws ")]
    assert [command[2] for command in told] == ["create-access-entry", "associate-access-policy"]
    product.delete(environment_id)
    product.wait(environment_id, "destroyed")
    keeper.types(f"{terraform} apply -input=false -auto-approve")


def test_an_environment_brings_what_is_missing_and_takes_it_away(product: Product, keeper: Person) -> None:
    is_told_what_lets_it_in(product, keeper)
    during = lives(product, keeper)
    deployments = {key.removeprefix("Deployment/") for key in during if key.startswith("Deployment/beta9")}
    assert deployments == {
        "beta9/beta9-gateway",
        "beta9-system/cert-manager",
        "beta9-system/cert-manager-cainjector",
        "beta9-system/cert-manager-webhook",
        "beta9-system/metrics-server",
        "beta9-system/traefik",
    }


def test_an_environment_uses_the_controllers_that_are_there(product: Product, keeper: Person) -> None:
    keeper.types(THEIR_CONTROLLERS)
    during = lives(product, keeper)
    assert not [key for key in during if "beta9-system" in key]
    assert during["Ingress/beta9/beta9-gateway"]["spec"]["ingressClassName"] == "front"
    keeper.types(WITHOUT_THEM)
