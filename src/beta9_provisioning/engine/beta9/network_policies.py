"""Which pods reach an environment's stores: Beta9's gateway and the job that makes its database user.

Users' code runs in the pods of Beta9's workers. These need neither PostgreSQL nor Redis: since worker 0.1.533
they ask the gateway (https://github.com/beam-cloud/beta9/pull/1572). So one policy in each namespace leaves
its pods every way out but those to the guarded networks. What is not mentioned here stays as it is: ways in,
names, the Kubernetes API, the internet.

Policies only ever add to what a pod may do, so none could take the stores away again. Who may reach them is
who is not selected; a second policy that opens them to some would depend on how a network plugin weighs one
policy's exception against another's allowance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from beta9_provisioning.engine.beta9.database_user import COMPONENT as DATABASE_USER
from beta9_provisioning.engine.beta9.releases import BETA9_NAMESPACE
from beta9_provisioning.engine.beta9.values import COMPONENT_LABEL, GATEWAY
from beta9_provisioning.engine.tool_ports import KubernetesPort

POLICY = "beta9-guarded-networks"
# Those of our charts, and where pods land that name none. Not kube-system: what runs there is the cloud's and
# ours, and a name service that its own network plugin cuts off ends the cluster.
NAMESPACES = (BETA9_NAMESPACE, "cert-manager", "default", "traefik")
_EVERY_POD: dict[str, Any] = {}
# Labels that Beta9's users cannot set: its gateway makes the workers' pods, with labels of its own.
_ALL_BUT_BETA9S_OWN: dict[str, Any] = {
    "matchExpressions": [{"key": COMPONENT_LABEL, "operator": "NotIn", "values": [DATABASE_USER, GATEWAY]}]
}


def write_policies(
    kubernetes: KubernetesPort, guarded: Sequence[str], namespaces: Sequence[str] = NAMESPACES
) -> None:
    """Write a policy into each namespace, before there are pods; make a namespace that is not there yet.

    In a cluster that others use, too, these are the environment's own. `guarded` are the address ranges
    (CIDR) that pods must not reach. An older form is replaced.

    Raises:
        ClusterError: the cluster failed.
        Stopped: the stop event was set.
    """
    for namespace in namespaces:
        kubernetes.ensure_namespace(namespace)
        kubernetes.apply_network_policy(namespace, POLICY, policy_of(namespace, guarded))


def policy_of(namespace: str, guarded: Sequence[str]) -> dict[str, Any]:
    """Return the specification of a namespace's policy."""
    return {
        "podSelector": _ALL_BUT_BETA9S_OWN if namespace == BETA9_NAMESPACE else _EVERY_POD,
        "policyTypes": ["Egress"],
        # Clusters have IPv4 only; were there IPv6, nothing would lead out by it.
        "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": list(guarded)}}]}],
    }
