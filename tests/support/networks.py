"""A VPC of somebody's own in the simulated cloud, in which an environment can live until a test spoils it."""

from __future__ import annotations

from typing import Any

from tests.support.configs import document

from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_simulator.cloud.store import NewObject, Store, StoredObject
from beta9_simulator.cloud.zones import zones_of

REGION = "us-east-1"
VPC = "vpc-00000001"
PRIVATE, PUBLIC, DATA = ([f"subnet-000000{kind}{zone}" for zone in "abc"] for kind in "123")
ZONES = ("use1-az1", "use1-az2", "use1-az4")
_RANGES = {
    **{id_: f"10.20.{4 * number}.0/22" for number, id_ in enumerate(PRIVATE)},
    **{id_: f"10.20.{100 + number}.0/26" for number, id_ in enumerate(PUBLIC)},
    **{id_: f"10.20.{200 + number}.0/27" for number, id_ in enumerate(DATA)},
}


class OwnNetwork:
    """The VPC, with three subnets of each kind."""

    def __init__(self, store: Store, account: str) -> None:
        self.store, self.account = store, account
        self.put("aws_vpc", VPC, **vpc("10.20.0.0/16", number=1))
        self.put("aws_internet_gateway", "igw-1", vpc_id=VPC)
        self.put("aws_nat_gateway", "nat-1", vpc_id=VPC, subnet_id=PUBLIC[0], allocation_id="eipalloc-1")
        for ids in (PRIVATE, PUBLIC, DATA):
            for zone, id_ in zip(ZONES, ids, strict=True):
                self.subnet(id_, zone, _RANGES[id_])
        for name, ids, target in (
            ("public", PUBLIC, {"gateway_id": "igw-1"}),
            ("private", PRIVATE, {"nat_gateway_id": "nat-1"}),
        ):
            self.put("aws_route_table", f"rtb-{name}", vpc_id=VPC)
            self.route(name, **target)
            for id_ in ids:
                self.put("aws_route_table_association", id_, route_table_id=f"rtb-{name}", subnet_id=id_)

    def put(self, type_: str, id_: str, **state: Any) -> StoredObject:
        new = NewObject(self.account, REGION, type_, id_, id_, {"id": id_, "arn": f"arn:{id_}", **state})
        return self.store.create(new, replace=True)

    def subnet(self, id_: str, zone: str, cidr: str, **state: Any) -> None:
        names = {one.id: one.name for one in zones_of(self.account, REGION)}
        about = {
            "vpc_id": VPC,
            "cidr_block": cidr,
            "availability_zone": names.get(zone, f"{REGION}-local"),
            "availability_zone_id": zone,
            "map_public_ip_on_launch": False,
        }
        self.put("aws_subnet", id_, **about | state)

    def route(self, name: str, **target: str) -> None:
        """Let a table have this default route and no other."""
        whole = {"gateway_id": "", "nat_gateway_id": "", **target}
        table = f"rtb-{name}"
        self.put("aws_route", name, route_table_id=table, destination_cidr_block="0.0.0.0/0", **whole)

    def one(self, type_: str, id_: str) -> StoredObject:
        (found,) = self.store.find(type_, account=self.account, id=id_)
        return found

    def change(self, type_: str, id_: str, **changes: Any) -> None:
        self.store.edit(self.one(type_, id_), **changes)

    def remove(self, type_: str, id_: str) -> None:
        self.store.delete(self.one(type_, id_))

    def everything(self) -> dict[tuple[str, ...], Any]:
        """Return all that the account holds."""
        return {
            (one.type, one.region, one.id): (one.state, one.tags)
            for one in self.store.find(account=self.account)
        }


def vpc(cidr: str, *, number: int) -> dict[str, Any]:
    """Return the attributes of a VPC."""
    return {
        "cidr_block": cidr,
        "instance_tenancy": "default",
        "enable_dns_support": True,
        "enable_dns_hostnames": True,
        "main_route_table_id": f"rtb-main{number}",
        "default_network_acl_id": f"acl-default{number}",
    }


def in_own_network(**changes: Any) -> EnvironmentConfig:
    """Return the smallest configuration in it; changes are those of `configs.document`."""
    named = {
        "vpc_id": VPC,
        "private_subnet_ids": PRIVATE,
        "public_subnet_ids": PUBLIC,
        "data_subnet_ids": DATA,
    }
    return EnvironmentConfig.model_validate(document(**{"network": named} | changes))
