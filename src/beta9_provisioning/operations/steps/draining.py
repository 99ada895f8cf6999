"""The step that takes out of a cluster what stands for resources in the cloud, while its controllers live.

From a cluster of the user's it takes out all that is the environment's, and nothing else: see `leaving`.

A load balancer or a volume goes with the object that it was made for: the controller that made it takes it
away. Once that is uninstalled, the object's finalizer holds it for ever. So writers go first (the gateway,
and the workers that it made), then these objects, then the controllers. A cluster that does not do it costs a
deadline and no more: what it leaves is removed in the cloud, when the cluster is gone (`Account.sweep`).
"""

from functools import partial

from beta9_provisioning.engine.beta9.leaving import (
    own_namespaces,
    remove_namespace,
    remove_types,
    wait_for_volumes,
)
from beta9_provisioning.engine.beta9.platform import CERT_MANAGER, SharedCluster
from beta9_provisioning.engine.beta9.releases import BETA9_NAMESPACE, SHARED_NAMESPACE, SHARED_NAMESPACES
from beta9_provisioning.engine.beta9.worker_jobs import remove_workers
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
    shared = context.cloud.shared_cluster(context.chosen)
    if not built(context) >= context.cloud.access_addresses(context.chosen):
        context.recorder.emit("cluster.absent", "There was no cluster to drain: access was never set up.")
        return
    try:
        cluster = Cluster(context)
    except EngineError as error:
        if error.code not in _ABSENT:
            raise
        context.recorder.emit("cluster.absent", f"There was no cluster to drain: {error.message}")
        if shared is not None and error.code != "cluster_missing":
            _tell_what_stays(context, shared, error)
        return
    with cluster:
        _drain_in_time(context, cluster, shared)


def _tell_what_stays(context: Context, shared: SharedCluster, error: EngineError) -> None:
    """Tell what the destroy cannot remove; what the cloud shows of it is found at the end, and named."""
    context.recorder.emit(
        "cluster.not_left",
        f"Whatever the environment has in the cluster {shared.name} stays there, in the namespaces "
        f"{' and '.join(SHARED_NAMESPACES)}: the cluster cannot be asked.",
        code=error.code,
        detail=error.detail,
        remedy="Let the role in again, and delete the environment again; or remove them yourself: uninstall "
        "Helm's releases there, then kubectl delete namespace " + " ".join(SHARED_NAMESPACES) + ".",
    )


def _drain_in_time(context: Context, cluster: Cluster, shared: SharedCluster | None) -> None:
    """Try until the deadline; what fails then is told, and the destroy goes on."""
    minutes = context.settings.drain_timeout_minutes
    deadline = runtime.monotonic() + minutes * 60
    while True:
        try:
            if shared is None:
                _drain(context, cluster, deadline)
            else:
                _leave(context, cluster, shared, deadline)
        except (ClusterError, HelmFailed) as error:
            if runtime.monotonic() + _POLL_SECONDS < deadline:
                if context.stop.event.wait(_POLL_SECONDS):
                    raise Stopped("Removing Beta9 from the cluster was stopped.") from error
                continue
            # Nobody removes what stays in a cluster of the user's: the destroy fails at its end.
            context.left_in_cluster = error if shared else None
            context.recorder.emit(
                "cluster.drain_given_up",
                f"The cluster was not drained in {minutes:g} minutes: {error.message} "
                + (
                    "It is tried again with the next destroy."
                    if shared
                    else "What it leaves is removed in the cloud."
                ),
                code=error.code,
                detail=error.detail,
            )
        return


def _leave(context: Context, cluster: Cluster, shared: SharedCluster, deadline: float) -> None:
    """Remove what is the environment's own from a cluster of the user's.

    cert-manager goes after Beta9's namespace: what it watches there ends only while it lives. An API that is
    not served holds every namespace, so metrics-server goes before.
    """
    left = partial(_left, deadline)
    owner = context.claim.environment_id
    namespaces = own_namespaces(cluster.kubernetes, owner)
    installed = [
        one
        for name in namespaces
        for one in cluster.helm.releases(namespace=name, timeout=min(left(), LIST_SECONDS))
    ]
    last = [one for one in installed if (one.name, one.namespace) == (CERT_MANAGER, SHARED_NAMESPACE)]
    for one in installed:
        if one not in last:
            cluster.uninstall(one, left())
    if BETA9_NAMESPACE in namespaces:
        _end_workers(context, cluster, left())
    remove_namespace(cluster.kubernetes, BETA9_NAMESPACE, owner, timeout=left())
    context.kept_disks = wait_for_volumes(cluster.kubernetes, shared, timeout=left())
    for one in last:
        cluster.uninstall(one, left())
    if types := remove_types(cluster.kubernetes):
        message = "Left types of cert-manager in the cluster, because others use them by now."
        context.recorder.emit("cluster.types_left", message, types=types)
    remove_namespace(cluster.kubernetes, SHARED_NAMESPACE, owner, timeout=left())
    context.left_in_cluster = None


def _drain(context: Context, cluster: Cluster, deadline: float) -> None:
    left = partial(_left, deadline)
    installed = cluster.helm.releases(timeout=min(left(), LIST_SECONDS))
    beta9 = [one for one in installed if one.namespace == BETA9_NAMESPACE]
    system = [one for one in installed if one.namespace == SYSTEM_NAMESPACE]
    for one in beta9:
        cluster.uninstall(one, left())
    _end_workers(context, cluster, left())
    # Before any other release goes: one of the user may be what makes the load balancers.
    cluster.kubernetes.remove_load_balancers(timeout=left())
    # Before the claims go: a pod of any release may use one.
    for one in installed:
        if one not in beta9 and one not in system:
            cluster.uninstall(one, left())
    cluster.kubernetes.remove_volumes(timeout=left())
    for one in system:
        cluster.uninstall(one, left())


def _end_workers(context: Context, cluster: Cluster, timeout: float) -> None:
    if removed := remove_workers(cluster.kubernetes, BETA9_NAMESPACE, timeout=timeout):
        context.recorder.emit(
            "cluster.workers_removed", f"Ended {len(removed)} workers of Beta9.", jobs=removed
        )


def _left(deadline: float) -> float:
    """Return the seconds until a deadline, one at least."""
    return max(deadline - runtime.monotonic(), 1.0)
