"""The Kubernetes cluster: EKS, its roles and add-ons, a node group, and access for the provisioner's role."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beta9_provisioning.clouds.aws.choices import KubernetesChoice, NodesChoice
from beta9_provisioning.clouds.aws.names import Names
from beta9_provisioning.clouds.aws.rules import service_principal
from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.clouds.aws.stack.network import Network
from beta9_provisioning.engine.synthesis.bindings import Resource, Stack
from beta9_provisioning.engine.synthesis.blocks import Ref
from beta9_provisioning.schemas import configuration as schema

# Spelled as in a configuration and Kubernetes, and as in the API of EKS:
# https://docs.aws.amazon.com/eks/latest/APIReference/API_Taint.html
_TAINT_EFFECTS = {
    schema.TaintEffect.NO_SCHEDULE: "NO_SCHEDULE",
    schema.TaintEffect.PREFER_NO_SCHEDULE: "PREFER_NO_SCHEDULE",
    schema.TaintEffect.NO_EXECUTE: "NO_EXECUTE",
}


@dataclass(frozen=True)
class Cluster:
    """What the other parts need of the cluster.

    Attributes:
        name: its name.
        endpoint: URL of the Kubernetes API.
        version: Kubernetes version, such as 1.34.
        security_group_id: the security group that EKS makes and puts all nodes into.
    """

    name: Ref
    endpoint: Ref
    version: Ref
    security_group_id: Ref


def add_cluster(draft: Draft, network: Network) -> Cluster:
    """Add the cluster with everything that belongs to it to the stack."""
    stack, names, config, choices = draft.stack, draft.names, draft.config, draft.choices
    provisioner = config.cloud.role_arn
    assert provisioner is not None, "the configuration demands it for AWS"
    iam = _Iam(stack, partition=provisioner.split(":")[1])
    cluster = _control_plane(stack, names, iam, choices.kubernetes, network)
    _access(stack, iam, cluster, provisioner)
    # Nodes become ready only with a CNI; and if it went before they do, their network interfaces would stay.
    cni = _add_on(stack, cluster, "vpc-cni")
    nodes = _node_group(
        stack,
        names,
        iam,
        config=config.cluster,
        choice=choices.nodes,
        cluster=cluster,
        network=network,
        cni=cni,
    )
    _add_on(stack, cluster, "kube-proxy")
    tolerations = _tolerations(config.cluster.node_taints)
    _add_on(stack, cluster, "coredns", configuration={"tolerations": tolerations}, depends_on=[nodes])
    _storage(stack, names, iam, cluster=cluster, nodes=nodes, tolerations=tolerations)
    return Cluster(
        name=cluster.ref("name"),
        endpoint=cluster.ref("endpoint"),
        version=cluster.ref("version"),
        security_group_id=cluster.ref("vpc_config[0].cluster_security_group_id"),
    )


class _Iam:
    """IAM roles of AWS services, with AWS's managed policies, in one partition (`aws`, `aws-us-gov`)."""

    def __init__(self, stack: Stack, partition: str) -> None:
        self._stack = stack
        self._partition = partition

    def aws_arn(self, service: str, resource: str) -> str:
        """Return the ARN of something that AWS itself owns."""
        return f"arn:{self._partition}:{service}::aws:{resource}"

    def role(
        self, key: str, name: str, *, service: str, policies: Sequence[str], tag_session: bool = False
    ) -> tuple[Resource, list[Resource]]:
        """Add a role that a service can assume; return it and the attachments of its policies."""
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": service_principal(service, self._partition)},
                    "Action": ["sts:AssumeRole", *(["sts:TagSession"] if tag_session else [])],
                }
            ],
        }
        role = Resource(self._stack, "aws_iam_role", key, name=name, assume_role_policy=json.dumps(trust))
        attachments = [
            Resource(
                self._stack,
                "aws_iam_role_policy_attachment",
                f"{key}_{index}",
                role=role.ref("name"),
                policy_arn=self.aws_arn("iam", f"policy/{policy}"),
            )
            for index, policy in enumerate(policies)
        ]
        return role, attachments


def _control_plane(
    stack: Stack, names: Names, iam: _Iam, choice: KubernetesChoice, network: Network
) -> Resource:
    role, attachments = iam.role(
        "cluster", names.cluster_role, service="eks", policies=["AmazonEKSClusterPolicy"]
    )
    return Resource(
        stack,
        "aws_eks_cluster",
        "main",
        name=names.cluster,
        version=choice.version,
        role_arn=role.ref("arn"),
        # The add-ons below replace those that EKS would install by itself, unknown to Terraform.
        bootstrap_self_managed_addons=False,
        access_config=[{"authentication_mode": "API", "bootstrap_cluster_creator_admin_permissions": False}],
        vpc_config=[
            {
                "subnet_ids": network.private_subnet_ids,
                "endpoint_private_access": True,
                "endpoint_public_access": True,
            }
        ],
        # Deleting the cluster takes the role's permissions: it removes network interfaces with them.
        depends_on=attachments,
    )


def _access(stack: Stack, iam: _Iam, cluster: Resource, principal: str) -> None:
    entry = Resource(
        stack,
        "aws_eks_access_entry",
        "provisioner",
        cluster_name=cluster.ref("name"),
        principal_arn=principal,
        type="STANDARD",
    )
    Resource(
        stack,
        "aws_eks_access_policy_association",
        "provisioner",
        cluster_name=cluster.ref("name"),
        principal_arn=entry.ref("principal_arn"),
        policy_arn=iam.aws_arn("eks", "cluster-access-policy/AmazonEKSClusterAdminPolicy"),
        access_scope=[{"type": "cluster"}],
    )


def _node_group(
    stack: Stack,
    names: Names,
    iam: _Iam,
    *,
    config: schema.Cluster,
    choice: NodesChoice,
    cluster: Resource,
    network: Network,
    cni: Resource,
) -> Resource:
    role, attachments = iam.role(
        "node",
        names.node_role,
        service="ec2",
        policies=["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"],
    )
    return Resource(
        stack,
        "aws_eks_node_group",
        "main",
        cluster_name=cluster.ref("name"),
        node_group_name=names.node_group(choice.generation),
        node_role_arn=role.ref("arn"),
        subnet_ids=network.private_subnet_ids,
        ami_type=choice.ami_type,
        release_version=choice.release,
        capacity_type="ON_DEMAND",
        instance_types=[choice.instance_type],
        disk_size=choice.disk_gib,
        scaling_config=[
            {"min_size": choice.minimum, "desired_size": choice.desired, "max_size": choice.maximum}
        ],
        update_config=[{"max_unavailable": 1}],
        labels=config.node_labels or None,
        taint=[
            {"key": taint.key, "value": taint.value, "effect": _TAINT_EFFECTS[taint.effect]}
            for taint in config.node_taints
        ],
        depends_on=[*attachments, *network.egress, cni],
    )


def _storage(
    stack: Stack,
    names: Names,
    iam: _Iam,
    *,
    cluster: Resource,
    nodes: Resource,
    tolerations: list[dict[str, str]],
) -> None:
    """Add the EBS CSI driver, whose controller gets its role by EKS Pod Identity."""
    agent = _add_on(stack, cluster, "eks-pod-identity-agent")
    role, attachments = iam.role(
        "ebs_csi",
        names.ebs_csi_role,
        service="pods.eks",
        policies=["service-role/AmazonEBSCSIDriverPolicy"],
        tag_session=True,
    )
    identity = Resource(
        stack,
        "aws_eks_pod_identity_association",
        "ebs_csi",
        cluster_name=cluster.ref("name"),
        namespace="kube-system",
        service_account="ebs-csi-controller-sa",
        role_arn=role.ref("arn"),
    )
    _add_on(
        stack,
        cluster,
        "aws-ebs-csi-driver",
        configuration={"controller": {"tolerations": tolerations}},
        # Pods get a role by Pod Identity only if the association was there when they started.
        depends_on=[*attachments, agent, identity, nodes],
    )


def _add_on(
    stack: Stack,
    cluster: Resource,
    name: str,
    *,
    configuration: Mapping[str, object] | None = None,
    depends_on: Sequence[Resource] = (),
) -> Resource:
    return Resource(
        stack,
        "aws_eks_addon",
        name.replace("-", "_"),
        cluster_name=cluster.ref("name"),
        addon_name=name,
        configuration_values=json.dumps(configuration) if configuration else None,
        resolve_conflicts_on_create="OVERWRITE",
        resolve_conflicts_on_update="OVERWRITE",
        depends_on=depends_on,
    )


def _tolerations(taints: Sequence[schema.NodeTaint]) -> list[dict[str, str]]:
    """Return what lets system pods run on the nodes, for there are no others: tolerations of their taints."""
    return [
        {"key": "CriticalAddonsOnly", "operator": "Exists"},
        *(
            {"key": taint.key, "operator": "Equal", "value": taint.value, "effect": taint.effect.value}
            for taint in taints
        ),
    ]
