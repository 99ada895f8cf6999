"""Finalizers: who made something in the cloud takes it away, and what nobody takes away stays."""

from __future__ import annotations

from typing import Any

from tests.support.clusters import node
from tests.support.controlled import World

from beta9_simulator.cluster.cloud_objects import CONTROLLER
from beta9_simulator.cluster.resources import BUILTIN, Resource

EXTERNAL = {"service.beta.kubernetes.io/aws-load-balancer-type": "external"}


def _type(plural: str) -> Resource:
    return BUILTIN[plural]


def _find(world: World, plural: str, name: str) -> dict[str, Any] | None:
    return world.cluster.store.get(BUILTIN[plural], "default", name)


def _volumes(world: World) -> list[dict[str, Any]]:
    return world.cluster.store.select(BUILTIN["persistentvolumes"])


def finalizers(body: dict[str, Any] | None) -> list[str]:
    assert body is not None
    return body["metadata"].get("finalizers") or []


def controller(world: World) -> None:
    metadata = {"name": "lbc", "labels": {"app.kubernetes.io/name": CONTROLLER}}
    spec = {"containers": [{"name": "c", "image": "c"}]}
    world.cluster.insert(_type("pods"), "default", {"metadata": metadata, "spec": spec})
    world.run()


def service(world: World, **annotations: str) -> None:
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
    body = {"metadata": {"name": "edge", "annotations": annotations}, "spec": spec}
    world.cluster.insert(_type("services"), "default", body)
    world.run()


def delete(world: World, plural: str, name: str) -> None:
    world.cluster.delete(_type(plural), "default", name)
    world.run()


def test_a_load_balancer_goes_with_its_service() -> None:
    world = World(node("n"))
    service(world)
    assert finalizers(_find(world, "services", "edge")) == ["service.kubernetes.io/load-balancer-cleanup"]
    assert len(world.cloud.made) == 1
    delete(world, "services", "edge")
    assert _find(world, "services", "edge") is None
    assert world.cloud.made == {}


def test_a_service_whose_controller_is_gone_hangs_until_it_is_back() -> None:
    world = World(node("n"))
    service(world, **EXTERNAL)
    assert world.cloud.made == {}, "nobody makes it before the controller is there"
    controller(world)
    assert finalizers(_find(world, "services", "edge")) == ["service.k8s.aws/resources"]
    delete(world, "pods", "lbc")
    delete(world, "services", "edge")
    assert finalizers(_find(world, "services", "edge")) == ["service.k8s.aws/resources"]
    assert len(world.cloud.made) == 1
    controller(world)
    assert _find(world, "services", "edge") is None
    assert world.cloud.made == {}


def claim(world: World) -> None:
    storage_class = {"metadata": {"name": "gp3"}, "provisioner": "ebs.csi.aws.com"}
    world.cluster.insert(_type("storageclasses"), "", storage_class)
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "gp3",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    world.cluster.insert(
        _type("persistentvolumeclaims"), "default", {"metadata": {"name": "data"}, "spec": spec}
    )
    world.run()


def test_a_claim_in_use_stays_and_its_disk_goes_with_it() -> None:
    world = World(node("n"))
    claim(world)
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    pod = {
        "metadata": {"name": "user"},
        "spec": {"containers": [{"name": "c", "image": "c"}], "volumes": volumes},
    }
    world.cluster.insert(_type("pods"), "default", pod)
    world.run()
    delete(world, "persistentvolumeclaims", "data")
    assert finalizers(_find(world, "persistentvolumeclaims", "data")) == ["kubernetes.io/pvc-protection"]
    delete(world, "pods", "user")
    assert _find(world, "persistentvolumeclaims", "data") is None
    assert _volumes(world) == []
    assert world.cloud.made == {}


def test_without_its_driver_a_claim_waits_and_a_volume_hangs() -> None:
    world = World(node("n"))
    addons, world.cluster.addons = world.cluster.addons, frozenset()
    claim(world)
    assert world.cloud.made == {}
    world.cluster.addons = addons
    world.controllers.sync_all()
    world.run()
    assert len(world.cloud.made) == 1
    world.nodes()  # the driver has no node any more
    delete(world, "persistentvolumeclaims", "data")
    [volume] = _volumes(world)
    assert "external-provisioner.volume.kubernetes.io/finalizer" in finalizers(volume)
    world.nodes(node("n"))
    assert _volumes(world) == []
    assert world.cloud.made == {}
