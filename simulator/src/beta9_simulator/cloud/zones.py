"""Availability zones as an account sees them: the same places, under names of its own.

Which places a region has: "Availability Zone IDs for your AWS resources" in the AWS RAM user guide. In
accounts that are old enough, names are dealt at random; here by a digest of the account, so that an account
always sees the same. A region that is not listed has three zones, named in order.
"""

import hashlib
from dataclasses import dataclass

from beta9_simulator.cloud.rules import CloudError

_PLACES = {
    "us-east-1": 6,
    "us-east-2": 3,
    "us-west-2": 4,
    "eu-west-1": 3,
    "eu-central-1": 3,
    "ap-southeast-1": 3,
    "ap-northeast-1": 3,
}
# Regions whose places are not counted through.
_NUMBERS = {"ap-northeast-1": (1, 2, 4), "ca-central-1": (1, 2, 4), "us-west-1": (1, 3)}
_DIRECTIONS = {
    "north": "n",
    "south": "s",
    "east": "e",
    "west": "w",
    "central": "c",
    "northeast": "ne",
    "northwest": "nw",
    "southeast": "se",
    "southwest": "sw",
}


@dataclass(frozen=True)
class Zone:
    """A zone: its name in one account, and its id in all."""

    name: str
    id: str


def zones_of(account: str, region: str) -> list[Zone]:
    """Return the zones of a region, by the name that they have in an account."""
    numbers = _NUMBERS.get(region) or range(1, _PLACES.get(region, 3) + 1)
    ids = [f"{_prefix(region)}-az{number}" for number in numbers]
    if region in _PLACES:
        ids.sort(key=lambda id_: hashlib.sha256(f"{account}/{id_}".encode()).digest())
    return [Zone(f"{region}{letter}", id_) for letter, id_ in zip("abcdefgh", ids, strict=False)]


def zone_named(account: str, region: str, *, name: str | None, id_: str | None) -> Zone:
    """Return the zone of a new subnet; without name and id, the first one.

    Raises ``CloudError`` when the account has no such zone.
    """
    zones = zones_of(account, region)
    if name is None and id_ is None:
        return zones[0]
    for zone in zones:
        if name in (None, zone.name) and id_ in (None, zone.id):
            return zone
    parameter, value = ("availabilityZone", name) if name is not None else ("availabilityZoneId", id_)
    known = ", ".join(zone.name if name is not None else zone.id for zone in zones)
    raise CloudError(
        "InvalidParameterValue",
        f"Value ({value}) for parameter {parameter} is invalid. Subnets can currently only be created in the "
        f"following availability zones: {known}.",
    )


def _prefix(region: str) -> str:
    place, *middle, direction, number = region.split("-")
    inner = "g" if middle else ""
    return f"{place}{inner}{_DIRECTIONS[direction]}{number}"
