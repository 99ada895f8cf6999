"""Who reaches a store: a security group that lets the cluster in on one port, and nothing out."""

from beta9_provisioning.clouds.aws.stack.eks import Cluster
from beta9_provisioning.clouds.aws.stack.network import Network
from beta9_provisioning.engine.synthesis.bindings import Resource, Stack
from beta9_provisioning.engine.synthesis.blocks import Ref


def add_store_group(
    stack: Stack, key: str, name: str, network: Network, cluster: Cluster, *, port: int
) -> Ref:
    """Add the security group and return its id.

    The store waits for the group only: the rules, which wait for the cluster, are made beside it.
    """
    group = Resource(
        stack,
        "aws_security_group",
        key,
        name=name,
        description=f"{key} of the environment",
        vpc_id=network.vpc_id,
        # Said, so that a group is closed which AWS made and a killed Terraform did not come to close.
        egress=[],
        tags={"Name": name},
    )
    for number, admitted in enumerate(cluster.security_group_ids):
        Resource(
            stack,
            "aws_vpc_security_group_ingress_rule",
            f"{key}_{number}" if number else key,
            security_group_id=group.ref("id"),
            description="From the cluster",
            referenced_security_group_id=admitted,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
        )
    return group.ref("id")
