"""The Jobs of Beta9's workers go before anything else of a cluster does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.engine.beta9.test_shared_cluster import make, named
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.engine.beta9.worker_jobs import remove_workers
from beta9_provisioning.engine.kubernetes.api import ClusterError
from beta9_provisioning.engine.kubernetes.kinds import DEPLOYMENT, JOB, POD

if TYPE_CHECKING:
    from tests.engine.conftest import Access

WORKER = {"app": "worker", "run.beam.cloud/role": "worker", "run.beam.cloud/worker-pool-name": "default"}
GATEWAY = {"app.kubernetes.io/component": "gateway"}
HELD = ["example.com/held"]


def job(name: str, labels: dict[str, str]) -> dict[str, Any]:
    """Return a Job as Beta9's gateway makes one."""
    container = {"name": "worker", "image": "beta9-worker:1"}
    spec = {"restartPolicy": "OnFailure", "containers": [container]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"template": template}}


def test_workers_go_with_their_pods_and_nobody_elses_job_does(access: Access) -> None:
    kubernetes = access.kubernetes()
    kubernetes.ensure_namespace("beta9")
    make(access, "/apis/batch/v1", "jobs", "beta9", **job("worker-default-1", WORKER))
    make(access, "/apis/batch/v1", "jobs", "beta9", **job("worker-build-2", WORKER))
    make(access, "/apis/batch/v1", "jobs", "beta9", **job("theirs", {"app": "worker"}))
    gone = remove_workers(kubernetes, "beta9", timeout=GUARD_SECONDS)
    assert sorted(gone) == ["worker-build-2", "worker-default-1"]
    assert list(access.kube.objects("Job")) == ["theirs"]
    assert all(body["metadata"]["labels"]["app"] == "worker" for body in kubernetes.objects(POD))
    assert remove_workers(kubernetes, "beta9", timeout=GUARD_SECONDS) == []


def test_a_worker_that_does_not_end_is_named(access: Access) -> None:
    kubernetes = access.kubernetes()
    kubernetes.ensure_namespace("beta9")
    body = job("unused", WORKER)["spec"]["template"]
    body["metadata"] |= {"name": "writer", "finalizers": HELD}
    make(access, "/api/v1", "pods", "beta9", **body)
    access.kube.http("DELETE", "/api/v1/namespaces/beta9/pods/writer")
    with pytest.raises(ClusterError, match="gateway or workers had not ended") as caught:
        remove_workers(kubernetes, "beta9", timeout=1)
    assert caught.value.code == "cluster_objects_stuck"
    assert caught.value.detail == "Pod beta9/writer"
    assert kubernetes.objects(JOB) == []


def test_a_gateway_that_still_lives_is_waited_for_and_nobody_who_looks_like_it(access: Access) -> None:
    kubernetes = access.kubernetes()
    kubernetes.ensure_namespace("beta9")
    template = job("unused", GATEWAY)["spec"]["template"]
    make(access, "/api/v1", "pods", "beta9", **named("alike", **GATEWAY), spec=template["spec"])
    assert remove_workers(kubernetes, "beta9", timeout=GUARD_SECONDS) == []
    template["spec"]["restartPolicy"] = "Always"
    spec = {"selector": {"matchLabels": GATEWAY}, "template": template}
    make(access, "/apis/apps/v1", "deployments", "beta9", **named("beta9-gateway"), spec=spec)
    until(lambda: len(kubernetes.objects(POD)) > 1, "the Deployment has a pod")
    with pytest.raises(ClusterError) as caught:
        remove_workers(kubernetes, "beta9", timeout=1)
    assert caught.value.detail.startswith("Pod beta9/beta9-gateway-")
    kubernetes.delete(DEPLOYMENT, "beta9-gateway", "beta9")
    assert remove_workers(kubernetes, "beta9", timeout=GUARD_SECONDS) == []
    assert [body["metadata"]["name"] for body in kubernetes.objects(POD)] == ["alike"]
