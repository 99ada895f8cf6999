"""What an environment is made of, before any Terraform: names, tags, sizes, and which cloud it may use.

Everything here is a pure function of the configuration and the environment's id. An environment always gets
the same names: that is how its resources are found again when the state is lost.
"""

import re
from dataclasses import dataclass

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.schemas.configuration import EnvironmentConfig, Provider, Size

ENVIRONMENT_ID_TAG = "beta9:environment-id"
ENVIRONMENT_NAME_TAG = "beta9:environment-name"
MANAGED_BY_TAG = "beta9:managed-by"
MANAGED_BY = "beta9-provisioning"
OWNERSHIP_TAGS = (ENVIRONMENT_ID_TAG, ENVIRONMENT_NAME_TAG, MANAGED_BY_TAG)
"""Keys of the tags by which an environment's resources are recognized."""

KUBERNETES_VERSION = "1.34"
POSTGRES_VERSION = "17"

ACCESS_ADDRESSES = frozenset(
    {"aws_eks_access_entry.provisioner", "aws_eks_access_policy_association.provisioner"}
)
"""Terraform addresses of what lets the worker into the cluster."""

_ENVIRONMENT_ID = re.compile(r"env_[0-9a-z]{16}")
_STEM_CHARACTERS = 12
# Newer accounts have no ap-northeast-1b.
_ZONE_LETTERS = {"ap-northeast-1": ("a", "c")}


class SynthesisError(EngineError):
    """The configuration could not be turned into infrastructure; nothing was created."""

    code = "synthesis_failed"


class NotSupported(EngineError):
    """The configuration asks for something that this release cannot build."""

    code = "not_supported"


@dataclass(frozen=True)
class NodeSize:
    """The node group of a cluster profile: an EC2 instance type, the disk in GiB and the number of nodes."""

    instance_type: str
    disk_gib: int
    minimum: int
    desired: int
    maximum: int


@dataclass(frozen=True)
class Sizes:
    """What a T-shirt size means on AWS, for the nodes, the database and Redis."""

    nodes: NodeSize
    postgres_class: str
    redis_node_type: str


SIZES = {
    Size.SMALL: Sizes(NodeSize("t3.large", 50, 2, 2, 4), "db.t4g.medium", "cache.t4g.small"),
    Size.MEDIUM: Sizes(NodeSize("m6i.xlarge", 100, 3, 3, 10), "db.m6g.large", "cache.m6g.large"),
    Size.LARGE: Sizes(NodeSize("m6i.2xlarge", 200, 3, 3, 20), "db.m6g.2xlarge", "cache.r6g.large"),
}


@dataclass(frozen=True)
class Names:
    """Names of an environment's resources, within AWS's limits (18 characters and a suffix).

    `session` names the role session in CloudTrail.
    """

    stem: str
    session: str

    @property
    def cluster(self) -> str:
        """EKS cluster."""
        return self.stem

    @property
    def node_group(self) -> str:
        """EKS node group."""
        return f"{self.stem}-nodes"

    @property
    def cluster_role(self) -> str:
        """IAM role of the control plane."""
        return f"{self.stem}-cluster"

    @property
    def node_role(self) -> str:
        """IAM role of the nodes."""
        return f"{self.stem}-node"

    @property
    def ebs_csi_role(self) -> str:
        """IAM role of the EBS CSI driver's controller."""
        return f"{self.stem}-ebs-csi"

    @property
    def database(self) -> str:
        """RDS instance, its subnet group and its security group."""
        return f"{self.stem}-postgres"

    @property
    def redis(self) -> str:
        """ElastiCache replication group, its subnet group, parameter group and security group."""
        return f"{self.stem}-redis"

    def bucket(self, prefix: str) -> str:
        """S3 bucket, from the user's prefix and the environment's own suffix."""
        return f"{prefix}-{self.stem.removeprefix('beta9-')}"


def names(environment_id: str) -> Names:
    """Return the deterministic names of an environment.

    Raises `SynthesisError` when the id is not `env_` and sixteen characters of [0-9a-z].
    """
    if not _ENVIRONMENT_ID.fullmatch(environment_id):
        raise SynthesisError(
            f"The environment id {environment_id!r} could not be used.",
            detail="Names in the cloud derive from it: it must be env_ and 16 characters of 0-9 and a-z.",
            code="invalid_environment_id",
        )
    return Names(
        stem=f"beta9-{environment_id[-_STEM_CHARACTERS:]}", session=f"beta9-provisioning-{environment_id}"
    )


def tags(config: EnvironmentConfig, environment_id: str) -> dict[str, str]:
    """Return the tags of every taggable resource: the user's, and those that show whose it is."""
    return {
        **config.tags,
        ENVIRONMENT_ID_TAG: environment_id,
        ENVIRONMENT_NAME_TAG: config.name,
        MANAGED_BY_TAG: MANAGED_BY,
    }


def zones(region: str) -> tuple[str, str]:
    """Return the two availability zones of a region that an environment spans.

    They are a rule and not a query, so that a zone that AWS opens or closes never replaces a subnet.
    """
    first, second = _ZONE_LETTERS.get(region, ("a", "b"))
    return region + first, region + second


def cluster_ready_addresses(config: EnvironmentConfig) -> frozenset[str]:
    """Return the Terraform addresses after which charts can be installed: cluster, nodes, access, CNI.

    Raises `NotSupported` as `check_supported` does.
    """
    check_supported(config)
    return ACCESS_ADDRESSES | {"aws_eks_cluster.main", "aws_eks_node_group.main", "aws_eks_addon.vpc_cni"}


def check_supported(config: EnvironmentConfig) -> None:
    """Raise `NotSupported` when the configuration asks for what cannot be built yet."""
    if config.cloud.provider is not Provider.AWS:
        raise NotSupported(
            f"cloud.provider {config.cloud.provider} is not supported yet.",
            detail="Environments can be created in AWS only.",
            remedy="Set cloud.provider to aws.",
        )
    if config.cluster.use_existing:
        raise NotSupported(
            "cluster.use_existing is not supported yet.",
            detail="Every environment gets a cluster of its own.",
            remedy="Leave out cluster.use_existing and cluster.existing_cluster_name.",
        )
    if config.beta9.workers.gpu_enabled:
        raise NotSupported(
            "beta9.workers.gpu_enabled is not supported yet.",
            detail="The node group has no GPU nodes.",
            remedy="Leave out beta9.workers.gpu_enabled and beta9.workers.gpu_type.",
        )
