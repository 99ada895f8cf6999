"""How AWS's own interfaces call what Terraform calls by these types, and which arguments have other names."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Judged:
    """A type of resource: its type in CloudFormation, and the request that creates it (service, operation).

    `inside` is the parameter of the request that the arguments are in, if they are no parameters themselves.
    """

    cloudformation: str = ""
    request: tuple[str, str] | None = None
    also: Mapping[str, str] = field(default_factory=dict)
    inside: str = ""


_EKS = {
    "vpc_config": "resourcesVpcConfig",
    "node_group_name": "nodegroupName",
    "node_role_arn": "nodeRole",
    "subnet_ids": "subnets",
    "enabled_cluster_log_types": "enabledClusterLogTypes",
}
_DB = {
    "identifier": "DBInstanceIdentifier",
    "instance_class": "DBInstanceClass",
    "username": "MasterUsername",
    "parameter_group_name": "DBParameterGroupName",
    "iops": "Iops",
    "backup_window": "PreferredBackupWindow",
    "maintenance_window": "PreferredMaintenanceWindow",
    "iam_database_authentication_enabled": "EnableIAMDatabaseAuthentication",
    "performance_insights_enabled": "EnablePerformanceInsights",
    "enabled_cloudwatch_logs_exports": "EnableCloudwatchLogsExports",
    "final_snapshot_identifier": "FinalDBSnapshotIdentifier",
}
_REDIS = {
    "node_type": "CacheNodeType",
    "description": "ReplicationGroupDescription",
    "parameter_group_name": "CacheParameterGroupName",
    "subnet_group_name": "CacheSubnetGroupName",
    "maintenance_window": "PreferredMaintenanceWindow",
}

JUDGED = {
    "aws_cloudwatch_log_group": Judged(
        "AWS::Logs::LogGroup", ("logs", "CreateLogGroup"), {"name": "logGroupName"}
    ),
    "aws_db_instance": Judged("AWS::RDS::DBInstance", ("rds", "CreateDBInstance"), _DB),
    "aws_db_parameter_group": Judged(
        "AWS::RDS::DBParameterGroup",
        ("rds", "CreateDBParameterGroup"),
        {"name": "DBParameterGroupName", "family": "DBParameterGroupFamily"},
    ),
    "aws_db_subnet_group": Judged(
        "AWS::RDS::DBSubnetGroup",
        ("rds", "CreateDBSubnetGroup"),
        {"name": "DBSubnetGroupName", "description": "DBSubnetGroupDescription"},
    ),
    "aws_default_security_group": Judged("AWS::EC2::SecurityGroup"),
    "aws_eip": Judged("AWS::EC2::EIP", ("ec2", "AllocateAddress")),
    "aws_eks_access_entry": Judged("AWS::EKS::AccessEntry", ("eks", "CreateAccessEntry")),
    "aws_eks_access_policy_association": Judged("", ("eks", "AssociateAccessPolicy")),
    "aws_eks_addon": Judged(
        "AWS::EKS::Addon", ("eks", "CreateAddon"), {"resolve_conflicts_on_create": "resolveConflicts"}
    ),
    "aws_eks_cluster": Judged(
        "AWS::EKS::Cluster", ("eks", "CreateCluster"), {"vpc_config": "resourcesVpcConfig"}
    ),
    "aws_eks_node_group": Judged("AWS::EKS::Nodegroup", ("eks", "CreateNodegroup"), _EKS),
    "aws_eks_pod_identity_association": Judged(
        "AWS::EKS::PodIdentityAssociation", ("eks", "CreatePodIdentityAssociation")
    ),
    "aws_elasticache_parameter_group": Judged(
        "AWS::ElastiCache::ParameterGroup",
        ("elasticache", "CreateCacheParameterGroup"),
        {"family": "CacheParameterGroupFamily", "name": "CacheParameterGroupName"},
    ),
    "aws_elasticache_replication_group": Judged(
        "AWS::ElastiCache::ReplicationGroup", ("elasticache", "CreateReplicationGroup"), _REDIS
    ),
    "aws_elasticache_subnet_group": Judged(
        "AWS::ElastiCache::SubnetGroup",
        ("elasticache", "CreateCacheSubnetGroup"),
        {"name": "CacheSubnetGroupName", "description": "CacheSubnetGroupDescription"},
    ),
    "aws_elasticache_user": Judged("AWS::ElastiCache::User", ("elasticache", "CreateUser")),
    "aws_elasticache_user_group": Judged("AWS::ElastiCache::UserGroup", ("elasticache", "CreateUserGroup")),
    "aws_flow_log": Judged("AWS::EC2::FlowLog", ("ec2", "CreateFlowLogs")),
    "aws_iam_openid_connect_provider": Judged(
        "AWS::IAM::OIDCProvider", ("iam", "CreateOpenIDConnectProvider")
    ),
    "aws_iam_role": Judged(
        "AWS::IAM::Role",
        ("iam", "CreateRole"),
        {"name": "RoleName", "assume_role_policy": "AssumeRolePolicyDocument"},
    ),
    "aws_iam_role_policy": Judged(
        "", ("iam", "PutRolePolicy"), {"name": "PolicyName", "policy": "PolicyDocument", "role": "RoleName"}
    ),
    "aws_iam_role_policy_attachment": Judged("", ("iam", "AttachRolePolicy"), {"role": "RoleName"}),
    "aws_internet_gateway": Judged("AWS::EC2::InternetGateway"),
    "aws_kms_alias": Judged("AWS::KMS::Alias", ("kms", "CreateAlias"), {"name": "AliasName"}),
    "aws_kms_grant": Judged("", ("kms", "CreateGrant")),
    "aws_kms_key": Judged("AWS::KMS::Key", ("kms", "CreateKey")),
    "aws_launch_template": Judged("", ("ec2", "CreateLaunchTemplate"), inside="LaunchTemplateData"),
    "aws_nat_gateway": Judged("AWS::EC2::NatGateway", ("ec2", "CreateNatGateway")),
    "aws_route": Judged("AWS::EC2::Route", ("ec2", "CreateRoute")),
    "aws_route_table": Judged("AWS::EC2::RouteTable"),
    "aws_route_table_association": Judged("AWS::EC2::SubnetRouteTableAssociation"),
    "aws_s3_bucket": Judged("AWS::S3::Bucket", ("s3", "CreateBucket"), {"bucket": "BucketName"}),
    "aws_s3_bucket_lifecycle_configuration": Judged(
        "", ("s3", "PutBucketLifecycleConfiguration"), inside="LifecycleConfiguration"
    ),
    "aws_s3_bucket_logging": Judged("", ("s3", "PutBucketLogging"), inside="BucketLoggingStatus"),
    "aws_s3_bucket_ownership_controls": Judged(
        "", ("s3", "PutBucketOwnershipControls"), inside="OwnershipControls"
    ),
    "aws_s3_bucket_policy": Judged("AWS::S3::BucketPolicy", ("s3", "PutBucketPolicy")),
    "aws_s3_bucket_public_access_block": Judged(
        "", ("s3", "PutPublicAccessBlock"), inside="PublicAccessBlockConfiguration"
    ),
    "aws_s3_bucket_server_side_encryption_configuration": Judged(
        "", ("s3", "PutBucketEncryption"), inside="ServerSideEncryptionConfiguration"
    ),
    "aws_s3_bucket_versioning": Judged("", ("s3", "PutBucketVersioning")),
    "aws_secretsmanager_secret": Judged("AWS::SecretsManager::Secret", ("secretsmanager", "CreateSecret")),
    "aws_secretsmanager_secret_version": Judged("", ("secretsmanager", "PutSecretValue")),
    "aws_security_group": Judged(
        "AWS::EC2::SecurityGroup",
        ("ec2", "CreateSecurityGroup"),
        {"name": "GroupName", "description": "GroupDescription"},
    ),
    "aws_subnet": Judged("AWS::EC2::Subnet", ("ec2", "CreateSubnet")),
    "aws_vpc": Judged("AWS::EC2::VPC", ("ec2", "CreateVpc")),
    "aws_vpc_endpoint": Judged("AWS::EC2::VPCEndpoint", ("ec2", "CreateVpcEndpoint")),
    "aws_vpc_security_group_egress_rule": Judged("AWS::EC2::SecurityGroupEgress"),
    "aws_vpc_security_group_ingress_rule": Judged("AWS::EC2::SecurityGroupIngress"),
}
