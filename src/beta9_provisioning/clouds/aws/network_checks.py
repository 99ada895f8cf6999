"""What may be wrong with a network that exists already: each function yields one sentence for each fault.

A sentence begins with the id that it is about and ends with what to do. Nothing is asked here: all is in the
survey.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from beta9_provisioning.clouds.aws import network_acls, network_routes
from beta9_provisioning.clouds.aws.choices import Zone
from beta9_provisioning.clouds.aws.network_acls import ANYWHERE, EPHEMERAL, TCP, UDP, Traffic
from beta9_provisioning.clouds.aws.network_needs import Needed
from beta9_provisioning.clouds.aws.network_routes import Way
from beta9_provisioning.clouds.aws.network_survey import Survey
from beta9_provisioning.clouds.aws.zones import WITHOUT_EKS

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import SubnetTypeDef, VpcEndpointTypeDef

# "Pod requirements" of private clusters in the EKS user guide, without what is optional there and without EKS
# itself: managed nodes are told of their cluster when they start.
_INTERFACE_ENDPOINTS = ("ec2", "ecr.api", "ecr.dkr", "eks-auth", "elasticloadbalancing", "sts")
_GATEWAY_ENDPOINT = "s3"
_HTTPS = (443, 443)
_DNS = (53, 53)
# A few networks or ports of the internet may be refused; nodes reach the rest.
_TOLERATED = 0.1
_BLOCKED = frozenset({"block-bidirectional", "block-ingress"})


def of_vpc(found: Survey, service_cidr: str | None) -> Iterator[str]:
    """Yield what is wrong with the VPC as a whole."""
    vpc = found.vpc
    if vpc is None:
        yield f"{found.vpc_id}: there is no such VPC in the account and region; correct network.vpc_id"
        return
    if vpc["State"] != "available":
        yield f"{found.vpc_id}: is {vpc['State']}; try again when it is available"
    # "Understanding ElastiCache and Amazon VPCs" in the ElastiCache user guide: it demands the other tenancy.
    if vpc["InstanceTenancy"] != "default":
        yield (
            f"{found.vpc_id}: has the tenancy {vpc['InstanceTenancy']}, in which ElastiCache runs nothing; "
            "set its instance tenancy to default"
        )
    for name, is_on in found.has_dns.items():
        if not is_on:
            yield f"{found.vpc_id}: {name} is off, and nodes do not find their cluster without it; turn it on"
    if service_cidr is None:
        return
    services = IPv4Network(service_cidr)
    for cidr in found.ranges:
        if cidr.overlaps(services):
            yield (
                f"{found.vpc_id}: its range {cidr} overlaps network.service_cidr ({services}); choose "
                "another network.service_cidr"
            )


def of_place(found: Survey, field: str, ids: Sequence[str], zones: Collection[Zone]) -> Iterator[str]:
    """Yield which subnets of a field are not there, not in the VPC, or not in a zone of the region each."""
    known = {zone.id for zone in zones}
    taken: dict[str, str] = {}
    for id_ in ids:
        subnet = found.subnets.get(id_)
        if subnet is None:
            yield f"{id_}: there is no such subnet in the account and region; correct network.{field}"
            continue
        zone = subnet["AvailabilityZoneId"]
        if subnet["VpcId"] != found.vpc_id:
            yield f"{id_}: is of {subnet['VpcId']}; name subnets of {found.vpc_id} in network.{field}"
        if subnet["State"] != "available":
            yield f"{id_}: is {subnet['State']}; try again when it is available"
        if "OutpostArn" in subnet or zone not in known:
            yield f"{id_}: is in {subnet['AvailabilityZone']}, which is no availability zone of the region"
        elif (other := taken.setdefault(zone, id_)) != id_:
            yield f"{id_}: is in the zone {zone} as {other} is; name one for each zone in network.{field}"
        if subnet.get("Ipv6Native"):
            yield f"{id_}: has no IPv4 addresses; name another subnet in network.{field}"


def of_zones(subnets: Iterable[SubnetTypeDef], offering: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Yield which subnets are where EKS makes no control plane, or where a type of the nodes lacks."""
    for subnet in subnets:
        id_, zone = subnet["SubnetId"], subnet["AvailabilityZoneId"]
        if zone in WITHOUT_EKS:
            yield f"{id_}: is in the zone {zone}, in which EKS makes no control plane; name one elsewhere"
        for type_, where in sorted(offering.items()):
            if zone not in where:
                yield f"{id_}: is in the zone {zone}, which does not offer {type_}; name one elsewhere"


def of_private_routes(found: Survey, ids: Collection[str], region: str) -> Iterator[str]:
    """Yield from which private subnets nobody gets out, or gets out in the wrong way."""
    for subnet in found.inside(ids):
        id_ = subnet["SubnetId"]
        table = network_routes.table_of(id_, found.tables)
        if table is None:
            continue
        name = table["RouteTableId"]
        way = network_routes.way(table["Routes"])
        if way is Way.INTERNET_GATEWAY:
            yield (
                f"{id_}: its default route in {name} leads to an internet gateway, through which nodes "
                "without public addresses reach nothing; lead it to a NAT gateway, or name a private subnet"
            )
        elif way is Way.BLACKHOLE:
            yield f"{id_}: its default route in {name} is a blackhole, for its target is gone; mend it"
        elif way is Way.PEERING:
            yield (
                f"{id_}: its default route in {name} leads over a peering connection, by which nobody "
                "reaches the internet; lead it to a NAT gateway or a transit gateway"
            )
        elif way is Way.NONE and (missing := _missing_endpoints(found, name, region)):
            yield (
                f"{id_}: {name} has no default route, and these endpoints are missing, without which nodes "
                f"do not work then: {', '.join(missing)}; add a route to a NAT gateway, or the "
                "endpoints (with private DNS names)"
            )


def _missing_endpoints(found: Survey, table_id: str, region: str) -> list[str]:
    there = {
        one["ServiceName"].partition(f".{region}.")[2]
        for one in found.endpoints
        if one["State"].lower() == "available" and _serves(one, table_id)
    }
    return [name for name in (*_INTERFACE_ENDPOINTS, _GATEWAY_ENDPOINT) if name not in there]


def _serves(endpoint: VpcEndpointTypeDef, table_id: str) -> bool:
    if endpoint["VpcEndpointType"] == "Gateway":
        return table_id in endpoint.get("RouteTableIds", ())
    return bool(endpoint.get("PrivateDnsEnabled"))


def of_public_routes(found: Survey, ids: Collection[str]) -> Iterator[str]:
    """Yield which public subnets the internet does not reach."""
    for subnet in found.inside(ids):
        id_ = subnet["SubnetId"]
        table = network_routes.table_of(id_, found.tables)
        if table is not None and network_routes.way(table["Routes"]) is not Way.INTERNET_GATEWAY:
            yield (
                f"{id_}: {table['RouteTableId']} has no default route to an internet gateway that is "
                "attached; add one, or leave network.public_subnet_ids out for a load balancer inside"
            )
        mode = subnet.get("BlockPublicAccessStates", {}).get("InternetGatewayBlockMode", "off")
        if mode in _BLOCKED:
            yield f"{id_}: the VPC's Block Public Access ({mode}) keeps the internet out; exclude this subnet"


def of_coverage(found: Survey, public: Collection[str], private: Collection[str]) -> Iterator[str]:
    """Yield in which zones there would be nodes and no part of the load balancer: it sends nothing there."""
    covered = {subnet["AvailabilityZoneId"] for subnet in found.inside(public)}
    for subnet in found.inside(private):
        zone = subnet["AvailabilityZoneId"]
        if covered and zone not in covered:
            yield (
                f"{subnet['SubnetId']}: is in the zone {zone}, in which there is no public subnet, and a "
                "load balancer reaches pods in its own zones only; name one of that zone in "
                "network.public_subnet_ids"
            )


def of_addresses(found: Survey, needed: Mapping[str, Needed]) -> Iterator[str]:
    """Yield which subnets have too few free addresses; `needed` is by id."""
    for subnet in found.inside(needed):
        id_ = subnet["SubnetId"]
        if subnet["AvailableIpAddressCount"] < needed[id_].addresses:
            yield (
                f"{id_}: has {subnet['AvailableIpAddressCount']} free addresses and needs {needed[id_]}; "
                "name a larger subnet, or choose a smaller cluster.profile"
            )


@dataclass(frozen=True)
class _Need:
    """Traffic that the ACL of a subnet must let through: out of it, or in."""

    subnet_id: str
    is_out: bool
    traffic: Traffic
    why: str
    tolerated: float = 0.0


def of_acls(
    found: Survey, private: Collection[str], public: Collection[str], stores: Collection[str]
) -> Iterator[str]:
    """Yield what network ACLs refuse of what an environment needs, once for each ACL."""
    inside, outside, data = (list(found.inside(ids)) for ids in (private, public, stores))
    needs = [
        *_among(
            inside, inside, [(TCP, _DNS), (UDP, _DNS), (TCP, _HTTPS), (TCP, EPHEMERAL)], "nodes reach nodes"
        ),
        *_among(inside, data, [(TCP, (5432, 5432)), (TCP, (6379, 6379))], "Beta9 reaches database and cache"),
        *_among(outside, inside, [(TCP, EPHEMERAL)], "the load balancer reaches pods"),
        *_outward(found, inside),
        *_inward(outside),
    ]
    blocked: dict[tuple[str, bool, Traffic, str, str], list[str]] = {}
    for need in needs:
        acl = found.acl_of(need.subnet_id)
        if acl is None:
            continue
        rules = network_acls.entries(acl["Entries"], egress=need.is_out)
        shares = network_acls.refused(rules, need.traffic)
        if sum(shares.values()) > need.tolerated:
            by = max(shares, key=lambda number: shares[number])
            rule = "rule *" if by == network_acls.REST else f"rule {by}"
            key = (acl["NetworkAclId"], need.is_out, need.traffic, need.why, rule)
            blocked.setdefault(key, []).append(need.subnet_id)
    for (acl_id, is_out, traffic, why, rule), subnets in blocked.items():
        direction = "outbound to" if is_out else "inbound from"
        yield (
            f"{acl_id}: refuses {traffic} {direction} {traffic.cidr} ({rule}) for "
            f"{', '.join(sorted(set(subnets)))}; allow it, so that {why}"
        )


def _among(
    clients: Iterable[SubnetTypeDef],
    servers: Sequence[SubnetTypeDef],
    asked: Sequence[tuple[str, tuple[int, int]]],
    why: str,
) -> Iterator[_Need]:
    """Yield what is needed for requests between two kinds of subnets, and for the answers."""
    for client in clients:
        for server in servers:
            if client["SubnetId"] == server["SubnetId"]:
                continue
            origin, target = IPv4Network(client["CidrBlock"]), IPv4Network(server["CidrBlock"])
            for protocol, ports in asked:
                yield _Need(client["SubnetId"], True, Traffic(protocol, target, ports), why)
                yield _Need(server["SubnetId"], False, Traffic(protocol, origin, ports), why)
                yield _Need(server["SubnetId"], True, Traffic(protocol, origin, EPHEMERAL), why)
                yield _Need(client["SubnetId"], False, Traffic(protocol, target, EPHEMERAL), why)


def _outward(found: Survey, private: Iterable[SubnetTypeDef]) -> Iterator[_Need]:
    for subnet in private:
        table = network_routes.table_of(subnet["SubnetId"], found.tables)
        if table is None or network_routes.way(table["Routes"]) is not Way.ONWARD:
            continue
        why = "nodes reach AWS and the registries of images"
        yield _Need(subnet["SubnetId"], True, Traffic(TCP, ANYWHERE, _HTTPS), why, _TOLERATED)
        yield _Need(subnet["SubnetId"], False, Traffic(TCP, ANYWHERE, EPHEMERAL), why, _TOLERATED)


def _inward(public: Iterable[SubnetTypeDef]) -> Iterator[_Need]:
    """Yield what the load balancer needs: that anybody reaches it, whoever the owner says."""
    for subnet in public:
        why = "somebody reaches the load balancer"
        for is_out, ports in ((False, _HTTPS), (True, EPHEMERAL)):
            nearly = 1 - 1 / ANYWHERE.num_addresses
            yield _Need(subnet["SubnetId"], is_out, Traffic(TCP, ANYWHERE, ports), why, nearly)
