"""The policies that keep users' code from the stores, written into a simulated cluster that judges them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.engine.beta9.test_releases import GENERATED, OUTPUTS, PLATFORM
from tests.support.configs import config
from tests.support.manifests import VERSIONS, faults

from beta9_provisioning.engine.beta9.database_user import ADMIN_SECRET
from beta9_provisioning.engine.beta9.generated_secrets import SECRET_NAME
from beta9_provisioning.engine.beta9.network_policies import NAMESPACES, POLICY, policy_of, write_policies
from beta9_provisioning.engine.beta9.releases import base_releases, beta9_release
from beta9_provisioning.engine.helm.helm import HelmFailed

if TYPE_CHECKING:
    from tests.engine.conftest import Access

GUARDED = ("10.0.200.0/22", "10.0.204.0/22", "169.254.169.254/32")
HOSTS = {"db.example.internal": "10.0.200.4", "redis.example.internal": "10.0.204.9"}


def install_beta9(access: Access) -> None:
    """Install Beta9 as a provision does, on nodes that enforce policies."""
    access.kube.directory.network.enforcing = True
    access.kube.directory.network.hosts = HOSTS
    kubernetes = access.kubernetes()
    kubernetes.secret_once("beta9", SECRET_NAME, {"database_password": "p", "encryption_key": "k"})
    release = beta9_release(config(), PLATFORM, OUTPUTS, GENERATED)
    # Issuers are cert-manager's, which is not here.
    resources = [one for one in release.values["manifests"]["resources"] if one["kind"] != "Issuer"]
    values = {**release.values, "manifests": {"resources": resources}}
    with kubernetes.passing_secret("beta9", ADMIN_SECRET, {"username": "u", "password": "p"}):
        access.helm().install(replace(release, values=values))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("namespace", NAMESPACES)
def test_they_fit_the_schema_of_kubernetes(namespace: str, version: str) -> None:
    body: dict[str, Any] = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": POLICY, "namespace": namespace},
        "spec": policy_of(namespace, GUARDED),
    }
    assert faults(body, version) == []
    body["spec"]["egress"][0]["to"][0]["ipBlock"]["except"] = "10.0.0.0/8"
    assert faults(body, version) != []


def test_every_namespace_of_ours_but_the_systems_has_one() -> None:
    releases = [*base_releases(config(), PLATFORM), beta9_release(config(), PLATFORM, OUTPUTS, GENERATED)]
    assert {one.namespace for one in releases} - {"kube-system"} | {"default"} == set(NAMESPACES)


def test_writing_them_again_mends_what_somebody_changed(access: Access) -> None:
    kubernetes = access.kubernetes()
    write_policies(kubernetes, ["10.1.0.0/16"])
    access.kube.kubectl("delete", "networkpolicy", POLICY, "-n", "traefik")
    open_ = '{"spec": {"egress": [{}]}}'
    access.kube.kubectl("patch", "networkpolicy", POLICY, "-n", "beta9", "--type=merge", "-p", open_)
    write_policies(kubernetes, GUARDED)
    for namespace in NAMESPACES:
        assert spec_of(access, namespace) == policy_of(namespace, GUARDED)


def test_beta9_becomes_ready_behind_them(access: Access) -> None:
    write_policies(access.kubernetes(), GUARDED)
    install_beta9(access)
    gateway = access.kube.objects("Deployment")["beta9-gateway"]
    assert gateway["status"]["readyReplicas"] == 1


@pytest.mark.parametrize(
    ("own", "victim"),
    [("gateway", "database-user"), ("database-user", "beta9-gateway"), (None, "database-user")],
)
def test_one_that_forgets_whose_the_stores_are_fails_the_installation(
    access: Access, own: str | None, victim: str
) -> None:
    kubernetes = access.kubernetes()
    write_policies(kubernetes, GUARDED)
    spec = policy_of("default" if own is None else "beta9", GUARDED)
    if own is not None:
        spec["podSelector"] = only_not(own)
    kubernetes.apply_network_policy("beta9", POLICY, spec)
    with pytest.raises(HelmFailed) as failed:
        install_beta9(access)
    assert victim in f"{failed.value.message} {failed.value.detail}"


def only_not(component: str) -> dict[str, Any]:
    term = {"key": "app.kubernetes.io/component", "operator": "NotIn", "values": [component]}
    return {"matchExpressions": [term]}


def spec_of(access: Access, namespace: str) -> Any:
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{POLICY}"
    return access.kube.http("GET", path).json["spec"]
