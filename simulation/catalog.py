"""The small environment of the simulated world: what it consists of, and how long each part takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A part of an environment.

    Attributes:
        address: in Terraform.
        needs: addresses that must stand before it is made, and stand as long as it does.
        making: seconds until it is ready.
        deleting: seconds until it is gone.
        is_unique: whether the cloud refuses a second one of its name.
        is_repeatable: whether asking for it again changes nothing, when it stands.
        holds_data: whether it must never be deleted by a provision, whatever its state.
    """

    address: str
    needs: tuple[str, ...]
    making: float
    deleting: float
    is_unique: bool = True
    is_repeatable: bool = False
    holds_data: bool = False

    @property
    def type(self) -> str:
        """Its Terraform type."""
        return self.address.split(".", 1)[0]


_CLUSTER = "aws_eks_cluster.main"
_NODES = "aws_eks_node_group.main"
_KINDS = (
    Kind("aws_vpc.main", (), 2, 1, is_unique=False),
    Kind("aws_subnet.private", ("aws_vpc.main",), 2, 1, is_unique=False),
    Kind("aws_iam_role.cluster", (), 1, 1),
    Kind("aws_s3_bucket.main", (), 2, 1, holds_data=True),
    Kind("aws_db_instance.main", ("aws_subnet.private",), 45, 20, holds_data=True),
    Kind(_CLUSTER, ("aws_subnet.private", "aws_iam_role.cluster"), 30, 15),
    Kind("aws_eks_access_entry.provisioner", (_CLUSTER,), 1, 1),
    Kind(
        "aws_eks_access_policy_association.provisioner",
        ("aws_eks_access_entry.provisioner",),
        1,
        1,
        is_repeatable=True,
    ),
    Kind("aws_eks_addon.vpc_cni", (_CLUSTER,), 2, 1),
    Kind("aws_eks_addon.eks_pod_identity_agent", (_CLUSTER,), 2, 1),
    Kind("aws_eks_pod_identity_association.load_balancing", (_CLUSTER,), 1, 1),
    Kind(_NODES, ("aws_eks_access_policy_association.provisioner", "aws_eks_addon.vpc_cni"), 15, 10),
    Kind("aws_eks_node_group.system", ("aws_eks_access_policy_association.provisioner",), 12, 8),
)

KINDS: dict[str, Kind] = {kind.address: kind for kind in _KINDS}
"""All parts that Terraform makes, by address, each after what it needs."""

LOAD_BALANCER = Kind("(cluster).load_balancer", ("aws_vpc.main",), 3, 2, is_unique=False)
"""What the cluster makes for a Service, of which Terraform knows nothing."""

OUTPUTS = {
    "region": "us-east-1",
    "vpc_id": "aws_vpc.main",
    "cluster_name": _CLUSTER,
    "cluster_endpoint": _CLUSTER,
    "cluster_version": "1.34",
    "database_host": "aws_db_instance.main",
    "database_port": "5432",
    "database_name": "beta9",
    "database_username": "master",
    "database_secret_arn": "aws_db_instance.main",
    "redis_host": "redis.invalid",
    "redis_port": "6379",
    "bucket_name": "aws_s3_bucket.main",
}
"""Terraform's outputs: constants, and addresses of which the id is the value."""
