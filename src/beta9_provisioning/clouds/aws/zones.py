"""In which availability zones of an account an environment can be, and in which it will be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from beta9_provisioning.clouds.aws.choices import Zone
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

USUAL = 3
LEAST = 2
# Where EKS makes no control plane: "Subnet requirements and considerations" in the EKS user guide.
WITHOUT_EKS = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})


def available(session: AwsSession, instance_types: Collection[str]) -> list[Zone]:
    """Return the zones of the account's region that EKS takes and that offer these types, by id.

    Raises:
        AwsError: AWS failed, or the role may not ask.
    """
    found = of_region(session)
    fit = set.intersection(*offering(session, instance_types).values()) - WITHOUT_EKS
    return sorted((zone for zone in found if zone.id in fit), key=lambda zone: zone.id or "")


def of_region(session: AwsSession) -> list[Zone]:
    """Return all availability zones of the account's region; local zones are none.

    Raises:
        AwsError: AWS failed, or the role may not ask.
    """
    ec2: EC2Client = session.client("ec2")
    wanted = [
        {"Name": "zone-type", "Values": ["availability-zone"]},
        {"Name": "state", "Values": ["available"]},
    ]
    with session.explained("list the availability zones of the region"):
        answer = ec2.describe_availability_zones(Filters=wanted)  # type: ignore[arg-type]
    return [Zone(id=zone["ZoneId"], name=zone["ZoneName"]) for zone in answer["AvailabilityZones"]]


def offering(session: AwsSession, instance_types: Collection[str]) -> dict[str, set[str]]:
    """Return the ids of the zones that offer each of these types.

    Raises:
        AwsError: AWS failed, or the role may not ask.
    """
    ec2: EC2Client = session.client("ec2")
    found: dict[str, set[str]] = {type_: set() for type_ in instance_types}
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone-id",
        Filters=[{"Name": "instance-type", "Values": sorted(found)}],
    )
    with session.explained("list the zones that offer the nodes' instance types"):
        for page in pages:
            for one in page["InstanceTypeOfferings"]:
                found[one["InstanceType"]].add(one["Location"])
    return found


def choose(found: Sequence[Zone], wanted: Sequence[str] | None) -> tuple[Zone, ...]:
    """Return the zones for an environment: those that its user wants, else three, or two where there are two.

    Raises:
        AwsError: `zones_unavailable`.
    """
    known = {zone.id: zone for zone in found}
    chosen = [known[id_] for id_ in wanted if id_ in known] if wanted else list(found[:USUAL])
    missing = [id_ for id_ in wanted or () if id_ not in known]
    if missing or len(chosen) < LEAST:
        offered = ", ".join(f"{zone.id} ({zone.name})" for zone in found) or "none"
        raise AwsError(
            f"The account has no zone {', '.join(missing)} that EKS takes and that offers the nodes' types."
            if missing
            else f"The account has {len(chosen)} zones that EKS takes, and an environment needs {LEAST}.",
            detail=f"Zones of the region: {offered}.",
            remedy="Correct cloud.zones, or leave it out." if missing else "Choose another region.",
            code="zones_unavailable",
        )
    return tuple(chosen)
