"""Which instance class of a size RDS offers in an account's zones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from beta9_provisioning.clouds.aws.choices import Zone
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession

if TYPE_CHECKING:
    from types_boto3_rds import RDSClient


def choose_class(
    session: AwsSession, classes: Sequence[str], version: str, zones: Sequence[Zone], *, multi_az: bool
) -> str:
    """Return the first of these classes that RDS offers for PostgreSQL of a version in enough of the zones.

    Raises:
        AwsError: `class_unavailable`; or AWS failed.
    """
    names = {zone.name for zone in zones}
    for instance_class in classes:
        if len(_zones_of(session, instance_class, version) & names) >= (2 if multi_az else 1):
            return instance_class
    raise AwsError(
        f"RDS offers none of {', '.join(classes)} for PostgreSQL {version} in the environment's zones.",
        detail=f"Zones: {', '.join(sorted(names))}.",
        remedy="Choose another size in data.postgres.size, other zones in cloud.zones, or another region.",
        code="class_unavailable",
    )


def _zones_of(session: AwsSession, instance_class: str, version: str) -> set[str]:
    rds: RDSClient = session.client("rds")
    found: set[str] = set()
    with session.explained(f"list where RDS offers {instance_class}"):
        pages = rds.get_paginator("describe_orderable_db_instance_options").paginate(
            Engine="postgres", DBInstanceClass=instance_class, Vpc=True
        )
        for page in pages:
            for option in page["OrderableDBInstanceOptions"]:
                # The version of an environment is a major one, or a minor one.
                if f"{option['EngineVersion']}.".startswith(f"{version}."):
                    found |= {zone["Name"] for zone in option["AvailabilityZones"]}
    return found
