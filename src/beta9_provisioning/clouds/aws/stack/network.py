"""The network: a VPC over the chosen zones, with public and private subnets and a NAT gateway."""

from dataclasses import dataclass

from beta9_provisioning.clouds.aws.choices import Zone
from beta9_provisioning.clouds.aws.names import Names
from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.engine.synthesis.bindings import Resource, Stack
from beta9_provisioning.engine.synthesis.blocks import Ref


@dataclass(frozen=True)
class Network:
    """What the other parts need of the network.

    Attributes:
        vpc_id: the VPC.
        private_subnet_ids: one subnet per zone, with a way out through the NAT gateway.
        egress: the resources that must exist before anything in a private subnet can reach the internet.
    """

    vpc_id: Ref
    private_subnet_ids: list[Ref]
    egress: list[Resource]


def add_network(draft: Draft) -> Network:
    """Add the network to the stack."""
    stack, names = draft.stack, draft.names
    zones, ranges = draft.choices.zones, draft.choices.network
    vpc = Resource(
        stack,
        "aws_vpc",
        "main",
        cidr_block=ranges.cidr,
        enable_dns_support=True,
        enable_dns_hostnames=True,
        tags={"Name": names.stem},
    )
    gateway = Resource(stack, "aws_internet_gateway", "main", vpc_id=vpc.ref("id"), tags={"Name": names.stem})
    public = _subnets(stack, names, vpc, zones, kind="public", cidrs=ranges.public, role_tag="elb")
    private = _subnets(
        stack, names, vpc, zones, kind="private", cidrs=ranges.private, role_tag="internal-elb"
    )
    public_routes = _routes(stack, names, vpc, public, kind="public", gateway_id=gateway.ref("id"))
    nat = _nat_gateway(stack, names, public[0], gateway)
    private_routes = _routes(stack, names, vpc, private, kind="private", nat_gateway_id=nat.ref("id"))
    return Network(
        vpc_id=vpc.ref("id"),
        private_subnet_ids=[subnet.ref("id") for subnet in private],
        egress=[*public_routes, *private_routes],
    )


def _subnets(
    stack: Stack,
    names: Names,
    vpc: Resource,
    zones: tuple[Zone, ...],
    *,
    kind: str,
    cidrs: tuple[str, ...],
    role_tag: str,
) -> list[Resource]:
    # The role tags are how load balancer controllers find their subnets:
    # https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html
    return [
        Resource(
            stack,
            "aws_subnet",
            f"{kind}_{index}",
            vpc_id=vpc.ref("id"),
            # A zone's name means another place in another account; where the id is known, it is taken.
            availability_zone=None if zone.id else zone.name,
            availability_zone_id=zone.id,
            cidr_block=cidr,
            map_public_ip_on_launch=kind == "public",
            tags={
                "Name": f"{names.stem}-{kind}-{zone.name}",
                f"kubernetes.io/role/{role_tag}": "1",
                f"kubernetes.io/cluster/{names.cluster}": "shared",
            },
        )
        for index, (zone, cidr) in enumerate(zip(zones, cidrs, strict=True))
    ]


def _nat_gateway(stack: Stack, names: Names, subnet: Resource, gateway: Resource) -> Resource:
    address = Resource(
        stack, "aws_eip", "nat", domain="vpc", tags={"Name": f"{names.stem}-nat"}, depends_on=[gateway]
    )
    return Resource(
        stack,
        "aws_nat_gateway",
        "main",
        allocation_id=address.ref("allocation_id"),
        subnet_id=subnet.ref("id"),
        tags={"Name": names.stem},
        # AWS refuses to detach an internet gateway while a NAT gateway still has its public address.
        depends_on=[gateway],
    )


def _routes(
    stack: Stack,
    names: Names,
    vpc: Resource,
    subnets: list[Resource],
    *,
    kind: str,
    gateway_id: Ref | None = None,
    nat_gateway_id: Ref | None = None,
) -> list[Resource]:
    table = Resource(
        stack, "aws_route_table", kind, vpc_id=vpc.ref("id"), tags={"Name": f"{names.stem}-{kind}"}
    )
    route = Resource(
        stack,
        "aws_route",
        kind,
        route_table_id=table.ref("id"),
        destination_cidr_block="0.0.0.0/0",
        gateway_id=gateway_id,
        nat_gateway_id=nat_gateway_id,
    )
    associations = [
        Resource(
            stack,
            "aws_route_table_association",
            f"{kind}_{index}",
            route_table_id=table.ref("id"),
            subnet_id=subnet.ref("id"),
        )
        for index, subnet in enumerate(subnets)
    ]
    return [route, *associations]
