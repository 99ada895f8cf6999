"""What the sizes of a new environment mean in AWS."""

from dataclasses import dataclass

from beta9_provisioning.schemas.configuration import EnvironmentConfig, Size


@dataclass(frozen=True)
class NodeSize:
    """A node group of a cluster profile: an EC2 instance type, the disk in GiB and the number of nodes."""

    instance_type: str
    disk_gib: int
    minimum: int
    desired: int
    maximum: int


@dataclass(frozen=True)
class Sizes:
    """What a T-shirt size means on AWS, for workers, the cluster itself, database and Redis.

    Attributes:
        postgres_classes: of which the first one is taken that can be had.
    """

    nodes: NodeSize
    system: NodeSize
    postgres_classes: tuple[str, ...]
    redis_node_type: str


SIZES = {
    Size.SMALL: Sizes(
        NodeSize("t3.large", 50, 2, 2, 4),
        NodeSize("t3.medium", 20, 2, 2, 3),
        ("db.t4g.medium", "db.t3.medium"),
        "cache.t4g.small",
    ),
    Size.MEDIUM: Sizes(
        NodeSize("m6i.xlarge", 100, 3, 3, 10),
        NodeSize("t3.large", 20, 2, 2, 4),
        ("db.m6g.large", "db.m7g.large", "db.m6i.large"),
        "cache.m6g.large",
    ),
    Size.LARGE: Sizes(
        NodeSize("m6i.2xlarge", 200, 3, 3, 20),
        NodeSize("m6i.large", 20, 3, 3, 6),
        ("db.m6g.2xlarge", "db.m7g.2xlarge", "db.m6i.2xlarge"),
        "cache.r6g.large",
    ),
}


def node_types(config: EnvironmentConfig) -> frozenset[str]:
    """Return the instance types of a new environment's nodes."""
    size = SIZES[config.cluster.profile]
    return frozenset({size.nodes.instance_type, size.system.instance_type})
