"""What was chosen for an environment when it was first synthesized, and stays: zones, versions, sizes.

The choices are data of the environment. A later release has other tables (`sizes`, `versions`), and AWS opens
and closes zones; neither may change what stands, so stacks are made of the choices and never of a table.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from beta9_provisioning.clouds.aws.add_on_versions import ADD_ONS
from beta9_provisioning.clouds.aws.sizes import SIZES, NodeSize
from beta9_provisioning.clouds.aws.versions import DEFAULTS
from beta9_provisioning.schemas.configuration import Capacity, EnvironmentConfig, Nat, Size

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


class GivenNetwork(_Choice):
    """A network of the user's, as it was when the environment was made: ids of subnets in the order of zones.

    Attributes:
        service_cidr: of the cluster's Services; None where the cluster is the user's, too.
        public: for load balancers; without any they are inside only.
        data: of the stores.
        data_cidrs: the ranges of these subnets, if they hold nothing else; else none.
    """

    vpc_id: str
    service_cidr: str | None
    private: tuple[str, ...]
    public: tuple[str, ...] = ()
    data: tuple[str, ...]
    data_cidrs: tuple[str, ...] = ()


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
        capacity: how the instances are bought.
    """

    generation: int
    instance_type: str
    disk_gib: int
    minimum: int
    desired: int
    maximum: int
    ami_type: str = "AL2023_x86_64_STANDARD"
    release: str | None = None
    capacity: Capacity = Capacity.ON_DEMAND

    @classmethod
    def first(cls, size: NodeSize, release: str | None, capacity: Capacity = Capacity.ON_DEMAND) -> Self:
        """Return the choice for a new group of a size."""
        return cls(
            generation=1,
            instance_type=size.instance_type,
            disk_gib=size.disk_gib,
            minimum=size.minimum,
            desired=size.desired,
            maximum=size.maximum,
            release=release,
            capacity=capacity,
        )


class GivenIngress(_Choice):
    """An ingress controller of the user's.

    Attributes:
        class_name: of its Ingresses.
        controller: what it calls itself in its IngressClass.
        namespace: of its Service with the load balancer.
        service: the name of that.
    """

    class_name: str
    controller: str
    namespace: str
    service: str


class ExistingCluster(_Choice):
    """A cluster of the user's, as it was in the beginning; what was found in it is used and left.

    Attributes:
        version: of Kubernetes, then.
        security_groups: that its nodes carry, so that each of them has one.
        storage_class: of Beta9's volumes.
        charts: the base charts that were missing, and are the environment's.
        ingress: whose controller serves the environment; None for that of a chart of ours.
        since: when it was chosen, in UTC: what is older is not the environment's.
    """

    name: str
    endpoint: str
    version: str
    security_groups: tuple[str, ...]
    storage_class: str
    charts: tuple[str, ...]
    ingress: GivenIngress | None = None
    since: str


class PostgresChoice(_Choice):
    """The database.

    Attributes:
        version: as RDS takes it.
        generation: of the parameter group, goes up with its family; from 1 on it is part of the group's name.
    """

    version: str
    instance_class: str
    generation: int = 0


class RedisChoice(_Choice):
    """Valkey.

    Attributes:
        family: of the parameter group.
        generation: of the parameter group, goes up with its family; from 1 on it is part of the group's name.
        has_user: whether clients need a password; the first releases relied on the network alone.
    """

    version: str
    family: str
    node_type: str
    generation: int = 0
    has_user: bool = False


class Choices(_Choice):
    """All choices of an environment.

    Attributes:
        zones: in a cluster of the user's, those of the stores.
        kubernetes: None in a cluster of the user's, as are the nodes.
        nodes: of Beta9's workers.
        system: of what the cluster itself needs; earlier releases had no such group.
        cluster: of the user's; None when the environment has its own.
    """

    form: Literal[1] = 1
    zones: tuple[Zone, ...]
    network: NetworkChoice | GivenNetwork
    kubernetes: KubernetesChoice | None = None
    nodes: NodesChoice | None = None
    system: NodesChoice | None = None
    cluster: ExistingCluster | None = None
    postgres: PostgresChoice
    redis: RedisChoice

    @model_validator(mode="after")
    def _one_cluster(self) -> Self:
        made = self.kubernetes is not None and self.nodes is not None
        if made == (self.cluster is not None):
            raise ValueError("the cluster is either made or the user's own")
        return self

    @classmethod
    def first(
        cls,
        config: EnvironmentConfig,
        zones: tuple[Zone, ...],
        *,
        network: GivenNetwork | None = None,
        cluster: ExistingCluster | None = None,
        instance_class: str | None = None,
        release: str | None = None,
    ) -> Self:
        """Return the choices for a new environment in these zones, in this network or in one that is made.

        Its cluster is this one or is made, too. Its database is of this class, or of the first that its size
        names, and its nodes are of this release of the AMI, or of the one that EKS takes.
        """
        size = SIZES[config.cluster.profile]
        kubernetes = KubernetesChoice(version=DEFAULTS.kubernetes, add_ons=dict(ADD_ONS[DEFAULTS.kubernetes]))
        is_made = cluster is None
        return cls(
            zones=zones,
            network=network or _network(config, len(zones)),
            kubernetes=kubernetes if is_made else None,
            nodes=NodesChoice.first(size.nodes, release, config.cluster.capacity) if is_made else None,
            system=NodesChoice.first(size.system, release) if is_made else None,
            cluster=cluster,
            postgres=PostgresChoice(
                version=DEFAULTS.postgres,
                instance_class=instance_class or SIZES[config.data.postgres.size].postgres_classes[0],
                generation=1,
            ),
            redis=RedisChoice(
                version=DEFAULTS.valkey,
                family=f"valkey{DEFAULTS.valkey.split('.')[0]}",
                node_type=SIZES[config.data.redis.size].redis_node_type,
                generation=1,
                has_user=True,
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
