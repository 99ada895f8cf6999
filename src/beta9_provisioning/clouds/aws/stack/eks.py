"""The control plane: EKS, its key and logs, who may use the API, and what hangs on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beta9_provisioning.clouds.aws.names import ADMIN_POLICY
from beta9_provisioning.clouds.aws.policies import policy
from beta9_provisioning.clouds.aws.stack.add_ons import add_cni, add_others
from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.clouds.aws.stack.iam import Iam
from beta9_provisioning.clouds.aws.stack.load_balancing import add_load_balancing
from beta9_provisioning.clouds.aws.stack.network import Network, log_group
from beta9_provisioning.clouds.aws.stack.nodes import add_nodes
from beta9_provisioning.engine.synthesis.bindings import Lifecycle, Resource
from beta9_provisioning.engine.synthesis.blocks import Ref, one

_LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
_PENDING_DAYS = 7


@dataclass(frozen=True)
class Cluster:
    """What the other parts need of the cluster.

    Attributes:
        name: its name.
        endpoint: URL of the Kubernetes API.
        version: Kubernetes version, such as 1.34.
        security_group_ids: each node is in one of them. Of a cluster that is made this is the one that EKS
            makes, and puts all nodes into.
    """

    name: Ref | str
    endpoint: Ref | str
    version: Ref | str
    security_group_ids: Sequence[Ref | str]


def add_cluster(draft: Draft, iam: Iam, network: Network) -> Cluster:
    """Add the cluster with everything that belongs to it to the stack, unless it is the user's own."""
    given = draft.choices.cluster
    if given is not None:
        return Cluster(given.name, given.endpoint, given.version, given.security_groups)
    return _made_cluster(draft, iam, network)


def _made_cluster(draft: Draft, iam: Iam, network: Network) -> Cluster:
    provisioner = draft.config.cloud.role_arn
    assert provisioner is not None, "the configuration demands it for AWS"
    cluster = _control_plane(draft, iam, network)
    _admin(draft, iam, cluster, "provisioner", provisioner)
    for index, principal in enumerate(draft.config.cluster.admin_role_arns):
        _admin(draft, iam, cluster, f"admin_{index}", principal)
    # For what knows no Pod Identity: roles for service accounts, by the cluster's own tokens.
    Resource(
        draft.stack,
        "aws_iam_openid_connect_provider",
        "cluster",
        url=one(one(cluster.ref("identity[*].oidc[*].issuer"))),
        client_id_list=["sts.amazonaws.com"],
    )
    add_load_balancing(draft, iam, cluster)
    cni = add_cni(draft, iam, cluster)
    nodes = add_nodes(draft, iam, cluster, network, cni)
    add_others(draft, iam, cluster, nodes)
    return Cluster(
        name=cluster.ref("name"),
        endpoint=cluster.ref("endpoint"),
        version=cluster.ref("version"),
        security_group_ids=[cluster.ref("vpc_config[0].cluster_security_group_id")],
    )


def _control_plane(draft: Draft, iam: Iam, network: Network) -> Resource:
    names, choice, config = draft.names, draft.kubernetes, draft.config.cluster
    role = iam.role("cluster", names.cluster_role, service="eks")
    attachments = iam.attach("cluster", role, ["AmazonEKSClusterPolicy"])
    # EKS would make the group by itself, and keep its logs for ever.
    logs = log_group(draft, "cluster", names.cluster_log_group, config.log_days)
    service_cidr = draft.choices.network.service_cidr
    return Resource(
        draft.stack,
        "aws_eks_cluster",
        "main",
        name=names.cluster,
        version=choice.version,
        role_arn=role.ref("arn"),
        # The add-ons below replace those that EKS would install by itself, unknown to Terraform.
        bootstrap_self_managed_addons=False,
        access_config=[{"authentication_mode": "API", "bootstrap_cluster_creator_admin_permissions": False}],
        enabled_cluster_log_types=list(_LOGS),
        encryption_config=[{"resources": ["secrets"], "provider": [{"key_arn": _key(draft, iam)}]}],
        kubernetes_network_config=[{"service_ipv4_cidr": service_cidr}] if service_cidr else [],
        # Lifted by a destroy's own calls: `clouds.aws.protection`.
        deletion_protection=True,
        upgrade_policy=[{"support_type": "EXTENDED" if config.extended_support else "STANDARD"}],
        vpc_config=[
            {
                "subnet_ids": network.private_subnet_ids,
                "endpoint_private_access": True,
                "endpoint_public_access": True,
                "public_access_cidrs": list(draft.api_from),
            }
        ],
        # EKS tells neither of a cluster: whoever takes one into a state guesses, and a change replaces it.
        lifecycle=Lifecycle(
            ignore_changes=(
                "access_config[0].bootstrap_cluster_creator_admin_permissions",
                "bootstrap_self_managed_addons",
            )
        ),
        # Deleting the cluster takes the role's permissions: it removes network interfaces with them.
        depends_on=[*attachments, logs],
    )


def _key(draft: Draft, iam: Iam) -> str | Ref:
    """Return the ARN of the key under which Secrets are encrypted: the customer's, or one of our own."""
    if draft.config.cloud.kms_key_arn is not None:
        return draft.config.cloud.kms_key_arn
    key = Resource(
        draft.stack,
        "aws_kms_key",
        "cluster",
        description="Secrets of the Kubernetes cluster",
        enable_key_rotation=True,
        deletion_window_in_days=_PENDING_DAYS,
        policy=_owned_by_account(iam),
    )
    Resource(
        draft.stack,
        "aws_kms_alias",
        "cluster",
        name=f"alias/{draft.names.cluster}",
        target_key_id=key.ref("key_id"),
    )
    return key.ref("arn")


def _owned_by_account(iam: Iam) -> str:
    """Return KMS's own default policy, said explicitly: IAM's policies of the account decide."""
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": iam.own_arn("iam", "root", is_global=True)},
        "Action": "kms:*",
        "Resource": "*",
    }
    return policy([statement])


def _admin(draft: Draft, iam: Iam, cluster: Resource, key: str, principal: str) -> None:
    """Let a principal administrate the cluster."""
    entry = Resource(
        draft.stack,
        "aws_eks_access_entry",
        key,
        cluster_name=cluster.ref("name"),
        principal_arn=principal,
        type="STANDARD",
    )
    Resource(
        draft.stack,
        "aws_eks_access_policy_association",
        key,
        cluster_name=cluster.ref("name"),
        principal_arn=entry.ref("principal_arn"),
        policy_arn=iam.aws_arn("eks", ADMIN_POLICY),
        access_scope=[{"type": "cluster"}],
    )
