"""A network that its user made: whether an environment can live in it, and what is chosen of it.

It is looked at once, before anything is made, and nothing of it is ever changed. A later release may look
more closely, and what stands in a network keeps working there, so it is not looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from beta9_provisioning.clouds.aws import network_checks, network_needs, zones
from beta9_provisioning.clouds.aws.choices import GivenNetwork, Zone
from beta9_provisioning.clouds.aws.network_needs import Needed
from beta9_provisioning.clouds.aws.network_survey import Survey, survey
from beta9_provisioning.clouds.aws.orderable import choose_class
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.clouds.aws.sizes import SIZES, node_types
from beta9_provisioning.clouds.aws.versions import DEFAULTS
from beta9_provisioning.schemas.configuration import EnvironmentConfig

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import SubnetTypeDef


@dataclass(frozen=True)
class Place:
    """What is chosen of a network, with the class of the database that RDS offers there."""

    zones: tuple[Zone, ...]
    network: GivenNetwork
    instance_class: str


@dataclass(frozen=True)
class Named:
    """The subnets that a configuration names, by ids."""

    private: Sequence[str]
    public: Sequence[str]
    data: Sequence[str]

    @property
    def stores(self) -> Sequence[str]:
        """Where database and cache are."""
        return self.data or self.private


def look(session: AwsSession, config: EnvironmentConfig) -> Place:
    """Look at the network that a configuration names, and return what is chosen of it.

    Raises:
        AwsError: `network_unfit` with every fault that was found; or AWS failed.
    """
    network = config.network
    assert network.vpc_id is not None
    named = Named(
        network.private_subnet_ids or (), network.public_subnet_ids or (), network.data_subnet_ids or ()
    )
    found = survey(session, network.vpc_id, [*named.private, *named.public, *named.data])
    known, offering = zones.of_region(session), zones.offering(session, node_types(config))
    faults = [
        *network_checks.of_vpc(found, network.service_cidr),
        *network_checks.of_place(found, "private_subnet_ids", named.private, known),
        *network_checks.of_place(found, "public_subnet_ids", named.public, known),
        *network_checks.of_place(found, "data_subnet_ids", named.data, known),
        *network_checks.of_zones(found.inside(named.private), offering),
        *network_checks.of_private_routes(found, named.private, session.region),
        *network_checks.of_public_routes(found, named.public),
        *network_checks.of_coverage(found, named.public, named.private),
        *network_checks.of_addresses(found, needed(config, named)),
        *network_checks.of_acls(found, named.private, named.public, named.data),
    ]
    instance_class, missing = database_class(session, config, found.inside(named.stores))
    refuse(network.vpc_id, [*faults, *missing])
    return Place(
        zones=tuple(map(zone_of, in_order(found.inside(named.private)))),
        network=_given(found, network.service_cidr, named),
        instance_class=instance_class,
    )


def needed(config: EnvironmentConfig, named: Named) -> dict[str, Needed]:
    """Return how many free addresses each of the subnets must have."""
    found: dict[str, Needed] = {}
    kinds = (
        (named.private, network_needs.of_nodes(config, len(named.private)) if named.private else Needed(0)),
        (named.public or named.private, network_needs.of_balancer()),
        (named.stores, network_needs.of_stores(config)),
    )
    for ids, one in kinds:
        for id_ in ids:
            found[id_] = found[id_] + one if id_ in found else one
    return found


def database_class(
    session: AwsSession, config: EnvironmentConfig, stores: Iterable[SubnetTypeDef]
) -> tuple[str, tuple[str, ...]]:
    """Return the class that the database gets in these subnets, or why RDS offers none there."""
    postgres, places = config.data.postgres, tuple(map(zone_of, stores))
    classes = SIZES[postgres.size].postgres_classes
    try:
        if places:
            return choose_class(session, classes, DEFAULTS.postgres, places, multi_az=postgres.multi_az), ()
    except AwsError as error:
        if error.code != "class_unavailable":
            raise
        where = ", ".join(sorted(zone.id or zone.name for zone in places))
        return "", (f"{where}: {error.message} Choose another data.postgres.size, or subnets elsewhere",)
    return "", ()


def refuse(id_: str, faults: Sequence[str]) -> None:
    """Raise `network_unfit` when there are faults: all of them are told, one on each line."""
    if faults:
        count = "one fault was" if len(faults) == 1 else f"{len(faults)} faults were"
        raise AwsError(
            f"The network {id_} does not fit: {count} found, before anything was made.",
            detail="\n".join(faults),
            remedy="Do what each line of the detail says, then try again (docs/own-network.md).",
            code="network_unfit",
        )


def zone_of(subnet: SubnetTypeDef) -> Zone:
    """Return the zone that a subnet is in."""
    return Zone(id=subnet["AvailabilityZoneId"], name=subnet["AvailabilityZone"])


def in_order(subnets: Iterable[SubnetTypeDef]) -> list[SubnetTypeDef]:
    """Return subnets in the order of their zones."""
    return sorted(subnets, key=lambda subnet: (subnet["AvailabilityZoneId"], subnet["SubnetId"]))


def _given(found: Survey, service_cidr: str, named: Named) -> GivenNetwork:
    def ids(of: Sequence[str]) -> tuple[str, ...]:
        return tuple(subnet["SubnetId"] for subnet in in_order(found.inside(of)))

    return GivenNetwork(
        vpc_id=found.vpc_id,
        service_cidr=service_cidr,
        private=ids(named.private),
        public=ids(named.public),
        data=ids(named.stores),
        data_cidrs=tuple(subnet["CidrBlock"] for subnet in in_order(found.inside(named.data))),
    )
