"""A network of the user's: what is chosen of it, and every fault that is told before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.clouds.aws.conftest import Customer
from tests.clouds.aws.test_first_choices import session_of
from tests.support.networks import DATA, PRIVATE, PUBLIC, REGION, VPC, ZONES, OwnNetwork, in_own_network, vpc

from beta9_provisioning.clouds.aws import network_checks
from beta9_provisioning.clouds.aws.account import AwsAccount
from beta9_provisioning.clouds.aws.choices import Choices, GivenNetwork
from beta9_provisioning.clouds.aws.cloud import Aws
from beta9_provisioning.clouds.aws.given_network import Named, look, needed
from beta9_provisioning.clouds.aws.network_survey import Survey
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_simulator.cloud import offerings
from beta9_simulator.cloud.network_acls import add_acl, entry

ENDPOINTS = ("ec2", "ecr.api", "ecr.dkr", "eks-auth", "elasticloadbalancing", "sts")


@pytest.fixture
def network(customer: Customer) -> Iterator[OwnNetwork]:
    """A network that fits."""
    yield OwnNetwork(customer.store, customer.target.account_id)
    customer.store.set_setting("not_orderable", "")


def faults(customer: Customer, **changes: Any) -> list[str]:
    with pytest.raises(AwsError) as caught:
        look(session_of(customer), in_own_network(**changes))
    assert caught.value.code == "network_unfit"
    return caught.value.detail.split("\n")


def test_it_is_taken_as_it_is_in_the_order_of_the_zones(customer: Customer, network: OwnNetwork) -> None:
    before = network.everything()
    wanted = in_own_network(network__private_subnet_ids=PRIVATE[::-1])
    made = Choices.model_validate(AwsAccount(customer.target).choose(wanted))
    assert network.everything() == before
    assert tuple(zone.id for zone in made.zones) == ZONES
    assert made.network == GivenNetwork(
        vpc_id=VPC,
        service_cidr="172.20.0.0/16",
        private=tuple(PRIVATE),
        public=tuple(PUBLIC),
        data=tuple(DATA),
        data_cidrs=("10.20.200.0/27", "10.20.201.0/27", "10.20.202.0/27"),
    )
    guarded = Aws().guarded_networks(made.model_dump(mode="json"))
    assert set(guarded) == {*made.network.data_cidrs, "169.254.169.254/32"}


def test_with_private_subnets_alone_the_stores_are_in_them_and_nothing_is_guarded(
    customer: Customer, network: OwnNetwork
) -> None:
    named = {"vpc_id": VPC, "private_subnet_ids": PRIVATE[:2]}
    made = Choices.model_validate(AwsAccount(customer.target).choose(in_own_network(network=named)))
    assert isinstance(made.network, GivenNetwork)
    assert (made.network.public, made.network.data) == ((), tuple(PRIVATE[:2]))
    assert Aws().guarded_networks(made.model_dump(mode="json")) == ("169.254.169.254/32",)


def _no_route(network: OwnNetwork) -> None:
    network.remove("aws_route", "private")


def _endpoints(network: OwnNetwork, *names: str, **state: Any) -> None:
    for name in names:
        gateway = name == "s3"
        about = {
            "vpc_id": VPC,
            "service_name": f"com.amazonaws.{REGION}.{name}",
            "vpc_endpoint_type": "Gateway" if gateway else "Interface",
            "state": "available",
            "private_dns_enabled": not gateway,
            "route_table_ids": ["rtb-private"] if gateway else [],
        }
        network.put("aws_vpc_endpoint", f"vpce-{name}", **about | state)


def _acl(network: OwnNetwork, subnets: list[str], *entries: dict[str, Any]) -> None:
    everything = [entry(900, "allow", egress=egress) for egress in (True, False)]
    add_acl(network.store, network.one("aws_vpc", VPC), "acl-1", [*entries, *everything], subnets)


def _refusal(*, egress: bool, ports: tuple[int, int]) -> dict[str, Any]:
    return entry(100, "deny", egress=egress, protocol="6", ports=ports)


def _both(number: int, **told: Any) -> list[dict[str, Any]]:
    return [entry(number, "deny", egress=egress, **told) for egress in (True, False)]


SPOILED: dict[str, tuple[Callable[[OwnNetwork], object], str]] = {
    "tenancy": (
        lambda network: network.change("aws_vpc", VPC, instance_tenancy="dedicated"),
        f"{VPC}: has the tenancy dedicated",
    ),
    "names": (
        lambda network: network.change("aws_vpc", VPC, enable_dns_hostnames=False),
        f"{VPC}: enableDnsHostnames is off",
    ),
    "resolution": (
        lambda network: network.change("aws_vpc", VPC, enable_dns_support=False),
        f"{VPC}: enableDnsSupport is off",
    ),
    "services": (
        lambda network: network.change("aws_vpc", VPC, secondary_cidrs=["172.20.128.0/20"]),
        f"{VPC}: its range 172.20.128.0/20 overlaps network.service_cidr (172.20.0.0/16)",
    ),
    "absent": (
        lambda network: network.remove("aws_subnet", PRIVATE[1]),
        f"{PRIVATE[1]}: there is no such subnet in the account and region; correct network.private_",
    ),
    "elsewhere": (
        lambda network: network.change("aws_subnet", DATA[0], vpc_id="vpc-00000002"),
        f"{DATA[0]}: is of vpc-00000002; name subnets of {VPC} in network.data_subnet_ids",
    ),
    "one zone": (
        lambda network: network.change("aws_subnet", PUBLIC[1], availability_zone_id=ZONES[0]),
        f"{PUBLIC[1]}: is in the zone use1-az1 as {PUBLIC[0]} is",
    ),
    "local zone": (
        lambda network: network.change("aws_subnet", DATA[1], availability_zone_id="use1-bos1-az1"),
        "which is no availability zone of the region",
    ),
    "outpost": (
        lambda network: network.change("aws_subnet", DATA[1], outpost_arn="arn:aws:outposts:x"),
        "which is no availability zone of the region",
    ),
    "six": (
        lambda network: network.change("aws_subnet", DATA[1], ipv6_native=True),
        f"{DATA[1]}: has no IPv4 addresses",
    ),
    "no control plane": (
        lambda network: network.change("aws_subnet", PRIVATE[0], availability_zone_id="use1-az3"),
        f"{PRIVATE[0]}: is in the zone use1-az3, in which EKS makes no control plane",
    ),
    "type": (
        lambda network: offerings.without(network.store, network.account, "t3.large", [ZONES[1]]),
        f"{PRIVATE[1]}: is in the zone use1-az2, which does not offer t3.large",
    ),
    "class": (
        lambda network: network.store.set_setting("not_orderable", "db.t4g.medium db.t3.medium"),
        "use1-az1, use1-az2, use1-az4: RDS offers none of db.t4g.medium, db.t3.medium",
    ),
    "private is public": (
        lambda network: network.route("private", gateway_id="igw-1"),
        f"{PRIVATE[2]}: its default route in rtb-private leads to an internet gateway",
    ),
    "blackhole": (
        lambda network: network.remove("aws_nat_gateway", "nat-1"),
        f"{PRIVATE[0]}: its default route in rtb-private is a blackhole",
    ),
    "peering": (
        lambda network: network.route("private", vpc_peering_connection_id="pcx-1"),
        f"{PRIVATE[0]}: its default route in rtb-private leads over a peering connection",
    ),
    "no way": (
        _no_route,
        f"{PRIVATE[0]}: rtb-private has no default route, and these endpoints are missing, without which "
        f"nodes do not work then: {', '.join(ENDPOINTS)}, s3;",
    ),
    "main table": (
        lambda network: network.remove("aws_route_table_association", PRIVATE[0]),
        f"{PRIVATE[0]}: rtb-main1 has no default route",
    ),
    "public is private": (
        lambda network: network.route("public", nat_gateway_id="nat-1"),
        f"{PUBLIC[0]}: rtb-public has no default route to an internet gateway",
    ),
    "gateway is gone": (
        lambda network: network.remove("aws_internet_gateway", "igw-1"),
        f"{PUBLIC[0]}: rtb-public has no default route to an internet gateway",
    ),
    "small": (
        lambda network: network.change("aws_subnet", PRIVATE[0], cidr_block="10.20.0.0/25"),
        f"{PRIVATE[0]}: has 123 free addresses and needs 212 (16 for EKS, 49 for each of 4 nodes)",
    ),
    "small for stores": (
        lambda network: network.change("aws_subnet", DATA[0], cidr_block="10.20.200.0/29"),
        f"{DATA[0]}: has 3 free addresses and needs 5 (5 for database and cache)",
    ),
    "small for the load balancer": (
        lambda network: network.change("aws_subnet", PUBLIC[1], cidr_block="10.20.101.0/29"),
        f"{PUBLIC[1]}: has 3 free addresses and needs 8 (8 for the load balancer)",
    ),
    "out": (
        lambda network: _acl(network, PRIVATE, *_both(100, protocol="6", ports=(443, 443))),
        f"acl-1: refuses TCP 443 outbound to 0.0.0.0/0 (rule 100) for {', '.join(PRIVATE)}; allow it, so "
        "that nodes reach AWS",
    ),
    "answers": (
        lambda network: _acl(network, PRIVATE[:1], _refusal(egress=False, ports=(1024, 32767))),
        f"acl-1: refuses TCP 1024-65535 inbound from 0.0.0.0/0 (rule 100) for {PRIVATE[0]}",
    ),
    "names inside": (
        lambda network: _acl(network, PRIVATE, *_both(100, protocol="17", ports=(53, 53))),
        f"acl-1: refuses UDP 53 inbound from 10.20.0.0/22 (rule 100) for {', '.join(PRIVATE[1:])}",
    ),
    "database": (
        lambda network: _acl(network, DATA, *_both(100, protocol="6", ports=(5432, 5432))),
        f"acl-1: refuses TCP 5432 inbound from 10.20.0.0/22 (rule 100) for {', '.join(DATA)}; allow it, so "
        "that Beta9 reaches database and cache",
    ),
    "cache": (
        lambda network: _acl(
            network, PRIVATE, *_both(100, protocol="6", ports=(6379, 6379), cidr="10.20.200.0/24")
        ),
        "acl-1: refuses TCP 6379 outbound to 10.20.200.0/27 (rule 100)",
    ),
    "pods": (
        lambda network: _acl(network, PUBLIC, entry(100, "deny", egress=True, cidr="10.0.0.0/8")),
        "acl-1: refuses TCP 1024-65535 outbound to 10.20.0.0/22 (rule 100)",
    ),
    "visitors": (
        lambda network: _acl(network, PUBLIC, _refusal(egress=False, ports=(443, 443))),
        f"acl-1: refuses TCP 443 inbound from 0.0.0.0/0 (rule 100) for {', '.join(PUBLIC)}; allow it, so "
        "that somebody reaches the load balancer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_what_does_not_do_is_named(customer: Customer, network: OwnNetwork, name: str) -> None:
    spoil, words = SPOILED[name]
    spoil(network)
    found = faults(customer)
    assert any(words in line for line in found), found
    assert all(line.partition(":")[0].startswith(("vpc-", "subnet-", "acl-", "use1-")) for line in found)


def test_a_vpc_that_there_is_not(customer: Customer, network: OwnNetwork) -> None:
    found = faults(customer, network__vpc_id="vpc-0000000f")
    assert "vpc-0000000f: there is no such VPC in the account and region; correct network.vpc_id" in found
    assert sum(f"is of {VPC}; name subnets of vpc-0000000f" in line for line in found) == 9


def test_nodes_without_a_load_balancer_in_their_zone(customer: Customer, network: OwnNetwork) -> None:
    (line,) = faults(customer, network__public_subnet_ids=PUBLIC[:2])
    assert line.startswith(f"{PRIVATE[2]}: is in the zone use1-az4, in which there is no public subnet")


def test_without_a_way_out_endpoints_will_do(customer: Customer, network: OwnNetwork) -> None:
    _no_route(network)
    _endpoints(network, *ENDPOINTS, "s3")
    look(session_of(customer), in_own_network())
    network.change("aws_vpc_endpoint", "vpce-sts", private_dns_enabled=False)
    network.change("aws_vpc_endpoint", "vpce-s3", route_table_ids=["rtb-public"])
    assert all(": sts, s3; add a route" in line for line in faults(customer))


def test_what_owners_close_for_a_reason_does_no_harm(customer: Customer, network: OwnNetwork) -> None:
    closed = [
        *_both(100, protocol="6", ports=(3389, 3389), cidr="0.0.0.0/0"),
        *_both(110, cidr="45.0.0.0/8"),
    ]
    for acl, subnets in (("acl-1", PRIVATE), ("acl-2", PUBLIC)):
        opened = [entry(900, "allow", egress=egress) for egress in (True, False)]
        if acl == "acl-1":
            rules = [one for one in closed if one["CidrBlock"] == "45.0.0.0/8"]
        else:
            office = entry(120, "allow", egress=False, cidr="198.51.100.0/24", protocol="6", ports=(443, 443))
            inside = entry(130, "allow", egress=False, cidr="10.20.0.0/16")
            rules, opened = [office, inside], opened[:1]
        add_acl(network.store, network.one("aws_vpc", VPC), acl, [*rules, *opened], subnets)
    look(session_of(customer), in_own_network())


def test_a_subnet_that_the_vpc_closes_to_the_internet() -> None:
    shut: Any = {
        "SubnetId": "subnet-1",
        "VpcId": VPC,
        "BlockPublicAccessStates": {"InternetGatewayBlockMode": "block-ingress"},
    }
    found = Survey(VPC, None, {}, {"subnet-1": shut}, [], [], [])
    (line,) = network_checks.of_public_routes(found, ["subnet-1"])
    assert line.startswith("subnet-1: the VPC's Block Public Access (block-ingress) keeps the internet out")


def test_addresses_are_counted_by_profile_and_zones() -> None:
    alone = {"vpc_id": VPC, "private_subnet_ids": PRIVATE}
    wanted = in_own_network(
        network=alone, cluster={"profile": "large"}, data={"redis": {"ha": True, "num_replicas": 2}}
    )
    found = needed(wanted, Named(PRIVATE, (), ()))
    # 20 and 6 nodes over three zones are 7 and 2, and one while a group is updated.
    assert {id_: one.addresses for id_, one in found.items()} == dict.fromkeys(PRIVATE, 16 + 10 * 49 + 8 + 7)
    two = needed(in_own_network(), Named(PRIVATE[:2], PUBLIC[:2], DATA[:2]))
    assert [two[ids[0]].addresses for ids in (PRIVATE, PUBLIC, DATA)] == [16 + 5 * 49, 8, 5]


def test_all_faults_are_told_at_once_and_nothing_was_made(customer: Customer, network: OwnNetwork) -> None:
    network.put("aws_vpc", "vpc-00000002", **vpc("10.30.0.0/16", number=2))
    names = ("names", "services", "private is public", "elsewhere", "small for the load balancer", "visitors")
    for name in names:
        SPOILED[name][0](network)
    network.remove("aws_subnet", PUBLIC[2])
    before, done = network.everything(), len(customer.store.operations())
    with pytest.raises(AwsError, match=rf"The network {VPC} does not fit: \d+ faults were found") as caught:
        AwsAccount(customer.target).choose(in_own_network())
    for name in names:
        assert SPOILED[name][1].split(";")[0].split(f", {PUBLIC[1]}")[0] in caught.value.detail, name
    assert f"{PUBLIC[2]}: there is no such subnet" in caught.value.detail
    assert network.everything() == before
    assert len(customer.store.operations()) == done
