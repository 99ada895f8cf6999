"""What AWS protects from deletion at our wish: lifted, and a last snapshot taken, by calls of our own.

Terraform cannot do it in a destroy: it reads `deletion_protection` and `skip_final_snapshot` from its state,
which says how the environment was built and not what was asked for since.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from beta9_provisioning.clouds.aws.names import names
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession, error_code
from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.spec import ENVIRONMENT_ID_TAG

if TYPE_CHECKING:
    from types_boto3_eks import EKSClient

_POLL_SECONDS = 5.0
_NO_DATABASE = frozenset({"DBInstanceNotFound", "DBInstanceNotFoundFault"})
_NO_SNAPSHOT = frozenset({"DBSnapshotNotFound", "DBSnapshotNotFoundFault"})
_NO_CLUSTER = "ResourceNotFoundException"
_BUSY = frozenset({"InvalidDBInstanceState", "InvalidDBInstanceStateFault", "ResourceInUseException"})


def lift(session: AwsSession, environment_id: str, seconds: float, stop: threading.Event) -> list[str]:
    """Turn off the deletion protection of database and cluster; return in words what was protected.

    What is still being made, or changed by somebody else, cannot be changed: that is waited for.

    Raises:
        AwsError: something was busy for all of the time, or another failure of AWS.
        Stopped: the stop event was set.
    """
    own = names(environment_id)
    lifted = []
    deadline = time.monotonic() + seconds
    with session.explained("lift the deletion protection"):
        for what, lift_it in (
            (f"database {own.database}", partial(_lift_database, session.client("rds"), own.database)),
            (f"cluster {own.cluster}", partial(_lift_cluster, session.client("eks"), own.cluster)),
        ):
            while (done := _unless_busy(lift_it, deadline)) is None:
                if stop.wait(_POLL_SECONDS):
                    raise Stopped("Lifting the deletion protection was stopped.")
            if done:
                lifted.append(what)
    return lifted


def _unless_busy(lift_it: Callable[[], bool], deadline: float) -> bool | None:
    """Return what it returns; None if it is to be tried again."""
    try:
        return lift_it()
    except ClientError as error:
        if error_code(error) not in _BUSY or time.monotonic() >= deadline:
            raise
        return None


def _lift_database(rds: Any, name: str) -> bool:
    database = _database(rds, name)
    if database is None or database["DBInstanceStatus"] == "deleting" or not database["DeletionProtection"]:
        return False
    rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False, ApplyImmediately=True)
    return True


def _lift_cluster(eks: EKSClient, name: str) -> bool:
    try:
        cluster = eks.describe_cluster(name=name)["cluster"]
        if cluster.get("status") == "DELETING" or not cluster.get("deletionProtection"):
            return False
        eks.update_cluster_config(name=name, deletionProtection=False)
    except ClientError as error:
        if error_code(error) != _NO_CLUSTER:
            raise
        return False
    return True


def snapshot_name(environment_id: str) -> str:
    """Return the name of an environment's last snapshot."""
    return f"{names(environment_id).database}-final"


def take_snapshot(
    session: AwsSession, environment_id: str, seconds: float, stop: threading.Event
) -> str | None:
    """Take the database's last snapshot and wait for it; return its name, or None without a database.

    One that an earlier try has taken counts. Raises:

        AwsError: `snapshot_failed` when it is not there after so many seconds, or another failure of AWS.
        Stopped: the stop event was set.
    """
    name, database = snapshot_name(environment_id), names(environment_id).database
    deadline = time.monotonic() + seconds
    with session.explained(f"take the final snapshot {name}"):
        rds = session.client("rds")
        while (status := _snapshot(rds, name)) != "available":
            if status == "failed" or time.monotonic() >= deadline:
                raise _failed(name, status or "absent")
            if status is None:
                found = _database(rds, database)
                if found is None or found["DBInstanceStatus"] == "deleting":
                    return None
                if found["DBInstanceStatus"] == "available":
                    tags = [{"Key": ENVIRONMENT_ID_TAG, "Value": environment_id}]
                    rds.create_db_snapshot(
                        DBSnapshotIdentifier=name, DBInstanceIdentifier=database, Tags=tags
                    )
                    continue
            if stop.wait(_POLL_SECONDS):
                raise Stopped(f"Taking the final snapshot {name} was stopped.")
    return name


def _snapshot(rds: Any, name: str) -> str | None:
    try:
        found = rds.describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"]
    except ClientError as error:
        if error_code(error) not in _NO_SNAPSHOT:
            raise
        return None
    return str(found[0]["Status"]) if found else None


def _database(rds: Any, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
    except ClientError as error:
        if error_code(error) not in _NO_DATABASE:
            raise
        return None
    return found


def _failed(name: str, status: str) -> AwsError:
    return AwsError(
        f"The final snapshot {name} could not be taken; nothing was deleted.",
        detail=f"Its status is {status}.",
        remedy="See in RDS why, delete a failed snapshot there, then delete the environment again. Without a "
        "snapshot it is deleted when data.postgres.final_snapshot is false.",
        code="snapshot_failed",
    )
