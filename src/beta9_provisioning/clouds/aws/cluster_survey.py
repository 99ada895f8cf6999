"""What is looked at through the API of a user's cluster, with what only AWS has: disks, balancers, groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.engine.beta9.platform import TRAEFIK, Shared
from beta9_provisioning.engine.beta9.survey import has_ready, look_around
from beta9_provisioning.engine.kubernetes.kinds import CSI_DRIVER, NODE, STORAGE_CLASS
from beta9_provisioning.engine.tool_ports import KubernetesPort
from beta9_provisioning.schemas.configuration import EnvironmentConfig

if TYPE_CHECKING:
    from types_boto3_eks.type_defs import ClusterTypeDef

_DRIVER = "ebs.csi.aws.com"
_CONTROLLER = "aws-load-balancer-controller"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_MOST_VALUES = 200
"""So many values a filter of EC2 may have."""


@dataclass
class Found:
    """What is in a cluster.

    Attributes:
        storage_class: for Beta9's volumes; empty without one.
        security_groups: of which each node has one.
        problems: what is in the way, in words.
    """

    shared: Shared
    storage_class: str = ""
    security_groups: Sequence[str] = ()
    problems: list[str] = field(default_factory=list)


def in_cluster(
    session: AwsSession,
    kubernetes: KubernetesPort,
    cluster: ClusterTypeDef,
    config: EnvironmentConfig,
    environment_id: str,
) -> Found:
    """Look into a cluster.

    Raises:
        AwsError: AWS failed, or the role may not look.
        ClusterError: the cluster failed, or does not let the role look.
        Stopped: the stop event was set.
    """
    survey = look_around(kubernetes, config, environment_id)
    found = Found(survey.shared, problems=[*map(str, survey.problems)])
    found.storage_class = _storage_class(kubernetes, found.problems)
    if TRAEFIK in survey.shared.charts and not has_ready(kubernetes, _CONTROLLER):
        found.problems.append(
            "The cluster has no ingress controller that Beta9 can use, and no AWS Load Balancer Controller, "
            "which makes the load balancer of the one that Beta9 brings. It needs a role of the account in "
            "this cluster, and its webhook is asked about every Service: install it yourself, as "
            "docs/existing-cluster.md says."
        )
    found.security_groups = [*_security_groups(session, kubernetes, cluster)]
    return found


def _storage_class(kubernetes: KubernetesPort, problems: list[str]) -> str:
    """Return the class for Beta9's volumes: the default one, else one of gp3 disks, else any."""
    if kubernetes.find(CSI_DRIVER, _DRIVER) is None:
        problems.append(
            f"The cluster has no storage driver {_DRIVER}. Install the add-on aws-ebs-csi-driver, which "
            "needs a role of the account in this cluster: docs/existing-cluster.md says how."
        )
        return ""
    classes = [one for one in kubernetes.objects(STORAGE_CLASS) if one.get("provisioner") == _DRIVER]
    fit = [one for one in classes if one.get("reclaimPolicy", "Delete") == "Delete"]
    if not fit:
        problems.append(
            f"The cluster has no StorageClass of {_DRIVER} whose reclaim policy is Delete. Make one: "
            "docs/existing-cluster.md shows it."
        )
        return ""
    best = min(fit, key=lambda one: (not _is_default(one), not _is_gp3(one), one["metadata"]["name"]))
    return str(best["metadata"]["name"])


def _is_default(storage_class: Mapping[str, Any]) -> bool:
    return (storage_class["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"


def _is_gp3(storage_class: Mapping[str, Any]) -> bool:
    return (storage_class.get("parameters") or {}).get("type") == "gp3"


def _security_groups(
    session: AwsSession, kubernetes: KubernetesPort, cluster: ClusterTypeDef
) -> Iterator[str]:
    """Yield the groups by which the stores let nodes in: the cluster's, and all those of nodes without it.

    Launch templates may name groups of their own; EKS then adds its own to none of the instances.
    """
    own = cluster["resourcesVpcConfig"]["clusterSecurityGroupId"]
    yield own
    ids = [
        node["spec"].get("providerID", "").rpartition("/")[2]
        for node in kubernetes.objects(NODE)
        # Nodes of Fargate are no instances, and carry the cluster's group.
        if node["spec"].get("providerID", "").rpartition("/")[2].startswith("i-")
    ]
    others = set()
    with session.explained("look at the security groups of the cluster's nodes"):
        pages = session.client("ec2").get_paginator("describe_instances")
        for first in range(0, len(ids), _MOST_VALUES):
            wanted = [{"Name": "instance-id", "Values": ids[first : first + _MOST_VALUES]}]
            for page in pages.paginate(Filters=wanted):
                for reservation in page["Reservations"]:
                    for instance in reservation["Instances"]:
                        carried = {group["GroupId"] for group in instance.get("SecurityGroups", ())}
                        others |= carried if own not in carried else set()
    yield from sorted(others)
