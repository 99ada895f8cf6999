"""What RDS and ElastiCache refuse, with AWS's own codes and words, at Terraform's door."""

import threading
from typing import Any

import pytest
from tests.simulator.cloud.provider.test_operations import caller

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_simulator.cloud.checks import create_seconds
from beta9_simulator.cloud.demand import overlap
from beta9_simulator.cloud.provider.operations import Operations
from beta9_simulator.cloud.provider.schema import read_schema
from beta9_simulator.cloud.provider.values import UNKNOWN, conform
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import Store

DATABASE = {
    "identifier": "it",
    "engine": "postgres",
    "engine_version": "17",
    "instance_class": "db.t4g.medium",
    "allocated_storage": 100,
    "storage_type": "gp3",
}
CACHE = {
    "replication_group_id": "it",
    "engine": "valkey",
    "engine_version": "9.0",
    "node_type": "cache.t4g.small",
    "num_cache_clusters": 1,
    "automatic_failover_enabled": False,
    "multi_az_enabled": False,
}


@pytest.fixture
def operations(store: Store) -> Operations:
    return Operations(store, caller("arn:aws:iam::123456789012:role/r"), "us-east-1", threading.Event())


def completed(type: str, config: dict[str, Any], prior: dict[str, Any] | None = None) -> dict[str, Any]:
    """A plan in which everything is unknown, or as it was, that the configuration leaves open."""
    block = read_schema(SCHEMA_FILE).resources[type]["block"]
    planned = conform(block, config)
    for key, attribute in block["attributes"].items():
        if planned[key] is None and attribute.get("computed"):
            planned[key] = UNKNOWN if prior is None else prior[key]
            if key == "region":
                planned[key] = "us-east-1"
    return planned


def create(operations: Operations, type: str, **config: Any) -> dict[str, Any]:
    block = read_schema(SCHEMA_FILE).resources[type]["block"]
    return operations.create(type, block, completed(type, config), config)


def update(operations: Operations, type: str, prior: dict[str, Any], **config: Any) -> dict[str, Any]:
    block = read_schema(SCHEMA_FILE).resources[type]["block"]
    return operations.update(type, block, prior, completed(type, config, prior), config)


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        (
            {"instance_class": "db.m3.large"},
            "RDS does not support creating a DB instance with the following combination: "
            "DBInstanceClass=db.m3.large, Engine=postgres, EngineVersion=17.11,",
        ),
        ({"instance_class": "db.t4g.24xlarge"}, "DBInstanceClass=db.t4g.24xlarge"),
        ({"engine_version": "17.99"}, "Cannot find version 17.99 for postgres"),
        ({"allocated_storage": 10}, "Invalid storage size for engine name postgres and storage type gp3: 10"),
        ({"allocated_storage": 70000}, "Invalid storage size .* gp3: 70000"),
        (
            {"iops": 3000},
            "You can't specify IOPS or storage throughput for engine postgres and a storage size",
        ),
        ({"storage_throughput": 125}, "You can't specify IOPS or storage throughput"),
        ({"allocated_storage": 400, "iops": 3000}, "Invalid iops value for engine name postgres .*: 3000"),
        ({"max_allocated_storage": 100}, "Max storage size must be greater than storage size"),
        ({"max_allocated_storage": 109}, "must be increased by at least 10 percent"),
        (
            {"parameter_group_name": "of-16"},
            r"The parameter group of-16 with DBParameterGroupFamily postgres16 can't be used .* postgres17\.",
        ),
        (
            {"backup_window": "04:00-05:00", "maintenance_window": "mon:04:30-mon:05:30"},
            "InvalidParameterValue: The backup window and maintenance window must not overlap",
        ),
    ],
)
def test_what_rds_refuses_to_create(operations: Operations, changed: dict[str, Any], refusal: str) -> None:
    create(operations, "aws_db_parameter_group", name="of-16", family="postgres16")
    with pytest.raises(CloudError, match=refusal):
        create(operations, "aws_db_instance", **{**DATABASE, **changed})
    assert create(operations, "aws_db_instance", **DATABASE)["engine_version_actual"] == "17.11"


def test_volumes_have_the_figures_of_their_size(operations: Operations) -> None:
    small = create(operations, "aws_db_instance", **DATABASE)
    large = create(
        operations, "aws_db_instance", **{**DATABASE, "identifier": "large", "allocated_storage": 400}
    )
    assert [(made["iops"], made["storage_throughput"]) for made in (small, large)] == [
        (3000, 125),
        (12000, 500),
    ]


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"allocated_storage": 99}, "Invalid storage size for engine name postgres and storage type gp3: 99"),
        # The provider sends the operations that a small volume had: terraform-provider-aws#28382.
        (
            {"allocated_storage": 400},
            "Invalid iops value for engine name postgres and storage type gp3: 3000",
        ),
        ({"engine_version": "18"}, "The AllowMajorVersionUpgrade flag must be present when upgrading"),
        ({"engine_version": "16"}, "Cannot upgrade postgres from 17 to 16"),
        (
            {"engine_version": "18", "allow_major_version_upgrade": True, "parameter_group_name": "of-17"},
            "The parameter group of-17 with DBParameterGroupFamily postgres17 can't be used",
        ),
    ],
)
def test_what_rds_refuses_to_change(operations: Operations, changed: dict[str, Any], refusal: str) -> None:
    create(operations, "aws_db_parameter_group", name="of-17", family="postgres17")
    made = create(operations, "aws_db_instance", **DATABASE, parameter_group_name="of-17")
    with pytest.raises(CloudError, match=refusal):
        update(operations, "aws_db_instance", made, **{**DATABASE, **changed})


def test_a_large_volume_takes_the_operations_of_its_size(operations: Operations) -> None:
    made = create(operations, "aws_db_instance", **DATABASE)
    grown = {**DATABASE, "allocated_storage": 400, "iops": 12000, "storage_throughput": 500}
    assert update(operations, "aws_db_instance", made, **grown)["iops"] == 12000


def test_a_parameter_group_in_use_stays(operations: Operations) -> None:
    group = create(operations, "aws_db_parameter_group", name="of-17", family="postgres17")
    create(operations, "aws_db_instance", **DATABASE, parameter_group_name="of-17")
    with pytest.raises(CloudError, match="InvalidDBParameterGroupState"):
        operations.delete("aws_db_parameter_group", group)


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        (
            {"deletion_protection": True},
            "Cannot delete protected DB Instance, please disable deletion protection",
        ),
        ({}, "final_snapshot_identifier is required when skip_final_snapshot is false"),
        ({"final_snapshot_identifier": "no--good"}, "FinalDBSnapshotIdentifier is not a valid identifier"),
    ],
)
def test_what_rds_refuses_to_delete(operations: Operations, said: dict[str, Any], refusal: str) -> None:
    made = create(operations, "aws_db_instance", **DATABASE, **said)
    with pytest.raises(CloudError, match=refusal):
        operations.delete("aws_db_instance", made)


def test_a_standby_takes_its_time() -> None:
    assert create_seconds("aws_db_instance", {"multi_az": False}) == 7 * 60
    assert 10 * 60 <= (create_seconds("aws_db_instance", {"multi_az": True}) or 0) <= 15 * 60
    assert create_seconds("aws_vpc", {}) is None


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        (
            {"parameter_group_name": "seven"},
            "Expected a parameter group of family valkey9 but found one of family valkey7",
        ),
        ({"engine_version": "9.9"}, "Cannot find version 9.9 for valkey"),
        (
            {"user_group_ids": ["them"], "transit_encryption_enabled": True, "auth_token": "t" * 16},
            "User group can't be associated with auth token enabled. Pass AuthStrategy delete to proceed.",
        ),
        ({"user_group_ids": ["them"], "transit_encryption_enabled": False}, "requires encryption-in-transit"),
        ({"user_group_ids": ["who"], "transit_encryption_enabled": True}, "UserGroupNotFound"),
        ({"automatic_failover_enabled": True}, "at least one read replica"),
        ({"num_cache_clusters": 2, "multi_az_enabled": True}, "Multi-AZ requires automatic failover"),
        (
            {
                "snapshot_retention_limit": 7,
                "snapshot_window": "03:00-05:00",
                "maintenance_window": "sun:04:00-sun:05:00",
            },
            "The snapshot window and maintenance window must not overlap",
        ),
    ],
)
def test_what_elasticache_refuses_to_create(
    operations: Operations, changed: dict[str, Any], refusal: str
) -> None:
    create(operations, "aws_elasticache_parameter_group", name="seven", family="valkey7")
    create(operations, "aws_elasticache_user_group", user_group_id="them", engine="valkey", user_ids=[])
    with pytest.raises(CloudError, match=refusal):
        create(operations, "aws_elasticache_replication_group", **{**CACHE, **changed})
    create(operations, "aws_elasticache_replication_group", **CACHE)


def test_a_version_and_its_parameter_group_change_together(operations: Operations) -> None:
    create(operations, "aws_elasticache_parameter_group", name="seven", family="valkey7")
    before = {**CACHE, "engine_version": "7.2", "parameter_group_name": "seven"}
    made = create(operations, "aws_elasticache_replication_group", **before)
    with pytest.raises(
        CloudError, match="Expected a parameter group of family valkey8 but found one of family"
    ):
        update(operations, "aws_elasticache_replication_group", made, **{**before, "engine_version": "8.1"})


def test_a_user_group_in_use_stays(operations: Operations) -> None:
    group = create(
        operations, "aws_elasticache_user_group", user_group_id="them", engine="valkey", user_ids=[]
    )
    secure = {**CACHE, "transit_encryption_enabled": True, "user_group_ids": ["them"]}
    create(operations, "aws_elasticache_replication_group", **secure)
    with pytest.raises(CloudError, match="InvalidUserGroupState"):
        operations.delete("aws_elasticache_user_group", group)


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({}, "No password was provided"),
        ({"passwords_wo": "too short", "passwords_wo_version": 1}, "Passwords length must be between 16-128"),
        ({"passwords": ["too short"]}, "Passwords length must be between 16-128"),
    ],
)
def test_users_have_passwords_of_a_length(
    operations: Operations, given: dict[str, Any], refusal: str
) -> None:
    user = {"user_id": "it", "user_name": "it", "engine": "valkey", "access_string": "on ~* +@all"}
    with pytest.raises(CloudError, match=refusal):
        create(operations, "aws_elasticache_user", **user, **given)
    create(operations, "aws_elasticache_user", **user, passwords_wo="a" * 16, passwords_wo_version=1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("03:00-04:00", "mon:04:00-mon:05:00", False),
        ("03:00-04:01", "mon:04:00-mon:05:00", True),
        ("23:30-00:30", "sun:00:00-sun:01:00", True),
        ("00:00-01:00", "sun:23:30-mon:00:30", True),
        ("02:00-03:00", "sun:23:30-mon:00:30", False),
    ],
)
def test_windows_meet_across_midnight_and_the_week_s_end(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is expected
