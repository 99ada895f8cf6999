"""What EC2 tells of a VPC that is its user's, and of the subnets of it that are named. Nothing is changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from beta9_provisioning.clouds.aws.session import AwsSession, described

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import (
        NetworkAclTypeDef,
        RouteTableTypeDef,
        SubnetTypeDef,
        VpcEndpointTypeDef,
        VpcTypeDef,
    )

_HELD = frozenset({"associating", "associated"})


@dataclass(frozen=True)
class Survey:
    """A VPC as it is.

    Attributes:
        vpc: None when there is none.
        has_dns: whether its two DNS attributes are on, by their names.
        subnets: those of the named ones that there are, by id, in whatever VPC.
    """

    vpc_id: str
    vpc: VpcTypeDef | None
    has_dns: Mapping[str, bool]
    subnets: Mapping[str, SubnetTypeDef]
    tables: Sequence[RouteTableTypeDef]
    acls: Sequence[NetworkAclTypeDef]
    endpoints: Sequence[VpcEndpointTypeDef]

    def inside(self, ids: Collection[str]) -> Iterator[SubnetTypeDef]:
        """Yield those of the subnets that are in the VPC."""
        for id_ in ids:
            found = self.subnets.get(id_)
            if found is not None and found["VpcId"] == self.vpc_id:
                yield found

    def acl_of(self, subnet_id: str) -> NetworkAclTypeDef | None:
        """Return the network ACL of a subnet, of which each has one."""
        for acl in self.acls:
            if any(one.get("SubnetId") == subnet_id for one in acl.get("Associations", ())):
                return acl
        return None

    @property
    def ranges(self) -> list[IPv4Network]:
        """All address ranges of the VPC."""
        if self.vpc is None:
            return []
        told = self.vpc.get("CidrBlockAssociationSet", ())
        associated = {one["CidrBlock"] for one in told if one["CidrBlockState"]["State"] in _HELD}
        return sorted(map(IPv4Network, associated | {self.vpc["CidrBlock"]}))


def survey(session: AwsSession, vpc_id: str, subnet_ids: Collection[str]) -> Survey:
    """Ask EC2 for a VPC and for subnets; what does not exist is left out.

    Raises:
        AwsError: AWS failed, or the role may not ask.
    """
    ec2: EC2Client = session.client("ec2")
    within = {"Name": "vpc-id", "Values": [vpc_id]}
    named = {"Name": "subnet-id", "Values": sorted(set(subnet_ids))}
    with session.explained(f"look at the VPC {vpc_id}"):
        vpcs = described(ec2, "describe_vpcs", "Vpcs", within)
        return Survey(
            vpc_id=vpc_id,
            vpc=vpcs[0] if vpcs else None,
            has_dns=_dns(ec2, vpc_id) if vpcs else {},
            subnets={one["SubnetId"]: one for one in described(ec2, "describe_subnets", "Subnets", named)},
            tables=described(ec2, "describe_route_tables", "RouteTables", within),
            acls=described(ec2, "describe_network_acls", "NetworkAcls", within),
            endpoints=described(ec2, "describe_vpc_endpoints", "VpcEndpoints", within),
        )


def _dns(ec2: EC2Client, vpc_id: str) -> dict[str, bool]:
    support = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsSupport")
    hostnames = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsHostnames")
    return {
        "enableDnsSupport": support["EnableDnsSupport"].get("Value", False),
        "enableDnsHostnames": hostnames["EnableDnsHostnames"].get("Value", False),
    }
