"""Commands of docs/deployment.md and docs/operations.md are run as they stand; the page says truly which."""

import base64
import shutil

from tests.manifests.conftest import Operator, declare_custom_types
from tests.support.documents import ROOT
from tests.support.manifests import NAMESPACE
from tests.support.page import DEPLOYMENT, OPERATIONS, counts, prose, script


def test_the_page_says_how_many_of_its_commands_are_run() -> None:
    found = counts(DEPLOYMENT)
    assert set(found) == {"cluster", "compose", "control", "elsewhere"}
    assert (
        f"Of its {found.total()} commands {found['cluster']} are run against the simulated cluster, "
        f"{found['compose']} in containers, {found['control']} in the control account"
    ) in prose(DEPLOYMENT)


def test_the_commands_for_a_cluster_work_as_typed(operator: Operator) -> None:
    _copy_checkout(operator)
    # What kube-prometheus-stack leaves.
    operator.types("kubectl create namespace monitoring")
    declare_custom_types(operator)
    operator.types(script(DEPLOYMENT, "cluster"))
    images = {name: operator.image(name) for name in ("provisioning-api", "provisioning-worker")}
    # Set to v0.3.0, and taken back.
    assert images == {name: f"your-registry.com/beta9/{name}:v0.2.0" for name in images}
    assert operator.image("provisioning-api-v2") == "your-registry.com/beta9/provisioning-api:v0.3.0"
    assert operator.replicas("provisioning-worker") == 5
    ingress = operator.get("ingress", "provisioning-api")
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"]["name"] == "provisioning-api-v2"
    assert operator.get("configmap", "provisioning-config")["metadata"]["namespace"] == NAMESPACE
    alerts = operator.get("prometheusrule", "provisioning-alerts")["spec"]["groups"][0]["rules"]
    links = [rule["annotations"]["runbook_url"] for rule in alerts if "alert" in rule]
    assert all(link.startswith("https://wiki.your-company.com/provisioning#") for link in links)
    shown = operator.types("kubectl get configmaps -n monitoring -l grafana_dashboard=1 -o name")
    assert shown == "configmap/provisioning-dashboards\n"


def test_the_runbooks_commands_for_a_cluster_work_as_typed(deployed: Operator) -> None:
    deployed.types(script(OPERATIONS, "cluster"))
    assert deployed.replicas("provisioning-worker") == 6
    kept = deployed.get("secret", "provisioning-secrets")["data"]
    assert {name: base64.b64decode(url) for name, url in kept.items()} == {
        "database-url": b"postgresql://user:new@host:5432/provisioning",
        "redis-url": b"rediss://user:new@host:6379/0",
    }
    template = deployed.get("deployment", "provisioning-worker")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]


def _copy_checkout(operator: Operator) -> None:
    """What `make manifests` reads and writes, beside the manifests that are there."""
    (operator.home / ".env").unlink()
    for name in ("Makefile", ".env.example"):
        shutil.copy2(ROOT / name, operator.home)
    for name in ("scripts", "dashboards"):
        shutil.copytree(ROOT / name, operator.home / name)
    for path in ROOT.iterdir():
        if path.name in {".tools", "pyproject.toml", "src", "simulator"} or path.suffix in {
            ".in",
            ".txt",
        }:
            (operator.home / path.name).symlink_to(path)
    # Its stamp is of the copy: a set-up here would spoil the checkout's own.
    (operator.home / ".venv").mkdir()
    for path in (ROOT / ".venv").iterdir():
        if path.name != ".ready":
            (operator.home / ".venv" / path.name).symlink_to(path)
    (operator.home / ".venv" / ".ready").touch()
