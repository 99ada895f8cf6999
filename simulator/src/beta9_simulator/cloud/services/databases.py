"""RDS and ElastiCache: instances and replication groups, to read."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from beta9_simulator.cloud import rds_rules
from beta9_simulator.cloud.reading import current
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.request import Handler, Request, page, tag_list, when
from beta9_simulator.cloud.store import StoredObject
from beta9_simulator.cloud.zones import zones_of

_PAGE = 100
_CACHE_PORT = 6379
State = dict[str, Any]
Item = TypeVar("Item")


def listed(request: Request, key: str, found: Sequence[Item], entry: Callable[[Item], State]) -> State:
    """Return a page of what was found, as both services tell it."""
    size = int(request.params.get("MaxRecords") or _PAGE)
    items, marker = page(found, size, request.params.get("Marker"))
    return {key: [entry(item) for item in items], "Marker": marker}


def database(request: Request) -> StoredObject:
    """Return the instance that a request names; raise ``CloudError`` when there is none."""
    name = request.params["DBInstanceIdentifier"]
    found = request.find("aws_db_instance", name=name)
    if not found:
        raise CloudError("DBInstanceNotFound", f"DBInstance {name} not found.")
    return found[0]


def _describe_db_instances(request: Request) -> State:
    named = request.params.get("DBInstanceIdentifier")
    found = [database(request)] if named else request.find("aws_db_instance")
    return listed(request, "DBInstances", found, _db_instance)


def _db_instance(found: StoredObject) -> State:
    state = current(found)
    instance = {
        "DBInstanceIdentifier": found.name,
        "DBInstanceArn": state["arn"],
        "DbiResourceId": state["resource_id"],
        "DBInstanceClass": state["instance_class"],
        "DBInstanceStatus": _status(found, state),
        "DBName": state["db_name"],
        "Engine": state["engine"],
        "EngineVersion": state["engine_version_actual"],
        "MasterUsername": state["username"],
        "AllocatedStorage": state["allocated_storage"],
        "MultiAZ": bool(state["multi_az"]),
        "StorageEncrypted": bool(state["storage_encrypted"]),
        "BackupRetentionPeriod": state["backup_retention_period"],
        "DeletionProtection": bool(state["deletion_protection"]),
        "InstanceCreateTime": when(found.created_at),
        "TagList": tag_list(found.tags),
    }
    if state["address"] and not state.get("failed"):
        instance["LatestRestorableTime"] = when(found.busy_until)
    if state["address"]:
        instance["Endpoint"] = {"Address": state["address"], "Port": state["port"]}
    for secret in state["master_user_secret"]:
        instance["MasterUserSecret"] = {
            "SecretArn": secret["secret_arn"],
            "SecretStatus": secret["secret_status"],
            "KmsKeyId": secret["kms_key_id"],
        }
    return instance


def _status(found: StoredObject, state: State) -> str:
    if found.status == "available" and state.get("failed"):
        return "failed"
    return "stopped" if state.get(rds_rules.STOPPED) else str(state["status"])


def _describe_replication_groups(request: Request) -> State:
    name = request.params.get("ReplicationGroupId")
    found = request.find("aws_elasticache_replication_group", **({"id": name} if name else {}))
    if name and not found:
        raise CloudError("ReplicationGroupNotFoundFault", f"ReplicationGroup {name} not found.")
    return listed(request, "ReplicationGroups", found, _replication_group)


def _group_status(found: StoredObject) -> str:
    if found.status == "available" and found.state.get("failed"):
        return "create-failed"
    return {"updating": "modifying"}.get(found.status, found.status)


def _replication_group(found: StoredObject) -> State:
    state = current(found)
    port = state["port"] or _CACHE_PORT
    group = {
        "ReplicationGroupId": found.id,
        "Description": state["description"],
        "Status": _group_status(found),
        "ARN": state["arn"],
        "MemberClusters": state["member_clusters"],
        "CacheNodeType": state["node_type"],
        "ClusterEnabled": bool(state["cluster_enabled"]),
        "AutomaticFailover": "enabled" if state["automatic_failover_enabled"] else "disabled",
        "MultiAZ": "enabled" if state["multi_az_enabled"] else "disabled",
        "TransitEncryptionEnabled": bool(state["transit_encryption_enabled"]),
        "AtRestEncryptionEnabled": state["at_rest_encryption_enabled"] == "true",
        "Engine": state["engine"],
        "NodeGroups": [],
    }
    if state["primary_endpoint_address"]:
        group["NodeGroups"] = [
            {
                "NodeGroupId": "0001",
                "Status": group["Status"],
                "PrimaryEndpoint": {"Address": state["primary_endpoint_address"], "Port": port},
                "ReaderEndpoint": {"Address": state["reader_endpoint_address"], "Port": port},
            }
        ]
    if state["configuration_endpoint_address"]:
        group["ConfigurationEndpoint"] = {"Address": state["configuration_endpoint_address"], "Port": port}
    return group


def _describe_orderable_options(request: Request) -> State:
    """Every class in every version and zone; a setting ``not_orderable`` names classes that there are not."""
    wanted = request.params
    missing = request.store.setting("not_orderable").split()
    names = [
        f"db.{family}.{size}"
        for family, sizes in rds_rules.FAMILIES.items()
        for size in sizes
        if wanted.get("DBInstanceClass") in (None, f"db.{family}.{size}")
    ]
    zones = [{"Name": zone.name} for zone in zones_of(request.principal.account, request.region)]
    options = [
        {
            "Engine": "postgres",
            "EngineVersion": f"{major}.{minor}",
            "DBInstanceClass": name,
            "LicenseModel": "postgresql-license",
            "AvailabilityZones": zones,
            "MultiAZCapable": True,
            "Vpc": True,
            "StorageType": "gp3",
            "SupportsStorageEncryption": True,
        }
        for name in names
        if name not in missing
        for major, minors in rds_rules.MINORS.items()
        for minor in minors
        if wanted.get("EngineVersion") in (None, f"{major}.{minor}")
    ]
    found = options if wanted["Engine"] == "postgres" else []
    return listed(request, "OrderableDBInstanceOptions", found, dict)


RDS: dict[str, Handler] = {
    "DescribeDBInstances": _describe_db_instances,
    "DescribeOrderableDBInstanceOptions": _describe_orderable_options,
}
ELASTICACHE: dict[str, Handler] = {"DescribeReplicationGroups": _describe_replication_groups}
