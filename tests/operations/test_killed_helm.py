"""A release that a killed Helm left pending holds up no later attempt."""

import os
import signal

from tests.operations.bench import Bench
from tests.operations.test_workflows import as_soon_as
from tests.support.process_tree import descendants

from beta9_provisioning.engine.kubernetes.api import KubernetesApi
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Step, Unfinished
from beta9_provisioning.operations.workflows import PROVISION

SECRETS = "/api/v1/namespaces/beta9/secrets"
NOTE = "sh.helm.release.v1.beta9.v1"
PENDING = {"labelSelector": "owner=helm,name=beta9,status=pending-install"}


def test_what_a_killed_helm_left_pending_is_cleared(bench: Bench) -> None:
    made, clusters = bench.make(), list[KubernetesApi]()

    def have_pods_take_long(context: Context) -> None:
        clusters.append(KubernetesApi(context.account.cluster_access(), context.stop.event))
        bench.world.be_slow(60)

    def is_pending() -> bool:
        if not clusters:
            return False
        return bool(clusters[0].call("GET", SECRETS, query=PENDING).document["items"])

    def kill_helm() -> None:
        below = descendants(os.getpid())
        [pid] = [pid for pid, line in below.items() if " upgrade beta9 " in line and "launcher" not in line]
        os.kill(pid, signal.SIGKILL)

    slow = Step("slow", "Slowing down", OperationStatus.BOOTSTRAPPING, Reason.INTERNAL, have_pods_take_long)
    at = [step.name for step in PROVISION].index("beta9")
    with as_soon_as(is_pending, kill_helm):
        ended = bench.run(made.operation_id, lambda _: (*PROVISION[:at], slow, *PROVISION[at:]))
    assert ended is Unfinished.HANDED_BACK
    assert is_pending()
    bench.world.be_slow(0)

    ended = bench.run(made.operation_id)
    assert ended is OperationStatus.SUCCEEDED, bench.error(made.operation_id)
    assert not is_pending()
    bench.must_destroy(made)
