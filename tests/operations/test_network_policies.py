"""Who reaches the stores of a provisioned environment: Beta9's own pods, and no code of its users."""

import secrets
from ipaddress import ip_network

from tests.operations.bench import Bench
from tests.support.waiting import until

from beta9_provisioning.engine.kubernetes.api import KubernetesApi
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Step
from beta9_provisioning.operations.workflows import PROVISION
from beta9_simulator.cluster.connections import CONNECTS

NAMESPACES = ("beta9", "cert-manager", "default", "traefik")
METADATA = "169.254.169.254:80"
POD_IDENTITY = "169.254.170.23:80"
# As Beta9's gateway labels the pods in which users' code runs (beta9, pkg/scheduler/pool_local.go).
WORKER = {"app": "worker", "run.beam.cloud/role": "worker", "run.beam.cloud/worker-pool-name": "default"}
GATEWAY = {"app.kubernetes.io/name": "beta9", "app.kubernetes.io/component": "gateway"}


class Pods:
    """Runs pods in the environment's cluster that connect to something and end."""

    def __init__(self, context: Context) -> None:
        self.api = KubernetesApi(context.account.cluster_access(), context.stop.event)
        outputs = context.outputs
        self.database = f"{outputs['database_host']}:{outputs['database_port']}"
        self.redis = f"{outputs['redis_host']}:{outputs['redis_port']}"

    def reach(self, namespace: str, target: str, labels: dict[str, str]) -> bool:
        """Whether a Job's pod with these labels reaches `host:port`."""
        name = f"worker-default-{secrets.token_hex(4)}"
        jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        pod = {"containers": [{"name": "worker", "image": "worker"}], "restartPolicy": "Never"}
        template = {"metadata": {"labels": labels, "annotations": {CONNECTS: target}}, "spec": pod}
        job = {"metadata": {"name": name}, "spec": {"template": template, "backoffLimit": 0}}
        self.api.call("POST", jobs, body={"apiVersion": "batch/v1", "kind": "Job", **job})

        def ended() -> str:
            found = self.api.call("GET", f"{jobs}/{name}").document
            conditions = found.get("status", {}).get("conditions") or []
            ends = (one["type"] for one in conditions if one["status"] == "True")
            return next((one for one in ends if one in ("Complete", "Failed")), "")

        return until(ended, f"{name} has ended") == "Complete"


def test_users_code_reached_the_stores(bench: Bench) -> None:
    made, reached = bench.make(), dict[str, list[str]]()

    def ask(context: Context) -> None:
        pods = Pods(context)
        assert context.choices is not None
        ranges = context.choices["network"]["data"]
        anywhere = [f"{ip_network(one)[9]}:5432" for one in ranges]
        targets = [pods.database, pods.redis, METADATA, *anywhere]
        for namespace in NAMESPACES:
            reached[namespace] = [one for one in targets if pods.reach(namespace, one, WORKER)]
        harmless = (POD_IDENTITY, "1.1.1.1:443", "beta9-gateway:1993", "juicefs-redis-master:6379")
        reached["closed by mistake"] = [one for one in harmless if not pods.reach("beta9", one, WORKER)]
        assert [pods.reach("beta9", one, GATEWAY) for one in (pods.database, pods.redis)] == [True, True]
        pods.api.close()

    last = PROVISION[-1]
    asked = Step("probe", "Asking", last.status, Reason.INTERNAL, ask)
    ended = bench.run(made.operation_id, lambda _: (*PROVISION, asked))
    assert ended is OperationStatus.SUCCEEDED, bench.error(made.operation_id)
    assert reached == {name: [] for name in (*NAMESPACES, "closed by mistake")}
    bench.must_destroy(made)
