"""The worker's own view of a simulated cluster: waiting, secrets, cleaning up."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from tests.support.clusters import node
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.engine.beta9.generated_secrets import SECRET_NAME, kept_secrets
from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.kubernetes.api import ClusterError
from beta9_simulator.cluster.behaviour import HttpFault

if TYPE_CHECKING:
    from tests.engine.conftest import Access

    from beta9_simulator.cluster.directory import SimCluster, User

CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data", "namespace": "default"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "disk"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"},
        "persistentVolumeReclaimPolicy": "Delete",
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "entry", "namespace": "default"},
    "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
}
INGRESS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"defaultBackend": {"service": {"name": "entry", "port": {"number": 80}}}},
}
INNER = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "inner", "namespace": "default"},
    "spec": {"ports": [{"port": 80}]},
}


def make(access: Access, *manifests: object) -> None:
    for manifest in manifests:
        access.kube.kubectl("create", "-f", "-", stdin=json.dumps(manifest))


def at_request(access: Access, number: int, action: Callable[[], object]) -> None:
    """Do something when the cluster is asked for the so many-th time; that request does not see it yet."""
    requests = itertools.count(1)
    genuine = access.kube.directory.authenticate

    def authenticate(cluster: SimCluster, token: str) -> User | None:
        if next(requests) == number:
            action()
        return genuine(cluster, token)

    access.kube.directory.authenticate = authenticate  # type: ignore[method-assign]


def test_waits_for_nodes(access: Access) -> None:
    directory = access.kube.directory
    directory.put("main", nodes=(node("node-1"),))
    at_request(access, 2, lambda: directory.put("main", nodes=(node("node-1"), node("node-2"))))
    kubernetes = access.kubernetes()
    assert sorted(kubernetes.wait_nodes_ready(2, timeout=GUARD_SECONDS)) == ["node-1", "node-2"]


def test_names_the_nodes_that_are_not_ready(access: Access) -> None:
    access.kube.server.set_node_ready("node-2", False)
    with pytest.raises(ClusterError) as caught:
        access.kubernetes().wait_nodes_ready(2, timeout=1)
    assert caught.value.code == "nodes_not_ready"
    assert caught.value.message == "Of 2 nodes, 1 became ready within 1 s."
    assert "node-2: " in caught.value.detail
    assert "node-1" not in caught.value.detail
    assert "None" not in caught.value.detail


def test_says_how_many_nodes_joined(access: Access) -> None:
    access.kube.directory.put("main", nodes=())
    with pytest.raises(ClusterError) as caught:
        access.kubernetes().wait_nodes_ready(2, timeout=1)
    assert caught.value.detail == "0 nodes have joined the cluster."


def test_stop_ends_waiting(access: Access) -> None:
    access.kube.directory.put("main", nodes=())
    at_request(access, 2, access.stop.set)
    with pytest.raises(Stopped):
        access.kubernetes().wait_nodes_ready(2, timeout=3600)


def test_a_secret_is_created_once(access: Access) -> None:
    kubernetes = access.kubernetes()
    assert kubernetes.secret_once("default", "mine", {"a": "first"}) == {"a": "first"}
    assert kubernetes.secret_once("default", "mine", {"a": "second", "b": "x"}) == {"a": "first"}


def test_generated_secrets_are_kept(access: Access) -> None:
    first = kept_secrets(access.kubernetes(), "beta9")
    assert kept_secrets(access.kubernetes(), "beta9") == first
    stored = access.kube.objects("Secret")[SECRET_NAME]["data"]
    assert base64.b64decode(stored["encryption_key"]).decode() == first.encryption_key


def test_generated_secrets_that_are_incomplete_are_not_replaced(access: Access) -> None:
    access.kubernetes().secret_once("default", SECRET_NAME, {"database_password": "x"})
    with pytest.raises(ClusterError, match="lost encryption_key") as caught:
        kept_secrets(access.kubernetes(), "default")
    assert caught.value.code == "secret_incomplete"


def test_a_passing_secret_passes(access: Access) -> None:
    with access.kubernetes().passing_secret("default", "admin", {"password": "first"}):
        with access.kubernetes().passing_secret("default", "admin", {"password": "second"}):
            secret = access.kube.objects("Secret")["admin"]
            assert base64.b64decode(secret["data"]["password"]) == b"second"
            # Client-side apply would have kept a copy of the data here.
            assert "annotations" not in secret["metadata"]
        assert "admin" not in access.kube.objects("Secret")


def test_a_passing_secret_takes_the_place_of_somebody_elses(access: Access) -> None:
    access.kube.kubectl("create", "secret", "generic", "admin", "--from-literal=password=theirs")
    with access.kubernetes().passing_secret("default", "admin", {"password": "ours"}):
        secret = access.kube.objects("Secret")["admin"]
        assert base64.b64decode(secret["data"]["password"]) == b"ours"
    assert "admin" not in access.kube.objects("Secret")


def test_a_passing_secret_passes_even_when_stopped(access: Access) -> None:
    def stopped_in_between() -> None:
        with access.kubernetes().passing_secret("default", "admin", {"password": "first"}):
            access.stop.set()
            access.kubernetes().wait_nodes_ready(2)

    with pytest.raises(Stopped):
        stopped_in_between()
    assert "admin" not in access.kube.objects("Secret")


def test_a_passing_secret_passes_when_stopped_at_the_end(access: Access) -> None:
    def stopped_at_the_end() -> None:
        with access.kubernetes().passing_secret("default", "admin", {"password": "first"}):
            access.stop.set()

    with pytest.raises(Stopped):
        stopped_at_the_end()
    assert "admin" not in access.kube.objects("Secret")


def test_a_passing_secret_passes_when_its_creation_was_not_confirmed(access: Access) -> None:
    """The API has made it, and its answer is lost."""

    def answer_lost() -> None:
        access.kubernetes().secret_once("default", "admin", {"password": "first"})
        access.kube.server.inject(HttpFault(status=403, method="PATCH"))
        with access.kubernetes().passing_secret("default", "admin", {"password": "first"}):
            pytest.fail("the block must not be entered")

    with pytest.raises(ClusterError):
        answer_lost()
    assert "admin" not in access.kube.objects("Secret")


def test_a_passing_secret_that_stays_is_an_error_that_names_it(access: Access) -> None:
    def spoiled() -> None:
        with access.kubernetes().passing_secret("default", "admin", {"password": "first"}):
            access.kube.server.inject(HttpFault(status=403, method="DELETE", times=99))

    with pytest.raises(ClusterError) as caught:
        spoiled()
    assert caught.value.code == "cluster_failed"
    assert "The Secret default/admin was not removed: " in caught.value.detail


def test_the_blocks_own_error_is_reported_although_the_secret_stays(access: Access) -> None:
    def spoiled() -> None:
        with access.kubernetes().passing_secret("default", "admin", {"password": "first"}):
            access.kube.server.inject(HttpFault(status=403, method="DELETE", times=99))
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        spoiled()
    assert "was not removed" in caught.value.__notes__[0]


def test_a_namespace_is_made_once(access: Access) -> None:
    access.kubernetes().ensure_namespace("apps")
    access.kubernetes().ensure_namespace("apps")
    assert "apps" in access.kube.objects("Namespace")


def test_a_secret_of_an_absent_namespace_is_an_error(access: Access) -> None:
    with pytest.raises(ClusterError) as caught:
        access.kubernetes().secret_once("absent", "mine", {"a": "first"})
    assert caught.value.code == "cluster_failed"
    assert caught.value.detail == "POST /api/v1/namespaces/absent/secrets: HTTP 404 NotFound"


def test_the_load_balancers_host(access: Access) -> None:
    make(access, SERVICE)
    assert access.kubernetes().load_balancer_host("default", "entry", timeout=GUARD_SECONDS)


def test_the_load_balancer_of_an_absent_service(access: Access) -> None:
    with pytest.raises(ClusterError) as caught:
        access.kubernetes().load_balancer_host("default", "absent", timeout=GUARD_SECONDS)
    assert caught.value.code == "cluster_failed"
    assert "absent" in caught.value.detail


def test_a_load_balancer_that_never_comes(access: Access) -> None:
    access.kube.server.hold("Service")
    make(access, SERVICE)
    with pytest.raises(ClusterError, match="default/entry got no load balancer within 1 s") as caught:
        access.kubernetes().load_balancer_host("default", "entry", timeout=1)
    assert caught.value.code == "load_balancer_missing"


def test_removes_what_stands_for_cloud_resources(access: Access) -> None:
    make(access, SERVICE, INGRESS, CLAIM, INNER)
    access.kubernetes().remove_load_balancers(timeout=GUARD_SECONDS)
    assert set(access.kube.objects("PersistentVolumeClaim")) == {"data"}
    access.kubernetes().remove_volumes(timeout=GUARD_SECONDS)

    services = access.kube.objects("Service")
    assert "entry" not in services
    assert "inner" in services
    assert access.kube.objects("Ingress") == {}
    assert access.kube.objects("PersistentVolumeClaim") == {}
    assert access.kube.objects("PersistentVolume") == {}
    assert access.kube.directory.leftovers() == []


def test_waits_for_volumes_and_leaves_their_deletion_to_the_cluster(access: Access) -> None:
    """Kubernetes deletes a volume with its claim, and the disk with the volume."""
    made = access.kube.http("POST", "/api/v1/persistentvolumes", VOLUME)
    assert made.status == 201, made.text
    with pytest.raises(ClusterError) as caught:
        access.kubernetes().remove_volumes(timeout=0.5)
    assert caught.value.detail == "PersistentVolume disk"
    assert "deletionTimestamp" not in access.kube.objects("PersistentVolume")["disk"]["metadata"]


def test_names_what_cannot_be_removed(access: Access) -> None:
    held = {**CLAIM, "metadata": {**CLAIM["metadata"], "finalizers": ["example.com/mine"]}}  # type: ignore[dict-item]
    make(access, held)
    with pytest.raises(ClusterError) as caught:
        access.kubernetes().remove_volumes(timeout=1)
    assert caught.value.code == "cluster_objects_stuck"
    assert "PersistentVolumeClaim default/data (held by " in caught.value.detail
    assert "example.com/mine" in caught.value.detail
