"""What controllers make of objects, with a clock that tests move."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.support.clusters import node
from tests.support.controlled import World

from beta9_simulator.cluster.behaviour import READY_SECONDS, Target
from beta9_simulator.cluster.cluster import NAMESPACES
from beta9_simulator.cluster.directory import SimNode
from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.scheduling import is_ready


def template(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def workload(replicas: int = 2, **spec: Any) -> dict[str, Any]:
    return {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": template(**spec)}


def conditions(body: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["status"] for c in body["status"]["conditions"]}


def claim(storage_class: str | None = "gp2") -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return spec if storage_class is None else {**spec, "storageClassName": storage_class}


def test_a_deployment_takes_its_time_and_is_then_ready() -> None:
    world = World(node("n"), time_scale=0.5)
    world.create("deployments", "web", spec=workload())
    world.run()
    body = world.get("deployments", "web")
    assert body["status"]["observedGeneration"] == 1
    assert conditions(body) == {"Available": "False", "Progressing": "True"}
    world.run(READY_SECONDS["Deployment"] * 0.5 - 0.1)
    assert world.get("deployments", "web")["status"]["readyReplicas"] == 0
    world.run(0.2)
    body = world.get("deployments", "web")
    assert (body["status"]["readyReplicas"], body["status"]["updatedReplicas"]) == (2, 2)
    assert body["status"]["conditions"][1]["reason"] == "NewReplicaSetAvailable"


def test_an_update_replaces_the_pods_once_the_new_ones_are_ready(world: World) -> None:
    world.create("deployments", "web", spec=workload())
    world.run()
    old = set(world.names("pods"))
    world.behaviour.never_ready.add(Target("Deployment", "default", "web"))
    world.change("deployments", "web", {"template": template(nodeSelector={"kubernetes.io/os": "linux"})})
    world.run()
    assert old < set(world.names("pods"))
    assert conditions(world.get("deployments", "web"))["Available"] == "True"
    assert world.get("deployments", "web")["status"]["conditions"][1]["reason"] == "ReplicaSetUpdated"
    world.behaviour.never_ready.clear()
    world.controllers.sync_all()
    assert len(world.pods()) == 2
    assert not old & set(world.names("pods"))
    assert sorted(rs["spec"]["replicas"] for rs in world.cluster.store.select(BUILTIN["replicasets"])) == [
        0,
        2,
    ]


def test_scaling_keeps_ready_pods_ready() -> None:
    world = World(node("n"), time_scale=1.0)
    world.create("deployments", "web", spec=workload(1))
    world.run(60)
    world.change("deployments", "web", {"replicas": 3})
    world.run()
    assert sum(map(is_ready, world.pods())) == 1
    world.run(60)
    assert sum(map(is_ready, world.pods())) == 3
    world.change("deployments", "web", {"replicas": 0})
    world.run(60)
    assert world.pods() == []


def test_a_failing_deployment_says_so(world: World) -> None:
    world.behaviour.failing.add(Target("Deployment"))
    world.create("deployments", "web", spec=workload(1))
    world.run()
    progressing = world.get("deployments", "web")["status"]["conditions"][1]
    assert (progressing["status"], progressing["reason"]) == ("False", "ProgressDeadlineExceeded")
    state = world.pods()[0]["status"]["containerStatuses"][0]["state"]
    assert state == {"waiting": {"reason": "CrashLoopBackOff"}}


def test_pods_follow_nodes(world: World) -> None:
    world.create("deployments", "web", spec=workload(2))
    world.create("daemonsets", "agent", spec=workload())
    world.run()
    assert {pod["spec"]["nodeName"] for pod in world.pods()} == {"node-1", "node-2"}
    world.nodes(node("node-2"))
    assert {pod["spec"]["nodeName"] for pod in world.pods()} == {"node-2"}
    assert world.get("deployments", "web")["status"]["readyReplicas"] == 2
    assert world.get("daemonsets", "agent")["status"]["desiredNumberScheduled"] == 1
    world.nodes()
    assert world.get("deployments", "web")["status"]["readyReplicas"] == 0


def test_taints_keep_pods_away(world: World) -> None:
    tainted = SimNode("gpu", {}, [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}], "g5.xlarge")
    world.nodes(tainted)
    world.create("deployments", "web", spec=workload(1))
    world.run()
    (pod,) = world.pods()
    assert pod["status"]["phase"] == "Pending"
    assert "untolerated taint {gpu: yes}" in pod["status"]["conditions"][0]["message"]
    world.create("deployments", "gpu", spec=workload(1, tolerations=[{"key": "gpu", "operator": "Exists"}]))
    world.run()
    assert world.get("deployments", "gpu")["status"]["readyReplicas"] == 1


def test_a_deleted_pod_comes_again(world: World) -> None:
    world.create("deployments", "web", spec=workload(1))
    world.run()
    (name,) = world.names("pods")
    world.cluster.delete(BUILTIN["pods"], "default", name)
    world.run()
    assert len(world.pods()) == 1
    assert world.names("pods") != [name]


def test_deleting_an_owner_deletes_what_it_owns(world: World) -> None:
    world.create("deployments", "web", spec=workload())
    world.run()
    world.cluster.delete(BUILTIN["deployments"], "default", "web")
    world.run()
    assert (world.names("replicasets"), world.names("pods")) == ([], [])


def test_orphans_stay(world: World) -> None:
    world.create("deployments", "web", spec=workload())
    world.run()
    world.cluster.delete(BUILTIN["deployments"], "default", "web", "Orphan")
    world.run()
    assert len(world.names("replicasets")) == 1
    assert len(world.names("pods")) == 2


def test_claims_of_a_stateful_set_outlive_it(world: World) -> None:
    spec = {**workload(2), "serviceName": "db"}
    spec["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim()}]
    world.create("statefulsets", "db", spec=spec)
    world.create("storageclasses", "gp2", provisioner="x")
    world.run()
    assert world.get("statefulsets", "db")["status"]["readyReplicas"] == 2
    world.cluster.delete(BUILTIN["statefulsets"], "default", "db")
    world.run()
    assert world.names("persistentvolumeclaims") == ["data-db-0", "data-db-1"]
    world.cluster.delete(BUILTIN["persistentvolumeclaims"], "default", "data-db-0")
    world.run()
    assert len(world.names("persistentvolumes")) == 1


@pytest.mark.parametrize(
    ("storage_class", "phase"), [("gp2", "Bound"), ("other", "Pending"), (None, "Pending")]
)
def test_a_claim_is_bound_when_its_class_exists(world: World, storage_class: str | None, phase: str) -> None:
    world.create("storageclasses", "gp2", provisioner="x")
    world.create("persistentvolumeclaims", "data", spec=claim(storage_class))
    world.run()
    assert world.get("persistentvolumeclaims", "data")["status"]["phase"] == phase


def test_a_claim_waits_for_a_default_class(world: World) -> None:
    world.create("persistentvolumeclaims", "data", spec=claim(None))
    mounts = {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}
    world.create("deployments", "web", spec=workload(1, **mounts))
    world.run()
    assert world.get("deployments", "web")["status"]["readyReplicas"] == 0
    default = {"name": "std", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    world.cluster.insert(BUILTIN["storageclasses"], "", {"metadata": default, "provisioner": "x"})
    world.run()
    assert world.get("persistentvolumeclaims", "data")["spec"]["storageClassName"] == "std"
    assert world.get("deployments", "web")["status"]["readyReplicas"] == 1


def test_pods_wait_for_the_secrets_they_read(world: World) -> None:
    env = [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]
    containers = [{"name": "c", "image": "i", "env": env}]
    world.create("jobs", "once", spec={"template": template(restartPolicy="Never", containers=containers)})
    world.run()
    assert world.get("jobs", "once")["status"]["active"] == 1
    status = world.pods()[0]["status"]
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "CreateContainerConfigError"}}
    world.create("secrets", "db", stringData={"other": "x"})
    world.run()
    assert 'no key "password"' in world.pods()[0]["status"]["conditions"][-1]["message"]
    world.cluster.delete(BUILTIN["secrets"], "default", "db")
    world.create("secrets", "db", stringData={"password": "x"})
    world.run()
    assert conditions(world.get("jobs", "once"))["Complete"] == "True"


def test_jobs_complete_or_fail_once(world: World) -> None:
    world.behaviour.failing.add(Target("Job", name="bad"))
    for name in ("good", "bad"):
        world.create("jobs", name, spec={"template": template(restartPolicy="Never")})
    world.run()
    assert conditions(world.get("jobs", "good"))["Complete"] == "True"
    assert conditions(world.get("jobs", "bad"))["Failed"] == "True"
    assert sorted(pod["status"]["phase"] for pod in world.pods()) == ["Failed", "Succeeded"]


def test_a_load_balancer_and_the_ingress_behind_it(world: World) -> None:
    ports = [{"port": 80}]
    world.create("services", "edge", spec={"type": "LoadBalancer", "ports": ports})
    world.create("services", "inner", spec={"ports": ports})
    backend = {"service": {"name": "inner", "port": {"number": 80}}}
    world.create("ingresses", "web", spec={"ingressClassName": "traefik", "defaultBackend": backend})
    world.run()
    address = world.get("services", "edge")["status"]["loadBalancer"]["ingress"]
    assert address[0]["hostname"].endswith(".elb.us-east-1.amazonaws.com")
    assert "status" not in world.get("services", "inner")
    assert "status" not in world.get("ingresses", "web")
    world.create("ingressclasses", "traefik", spec={"controller": "x"})
    world.run()
    assert world.get("ingresses", "web")["status"]["loadBalancer"]["ingress"] == address


def test_an_api_service_is_available_when_a_pod_stands_behind_it(world: World) -> None:
    world.create(
        "apiservices",
        "v1.x",
        spec={"group": "x", "version": "v1", "service": {"name": "s", "namespace": "default"}},
    )
    world.create("services", "s", spec={"selector": {"a": "b"}, "ports": [{"port": 443}]})
    world.run()
    assert conditions(world.get("apiservices", "v1.x")) == {"Available": "False"}
    world.create("deployments", "web", spec=workload(1))
    world.run()
    assert conditions(world.get("apiservices", "v1.x")) == {"Available": "True"}


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [
        ({"minAvailable": 1}, 2),
        ({"minAvailable": "50%"}, 1),
        ({"maxUnavailable": 1}, 1),
        ({"minAvailable": 3}, 0),
    ],
)
def test_disruption_budgets_count(world: World, spec: dict[str, Any], allowed: int) -> None:
    world.create("poddisruptionbudgets", "web", spec={**spec, "selector": {"matchLabels": {"a": "b"}}})
    world.create("deployments", "web", spec=workload(3))
    world.run()
    assert world.get("poddisruptionbudgets", "web")["status"]["disruptionsAllowed"] == allowed


def test_a_namespace_goes_when_its_content_has_gone(world: World) -> None:
    world.create("namespaces", "team")
    world.run()
    held = {"metadata": {"name": "held", "finalizers": ["example.com/wait"]}}
    world.cluster.insert(BUILTIN["configmaps"], "team", held)
    world.create("deployments", "web", "team", spec=workload())
    world.run()
    world.cluster.delete(NAMESPACES, "", "team")
    world.run()
    assert world.get("namespaces", "team")["status"]["phase"] == "Terminating"
    assert [body["metadata"]["name"] for _, body in world.cluster.content_of("team")] == ["held"]
    with pytest.raises(ApiError, match="being terminated"):
        world.create("configmaps", "late", "team")
    current = world.get("configmaps", "held", "team")
    released = copy.deepcopy(current)
    released["metadata"]["finalizers"] = []
    world.cluster.replace(BUILTIN["configmaps"], current, released)
    world.run()
    assert "team" not in world.names("namespaces")


def test_a_removed_type_takes_its_objects_along(world: World) -> None:
    spec = {
        "group": "g.io",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [
            {"name": "v1", "served": True, "storage": True},
            {"name": "v2", "served": True},
            {"name": "v0", "served": False},
        ],
    }
    definition = world.create("customresourcedefinitions", "things.g.io", spec=spec)
    world.run()
    versions = [world.cluster.resources.get(f"g.io/{v}", "things") for v in ("v0", "v1", "v2")]
    assert [bool(v) for v in versions] == [False, True, True]
    thing = versions[1]
    assert thing is not None
    world.cluster.insert(thing, "default", {"metadata": {"name": "t"}})
    assert conditions(world.get("customresourcedefinitions", "things.g.io"))["Established"] == "True"
    world.cluster.delete(BUILTIN["customresourcedefinitions"], "", definition["metadata"]["name"])
    assert world.cluster.resources.get("g.io/v1", "things") is None
    assert world.cluster.store.select(thing) == []


def test_controllers_come_to_rest(world: World) -> None:
    world.create("storageclasses", "gp2", provisioner="x")
    world.create("deployments", "web", spec=workload())
    world.create("persistentvolumeclaims", "data", spec=claim())
    world.create(
        "horizontalpodautoscalers",
        "web",
        spec={"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 3},
    )
    world.run()
    revision = world.cluster.store.revision
    world.controllers.sync_all()
    world.run()
    assert world.cluster.store.revision == revision
