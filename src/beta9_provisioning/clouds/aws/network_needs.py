"""How many free addresses an environment needs in each subnet of a network that exists already."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from beta9_provisioning.clouds.aws.sizes import SIZES
from beta9_provisioning.schemas.configuration import EnvironmentConfig

# "Subnet requirements for clusters" in the EKS user guide: six at least, sixteen are recommended.
_OF_EKS = 16
# "Availability Zones for your Network Load Balancer" in its user guide.
_OF_BALANCER = 8
# One for its network interface, and with prefix delegation blocks of sixteen, of which one is kept warm
# (WARM_PREFIX_TARGET). Two blocks in use are room for 32 pods.
_OF_NODE = 1 + 3 * 16
# While a node group is updated, a node is added before one is taken away.
_SURGE = 1
# The database with a standby that may be in the same zone, and one for each store while it is replaced.
_OF_STORES = 4


@dataclass(frozen=True)
class Needed:
    """Free addresses that a subnet needs; `words` say what for."""

    addresses: int
    words: tuple[str, ...] = ()

    def __add__(self, other: Needed) -> Needed:
        return Needed(self.addresses + other.addresses, (*self.words, *other.words))

    def __str__(self) -> str:
        return f"{self.addresses} ({', '.join(self.words)})"


def of_nodes(config: EnvironmentConfig, zones: int) -> Needed:
    """Return what the control plane and all nodes that there may be need in each of the private subnets.

    Auto Scaling spreads each group over the zones.
    """
    size = SIZES[config.cluster.profile]
    nodes = sum(ceil(group.maximum / zones) for group in (size.nodes, size.system)) + _SURGE
    told = (f"{_OF_EKS} for EKS", f"{_OF_NODE} for each of {nodes} nodes")
    return Needed(_OF_EKS + nodes * _OF_NODE, told)


def of_balancer() -> Needed:
    """Return what the load balancer needs in each of its subnets."""
    return Needed(_OF_BALANCER, (f"{_OF_BALANCER} for the load balancer",))


def of_stores(config: EnvironmentConfig) -> Needed:
    """Return what database and cache need in each of their subnets, for AWS may put all of them into one."""
    redis = config.data.redis
    count = _OF_STORES + 1 + (redis.num_replicas if redis.ha else 0)
    return Needed(count, (f"{count} for database and cache",))
