"""A cluster that others use, too: what of it is used, what is installed beside, what stays untouched."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.engine.beta9.test_releases import GENERATED, OUTPUTS, PLATFORM
from tests.support.configs import config
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.engine.beta9.database_user import ADMIN_SECRET
from beta9_provisioning.engine.beta9.generated_secrets import SECRET_NAME
from beta9_provisioning.engine.beta9.leaving import (
    own_namespaces,
    remove_namespace,
    remove_types,
    wait_for_volumes,
)
from beta9_provisioning.engine.beta9.network_policies import POLICY, write_policies
from beta9_provisioning.engine.beta9.platform import (
    BASE_CHARTS,
    Ingress,
    Platform,
    Shared,
    SharedCluster,
    StorageClass,
)
from beta9_provisioning.engine.beta9.releases import (
    SHARED_NAMESPACES,
    base_releases,
    beta9_release,
    ingress_of,
    namespaces_of,
)
from beta9_provisioning.engine.beta9.survey import look_around
from beta9_provisioning.engine.beta9.values import NGINX_CONTROLLER, TRAEFIK_CONTROLLER
from beta9_provisioning.engine.helm.helm import HelmFailed
from beta9_provisioning.engine.helm.release import Release
from beta9_provisioning.engine.kubernetes.api import ClusterError
from beta9_provisioning.engine.kubernetes.kinds import SECRET
from beta9_provisioning.engine.kubernetes.kubernetes import ENVIRONMENT_LABEL
from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.resources import BUILTIN

if TYPE_CHECKING:
    from tests.engine.conftest import Access

OWNER = "env_0123456789abcdef"
CLUSTER = SharedCluster("main", "2000-01-01T00:00:00Z")
NODES = {"team": "ml"}


def shared(*charts: str, ingress: Ingress | None = None) -> Platform:
    return replace(
        PLATFORM,
        storage_class=StorageClass("theirs", is_found=True),
        load_balancer_annotations={},
        shared=Shared(frozenset(charts), ingress),
    )


def theirs(access: Access, chart: str, namespace: str, name: str = "", **values: Any) -> None:
    """Install a chart as others do."""
    access.helm().install(Release(name or chart, namespace, chart, "1", values, timeout=GUARD_SECONDS))


def make(access: Access, root: str, plural: str, namespace: str = "", **body: Any) -> None:
    place = f"/namespaces/{namespace}" if namespace else ""
    made = access.kube.http("POST", f"{root}{place}/{plural}", body)
    assert made.status == 201, made.text


def named(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


def seen(access: Access) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return all that is in the cluster, without what changes by itself."""
    found = {}
    for body in access.kube.server.objects("123456789012", "us-east-1", "main"):
        kept = copy.deepcopy(body)
        for passing in ("resourceVersion", "managedFields"):
            kept["metadata"].pop(passing, None)
        metadata = kept["metadata"]
        found[kept["kind"], metadata.get("namespace", ""), metadata["name"]] = kept
    return found


def a_storage_class(access: Access) -> None:
    make(
        access, "/apis/storage.k8s.io/v1", "storageclasses", **named("theirs"), provisioner="ebs.csi.aws.com"
    )


def test_a_bare_cluster_lacks_every_chart(access: Access) -> None:
    found = look_around(access.kubernetes(), config(), OWNER)
    assert found.shared == Shared(frozenset(BASE_CHARTS))
    assert found.problems == []


def test_what_is_there_is_found_and_nothing_is_installed_beside(access: Access) -> None:
    theirs(access, "traefik", "edge", "edge")
    theirs(access, "cert-manager", "certificates", crds={"enabled": True})
    theirs(access, "metrics-server", "kube-system", "metrics")
    before = seen(access)
    found = look_around(access.kubernetes(), config(), OWNER)
    assert found.problems == []
    assert found.shared == Shared(frozenset(), Ingress("edge", "edge", "edge-traefik", TRAEFIK_CONTROLLER))
    assert seen(access) == before
    platform = shared(ingress=found.shared.ingress)
    assert base_releases(config(), platform) == ()
    assert namespaces_of(platform) == ("beta9",)


def test_all_that_is_in_the_way_is_told_at_once(access: Access) -> None:
    make(access, "/api/v1", "namespaces", **named("beta9", **{ENVIRONMENT_LABEL: "env_somebodyelses"}))
    make(
        access,
        "/apis/apiregistration.k8s.io/v1",
        "apiservices",
        **named("v1.broken.example.com"),
        spec={
            "group": "broken.example.com",
            "version": "v1",
            "service": {"namespace": "default", "name": "x"},
        },
    )
    make(
        access,
        "/apis/networking.k8s.io/v1",
        "ingressclasses",
        **named("traefik"),
        spec={"controller": TRAEFIK_CONTROLLER},
    )
    theirs(access, "cert-manager", "certificates", crds={"enabled": True})
    access.helm().uninstall("cert-manager", "certificates")
    access.kube.server.set_node_ready("node-1", False)
    access.kube.server.set_node_ready("node-2", False)
    before = seen(access)
    problems = list(map(str, look_around(access.kubernetes(), config(), OWNER).problems))
    words = ("namespace beta9", "0m CPU", "v1.broken.example.com", "cert-manager's types", "(class traefik)")
    for problem, part in zip(problems, words, strict=True):
        assert part in problem
    assert seen(access) == before


def test_nodes_whose_taints_are_not_tolerated_do_not_count(access: Access) -> None:
    taint = {"key": "team", "value": "ml", "effect": "NoSchedule"}
    nodes = access.kube.directory.put("main").nodes
    access.kube.directory.put("main", nodes=tuple(replace(one, taints=[taint]) for one in nodes))
    kubernetes = access.kubernetes()
    [problem] = look_around(kubernetes, config(), OWNER).problems
    assert "0m CPU" in problem.what
    assert look_around(kubernetes, config(cluster__node_taints=[taint]), OWNER).problems == []


def test_pods_of_others_take_their_room(access: Access) -> None:
    asked = {"requests": {"cpu": "2500m", "memory": "1Gi"}}
    for node in ("node-1", "node-2"):
        spec = {"nodeName": node, "containers": [{"name": "c", "image": "i", "resources": asked}]}
        make(access, "/api/v1", "pods", "default", **named(f"on-{node}"), spec=spec)
    assert look_around(access.kubernetes(), config(), OWNER).problems == []
    [problem] = look_around(access.kubernetes(), config(beta9__workers={"min_workers": 2}), OWNER).problems
    assert "3000m CPU" in problem.what


def test_lists_of_any_length_are_read_in_pages(access: Access) -> None:
    def fill(cluster: Cluster) -> None:
        for number in range(620):
            cluster.insert(BUILTIN["secrets"], "default", {"metadata": {"name": f"s-{number}"}})

    access.kube.inside(fill)
    assert len(access.kubernetes().objects(SECRET)) == 620


def test_what_is_ours_is_told_from_what_is_theirs(access: Access) -> None:
    kubernetes = access.kubernetes()
    make(access, "/api/v1", "namespaces", **named("beta9"))
    with pytest.raises(ClusterError, match="namespace beta9") as caught:
        kubernetes.claim_namespace("beta9", OWNER)
    assert caught.value.code == "namespace_taken"
    kubernetes.claim_namespace("beta9-system", OWNER)
    kubernetes.claim_namespace("beta9-system", OWNER)
    assert own_namespaces(kubernetes, OWNER) == ["beta9-system"]
    remove_namespace(kubernetes, "beta9", OWNER, timeout=GUARD_SECONDS)
    remove_namespace(kubernetes, "beta9-system", OWNER, timeout=GUARD_SECONDS)
    assert "beta9" in access.kube.objects("Namespace")
    assert "beta9-system" not in access.kube.objects("Namespace")


def test_an_object_of_somebody_else_is_not_taken_over(access: Access) -> None:
    spec = {"controller": "example.com/theirs"}
    make(access, "/apis/networking.k8s.io/v1", "ingressclasses", **named("beta9"), spec=spec)
    [release] = base_releases(config(), shared("traefik"))
    with pytest.raises(HelmFailed, match="somebody else's") as caught:
        access.helm().install(release)
    assert caught.value.code == "release_conflict"
    assert 'IngressClass "beta9"' in caught.value.detail
    assert access.kube.objects("IngressClass")["beta9"]["spec"] == spec


def test_a_namespace_that_something_holds_is_told(access: Access) -> None:
    kubernetes = access.kubernetes()
    kubernetes.claim_namespace("beta9", OWNER)
    broken = {"group": "b.example.com", "version": "v1", "service": {"namespace": "default", "name": "x"}}
    make(access, "/apis/apiregistration.k8s.io/v1", "apiservices", **named("v1.b.example.com"), spec=broken)
    with pytest.raises(ClusterError, match="namespace beta9 was not gone") as caught:
        remove_namespace(kubernetes, "beta9", OWNER, timeout=1)
    assert "v1.b.example.com" in caught.value.detail
    access.kube.http("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1.b.example.com")
    remove_namespace(kubernetes, "beta9", OWNER, timeout=GUARD_SECONDS)


def test_a_volume_that_is_to_be_retained_stays_and_is_told(access: Access) -> None:
    volume = {
        **named("kept"),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "claimRef": {"namespace": "beta9", "name": "data"},
            "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"},
            "persistentVolumeReclaimPolicy": "Retain",
        },
    }
    make(access, "/api/v1", "persistentvolumes", **volume)
    kubernetes = access.kubernetes()
    assert wait_for_volumes(kubernetes, CLUSTER, timeout=GUARD_SECONDS) == {"vol-1"}
    later = replace(CLUSTER, since="2999-01-01T00:00:00Z")
    assert wait_for_volumes(kubernetes, later, timeout=GUARD_SECONDS) == frozenset()


@pytest.mark.parametrize("controller", [TRAEFIK_CONTROLLER, NGINX_CONTROLLER])
def test_a_controller_that_was_found_is_spoken_to_in_its_words(controller: str) -> None:
    found = Ingress("front", "edge", "front", controller)
    platform = shared("cert-manager", ingress=found)
    assert ingress_of(platform) == found
    values = beta9_release(config(), platform, OUTPUTS, GENERATED).values
    made = {one["metadata"]["name"]: one for one in values["manifests"]["resources"]}
    grpc = made["beta9-gateway-grpc"] if "spec" in made["beta9-gateway-grpc"] else {}
    assert not [one for one in values["manifests"]["resources"] if one["kind"] == "StorageClass"]
    assert values["ingress"]["gateway"]["className"] == grpc["spec"]["ingressClassName"] == "front"
    protocol = "nginx.ingress.kubernetes.io/backend-protocol"
    assert grpc["metadata"]["annotations"].get(protocol) == (
        "GRPC" if controller == NGINX_CONTROLLER else None
    )


def install_all(access: Access, platform: Platform) -> None:
    """Install Beta9 as a provision does."""
    kubernetes, helm = access.kubernetes(), access.helm()
    for name in namespaces_of(platform):
        kubernetes.claim_namespace(name, OWNER)
    write_policies(kubernetes, ["169.254.169.254/32"], namespaces_of(platform))
    for release in base_releases(config(), platform):
        helm.install(release)
    kubernetes.secret_once("beta9", SECRET_NAME, {"database_password": "p", "encryption_key": "k"})
    release = beta9_release(config(), platform, OUTPUTS, GENERATED)
    with kubernetes.passing_secret("beta9", ADMIN_SECRET, {"username": "u", "password": "p"}):
        helm.install(replace(release, timeout=GUARD_SECONDS))


def leave(access: Access) -> list[str]:
    """Take it out again as a destroy does; return the types that stay."""
    kubernetes, helm = access.kubernetes(), access.helm()
    for namespace in own_namespaces(kubernetes, OWNER):
        for one in helm.releases(namespace=namespace):
            if one.name != "cert-manager":
                helm.uninstall(one.name, one.namespace)
    remove_namespace(kubernetes, "beta9", OWNER, timeout=GUARD_SECONDS)
    assert wait_for_volumes(kubernetes, CLUSTER, timeout=GUARD_SECONDS) == frozenset()
    helm.uninstall("cert-manager", "beta9-system")
    left = remove_types(kubernetes)
    remove_namespace(kubernetes, "beta9-system", OWNER, timeout=GUARD_SECONDS)
    return left


def test_what_is_installed_goes_to_the_last_object_and_others_have_nothing_changed(access: Access) -> None:
    a_storage_class(access)
    make(access, "/api/v1", "namespaces", **named("apps"))
    make(access, "/api/v1", "secrets", "apps", **named("password"), stringData={"a": "b"})
    make(
        access,
        "/api/v1",
        "services",
        "apps",
        **named("web"),
        spec={"type": "LoadBalancer", "ports": [{"port": 1}]},
    )
    until(lambda: access.kube.objects("Service")["web"].get("status"), "their load balancer is there")
    before, balancers = seen(access), access.kube.directory.leftovers()
    install_all(access, shared(*BASE_CHARTS))

    made = {key: body for key, body in seen(access).items() if key not in before}
    outside = {key for key in made if key[1] not in ("", *SHARED_NAMESPACES)}
    assert {kind for kind, _, _ in outside} <= {"RoleBinding"}, "what metrics-server reads in kube-system"
    assert {key for key in made if key[0] == "Namespace"} == {
        ("Namespace", "", name) for name in SHARED_NAMESPACES
    }
    assert {key[1] for key in made if key[2] == POLICY} == set(SHARED_NAMESPACES)
    assert (
        access.kube.objects("IngressClass")["beta9"]["metadata"]["annotations"][
            "ingressclass.kubernetes.io/is-default-class"
        ]
        == "false"
    )
    assert {key: body for key, body in seen(access).items() if key in before} == before

    assert leave(access) == []
    assert seen(access) == before
    assert access.kube.directory.leftovers() == balancers


def test_types_that_others_use_by_now_stay_with_what_others_made_of_them(access: Access) -> None:
    a_storage_class(access)
    install_all(access, shared("cert-manager", ingress=Ingress("front", "edge", "front")))
    make(access, "/apis/cert-manager.io/v1", "certificates", "default", **named("theirs"), spec={})
    assert leave(access) == ["certificates.cert-manager.io"]
    assert "theirs" in access.kube.objects("Certificate")
    assert "issuers.cert-manager.io" not in access.kube.objects("CustomResourceDefinition")
