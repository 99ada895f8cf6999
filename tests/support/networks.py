"""A VPC of somebody's own in the simulated cloud, in which an environment can live until a test spoils it."""

from __future__ import annotations

from typing import Any

from tests.support.configs import document

from beta9_provisioning.schemas.configuration import EnvironmentConfig, Network
from beta9_simulator.cloud.store import NewObject, Store, StoredObject
from beta9_simulator.cloud.zones import zones_of

REGION = "us-east-1"
VPC = "vpc-00000001"
PRIVATE, PUBLIC, DATA = ([f"subnet-000000{kind}{zone}" for zone in "abc"] for kind in "123")
ZONES = ("use1-az1", "use1-az2", "use1-az4")


class OwnNetwork:
    """The VPC, with three subnets of each kind."""

    def __init__(self, store: Store, account: str, named: Network | None = None) -> None:
        self.store, self.account = store, account
        named = named or in_own_network().network
        assert named.vpc_id is not None
        self.vpc_id = named.vpc_id
        private, public = named.private_subnet_ids or [], named.public_subnet_ids or []
        self.put("aws_vpc", self.vpc_id, **vpc("10.20.0.0/16", number=1))
        self.put("aws_internet_gateway", "igw-1", vpc_id=self.vpc_id)
        self.put("aws_nat_gateway", "nat-1", subnet_id=public[0], allocation_id="eipalloc-1")
        for first, step, bits, ids in (
            (0, 4, 22, private),
            (100, 1, 26, public),
            (200, 1, 27, named.data_subnet_ids or []),
        ):
            for number, (zone, id_) in enumerate(zip(ZONES, ids, strict=True)):
                self.subnet(id_, zone, f"10.20.{first + number * step}.0/{bits}")
        for name, ids, target in (
            ("public", public, {"gateway_id": "igw-1"}),
            ("private", private, {"nat_gateway_id": "nat-1"}),
        ):
            self.put("aws_route_table", f"rtb-{name}", vpc_id=self.vpc_id)
            self.route(name, **target)
            for id_ in ids:
                self.put("aws_route_table_association", id_, route_table_id=f"rtb-{name}", subnet_id=id_)

    def put(self, type_: str, id_: str, **state: Any) -> StoredObject:
        kind = type_.removeprefix("aws_").replace("_", "-")
        whole = {"id": id_, "arn": f"arn:aws:ec2:{REGION}:{self.account}:{kind}/{id_}", **state}
        new = NewObject(self.account, REGION, type_, id_, id_, whole, origin="api")
        return self.store.create(new, replace=True)

    def subnet(self, id_: str, zone: str, cidr: str, **state: Any) -> None:
        names = {one.id: one.name for one in zones_of(self.account, REGION)}
        about = {
            "vpc_id": self.vpc_id,
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
