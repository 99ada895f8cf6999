"""What was chosen for an environment when it was first synthesized, and stays: zones, versions, sizes.

The choices are data of the environment. A later release has other tables (`sizes`, `versions`), and AWS opens
and closes zones; neither may change what stands, so stacks are made of the choices and never of a table.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from beta9_provisioning.clouds.aws.sizes import KUBERNETES_VERSION, SIZES
from beta9_provisioning.engine.spec import POSTGRES_VERSION
from beta9_provisioning.schemas.configuration import EnvironmentConfig, Nat, Size

# Sizes of subnets by the zones that a VPC is divided among, as bits added to the length of its prefix. Every
# pod takes an address of a private subnet, and prefix delegation takes sixteen at once; only load balancers
# and NAT gateways take public ones, only the stores those without a way out.
_PRIVATE_BITS = 2
_SMALL_BITS = 6


class _Choice(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Zone(_Choice):
    """An availability zone.

    Attributes:
        id: AWS's id, which means the same place in every account; None where only the name was noted.
        name: the account's own name for it, such as us-east-1a.
    """

    id: str | None = None
    name: str


class NetworkChoice(_Choice):
    """The address ranges: each kind of subnet has one for each zone, in the order of the zones.

    Attributes:
        cidr: of the VPC.
        service_cidr: of the cluster's Services; None leaves it to EKS.
        data: of the subnets for the stores; without any, they are in the private ones.
        nat: how many NAT gateways there are.
    """

    cidr: str
    service_cidr: str | None
    public: tuple[str, ...]
    private: tuple[str, ...]
    data: tuple[str, ...] = ()
    nat: Nat


class KubernetesChoice(_Choice):
    """The control plane.

    Attributes:
        version: such as 1.34.
        add_ons: versions by name; one that is not here is left to EKS.
    """

    version: str
    add_ons: dict[str, str] = {}


class NodesChoice(_Choice):
    """A group of nodes.

    Attributes:
        generation: goes up with what cannot be changed in place; from 1 on it is part of the group's name.
        release: of the AMI; None leaves it to EKS.
    """

    generation: int
    instance_type: str
    disk_gib: int
    minimum: int
    desired: int
    maximum: int
    ami_type: str = "AL2023_x86_64_STANDARD"
    release: str | None = None


class PostgresChoice(_Choice):
    """The database: its version, as RDS takes it, and its instance class."""

    version: str
    instance_class: str


class RedisChoice(_Choice):
    """Valkey: its version, the family of its parameter group, and its node type."""

    version: str
    family: str
    node_type: str


class Choices(_Choice):
    """All choices of an environment."""

    form: Literal[1] = 1
    zones: tuple[Zone, ...]
    network: NetworkChoice
    kubernetes: KubernetesChoice
    nodes: NodesChoice
    postgres: PostgresChoice
    redis: RedisChoice

    @classmethod
    def first(cls, config: EnvironmentConfig, zones: tuple[Zone, ...]) -> Self:
        """Return the choices for a new environment in these zones."""
        nodes = SIZES[config.cluster.profile].nodes
        return cls(
            zones=zones,
            network=_network(config, len(zones)),
            kubernetes=KubernetesChoice(version=KUBERNETES_VERSION),
            nodes=NodesChoice(
                generation=1,
                instance_type=nodes.instance_type,
                disk_gib=nodes.disk_gib,
                minimum=nodes.minimum,
                desired=nodes.desired,
                maximum=nodes.maximum,
            ),
            postgres=PostgresChoice(
                version=POSTGRES_VERSION, instance_class=SIZES[config.data.postgres.size].postgres_class
            ),
            redis=RedisChoice(
                version="7.2", family="valkey7", node_type=SIZES[config.data.redis.size].redis_node_type
            ),
        )


def _network(config: EnvironmentConfig, zones: int) -> NetworkChoice:
    """Divide the VPC's range: a quarter for each private subnet, and small ones in the last quarter."""
    whole = IPv4Network(config.network.cidr)
    *private, rest = whole.subnets(prefixlen_diff=_PRIVATE_BITS)
    small = [str(one) for one in rest.subnets(prefixlen_diff=_SMALL_BITS - _PRIVATE_BITS)]
    usual = Nat.SINGLE if config.cluster.profile is Size.SMALL else Nat.PER_ZONE
    return NetworkChoice(
        cidr=config.network.cidr,
        service_cidr=config.network.service_cidr,
        public=tuple(small[:zones]),
        private=tuple(map(str, private[:zones])),
        data=tuple(small[zones : 2 * zones]),
        nat=config.network.nat or usual,
    )
