"""A cluster that its user made: whether an environment can live in it, and what is used of it.

It is looked at once, before anything is made: first by what AWS says of it and of its network, then through
its own API. Nothing of either is ever changed (ADR 24).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from beta9_provisioning.clouds.aws import (
    cluster_access,
    given_network,
    network_checks,
    network_needs,
    network_routes,
    zones,
)
from beta9_provisioning.clouds.aws.choices import ExistingCluster, GivenIngress, GivenNetwork
from beta9_provisioning.clouds.aws.cluster_survey import Found, in_cluster
from beta9_provisioning.clouds.aws.given_network import Place, in_order, zone_of
from beta9_provisioning.clouds.aws.network_routes import Way
from beta9_provisioning.clouds.aws.network_survey import Survey, survey
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession, described
from beta9_provisioning.engine.beta9.platform import TRAEFIK
from beta9_provisioning.engine.errors import EngineError, Stopped
from beta9_provisioning.engine.kubernetes.access import ClusterAccess
from beta9_provisioning.engine.tool_ports import KubernetesPort
from beta9_provisioning.schemas.configuration import EnvironmentConfig

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import SubnetTypeDef
    from types_boto3_eks.type_defs import ClusterTypeDef

Reach = Callable[[ClusterAccess], KubernetesPort]
"""Opens a cluster's API."""
# cert-manager 1.21 runs on 1.33 to 1.36 (https://cert-manager.io/docs/releases), Helm 4.1 talks to 1.35 at
# most (https://helm.sh/docs/topics/version_skew).
_VERSIONS = ((1, 33), (1, 35))
_LEAST_ZONES = 2
_ROLE_TAG = "kubernetes.io/role/elb"


@dataclass(frozen=True)
class Wanted:
    """Who asks for a place in which cluster.

    Attributes:
        workers_from: networks from which the workers come.
    """

    config: EnvironmentConfig
    environment_id: str
    role_arn: str
    workers_from: Sequence[str]

    @property
    def name(self) -> str:
        """Of the cluster."""
        assert self.config.cluster.existing_cluster_name is not None, "the configuration demands it"
        return self.config.cluster.existing_cluster_name


def look(session: AwsSession, wanted: Wanted, reach: Reach) -> tuple[Place, ExistingCluster]:
    """Look at the cluster that a configuration names, and return what is used of it.

    Raises:
        AwsError: `cluster_unfit` with every fault that was found; or AWS failed.
        Stopped: the stop event was set.
    """
    with session.explained(f"describe the EKS cluster {wanted.name}"):
        cluster = cluster_access.find(session, wanted.name)
    if cluster is None:
        fault = (
            f"{wanted.name}: there is no such EKS cluster in {session.region} of the account; correct "
            "cluster.existing_cluster_name or cloud.region"
        )
        raise _unfit(wanted.name, [fault])
    closed = [*_of_api(session, cluster, wanted)]
    network = _Network(session, cluster, wanted.config)
    instance_class, missing = given_network.database_class(session, wanted.config, network.stores)
    faults = [*_of_cluster(cluster), *closed, *network.faults, *missing]
    found = None
    if closed or not cluster_access.is_reachable(cluster):
        faults.append(f"{wanted.name}: what is in the cluster can be looked at only then")
    else:
        found, more = _inside(session, cluster, wanted, reach)
        faults += more
        if found is not None and TRAEFIK in found.shared.charts:
            faults += network.of_load_balancer()
    if faults or found is None:
        raise _unfit(wanted.name, faults)
    place = Place(tuple(map(zone_of, network.stores)), network.given(), instance_class)
    return place, _chosen(cluster, found)


def _unfit(name: str, faults: Sequence[str]) -> AwsError:
    count = "one fault was" if len(faults) == 1 else f"{len(faults)} faults were"
    return AwsError(
        f"The cluster {name} does not fit: {count} found, before anything was made.",
        detail="\n".join(faults),
        remedy="Do what each line of the detail says, then try again (docs/existing-cluster.md).",
        code="cluster_unfit",
    )


def _of_cluster(cluster: ClusterTypeDef) -> Iterator[str]:
    name, status = cluster["name"], cluster.get("status")
    if status != "ACTIVE":
        yield f"{name}: it is {status}; try again when it is ACTIVE"
    version = cluster.get("version", "")
    least, most = (".".join(map(str, one)) for one in _VERSIONS)
    if not _VERSIONS[0] <= tuple(map(int, version.split("."))) <= _VERSIONS[1]:
        yield f"{name}: it runs Kubernetes {version}, and the charts take {least} to {most}; bring it there"


def _of_api(session: AwsSession, cluster: ClusterTypeDef, wanted: Wanted) -> Iterator[str]:
    """Yield why its API could not be asked: without it nothing is known of what is inside."""
    lacks = cluster_access.lacking(session, cluster, wanted.role_arn)
    if lacks:
        yield lacks
    network = cluster.get("resourcesVpcConfig", {})
    is_open = network.get("endpointPublicAccess", False)
    allowed = network.get("publicAccessCidrs", []) if is_open else []
    ranges = [IPv4Network(cidr) for cidr in allowed if ":" not in cidr]
    shut = [one for one in wanted.workers_from if not any(map(IPv4Network(one).subnet_of, ranges))]
    if shut or not is_open:
        every = ",".join(sorted({*allowed, *shut})) or "<the workers' networks>"
        yield (
            f"{wanted.name}: the workers do not reach its Kubernetes API, for they come over the internet "
            f"from {', '.join(shut) or 'networks that this service does not tell'}; open it to them:\n  "
            f"aws eks update-cluster-config --region {session.region} --name {wanted.name} "
            f"--resources-vpc-config endpointPublicAccess=true,publicAccessCidrs={every}"
        )


def _inside(
    session: AwsSession, cluster: ClusterTypeDef, wanted: Wanted, reach: Reach
) -> tuple[Found | None, Sequence[str]]:
    """Look into the cluster; return what was found there, and what is wrong."""
    try:
        kubernetes = reach(cluster_access.access_of(session, cluster))
        with closing(kubernetes):
            found = in_cluster(session, kubernetes, cluster, wanted.config, wanted.environment_id)
    except Stopped:
        raise
    except EngineError as error:
        return None, [f"{wanted.name}: {error.message} {error.remedy} ({error.detail})"]
    return found, found.problems


def _chosen(cluster: ClusterTypeDef, found: Found) -> ExistingCluster:
    ingress = found.shared.ingress
    return ExistingCluster(
        name=cluster["name"],
        endpoint=cluster["endpoint"],
        version=cluster["version"],
        security_groups=tuple(found.security_groups),
        storage_class=found.storage_class,
        charts=tuple(sorted(found.shared.charts)),
        ingress=GivenIngress(**asdict(ingress)) if ingress else None,
        since=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )


class _Network:
    """The cluster's network, as far as an environment has to do with it."""

    def __init__(self, session: AwsSession, cluster: ClusterTypeDef, config: EnvironmentConfig) -> None:
        self._session = session
        self._config = config
        told = cluster.get("resourcesVpcConfig", {})
        self._vpc_id, self._own = told.get("vpcId", ""), list(told.get("subnetIds", ()))
        self._public = config.network.public_subnet_ids or []
        self._data = config.network.data_subnet_ids or []
        self._found = survey(session, self._vpc_id, [*self._own, *self._public, *self._data])
        self.stores = in_order(self._found.inside(self._data)) if self._data else self._inner_zones()
        self.faults = [*self._all_faults()]

    def given(self) -> GivenNetwork:
        """Return what is chosen of it."""
        return GivenNetwork(
            vpc_id=self._vpc_id,
            service_cidr=None,
            private=tuple(one["SubnetId"] for one in self._inner()),
            public=tuple(self._public),
            data=tuple(one["SubnetId"] for one in self.stores),
            data_cidrs=tuple(one["CidrBlock"] for one in self.stores if self._data),
        )

    def of_load_balancer(self) -> Iterator[str]:
        """Yield why the load balancer controller would find no subnet for a load balancer of ours."""
        if self._public or self._tagged():
            return
        yield (
            f"{self._vpc_id}: no subnet has the tag {_ROLE_TAG}, by which the load balancer controller finds "
            "those for the internet's way in; name them in network.public_subnet_ids"
        )

    def _all_faults(self) -> Iterator[str]:
        found, known = self._found, zones.of_region(self._session)
        inner = [one["SubnetId"] for one in self._inner()]
        stores = [one["SubnetId"] for one in self.stores]
        yield from network_checks.of_place(found, "public_subnet_ids", self._public, known)
        yield from network_checks.of_place(found, "data_subnet_ids", self._data, known)
        yield from network_checks.of_public_routes(found, self._public)
        yield from network_checks.of_coverage(found, self._public, inner)
        if len({one["AvailabilityZoneId"] for one in self.stores}) < _LEAST_ZONES:
            yield (
                f"{self._vpc_id}: database and cache need subnets without a route to an internet gateway in "
                "two zones, and the cluster's own are not enough; name some in network.data_subnet_ids"
            )
        yield from network_checks.of_addresses(
            found, dict.fromkeys(stores, network_needs.of_stores(self._config))
        )
        yield from network_checks.of_acls(found, inner, self._public, stores)

    def _inner(self) -> list[SubnetTypeDef]:
        """Return the cluster's own subnets that have no way to an internet gateway of their own."""
        return [one for one in in_order(self._found.inside(self._own)) if not _is_public(self._found, one)]

    def _inner_zones(self) -> list[SubnetTypeDef]:
        """Return one of them for each zone."""
        by_zone = {one["AvailabilityZoneId"]: one for one in reversed(self._inner())}
        return in_order(by_zone.values())

    def _tagged(self) -> bool:
        here = {"Name": "vpc-id", "Values": [self._vpc_id]}
        wanted = {"Name": "tag-key", "Values": [_ROLE_TAG]}
        with self._session.explained("look for subnets of load balancers"):
            return bool(described(self._session.client("ec2"), "describe_subnets", "Subnets", here, wanted))


def _is_public(found: Survey, subnet: SubnetTypeDef) -> bool:
    table = network_routes.table_of(subnet["SubnetId"], found.tables)
    return table is not None and network_routes.way(table["Routes"]) is Way.INTERNET_GATEWAY
