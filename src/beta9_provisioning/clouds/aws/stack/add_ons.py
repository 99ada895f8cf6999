"""EKS's add-ons, in the versions that were chosen, and the roles of those that call AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.clouds.aws.stack.iam import Iam
from beta9_provisioning.clouds.aws.stack.pod_identity import associate
from beta9_provisioning.engine.beta9.values import tolerations
from beta9_provisioning.engine.spec import tags
from beta9_provisioning.engine.synthesis.bindings import Resource

_NAMESPACE = "kube-system"


def add_cni(draft: Draft, iam: Iam, cluster: Resource) -> list[Resource]:
    """Add the network plugin and its role, before there are nodes.

    Nodes become ready only with a CNI; and if it went before they do, their network interfaces would stay.
    How many pods a node takes is decided when it starts: with blocks of addresses, 110 instead of 35.
    """
    agent = _add_on(draft, cluster, "eks-pod-identity-agent")
    _, identity = _identity(
        draft,
        iam,
        cluster,
        "vpc_cni",
        name=draft.names.cni_role,
        service_account="aws-node",
        policies=["AmazonEKS_CNI_Policy"],
    )
    cni = _add_on(
        draft,
        cluster,
        "vpc-cni",
        configuration={
            "enableNetworkPolicy": "true",
            "env": {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"},
        },
        depends_on=[agent, *identity],
    )
    return [agent, *identity, cni]


def add_others(draft: Draft, iam: Iam, cluster: Resource, nodes: Sequence[Resource]) -> None:
    """Add name service, proxy and storage driver; what runs as a Deployment becomes active on nodes only."""
    # They may run on tainted nodes, too: in earlier releases there were no others.
    tolerated = [{"key": "CriticalAddonsOnly", "operator": "Exists"}, *tolerations(draft.config)]
    _add_on(draft, cluster, "kube-proxy")
    _add_on(draft, cluster, "coredns", configuration={"tolerations": tolerated}, depends_on=nodes)
    role, identity = _identity(
        draft,
        iam,
        cluster,
        "ebs_csi",
        name=draft.names.ebs_csi_role,
        service_account="ebs-csi-controller-sa",
        # It touches only volumes that the driver itself tagged (since 04/2026); its path is not that of V1.
        policies=["AmazonEBSCSIDriverPolicyV2"],
    )
    key = draft.config.cloud.kms_key_arn
    allowed = [iam.inline("ebs_csi", role, _use_of(key))] if key else []
    _add_on(
        draft,
        cluster,
        "aws-ebs-csi-driver",
        configuration={
            "controller": {
                "tolerations": tolerated,
                "extraVolumeTags": tags(draft.config, draft.environment_id),
            }
        },
        # Pods get a role by Pod Identity only if the association was there when they started.
        depends_on=[*identity, *allowed, *nodes],
    )


def _identity(
    draft: Draft,
    iam: Iam,
    cluster: Resource,
    key: str,
    *,
    name: str,
    service_account: str,
    policies: Sequence[str],
) -> tuple[Resource, list[Resource]]:
    """Add a role, and EKS Pod Identity that hands it to one service account; return it and what it needs."""
    role = iam.pod_role(key, name, namespace=_NAMESPACE, service_account=service_account)
    association = associate(draft, cluster, key, role, namespace=_NAMESPACE, service_account=service_account)
    return role, [*iam.attach(key, role, policies), association]


def _use_of(key: str) -> list[dict[str, object]]:
    """Return what the driver needs for volumes under a key: "Amazon EBS CSI driver" in the EKS user guide."""
    return [
        {
            "Effect": "Allow",
            "Action": ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"],
            "Resource": [key],
            "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        },
        {
            "Effect": "Allow",
            "Action": [
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:Encrypt",
                "kms:GenerateDataKey",
                "kms:GenerateDataKeyWithoutPlaintext",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
            ],
            "Resource": [key],
        },
    ]


def _add_on(
    draft: Draft,
    cluster: Resource,
    name: str,
    *,
    configuration: Mapping[str, object] | None = None,
    depends_on: Sequence[Resource] = (),
) -> Resource:
    return Resource(
        draft.stack,
        "aws_eks_addon",
        name.replace("-", "_"),
        cluster_name=cluster.ref("name"),
        addon_name=name,
        addon_version=draft.kubernetes.add_ons.get(name),
        configuration_values=json.dumps(configuration, sort_keys=True) if configuration else None,
        resolve_conflicts_on_create="OVERWRITE",
        resolve_conflicts_on_update="OVERWRITE",
        depends_on=depends_on,
    )
