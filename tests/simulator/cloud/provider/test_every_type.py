"""Every resource type: created by genuine Terraform, unchanged in the next plan, and destroyed without a
rest.
"""

from typing import Any

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_simulator.cloud.inventory import inventory
from beta9_simulator.cloud.machines import LEAKED
from beta9_simulator.cloud.provider.schema import read_schema

TRUST = (
    '{"Version":"2012-10-17","Statement":'
    '[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"eks.amazonaws.com"}}]}'
)
POLICY = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ec2:DescribeVpcs","Resource":"*"}]}'
)


def everything() -> dict[str, dict[str, Any]]:
    """One configuration that uses all types the schema knows."""
    cluster = "${aws_eks_cluster.it.name}"
    bucket = "${aws_s3_bucket.it.id}"
    subnets = ["${aws_subnet.a.id}", "${aws_subnet.b.id}"]
    vpc = "${aws_vpc.it.id}"
    return {
        "aws_vpc": {
            "it": {"cidr_block": "10.0.0.0/16", "enable_dns_hostnames": True, "tags": {"Name": "it"}}
        },
        "aws_subnet": {
            "a": {"vpc_id": vpc, "cidr_block": "10.0.0.0/24", "availability_zone_id": "use1-az1"},
            "b": {"vpc_id": vpc, "cidr_block": "10.0.1.0/24", "availability_zone_id": "use1-az2"},
            "c": {"vpc_id": vpc, "cidr_block": "10.0.2.0/24", "map_public_ip_on_launch": True},
        },
        "aws_internet_gateway": {"it": {"vpc_id": vpc}},
        "aws_eip": {"it": {"domain": "vpc", "depends_on": ["aws_internet_gateway.it"]}},
        "aws_nat_gateway": {
            "it": {
                "allocation_id": "${aws_eip.it.id}",
                "subnet_id": "${aws_subnet.c.id}",
                "depends_on": ["aws_internet_gateway.it"],
            }
        },
        "aws_route_table": {"it": {"vpc_id": vpc}},
        "aws_route": {
            "it": {
                "route_table_id": "${aws_route_table.it.id}",
                "destination_cidr_block": "0.0.0.0/0",
                "nat_gateway_id": "${aws_nat_gateway.it.id}",
            }
        },
        "aws_route_table_association": {
            "a": {"route_table_id": "${aws_route_table.it.id}", "subnet_id": "${aws_subnet.a.id}"},
            "b": {"route_table_id": "${aws_route_table.it.id}", "subnet_id": "${aws_subnet.b.id}"},
        },
        "aws_vpc_endpoint": {
            "it": {
                "vpc_id": vpc,
                "service_name": "com.amazonaws.us-east-1.s3",
                "route_table_ids": ["${aws_route_table.it.id}"],
            }
        },
        "aws_flow_log": {
            "it": {
                "vpc_id": vpc,
                "traffic_type": "ALL",
                "log_destination": "${aws_cloudwatch_log_group.it.arn}",
                "iam_role_arn": "${aws_iam_role.it.arn}",
            }
        },
        "aws_security_group": {
            "it": {
                "name_prefix": "it-",
                "vpc_id": vpc,
                "egress": [
                    {
                        "from_port": 0,
                        "to_port": 0,
                        "protocol": "-1",
                        "cidr_blocks": ["0.0.0.0/0"],
                        "description": "",
                        "ipv6_cidr_blocks": [],
                        "prefix_list_ids": [],
                        "security_groups": [],
                        "self": False,
                    }
                ],
            }
        },
        "aws_default_security_group": {"it": {"vpc_id": vpc}},
        "aws_security_group_rule": {
            "it": {
                "type": "ingress",
                "security_group_id": "${aws_security_group.it.id}",
                "from_port": 443,
                "to_port": 443,
                "protocol": "tcp",
                "cidr_blocks": ["10.0.0.0/16"],
            }
        },
        "aws_vpc_security_group_ingress_rule": {
            "it": {
                "security_group_id": "${aws_security_group.it.id}",
                "ip_protocol": "tcp",
                "from_port": 5432,
                "to_port": 5432,
                "referenced_security_group_id": "${aws_security_group.it.id}",
                "tags": {"a": "b"},
            }
        },
        "aws_vpc_security_group_egress_rule": {
            "it": {
                "security_group_id": "${aws_security_group.it.id}",
                "ip_protocol": "-1",
                "cidr_ipv4": "10.0.0.0/8",
            }
        },
        "aws_launch_template": {
            "it": {
                "name": "it",
                "block_device_mappings": [{"device_name": "/dev/xvda", "ebs": [{"volume_size": 50}]}],
                "metadata_options": [{"http_tokens": "required"}],
            }
        },
        "aws_iam_role": {"it": {"name": "it", "assume_role_policy": TRUST, "description": "a role"}},
        "aws_iam_policy": {"it": {"name": "it", "policy": POLICY}},
        "aws_iam_role_policy": {"it": {"name": "it", "role": "${aws_iam_role.it.id}", "policy": POLICY}},
        "aws_iam_role_policy_attachment": {
            "own": {"role": "${aws_iam_role.it.name}", "policy_arn": "${aws_iam_policy.it.arn}"},
            "aws": {
                "role": "${aws_iam_role.it.name}",
                "policy_arn": "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy",
            },
        },
        "aws_iam_instance_profile": {"it": {"name_prefix": "it-", "role": "${aws_iam_role.it.name}"}},
        "aws_iam_openid_connect_provider": {
            "it": {
                "url": "${aws_eks_cluster.it.identity[0].oidc[0].issuer}",
                "client_id_list": ["sts.amazonaws.com"],
            }
        },
        "aws_iam_user": {"it": {"name": "it"}},
        "aws_iam_access_key": {"it": {"user": "${aws_iam_user.it.name}"}},
        "aws_eks_cluster": {
            "it": {
                "name": "it",
                "role_arn": "${aws_iam_role.it.arn}",
                "access_config": [
                    {
                        "authentication_mode": "API",
                        "bootstrap_cluster_creator_admin_permissions": False,
                    }
                ],
                "encryption_config": [
                    {"resources": ["secrets"], "provider": [{"key_arn": "${aws_kms_key.it.arn}"}]}
                ],
                "vpc_config": [
                    {"subnet_ids": subnets, "security_group_ids": ["${aws_security_group.it.id}"]}
                ],
            }
        },
        "aws_eks_node_group": {
            "it": {
                "cluster_name": cluster,
                "node_group_name": "system",
                "node_role_arn": "${aws_iam_role.it.arn}",
                "subnet_ids": subnets,
                "labels": {"role": "system"},
                "scaling_config": [{"desired_size": 2, "min_size": 1, "max_size": 3}],
                "taint": [{"key": "gpu", "value": "yes", "effect": "NO_SCHEDULE"}],
                "launch_template": [{"id": "${aws_launch_template.it.id}", "version": "1"}],
                "timeouts": [{"create": "30m"}],
                # Nodes join with a CNI that may give addresses, and a way out.
                "depends_on": [
                    "aws_eks_addon.it",
                    "aws_iam_role_policy_attachment.aws",
                    "aws_route.it",
                    "aws_route_table_association.a",
                    "aws_route_table_association.b",
                ],
            }
        },
        "aws_eks_addon": {"it": {"cluster_name": cluster, "addon_name": "vpc-cni"}},
        "aws_eks_access_entry": {"it": {"cluster_name": cluster, "principal_arn": "${aws_iam_role.it.arn}"}},
        "aws_eks_access_policy_association": {
            "it": {
                "cluster_name": cluster,
                "principal_arn": "${aws_eks_access_entry.it.principal_arn}",
                "policy_arn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
                "access_scope": [{"type": "cluster"}],
            }
        },
        "aws_eks_pod_identity_association": {
            "it": {
                "cluster_name": cluster,
                "namespace": "beta9",
                "service_account": "beta9",
                "role_arn": "${aws_iam_role.it.arn}",
            }
        },
        "aws_db_subnet_group": {"it": {"name": "it", "subnet_ids": subnets}},
        "aws_db_parameter_group": {
            "it": {
                "name": "it",
                "family": "postgres17",
                "parameter": [{"name": "rds.force_ssl", "value": "1"}],
            }
        },
        "aws_db_instance": {
            "it": {
                "identifier": "it",
                "engine": "postgres",
                "engine_version": "17",
                "instance_class": "db.t4g.medium",
                "allocated_storage": 20,
                "storage_encrypted": True,
                "username": "beta9",
                "manage_master_user_password": True,
                "db_subnet_group_name": "${aws_db_subnet_group.it.name}",
                "parameter_group_name": "${aws_db_parameter_group.it.name}",
                "vpc_security_group_ids": ["${aws_security_group.it.id}"],
                "skip_final_snapshot": True,
            }
        },
        "aws_elasticache_subnet_group": {"it": {"name": "it", "subnet_ids": subnets}},
        "aws_elasticache_parameter_group": {
            "it": {
                "name": "it",
                "family": "valkey8",
                "parameter": [{"name": "maxmemory-policy", "value": "noeviction"}],
            }
        },
        "aws_elasticache_replication_group": {
            "it": {
                "replication_group_id": "it",
                "description": "cache",
                "engine": "valkey",
                "node_type": "cache.t4g.small",
                "num_cache_clusters": 2,
                "automatic_failover_enabled": True,
                "at_rest_encryption_enabled": True,
                "transit_encryption_enabled": True,
                "auth_token_wo": "a-very-secret-token",
                "auth_token_wo_version": 1,
                "subnet_group_name": "${aws_elasticache_subnet_group.it.name}",
                "parameter_group_name": "${aws_elasticache_parameter_group.it.name}",
                "security_group_ids": ["${aws_security_group.it.id}"],
            }
        },
        "aws_elasticache_cluster": {
            "it": {
                "cluster_id": "single",
                "engine": "redis",
                "node_type": "cache.t4g.small",
                "num_cache_nodes": 1,
                "subnet_group_name": "${aws_elasticache_subnet_group.it.name}",
            }
        },
        "aws_elasticache_user": {
            "it": {
                "user_id": "default-off",
                "user_name": "default",
                "engine": "valkey",
                "access_string": "off -@all",
                "no_password_required": True,
            }
        },
        "aws_elasticache_user_group": {
            "it": {
                "user_group_id": "it",
                "engine": "valkey",
                "user_ids": ["${aws_elasticache_user.it.user_id}"],
            }
        },
        "aws_s3_bucket": {"it": {"bucket_prefix": "it-", "force_destroy": True}},
        "aws_s3_bucket_versioning": {
            "it": {"bucket": bucket, "versioning_configuration": [{"status": "Enabled"}]}
        },
        "aws_s3_bucket_server_side_encryption_configuration": {
            "it": {
                "bucket": bucket,
                "rule": [
                    {
                        "apply_server_side_encryption_by_default": [{"sse_algorithm": "aws:kms"}],
                        "bucket_key_enabled": True,
                    }
                ],
            }
        },
        "aws_s3_bucket_public_access_block": {"it": {"bucket": bucket, "block_public_acls": True}},
        "aws_s3_bucket_logging": {
            "it": {"bucket": bucket, "target_bucket": bucket, "target_prefix": "accesses/"}
        },
        "aws_s3_bucket_ownership_controls": {
            "it": {"bucket": bucket, "rule": [{"object_ownership": "BucketOwnerEnforced"}]}
        },
        "aws_s3_bucket_policy": {"it": {"bucket": bucket, "policy": TRUST}},
        "aws_s3_bucket_lifecycle_configuration": {
            "it": {
                "bucket": bucket,
                "rule": [
                    {
                        "id": "old",
                        "status": "Enabled",
                        "filter": [{"prefix": "logs/"}],
                        "expiration": [{"days": 30}],
                        "noncurrent_version_expiration": [{"noncurrent_days": 7}],
                        "transition": [{"days": 10, "storage_class": "STANDARD_IA"}],
                    }
                ],
            }
        },
        "aws_s3_bucket_cors_configuration": {
            "it": {
                "bucket": bucket,
                "cors_rule": [{"allowed_methods": ["GET"], "allowed_origins": ["https://example.com"]}],
            }
        },
        "aws_secretsmanager_secret": {"it": {"name": "it", "recovery_window_in_days": 0}},
        "aws_secretsmanager_secret_version": {
            "it": {
                "secret_id": "${aws_secretsmanager_secret.it.id}",
                "secret_string_wo": "written only",
                "secret_string_wo_version": 1,
            }
        },
        "aws_kms_key": {"it": {"description": "it", "enable_key_rotation": True}},
        "aws_kms_grant": {
            "it": {
                "key_id": "${aws_kms_key.it.key_id}",
                "grantee_principal": "${aws_iam_role.it.arn}",
                "operations": ["Decrypt"],
            }
        },
        "aws_kms_alias": {"it": {"name": "alias/it", "target_key_id": "${aws_kms_key.it.key_id}"}},
        "aws_cloudwatch_log_group": {"it": {"name": "/aws/eks/it/cluster", "retention_in_days": 7}},
    }


def test_the_configuration_uses_every_type() -> None:
    assert set(everything()) == set(read_schema(SCHEMA_FILE).resources)


def test_apply_plan_and_destroy_of_every_type(terraform: Any) -> None:
    terraform.store.set_setting(LEAKED, "0")
    terraform.write(everything(), provider={"default_tags": [{"tags": {"env": "e1"}}]})
    terraform.init()
    terraform.apply()
    assert {found.type for found in inventory(terraform.store) if found.origin == "terraform"} == set(
        everything()
    )
    assert terraform.plan_changes() == []
    assert {"a-very-secret-token", "written only"}.isdisjoint(
        (terraform.directory / "terraform.tfstate").read_text().split('"')
    )
    terraform.destroy()
    assert inventory(terraform.store) == []
