"""The network: a VPC over the chosen zones, with public, private and data subnets, and what leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beta9_provisioning.clouds.aws.choices import GivenNetwork, NetworkChoice
from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.clouds.aws.stack.iam import Iam
from beta9_provisioning.engine.synthesis.bindings import Resource
from beta9_provisioning.engine.synthesis.blocks import Ref
from beta9_provisioning.schemas.configuration import Nat


@dataclass(frozen=True)
class Network:
    """What the other parts need of the network.

    Attributes:
        vpc_id: the VPC.
        private_subnet_ids: one subnet per zone, with a way out through a NAT gateway.
        store_subnet_ids: the subnets of the stores, without a way out; of earlier releases the private ones.
        egress: the resources that must exist before anything in a private subnet can reach the internet.
    """

    vpc_id: Ref | str
    private_subnet_ids: Sequence[Ref | str]
    store_subnet_ids: Sequence[Ref | str]
    egress: Sequence[Resource] = ()


def add_network(draft: Draft, iam: Iam) -> Network:
    """Add the network to the stack, unless it is the user's own."""
    choice = draft.choices.network
    if isinstance(choice, GivenNetwork):
        return Network(choice.vpc_id, choice.private, choice.data)
    return _made_network(draft, iam, choice)


def _made_network(draft: Draft, iam: Iam, ranges: NetworkChoice) -> Network:
    stack, names = draft.stack, draft.names
    vpc = Resource(
        stack,
        "aws_vpc",
        "main",
        cidr_block=ranges.cidr,
        enable_dns_support=True,
        enable_dns_hostnames=True,
        tags={"Name": names.stem},
    )
    # The group that comes with every VPC lets its members talk; without rules nobody gains by being in it.
    Resource(
        stack,
        "aws_default_security_group",
        "main",
        vpc_id=vpc.ref("id"),
        tags={"Name": f"{names.stem}-default"},
    )
    _flow_log(draft, iam, vpc)
    gateway = Resource(stack, "aws_internet_gateway", "main", vpc_id=vpc.ref("id"), tags={"Name": names.stem})
    public = _subnets(draft, vpc, kind="public", cidrs=ranges.public, role="elb")
    private = _subnets(draft, vpc, kind="private", cidrs=ranges.private, role="internal-elb")
    data = _subnets(draft, vpc, kind="data", cidrs=ranges.data)
    outside = _table(draft, vpc, "public")
    way = _default_route(draft, outside, "public", gateway_id=gateway.ref("id"))
    egress = [way, *_associate(draft, [outside] * len(public), public, "public")]
    gateways = _nat_gateways(draft, public if ranges.nat is Nat.PER_ZONE else public[:1], gateway)
    inside = [_table(draft, vpc, _numbered("private", index)) for index in range(len(gateways))]
    for index, (table, nat) in enumerate(zip(inside, gateways, strict=True)):
        key = _numbered("private", index)
        egress.append(_default_route(draft, table, key, nat_gateway_id=nat.ref("id")))
    egress += _associate(draft, inside * len(private), private, "private")
    if data:
        _associate(draft, [_table(draft, vpc, "data")] * len(data), data, "data")
    Resource(
        stack,
        "aws_vpc_endpoint",
        "s3",
        vpc_id=vpc.ref("id"),
        service_name=f"com.amazonaws.{draft.config.cloud.region}.s3",
        vpc_endpoint_type="Gateway",
        route_table_ids=[table.ref("id") for table in inside],
        tags={"Name": f"{names.stem}-s3"},
    )
    return Network(
        vpc_id=vpc.ref("id"),
        private_subnet_ids=[subnet.ref("id") for subnet in private],
        store_subnet_ids=[subnet.ref("id") for subnet in data or private],
        egress=egress,
    )


def _numbered(key: str, index: int) -> str:
    """Return the name of one of several in Terraform: the first is called as a single one is."""
    return f"{key}_{index}" if index else key


def _subnets(
    draft: Draft, vpc: Resource, *, kind: str, cidrs: Sequence[str], role: str | None = None
) -> list[Resource]:
    names = draft.names
    # The role tags are how load balancer controllers find their subnets:
    # https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html
    found_by = {f"kubernetes.io/role/{role}": "1", f"kubernetes.io/cluster/{names.cluster}": "shared"}
    return [
        Resource(
            draft.stack,
            "aws_subnet",
            f"{kind}_{index}",
            vpc_id=vpc.ref("id"),
            # A zone's name means another place in another account; where the id is known, it is taken.
            availability_zone=None if zone.id else zone.name,
            availability_zone_id=zone.id,
            cidr_block=cidr,
            # Only NAT gateways and load balancers are public, and they bring addresses of their own.
            map_public_ip_on_launch=False,
            tags={"Name": f"{names.stem}-{kind}-{zone.name}", **(found_by if role else {})},
        )
        for index, (zone, cidr) in enumerate(zip(draft.choices.zones, cidrs, strict=False))
    ]


def _nat_gateways(draft: Draft, subnets: list[Resource], gateway: Resource) -> list[Resource]:
    """Add a NAT gateway in each of these subnets."""
    names = draft.names
    made = []
    for index, subnet in enumerate(subnets):
        address = Resource(
            draft.stack,
            "aws_eip",
            _numbered("nat", index),
            domain="vpc",
            tags={"Name": f"{names.stem}-nat"},
            depends_on=[gateway],
        )
        made.append(
            Resource(
                draft.stack,
                "aws_nat_gateway",
                _numbered("main", index),
                allocation_id=address.ref("allocation_id"),
                subnet_id=subnet.ref("id"),
                tags={"Name": names.stem},
                # AWS refuses to detach an internet gateway while a NAT gateway still has its public address.
                depends_on=[gateway],
            )
        )
    return made


def _table(draft: Draft, vpc: Resource, key: str) -> Resource:
    name = f"{draft.names.stem}-{key.replace('_', '-')}"
    return Resource(draft.stack, "aws_route_table", key, vpc_id=vpc.ref("id"), tags={"Name": name})


def _default_route(
    draft: Draft,
    table: Resource,
    key: str,
    *,
    gateway_id: Ref | None = None,
    nat_gateway_id: Ref | None = None,
) -> Resource:
    return Resource(
        draft.stack,
        "aws_route",
        key,
        route_table_id=table.ref("id"),
        destination_cidr_block="0.0.0.0/0",
        gateway_id=gateway_id,
        nat_gateway_id=nat_gateway_id,
    )


def _associate(
    draft: Draft, tables: Sequence[Resource], subnets: Sequence[Resource], kind: str
) -> list[Resource]:
    return [
        Resource(
            draft.stack,
            "aws_route_table_association",
            f"{kind}_{index}",
            route_table_id=table.ref("id"),
            subnet_id=subnet.ref("id"),
        )
        for index, (table, subnet) in enumerate(zip(tables, subnets, strict=False))
    ]


def _flow_log(draft: Draft, iam: Iam, vpc: Resource) -> None:
    """Log which connections were made and refused; the group lives and goes with the environment."""
    names = draft.names
    group = log_group(draft, "flow", names.flow_log_group, draft.config.network.flow_log_days)
    role = iam.role("flow_log", names.flow_log_role, service="vpc-flow-logs")
    policy = iam.inline(
        "flow_log",
        role,
        [
            {
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                "Resource": f"{iam.own_arn('logs', f'log-group:{names.flow_log_group}')}:*",
            }
        ],
    )
    Resource(
        draft.stack,
        "aws_flow_log",
        "main",
        vpc_id=vpc.ref("id"),
        traffic_type="ALL",
        log_destination=group.ref("arn"),
        iam_role_arn=role.ref("arn"),
        tags={"Name": names.stem},
        depends_on=[policy],
    )


def log_group(draft: Draft, key: str, name: str, days: int) -> Resource:
    """Add a group of logs that are kept for some days, under the customer's key if there is one."""
    return Resource(
        draft.stack,
        "aws_cloudwatch_log_group",
        key,
        name=name,
        retention_in_days=days,
        kms_key_id=draft.config.cloud.kms_key_arn,
    )
