"""The version of configurations goes up with their fields, which older workers refuse."""

from typing import Any

from beta9_provisioning.schemas.configuration import CONFIG_VERSION, json_schema

# Add a line for a new version; never change one that was released.
FIELDS = {
    1: """
        EnvironmentConfig: beta9 cloud cluster data deletion_protection name tags
        Beta9: domain enable_logging enable_metrics version workers
        Cloud: account_id external_id provider region role_arn service_account
        Cluster: existing_cluster_name node_labels node_taints profile use_existing
        Data: object_store postgres redis
        NodeTaint: effect key value
        ObjectStore: bucket_prefix lifecycle_days versioning
        Postgres: backup_retention_days multi_az size storage_gb
        Provider: aws gcp
        Redis: ha num_replicas size
        Size: large medium small
        TaintEffect: NoExecute NoSchedule PreferNoSchedule
        Workers: gpu_enabled gpu_type max_workers min_workers
    """,
    2: """
        EnvironmentConfig: beta9 cloud cluster data deletion_protection name network tags
        Beta9: domain enable_logging enable_metrics version workers
        Capacity: on_demand spot
        Cloud: account_id external_id kms_key_arn permissions_boundary_arn provider region role_arn role_path
        Cloud: service_account zones
        Cluster: admin_role_arns api capacity existing_cluster_name extended_support log_days node_labels
        Cluster: node_taints profile use_existing
        Data: object_store postgres redis
        KubernetesApi: private_only public_from
        Nat: single per_zone
        Network: cidr flow_log_days nat service_cidr
        NodeTaint: effect key value
        ObjectStore: bucket_prefix lifecycle_days on_delete versioning
        OnDelete: delete refuse
        Postgres: backup_retention_days final_snapshot max_storage_gb multi_az size storage_gb
        Provider: aws gcp
        Redis: ha num_replicas size snapshot_days
        Size: large medium small
        TaintEffect: NoExecute NoSchedule PreferNoSchedule
        Workers: gpu_enabled gpu_type max_workers min_workers
    """,
    3: """
        EnvironmentConfig: beta9 cloud cluster data deletion_protection name network tags
        Beta9: domain enable_logging enable_metrics version workers
        Capacity: on_demand spot
        Cloud: account_id external_id kms_key_arn permissions_boundary_arn provider region role_arn role_path
        Cloud: service_account zones
        Cluster: admin_role_arns api capacity existing_cluster_name extended_support log_days node_labels
        Cluster: node_taints profile use_existing
        Data: object_store postgres redis
        KubernetesApi: private_only public_from
        Nat: single per_zone
        Network: cidr data_subnet_ids flow_log_days nat private_subnet_ids public_subnet_ids service_cidr
        Network: vpc_id
        NodeTaint: effect key value
        ObjectStore: bucket_prefix lifecycle_days on_delete versioning
        OnDelete: delete refuse
        Postgres: backup_retention_days final_snapshot max_storage_gb multi_az size storage_gb
        Provider: aws gcp
        Redis: ha num_replicas size snapshot_days
        Size: large medium small
        TaintEffect: NoExecute NoSchedule PreferNoSchedule
        Workers: gpu_enabled gpu_type max_workers min_workers
    """,
}


def fields() -> set[str]:
    """Return all fields and words of today's schema."""
    schema: dict[str, Any] = json_schema()
    sections = {"EnvironmentConfig": schema, **schema["$defs"]}
    return {
        f"{name}: {field}"
        for name, section in sections.items()
        for field in section.get("properties", section.get("enum"))
    }


def recorded(version: int) -> set[str]:
    lines = [line.strip() for line in FIELDS[version].strip().splitlines()]
    return {
        f"{name}: {field}"
        for name, _, names in (line.partition(": ") for line in lines)
        for field in names.split()
    }


def test_a_new_field_is_a_new_version() -> None:
    assert fields() == recorded(CONFIG_VERSION)
