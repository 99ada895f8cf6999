"""RDS and ElastiCache: groups and users beside instances, to look for; and what a deletion asks of RDS."""

import re
from collections.abc import Callable
from typing import Any

from beta9_simulator.cloud import deleting, rds_rules
from beta9_simulator.cloud.rds_rules import STOPPED
from beta9_simulator.cloud.reading import current
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.databases import database, listed
from beta9_simulator.cloud.services.request import Handler, Request, tag_list, when
from beta9_simulator.cloud.store import NewObject, StoredObject

SNAPSHOT = "rds:snapshot"
SNAPSHOT_SECONDS = 240.0
_SNAPSHOT_NAME = re.compile(r"[A-Za-z](?!.*--)[A-Za-z0-9-]{0,254}(?<!-)")
State = dict[str, Any]


def _listing(type: str, key: str, entry: Callable[[StoredObject], State]) -> Handler:
    def describe(request: Request) -> State:
        return listed(request, key, request.find(type), entry)

    return describe


def _named(attribute: str, **others: str) -> Callable[[StoredObject], State]:
    """Return how an object is shown that has a name and little else; `others` are attributes of its state."""

    def entry(found: StoredObject) -> State:
        state = found.state
        return {attribute: found.id, **{shown: state.get(own) or "" for shown, own in others.items()}}

    return entry


def _of_users(attribute: str, **others: str) -> Callable[[StoredObject], State]:
    """Return how a user, or a group of them, is shown."""
    shown = _named(attribute, **others)

    def entry(found: StoredObject) -> State:
        words = {"available": "active", "updating": "modifying"}
        return {**shown(found), "Status": words.get(found.status, found.status)}

    return entry


def _delete_db_instance(request: Request) -> State:
    found = database(request)
    if found.status == "deleting":
        raise CloudError("InvalidDBInstanceState", f"Instance {found.name} is already being deleted.")
    last = {
        "skip_final_snapshot": request.params.get("SkipFinalSnapshot"),
        "final_snapshot_identifier": request.params.get("FinalDBSnapshotIdentifier"),
    }
    rds_rules.check_delete(found.state, last)
    deleting.delete(request.store, found)
    return {"DBInstance": {"DBInstanceIdentifier": found.name, "DBInstanceStatus": "deleting"}}


def _delete_replication_group(request: Request) -> State:
    name = request.params["ReplicationGroupId"]
    found = request.find("aws_elasticache_replication_group", id=name)
    if not found:
        raise CloudError("ReplicationGroupNotFoundFault", f"ReplicationGroup {name} not found.")
    deleting.delete(request.store, found[0])
    return {"ReplicationGroup": {"ReplicationGroupId": name, "Status": "deleting"}}


def _modify_db_instance(request: Request) -> State:
    found = database(request)
    if found.status in ("creating", "deleting"):
        status = current(found)["status"]
        raise CloudError("InvalidDBInstanceState", f"Database instance is not in available state: {status}.")
    if found.state.get(STOPPED):
        raise CloudError("InvalidDBInstanceState", "You can't modify a stopped DB instance")
    if "DeletionProtection" in request.params:
        request.store.edit(found, deletion_protection=request.params["DeletionProtection"])
    return {"DBInstance": {"DBInstanceIdentifier": found.name, "DBInstanceStatus": "available"}}


def _start_db_instance(request: Request) -> State:
    found = database(request)
    if not found.state.get(STOPPED):
        raise CloudError(
            "InvalidDBInstanceState",
            f"Instance {found.name} is not stopped or is not in a state to be started.",
        )
    request.store.edit(found, **{STOPPED: False})
    return {"DBInstance": {"DBInstanceIdentifier": found.name, "DBInstanceStatus": "starting"}}


def _create_db_snapshot(request: Request) -> State:
    found, name = database(request), request.params["DBSnapshotIdentifier"]
    if not _SNAPSHOT_NAME.fullmatch(name):
        raise CloudError(
            "InvalidParameterValue", f"The parameter DBSnapshotIdentifier is not a valid identifier: {name}"
        )
    if found.status != "available" or found.state.get(STOPPED):
        status = "stopped" if found.state.get(STOPPED) else current(found)["status"]
        raise CloudError("InvalidDBInstanceState", f"Instance is not currently available: it is {status}.")
    if request.find(SNAPSHOT, id=name):
        raise CloudError(
            "DBSnapshotAlreadyExists",
            f"Cannot create the snapshot because a snapshot with the identifier {name} already exists.",
        )
    tags = {tag["Key"]: tag["Value"] for tag in request.params.get("Tags") or []}
    arn = f"arn:aws:rds:{found.region}:{found.account}:snapshot:{name}"
    state = {
        "id": name,
        "arn": arn,
        "database": found.name,
        "size": found.state["allocated_storage"],
        "tags": tags,
    }
    new = NewObject(
        found.account, found.region, SNAPSHOT, name, name, state, request.principal.identity, "snapshot"
    )
    made = request.store.create(new, request.store.lasting("snapshot", SNAPSHOT_SECONDS))
    return {"DBSnapshot": _snapshot(made)}


def _describe_db_snapshots(request: Request) -> State:
    name, database = (request.params.get(f"DB{word}Identifier") for word in ("Snapshot", "Instance"))
    found = [
        one
        for one in request.find(SNAPSHOT, **({"id": name} if name else {}))
        if not database or one.state["database"] == database
    ]
    if name and not found:
        raise CloudError("DBSnapshotNotFound", f"DBSnapshot {name} not found.")
    return listed(request, "DBSnapshots", found, _snapshot)


def _snapshot(found: StoredObject) -> State:
    return {
        "DBSnapshotIdentifier": found.id,
        "DBSnapshotArn": found.state["arn"],
        "DBInstanceIdentifier": found.state["database"],
        "AllocatedStorage": found.state["size"],
        "Status": "creating" if found.status == "creating" else "available",
        "SnapshotType": "manual",
        "SnapshotCreateTime": when(found.created_at),
        "TagList": tag_list(found.tags),
    }


RDS: dict[str, Handler] = {
    "DescribeDBSubnetGroups": _listing(
        "aws_db_subnet_group", "DBSubnetGroups", _named("DBSubnetGroupName", VpcId="vpc_id")
    ),
    "DescribeDBParameterGroups": _listing(
        "aws_db_parameter_group",
        "DBParameterGroups",
        _named("DBParameterGroupName", DBParameterGroupFamily="family"),
    ),
    "DeleteDBInstance": _delete_db_instance,
    "ModifyDBInstance": _modify_db_instance,
    "StartDBInstance": _start_db_instance,
    "CreateDBSnapshot": _create_db_snapshot,
    "DescribeDBSnapshots": _describe_db_snapshots,
}
ELASTICACHE: dict[str, Handler] = {
    "DescribeCacheClusters": _listing(
        "aws_elasticache_cluster", "CacheClusters", _named("CacheClusterId", Engine="engine")
    ),
    "DescribeCacheSubnetGroups": _listing(
        "aws_elasticache_subnet_group", "CacheSubnetGroups", _named("CacheSubnetGroupName")
    ),
    "DescribeCacheParameterGroups": _listing(
        "aws_elasticache_parameter_group",
        "CacheParameterGroups",
        _named("CacheParameterGroupName", CacheParameterGroupFamily="family"),
    ),
    "DescribeUsers": _listing("aws_elasticache_user", "Users", _of_users("UserId", UserName="user_name")),
    "DescribeUserGroups": _listing("aws_elasticache_user_group", "UserGroups", _of_users("UserGroupId")),
    "DeleteReplicationGroup": _delete_replication_group,
}
