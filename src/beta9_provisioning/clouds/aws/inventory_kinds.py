"""The kinds of resources that an environment has in AWS, and how each is looked up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class Ec2Kind:
    """A kind that EC2 describes, with filters by tag.

    Attributes:
        operation: which describes it.
        list: of entries in the answer.
        id: of an entry.
        state: of an entry; None if it has none.
        by_controllers: whether a cluster's controllers make such things, with tags of their own.
    """

    operation: str
    list: str
    id: str
    state: str | None = None
    by_controllers: bool = False

    @property
    def id_filter(self) -> str:
        """The filter by ids; empty where there is none."""
        return "" if self.id == "LaunchTemplateId" else _WORD.sub("-", self.id).lower()


@dataclass(frozen=True)
class NamedKind:
    """A kind that is found by its names.

    Attributes:
        service: which lists it.
        operation: which lists all of the account and region.
        list: of entries in the answer.
        id: name of an entry.
        state: of an entry; None if it has none.
        filter: argument that takes the stem, so that AWS looks for it; empty without one.
    """

    service: str
    operation: str
    list: str
    id: str
    state: str | None = None
    filter: str = ""

    def arguments(self, stem: str) -> dict[str, Any]:
        """Return the arguments of the operation."""
        return {self.filter: stem} if self.filter else {}


EC2: Mapping[str, Ec2Kind] = {
    "ec2:vpc": Ec2Kind("describe_vpcs", "Vpcs", "VpcId", "State"),
    "ec2:subnet": Ec2Kind("describe_subnets", "Subnets", "SubnetId", "State"),
    "ec2:natgateway": Ec2Kind("describe_nat_gateways", "NatGateways", "NatGatewayId", "State"),
    "ec2:elastic-ip": Ec2Kind("describe_addresses", "Addresses", "AllocationId"),
    "ec2:security-group": Ec2Kind(
        "describe_security_groups", "SecurityGroups", "GroupId", by_controllers=True
    ),
    "ec2:internet-gateway": Ec2Kind("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    "ec2:route-table": Ec2Kind("describe_route_tables", "RouteTables", "RouteTableId"),
    "ec2:vpc-endpoint": Ec2Kind("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", "State"),
    "ec2:vpc-flow-log": Ec2Kind("describe_flow_logs", "FlowLogs", "FlowLogId"),
    "ec2:launch-template": Ec2Kind("describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
    "ec2:instance": Ec2Kind("describe_instances", "Reservations", "InstanceId", "State"),
    "ec2:network-interface": Ec2Kind(
        "describe_network_interfaces",
        "NetworkInterfaces",
        "NetworkInterfaceId",
        "Status",
        by_controllers=True,
    ),
    "ec2:volume": Ec2Kind("describe_volumes", "Volumes", "VolumeId", "State"),
}
NAMED: Mapping[str, NamedKind] = {
    "rds:db": NamedKind(
        "rds", "describe_db_instances", "DBInstances", "DBInstanceIdentifier", "DBInstanceStatus"
    ),
    "rds:subgrp": NamedKind("rds", "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName"),
    "rds:pg": NamedKind("rds", "describe_db_parameter_groups", "DBParameterGroups", "DBParameterGroupName"),
    "elasticache:replicationgroup": NamedKind(
        "elasticache", "describe_replication_groups", "ReplicationGroups", "ReplicationGroupId", "Status"
    ),
    "elasticache:cluster": NamedKind(
        "elasticache", "describe_cache_clusters", "CacheClusters", "CacheClusterId", "CacheClusterStatus"
    ),
    "elasticache:subnetgroup": NamedKind(
        "elasticache", "describe_cache_subnet_groups", "CacheSubnetGroups", "CacheSubnetGroupName"
    ),
    "elasticache:parametergroup": NamedKind(
        "elasticache", "describe_cache_parameter_groups", "CacheParameterGroups", "CacheParameterGroupName"
    ),
    "elasticache:user": NamedKind("elasticache", "describe_users", "Users", "UserId", "Status"),
    "elasticache:usergroup": NamedKind(
        "elasticache", "describe_user_groups", "UserGroups", "UserGroupId", "Status"
    ),
    "iam:role": NamedKind("iam", "list_roles", "Roles", "RoleName"),
    "kms:alias": NamedKind("kms", "list_aliases", "Aliases", "AliasName"),
    "logs:log-group": NamedKind(
        "logs", "describe_log_groups", "logGroups", "logGroupName", filter="logGroupNamePattern"
    ),
    "secretsmanager:secret": NamedKind("secretsmanager", "list_secrets", "SecretList", "Name"),
}
GONE = frozenset({"deleted", "terminated"})
"""States in which AWS goes on to show for an hour what is gone."""
KIND_OF: Mapping[str, str] = {
    "aws_cloudwatch_log_group": "logs:log-group",
    "aws_db_instance": "rds:db",
    "aws_db_parameter_group": "rds:pg",
    "aws_db_subnet_group": "rds:subgrp",
    "aws_eip": "ec2:elastic-ip",
    "aws_eks_cluster": "eks:cluster",
    "aws_elasticache_cluster": "elasticache:cluster",
    "aws_elasticache_parameter_group": "elasticache:parametergroup",
    "aws_elasticache_replication_group": "elasticache:replicationgroup",
    "aws_elasticache_subnet_group": "elasticache:subnetgroup",
    "aws_elasticache_user": "elasticache:user",
    "aws_elasticache_user_group": "elasticache:usergroup",
    "aws_flow_log": "ec2:vpc-flow-log",
    "aws_iam_openid_connect_provider": "iam:oidc-provider",
    "aws_iam_role": "iam:role",
    "aws_internet_gateway": "ec2:internet-gateway",
    "aws_kms_alias": "kms:alias",
    "aws_kms_key": "kms:key",
    "aws_launch_template": "ec2:launch-template",
    "aws_nat_gateway": "ec2:natgateway",
    "aws_route_table": "ec2:route-table",
    "aws_s3_bucket": "s3:bucket",
    "aws_secretsmanager_secret": "secretsmanager:secret",
    "aws_security_group": "ec2:security-group",
    "aws_subnet": "ec2:subnet",
    "aws_vpc": "ec2:vpc",
    "aws_vpc_endpoint": "ec2:vpc-endpoint",
}
"""By Terraform's types. A part, which ends with what it belongs to, has none: see `OWNER_OF`."""
OWNER_OF: Mapping[str, str] = {
    "aws_default_security_group": "aws_vpc",
    "aws_eks_access_entry": "aws_eks_cluster",
    "aws_eks_access_policy_association": "aws_eks_cluster",
    "aws_eks_addon": "aws_eks_cluster",
    "aws_eks_node_group": "aws_eks_cluster",
    "aws_eks_pod_identity_association": "aws_eks_cluster",
    "aws_iam_role_policy": "aws_iam_role",
    "aws_iam_role_policy_attachment": "aws_iam_role",
    "aws_kms_grant": "aws_kms_key",
    "aws_route": "aws_route_table",
    "aws_route_table_association": "aws_subnet",
    "aws_s3_bucket_cors_configuration": "aws_s3_bucket",
    "aws_s3_bucket_lifecycle_configuration": "aws_s3_bucket",
    "aws_s3_bucket_logging": "aws_s3_bucket",
    "aws_s3_bucket_ownership_controls": "aws_s3_bucket",
    "aws_s3_bucket_policy": "aws_s3_bucket",
    "aws_s3_bucket_public_access_block": "aws_s3_bucket",
    "aws_s3_bucket_server_side_encryption_configuration": "aws_s3_bucket",
    "aws_s3_bucket_versioning": "aws_s3_bucket",
    "aws_secretsmanager_secret_policy": "aws_secretsmanager_secret",
    "aws_secretsmanager_secret_rotation": "aws_secretsmanager_secret",
    "aws_secretsmanager_secret_version": "aws_secretsmanager_secret",
    "aws_security_group_rule": "aws_security_group",
    "aws_vpc_security_group_egress_rule": "aws_security_group",
    "aws_vpc_security_group_ingress_rule": "aws_security_group",
}
"""Types of parts, each with the type that it ends with."""
MADE_BESIDE = frozenset(
    {
        "ec2:instance",
        "ec2:network-interface",
        "ec2:volume",
        "elasticloadbalancing:loadbalancer",
        "elasticloadbalancing:targetgroup",
    }
)
"""What EKS, the CNI, load balancer Services and claims make, beside security groups and log groups."""
PARTS = frozenset(
    {
        "autoscaling:autoScalingGroup",
        "ec2:security-group-rule",
        "eks:access-entry",
        "eks:addon",
        "eks:nodegroup",
        "eks:podidentityassociation",
        "elasticloadbalancing:listener",
        "elasticloadbalancing:listener-rule",
        "rds:auto-backup",
        "rds:snapshot",
        *MADE_BESIDE,
    }
)
"""Kinds of the tagging API that are parts of others, are looked up elsewhere, or stay for a reason."""
