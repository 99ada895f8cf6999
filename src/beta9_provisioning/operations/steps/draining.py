"""The step that takes out of a cluster what stands for resources in the cloud, while its controllers live.

A load balancer or a volume goes with the object that it was made for: the controller that made it takes it
away. Once that is uninstalled, the object's finalizer holds it for ever. So writers go first, then these
objects, then the controllers. A cluster that does not do it costs a deadline and no more: what it leaves is
removed in the cloud, when the cluster is gone (`Account.sweep`).
"""

from beta9_provisioning.engine.beta9.releases import BETA9_NAMESPACE
from beta9_provisioning.engine.errors import EngineError, Stopped
from beta9_provisioning.engine.helm.helm import LIST_SECONDS, HelmFailed
from beta9_provisioning.engine.kubernetes.api import ClusterError
from beta9_provisioning.kit import runtime
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.steps.cluster import SYSTEM_NAMESPACE, Cluster
from beta9_provisioning.operations.steps.infrastructure import built

_POLL_SECONDS = 5.0
# A cluster in any of these states cannot be asked. An attempt that was lost in the middle of the deletion may
# have taken the access away.
_ABSENT = frozenset({"cluster_missing", "cluster_not_ready", "cluster_access_missing"})


def drain(context: Context) -> None:
    """Remove what the cluster made outside Terraform: load balancers and volumes would block the network.

    Nothing was ever installed where the worker never had access: what the state does not know of the
    access entry, nobody has used.
    """
    if not built(context) >= context.cloud.access_addresses:
        context.recorder.emit("cluster.absent", "There was no cluster to drain: access was never set up.")
        return
    try:
        cluster = Cluster(context)
    except EngineError as error:
        if error.code not in _ABSENT:
            raise
        context.recorder.emit("cluster.absent", f"There was no cluster to drain: {error.message}")
        return
    with cluster:
        _drain_in_time(context, cluster)


def _drain_in_time(context: Context, cluster: Cluster) -> None:
    """Try until the deadline; what fails then is told, and the destroy goes on."""
    minutes = context.settings.drain_timeout_minutes
    deadline = runtime.monotonic() + minutes * 60
    while True:
        try:
            _drain(cluster, deadline)
        except (ClusterError, HelmFailed) as error:
            if runtime.monotonic() + _POLL_SECONDS < deadline:
                if context.stop.event.wait(_POLL_SECONDS):
                    raise Stopped("Removing Beta9 from the cluster was stopped.") from error
                continue
            context.recorder.emit(
                "cluster.drain_given_up",
                f"The cluster was not drained in {minutes:g} minutes: {error.message} "
                "What it leaves is removed in the cloud.",
                code=error.code,
                detail=error.detail,
            )
        return


def _drain(cluster: Cluster, deadline: float) -> None:
    def left() -> float:
        return max(deadline - runtime.monotonic(), 1.0)

    installed = cluster.helm.releases(timeout=min(left(), LIST_SECONDS))
    beta9 = [one for one in installed if one.namespace == BETA9_NAMESPACE]
    system = [one for one in installed if one.namespace == SYSTEM_NAMESPACE]
    for one in beta9:
        cluster.uninstall(one, left())
    # Before any other release goes: one of the user may be what makes the load balancers.
    cluster.kubernetes.remove_load_balancers(timeout=left())
    # Before the claims go: a pod of any release may use one.
    for one in installed:
        if one not in beta9 and one not in system:
            cluster.uninstall(one, left())
    cluster.kubernetes.remove_volumes(timeout=left())
    for one in system:
        cluster.uninstall(one, left())
