"""The nodes: a group for what the cluster itself needs, and one for Beta9's workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from beta9_provisioning.clouds.aws.choices import NodesChoice
from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.clouds.aws.stack.iam import Iam
from beta9_provisioning.clouds.aws.stack.network import Network
from beta9_provisioning.engine.spec import tags
from beta9_provisioning.engine.synthesis.bindings import Lifecycle, Resource
from beta9_provisioning.engine.synthesis.blocks import text
from beta9_provisioning.schemas.configuration import Capacity, TaintEffect

# Spelled as in a configuration and Kubernetes, and as in the API of EKS:
# https://docs.aws.amazon.com/eks/latest/APIReference/API_Taint.html
_TAINT_EFFECTS = {
    TaintEffect.NO_SCHEDULE: "NO_SCHEDULE",
    TaintEffect.PREFER_NO_SCHEDULE: "PREFER_NO_SCHEDULE",
    TaintEffect.NO_EXECUTE: "NO_EXECUTE",
}
_CAPACITY = {Capacity.ON_DEMAND: "ON_DEMAND", Capacity.SPOT: "SPOT"}
# Where AL2023 has its root volume.
_ROOT_DEVICE = "/dev/xvda"
_AUTO_SCALING = "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
# "Required AWS KMS key policy for use with encrypted volumes" in the EC2 Auto Scaling user guide.
_GRANTED = (
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
)


def add_nodes(
    draft: Draft, iam: Iam, cluster: Resource, network: Network, cni: Sequence[Resource]
) -> list[Resource]:
    """Add the node groups, which come after all that their nodes need to join."""
    nodes, system = draft.choices.nodes, draft.choices.system
    assert nodes is not None, "asked for a cluster that is made only"
    role = iam.role("node", draft.names.node_role, service="ec2")
    # Nodes of earlier releases hold the CNI's policy themselves: their CNI was started without a role.
    policies = ["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"]
    if not nodes.generation:
        policies.insert(1, "AmazonEKS_CNI_Policy")
    common: dict[str, Any] = {
        "cluster_name": cluster.ref("name"),
        "node_role_arn": role.ref("arn"),
        "subnet_ids": network.private_subnet_ids,
        "depends_on": [*iam.attach("node", role, policies), *network.egress, *cni, *_grant(draft, iam)],
    }
    workers = _group(draft, "main", nodes, common)
    return [workers] if system is None else [workers, _group(draft, "system", system, common)]


def _group(draft: Draft, key: str, choice: NodesChoice, common: Mapping[str, Any]) -> Resource:
    """Add a group; labels and taints of the user are on the workers only."""
    config, ours = draft.config.cluster, key == "system"
    template = _launch_template(draft, key, choice) if choice.generation else None
    return Resource(
        draft.stack,
        "aws_eks_node_group",
        key,
        **common,
        node_group_name=draft.names.node_group(choice.generation, "system" if ours else "nodes"),
        version=draft.kubernetes.version,
        ami_type=choice.ami_type,
        release_version=choice.release,
        capacity_type=_CAPACITY[choice.capacity],
        instance_types=[choice.instance_type],
        disk_size=None if template else choice.disk_gib,
        launch_template=[{"id": template.ref("id"), "version": text(template.ref("latest_version"))}]
        if template
        else [],
        scaling_config=[
            {"min_size": choice.minimum, "desired_size": choice.desired, "max_size": choice.maximum}
        ],
        update_config=[{"max_unavailable": 1}],
        labels=None if ours else config.node_labels or None,
        taint=[]
        if ours
        else [
            {"key": taint.key, "value": taint.value, "effect": _TAINT_EFFECTS[taint.effect]}
            for taint in config.node_taints
        ],
        # Somebody, or something, scales: that is no drift. A group that is replaced has another name.
        lifecycle=Lifecycle(
            create_before_destroy=template is not None, ignore_changes=("scaling_config[0].desired_size",)
        ),
    )


def _launch_template(draft: Draft, key: str, choice: NodesChoice) -> Resource:
    """Add what EKS launches instances with: no pod reaches their metadata, and their disks are encrypted."""
    name = draft.names.launch_template("system" if key == "system" else "nodes")
    carried = {**tags(draft.config, draft.environment_id), "Name": name}
    return Resource(
        draft.stack,
        "aws_launch_template",
        key,
        name=name,
        update_default_version=True,
        block_device_mappings=[
            {
                "device_name": _ROOT_DEVICE,
                "ebs": [
                    {
                        "volume_size": choice.disk_gib,
                        "volume_type": "gp3",
                        "encrypted": "true",
                        "kms_key_id": draft.config.cloud.kms_key_arn,
                        "delete_on_termination": "true",
                    }
                ],
            }
        ],
        metadata_options=[
            {"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1}
        ],
        # EKS hands a node group's tags on to none of these.
        tag_specifications=[
            {"resource_type": kind, "tags": carried} for kind in ("instance", "volume", "network-interface")
        ],
    )


def _grant(draft: Draft, iam: Iam) -> list[Resource]:
    """Let Auto Scaling start instances with disks under the customer's key; without, they end at once.

    https://github.com/hashicorp/terraform-provider-aws/issues/39904
    """
    key = draft.config.cloud.kms_key_arn
    if key is None:
        return []
    return [
        Resource(
            draft.stack,
            "aws_kms_grant",
            "auto_scaling",
            name=f"{draft.names.stem}-auto-scaling",
            key_id=key,
            grantee_principal=iam.own_arn("iam", _AUTO_SCALING, is_global=True),
            operations=list(_GRANTED),
        )
    ]
