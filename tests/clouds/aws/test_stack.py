"""The AWS stack: what it holds for a configuration."""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.support.configs import config
from tests.support.stacks import OUTPUTS, ROLE, ZONES, Document, subject

from beta9_provisioning.clouds.aws.sizes import SIZES
from beta9_provisioning.clouds.registry import CLOUDS
from beta9_provisioning.schemas.configuration import Provider


def dependencies(document: Document, address: str) -> set[str]:
    """Addresses that a resource depends on, in its body or by `depends_on`, directly or through others."""
    found: set[str] = set()
    open_addresses = [address]
    while open_addresses:
        kind, name = open_addresses.pop().split(".")
        text = json.dumps(
            {key: value for key, value in document["resource"][kind][name].items() if key != "//"}
        )
        for needed in set(re.findall(r"(aws_\w+\.\w+)", text)) - found:
            if needed.split(".")[0] in document["resource"]:
                found.add(needed)
                open_addresses.append(needed)
    return found


def main(document: Document, kind: str) -> Document:
    body: Document = document["resource"][kind]["main"]
    return body


def test_outputs_are_those_that_were_agreed(document: Callable[..., Document]) -> None:
    assert set(document()["output"]) == OUTPUTS


def test_the_addresses_that_charts_wait_for_exist(document: Callable[..., Document]) -> None:
    resources = document()["resource"]
    addresses = {f"{kind}.{name}" for kind, bodies in resources.items() for name in bodies}
    ready = CLOUDS[Provider.AWS].cluster_ready_addresses(subject(config()).choices)
    assert ready <= addresses
    assert {address.split(".")[0] for address in ready} == {
        "aws_eks_cluster",
        "aws_eks_node_group",
        "aws_eks_access_entry",
        "aws_eks_access_policy_association",
        "aws_eks_addon",
        "aws_eks_pod_identity_association",
    }


def test_the_network_spans_the_chosen_zones_without_overlap(document: Callable[..., Document]) -> None:
    resources = document()["resource"]
    subnets = resources["aws_subnet"]
    assert {body["availability_zone_id"] for body in subnets.values()} == {zone.id for zone in ZONES}
    networks = [ipaddress.ip_network(body["cidr_block"]) for body in subnets.values()]
    whole = ipaddress.ip_network(resources["aws_vpc"]["main"]["cidr_block"])
    assert len(networks) == 9
    for index, network in enumerate(networks):
        assert isinstance(network, ipaddress.IPv4Network)
        assert network.subnet_of(whole)  # type: ignore[arg-type]
        assert not any(network.overlaps(other) for other in networks[index + 1 :])
    tags = {name: [tag for tag in body["tags"] if "/role/" in tag] for name, body in subnets.items()}
    roles = {name: found for name, found in tags.items() if not name.startswith("data")}
    assert all(not tags[f"data_{index}"] for index in range(3))
    assert roles == {
        "public_0": ["kubernetes.io/role/elb"],
        "public_1": ["kubernetes.io/role/elb"],
        "public_2": ["kubernetes.io/role/elb"],
        "private_0": ["kubernetes.io/role/internal-elb"],
        "private_1": ["kubernetes.io/role/internal-elb"],
        "private_2": ["kubernetes.io/role/internal-elb"],
    }


@pytest.mark.parametrize(
    ("address", "needed"),
    [
        # EKS would make the group itself, and keep its logs for ever.
        ("aws_eks_cluster.main", {"aws_cloudwatch_log_group.cluster"}),
        ("aws_eks_node_group.system", {"aws_eks_addon.vpc_cni", "aws_route.private"}),
        # AWS refuses to detach an internet gateway before NAT gateways and addresses are gone.
        ("aws_nat_gateway.main", {"aws_internet_gateway.main"}),
        ("aws_eip.nat", {"aws_internet_gateway.main"}),
        # EKS removes network interfaces with the role's permissions.
        ("aws_eks_cluster.main", {"aws_iam_role_policy_attachment.cluster_0"}),
        (
            "aws_eks_node_group.main",
            {
                "aws_eks_addon.vpc_cni",
                "aws_iam_role_policy_attachment.node_0",
                "aws_iam_role_policy_attachment.node_1",
                # Without these the CNI may give pods no address.
                "aws_iam_role_policy_attachment.vpc_cni_0",
                "aws_eks_pod_identity_association.vpc_cni",
                "aws_eks_addon.eks_pod_identity_agent",
                # Nodes join through the NAT gateway.
                "aws_route.private",
                "aws_route.public",
                "aws_route_table_association.private_0",
                "aws_route_table_association.private_1",
                "aws_route_table_association.public_0",
            },
        ),
        # Deployments become available only on nodes.
        ("aws_eks_addon.coredns", {"aws_eks_node_group.main"}),
        (
            "aws_eks_addon.aws_ebs_csi_driver",
            {
                "aws_eks_node_group.main",
                "aws_eks_pod_identity_association.ebs_csi",
                "aws_eks_addon.eks_pod_identity_agent",
                "aws_iam_role_policy_attachment.ebs_csi_0",
            },
        ),
        ("aws_eks_access_policy_association.provisioner", {"aws_eks_access_entry.provisioner"}),
        ("aws_s3_bucket_lifecycle_configuration.main", {"aws_s3_bucket_versioning.main"}),
    ],
)
def test_what_is_needed_first_is_created_first_and_destroyed_last(
    document: Callable[..., Document], address: str, needed: set[str]
) -> None:
    made = document(data={"object_store": {"lifecycle_days": 30}})
    assert needed <= dependencies(made, address)


def test_slow_things_are_created_side_by_side(document: Callable[..., Document]) -> None:
    made = document()
    slow = {"aws_eks_cluster.main", "aws_db_instance.main", "aws_elasticache_replication_group.main"}
    for address in slow:
        assert not (dependencies(made, address) & slow), address
    # Databases start in the first minute: they wait for subnets and groups, not for the cluster's.
    stores = dependencies(made, "aws_db_instance.main")
    stores |= dependencies(made, "aws_elasticache_replication_group.main")
    assert not {address for address in stores if "eks" in address or "ingress_rule" in address}
    assert "aws_nat_gateway.main" not in dependencies(made, "aws_eks_cluster.main")


def test_the_cluster_is_open_to_the_provisioner_only(document: Callable[..., Document]) -> None:
    made = document()
    assert main(made, "aws_eks_cluster")["access_config"] == [
        {"authentication_mode": "API", "bootstrap_cluster_creator_admin_permissions": False}
    ]
    (entry,) = made["resource"]["aws_eks_access_entry"].values()
    assert entry["principal_arn"] == ROLE
    policy = made["resource"]["aws_eks_access_policy_association"]["provisioner"]
    assert policy["policy_arn"] == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
    assert policy["access_scope"] == [{"type": "cluster"}]


def test_in_china_eks_refused_the_nodes_role_and_beta9_looked_for_s3_elsewhere(
    document: Callable[..., Document],
) -> None:
    """EKS demands `ec2.amazonaws.com.cn` there, and IAM knows no `eks.amazonaws.com.cn`."""
    role = "arn:aws-cn:iam::123456789012:role/Beta9Provisioner"
    cloud = {"provider": "aws", "region": "cn-north-1", "account_id": "123456789012", "role_arn": role}
    roles = document(cloud=cloud)["resource"]["aws_iam_role"]
    trusted = [json.loads(body["assume_role_policy"])["Statement"][0]["Principal"] for body in roles.values()]
    assert {principal["Service"] for principal in trusted} == {
        "ec2.amazonaws.com.cn",
        "eks.amazonaws.com",
        "monitoring.rds.amazonaws.com",
        "vpc-flow-logs.amazonaws.com",
        "pods.eks.amazonaws.com",
    }
    platform = CLOUDS[Provider.AWS].platform(config(cloud=cloud))
    assert platform.object_store_url == "https://s3.cn-north-1.amazonaws.com.cn"
    assert platform.bucket_url("b") == "https://b.s3.cn-north-1.amazonaws.com.cn"


def test_managed_policies_are_those_of_the_roles_partition(document: Callable[..., Document]) -> None:
    role = "arn:aws-us-gov:iam::123456789012:role/Beta9Provisioner"
    cloud = {"provider": "aws", "region": "us-gov-west-1", "account_id": "123456789012", "role_arn": role}
    made = document(cloud=cloud)
    arns = {body["policy_arn"] for body in made["resource"]["aws_iam_role_policy_attachment"].values()}
    arns.add(made["resource"]["aws_eks_access_policy_association"]["provisioner"]["policy_arn"])
    assert {arn.split(":")[1] for arn in arns} == {"aws-us-gov"}
    assert "external_id" not in json.dumps(made["provider"])


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_sizes_come_from_the_table(document: Callable[..., Document], size: str) -> None:
    made = document(cluster={"profile": size}, data={"postgres": {"size": size}, "redis": {"size": size}})
    expected = SIZES[config(cluster={"profile": size}).cluster.profile]
    nodes = main(made, "aws_eks_node_group")
    assert nodes["instance_types"] == [expected.nodes.instance_type]
    assert nodes["scaling_config"] == [
        {
            "min_size": expected.nodes.minimum,
            "desired_size": expected.nodes.desired,
            "max_size": expected.nodes.maximum,
        }
    ]
    assert main(made, "aws_db_instance")["instance_class"] == expected.postgres_classes[0]
    assert main(made, "aws_elasticache_replication_group")["node_type"] == expected.redis_node_type


def test_labels_and_taints_reach_the_nodes_and_system_pods_tolerate_them(
    document: Callable[..., Document],
) -> None:
    made = document(
        cluster={
            "node_labels": {"team": "platform"},
            "node_taints": [
                {"key": "dedicated", "value": "beta9", "effect": "NoSchedule"},
                {"key": "spot", "effect": "PreferNoSchedule"},
            ],
        }
    )
    nodes = main(made, "aws_eks_node_group")
    system = made["resource"]["aws_eks_node_group"]["system"]
    assert "labels" not in system
    assert system["taint"] == []
    assert nodes["labels"] == {"team": "platform"}
    assert nodes["taint"] == [
        {"key": "dedicated", "value": "beta9", "effect": "NO_SCHEDULE"},
        {"key": "spot", "value": "", "effect": "PREFER_NO_SCHEDULE"},
    ]
    add_ons = made["resource"]["aws_eks_addon"]
    dns = json.loads(add_ons["coredns"]["configuration_values"])["tolerations"]
    storage = json.loads(add_ons["aws_ebs_csi_driver"]["configuration_values"])["controller"]["tolerations"]
    assert dns == storage
    assert {"key": "dedicated", "operator": "Equal", "value": "beta9", "effect": "NoSchedule"} in dns
    assert {"key": "spot", "operator": "Equal", "value": "", "effect": "PreferNoSchedule"} in dns


def test_the_database_is_private_encrypted_and_as_configured(document: Callable[..., Document]) -> None:
    made = document(
        data={"postgres": {"multi_az": True, "backup_retention_days": 14, "storage_gb": 100}},
    )
    database = main(made, "aws_db_instance")
    expected = {
        "multi_az": True,
        "backup_retention_period": 14,
        "allocated_storage": 100,
        "storage_encrypted": True,
        "publicly_accessible": False,
        "manage_master_user_password": True,
        "deletion_protection": True,
        "skip_final_snapshot": True,
    }
    assert {key: database[key] for key in expected} == expected
    assert "password" not in database


@pytest.mark.parametrize(
    ("postgres", "expected"),
    [
        ({"storage_gb": 20}, {"allocated_storage": 20, "max_allocated_storage": 40}),
        ({"storage_gb": 100, "max_storage_gb": 110}, {"max_allocated_storage": 110}),
        # From 400 GiB on volumes are striped, and have to be asked for other figures.
        ({"storage_gb": 399}, {"iops": None, "storage_throughput": None}),
        ({"storage_gb": 400}, {"iops": 12000, "storage_throughput": 500}),
        ({"storage_gb": 40000}, {"max_allocated_storage": 65536}),
        # No tenth more fits in.
        ({"storage_gb": 60000}, {"max_allocated_storage": None}),
    ],
)
def test_the_database_s_storage_is_as_rds_takes_it(
    document: Callable[..., Document], postgres: dict[str, Any], expected: dict[str, Any]
) -> None:
    database = main(document(data={"postgres": postgres}), "aws_db_instance")
    assert {key: database.get(key) for key in expected} == expected


def test_the_database_forces_tls_and_keeps_its_logs_for_a_month(document: Callable[..., Document]) -> None:
    made = document()
    parameters = main(made, "aws_db_parameter_group")
    assert (parameters["name"], parameters["family"]) == ("beta9-c3d4e5f6g7h8-postgres-1", "postgres18")
    assert {"name": "rds.force_ssl", "value": "1"} in parameters["parameter"]
    # Statements that make users hold passwords.
    assert {"name": "log_statement", "value": "none"} in parameters["parameter"]
    assert parameters["lifecycle"]["create_before_destroy"] is True
    database = main(made, "aws_db_instance")
    logs = made["resource"]["aws_cloudwatch_log_group"]
    named = {body["name"]: body["retention_in_days"] for body in logs.values() if "/rds/" in body["name"]}
    assert named == {
        f"/aws/rds/instance/{database['identifier']}/{log}": 30
        for log in database["enabled_cloudwatch_logs_exports"]
    }
    assert database["performance_insights_enabled"] is True
    assert database["monitoring_interval"] == 60


def test_stores_are_in_subnets_that_lead_nowhere(document: Callable[..., Document]) -> None:
    resources = document()["resource"]
    data = [f"${{aws_subnet.data_{index}.id}}" for index in range(3)]
    assert resources["aws_db_subnet_group"]["main"]["subnet_ids"] == data
    assert resources["aws_elasticache_subnet_group"]["main"]["subnet_ids"] == data
    table = "${aws_route_table.data.id}"
    assert table not in [body["route_table_id"] for body in resources["aws_route"].values()]
    routed = [
        body["subnet_id"]
        for body in resources["aws_route_table_association"].values()
        if body["route_table_id"] == table
    ]
    assert routed == data


def test_valkey_has_a_user_whose_password_is_written_nowhere(document: Callable[..., Document]) -> None:
    made = document()
    assert made["variable"] == {
        "redis_password": {
            **{key: value for key, value in made["variable"]["redis_password"].items() if key == "//"},
            "type": "string",
            "sensitive": True,
            "ephemeral": True,
        }
    }
    users = made["resource"]["aws_elasticache_user"]
    assert {body["passwords_wo"] for body in users.values()} == {"${var.redis_password}"}
    assert users["main"]["user_name"] == "beta9"
    # Nobody is somebody without saying who.
    assert (users["default"]["user_name"], users["default"]["access_string"][:3]) == ("default", "off")
    group = main(made, "aws_elasticache_replication_group")
    assert group["user_group_ids"] == ["${aws_elasticache_user_group.main.user_group_id}"]
    assert "auth_token" not in group
    assert main(made, "aws_elasticache_parameter_group")["family"] == "valkey9"
    assert (group["engine_version"], group["snapshot_retention_limit"]) == ("9.0", 7)


def test_a_customer_s_key_encrypts_all_that_is_stored(document: Callable[..., Document]) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    cloud = {
        "provider": "aws",
        "region": "us-east-1",
        "account_id": "123456789012",
        "role_arn": ROLE,
        "kms_key_arn": key,
    }
    resources = document(cloud=cloud)["resource"]
    database = resources["aws_db_instance"]["main"]
    keys = ("kms_key_id", "master_user_secret_kms_key_id", "performance_insights_kms_key_id")
    assert [database[name] for name in keys] == [key] * 3
    assert resources["aws_elasticache_replication_group"]["main"]["kms_key_id"] == key
    assert key in json.dumps(resources["aws_s3_bucket_server_side_encryption_configuration"])
    logs = resources["aws_cloudwatch_log_group"]
    assert {body["kms_key_id"] for name, body in logs.items() if name.startswith("database")} == {key}


@pytest.mark.parametrize(
    ("redis", "nodes", "failover"),
    [
        ({}, 1, False),
        ({"ha": True}, 2, True),
        ({"ha": True, "num_replicas": 3}, 4, True),
        ({"num_replicas": 3}, 1, False),
    ],
)
def test_redis_has_replicas_when_it_shall_be_highly_available(
    document: Callable[..., Document], redis: Mapping[str, Any], nodes: int, failover: bool
) -> None:
    made = document(data={"redis": redis})
    group = main(made, "aws_elasticache_replication_group")
    assert group["num_cache_clusters"] == nodes
    assert group["automatic_failover_enabled"] is failover
    assert group["multi_az_enabled"] is failover
    assert group["cluster_mode"] == "disabled"
    assert group["transit_encryption_enabled"] is True
    parameters = main(made, "aws_elasticache_parameter_group")["parameter"]
    assert {"name": "notify-keyspace-events", "value": "AKE"} in parameters


def test_data_stores_are_reachable_from_the_cluster_only(document: Callable[..., Document]) -> None:
    resources = document()["resource"]
    rules = resources["aws_vpc_security_group_ingress_rule"]
    cluster = "${aws_eks_cluster.main.vpc_config[0].cluster_security_group_id}"
    assert {name: rule["referenced_security_group_id"] for name, rule in rules.items()} == {
        "database": cluster,
        "redis": cluster,
    }
    assert {name: (rule["from_port"], rule["to_port"]) for name, rule in rules.items()} == {
        "database": (5432, 5432),
        "redis": (6379, 6379),
    }
    assert not {"aws_security_group_rule", "aws_vpc_security_group_egress_rule"} & set(resources)
    assert not [body for body in resources["aws_security_group"].values() if "ingress" in body]


def test_the_bucket_follows_the_config(document: Callable[..., Document]) -> None:
    full = document(
        data={"object_store": {"bucket_prefix": "data", "versioning": True, "lifecycle_days": 90}}
    )["resource"]
    assert full["aws_s3_bucket"]["main"]["bucket"] == "data-c3d4e5f6g7h8"
    assert full["aws_s3_bucket"]["main"]["force_destroy"] is True
    _, rule = full["aws_s3_bucket_lifecycle_configuration"]["main"]["rule"]
    assert rule["noncurrent_version_expiration"] == [{"noncurrent_days": 90}]
    bare = document(data={"object_store": {"versioning": False, "lifecycle_days": None}})["resource"]
    assert "main" not in bare["aws_s3_bucket_versioning"]
    [rule] = bare["aws_s3_bucket_lifecycle_configuration"]["main"]["rule"]
    assert rule["abort_incomplete_multipart_upload"] == [{"days_after_initiation": 7}]
    for resources in (full, bare):
        block = resources["aws_s3_bucket_public_access_block"]["main"]
        assert [value for key, value in block.items() if key not in ("//", "bucket")] == [True] * 4
        statement = json.loads(resources["aws_s3_bucket_policy"]["main"]["policy"])["Statement"][0]
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        bucket = resources["aws_s3_bucket"]["main"]["bucket"]
        assert statement["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        owner = resources["aws_s3_bucket_ownership_controls"]["main"]["rule"]
        assert owner == [{"object_ownership": "BucketOwnerEnforced"}]
        assert "SSE-C" in json.dumps(resources["aws_s3_bucket_server_side_encryption_configuration"])
        [rule] = resources["aws_s3_bucket_server_side_encryption_configuration"]["main"]["rule"]
        assert rule["apply_server_side_encryption_by_default"] == [{"sse_algorithm": "aws:kms"}]


def test_who_reached_the_bucket_is_logged_for_a_month(document: Callable[..., Document]) -> None:
    resources = document()["resource"]
    assert (
        main({"resource": resources}, "aws_s3_bucket_logging")["target_bucket"] == "${aws_s3_bucket.logs.id}"
    )
    name = resources["aws_s3_bucket"]["logs"]["bucket"]
    assert name == "beta9-c3d4e5f6g7h8-logs"
    closed, written = json.loads(resources["aws_s3_bucket_policy"]["logs"]["policy"])["Statement"]
    assert (closed["Effect"], closed["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert written["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert written["Condition"] == {
        "ArnLike": {"aws:SourceArn": "arn:aws:s3:::beta9-c3d4e5f6g7h8"},
        "StringEquals": {"aws:SourceAccount": "123456789012"},
    }
    [rule] = resources["aws_s3_bucket_server_side_encryption_configuration"]["logs"]["rule"]
    assert rule["apply_server_side_encryption_by_default"] == [{"sse_algorithm": "AES256"}]
    _, rule = resources["aws_s3_bucket_lifecycle_configuration"]["logs"]["rule"]
    assert rule["expiration"] == [{"days": 30}]
