"""What the sizes of a new environment mean in AWS, and the version of its cluster."""

from dataclasses import dataclass

from beta9_provisioning.schemas.configuration import Size

KUBERNETES_VERSION = "1.34"


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
