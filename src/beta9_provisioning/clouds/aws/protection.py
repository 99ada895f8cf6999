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

from beta9_provisioning.clouds.aws import cluster_access
from beta9_provisioning.clouds.aws.names import names
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession, error_code
from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.spec import ENVIRONMENT_ID_TAG

if TYPE_CHECKING:
    from types_boto3_eks import EKSClient

_POLL_SECONDS = 2.0
_NO_DATABASE = frozenset({"DBInstanceNotFound", "DBInstanceNotFoundFault"})
_NO_SNAPSHOT = frozenset({"DBSnapshotNotFound", "DBSnapshotNotFoundFault"})
_BUSY = frozenset({"InvalidDBInstanceState", "InvalidDBInstanceStateFault", "ResourceInUseException"})
# "Viewing Amazon RDS DB instance status" in the RDS user guide.
_LOST = frozenset({"deleting", "failed", "inaccessible-encryption-credentials"})
_LOST_PREFIX = "incompatible-"
_LOST_CLUSTER = ("DELETING", "FAILED")


class _Patience:
    """How long is waited for AWS."""

    def __init__(self, seconds: float, stop: threading.Event) -> None:
        self._deadline = time.monotonic() + seconds
        self._stop = stop

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._deadline

    def pause(self) -> None:
        if self._stop.wait(_POLL_SECONDS):
            raise Stopped("Lifting the protection was stopped.")

    def insist(self, attempt: Callable[[], bool]) -> bool:
        """Return what it returns; what is being made or changed refuses, and is asked again."""
        while True:
            try:
                return attempt()
            except ClientError as error:
                if error_code(error) not in _BUSY or self.is_over:
                    raise
            self.pause()


def lift(session: AwsSession, environment_id: str, seconds: float, stop: threading.Event) -> list[str]:
    """Turn off the deletion protection of database and cluster; return in words what was protected.

    What is still being made, or changed by somebody else, cannot be changed: that is waited for. A database
    that somebody has stopped is started. What will never be usable is left to be deleted as it is.

    Raises:
        AwsError: something was busy for all of the time, or another failure of AWS.
        Stopped: the stop event was set.
    """
    own = names(environment_id)
    patience = _Patience(seconds, stop)
    lifted = []
    with session.explained("lift the deletion protection"):
        if patience.insist(partial(_lift_database, session.client("rds"), own.database)):
            lifted.append(f"database {own.database}")
        if patience.insist(partial(_lift_cluster, session, own.cluster, patience)):
            lifted.append(f"cluster {own.cluster}")
    return lifted


def _lift_database(rds: Any, name: str) -> bool:
    database = database_of(rds, name)
    if database is None or not database["DeletionProtection"] or is_lost(database):
        return False
    _wake(rds, database)
    rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False, ApplyImmediately=True)
    return True


def is_lost(database: dict[str, Any]) -> bool:
    """Return whether a database is on its way out, or will not be available again by itself."""
    status: str = database["DBInstanceStatus"]
    return status in _LOST or status.startswith(_LOST_PREFIX)


def _wake(rds: Any, database: dict[str, Any]) -> None:
    """Start a database that is stopped; it then refuses all else until it has started."""
    if database["DBInstanceStatus"] == "stopped":
        rds.start_db_instance(DBInstanceIdentifier=database["DBInstanceIdentifier"])


def _lift_cluster(session: AwsSession, name: str, patience: _Patience) -> bool:
    cluster = cluster_access.find(session, name)
    # EKS deletes one that failed although it is protected: "Protect EKS clusters from accidental deletion" in
    # its user guide.
    if cluster is None or cluster.get("status") in _LOST_CLUSTER or not cluster.get("deletionProtection"):
        return False
    eks: EKSClient = session.client("eks")
    update = eks.update_cluster_config(name=name, deletionProtection=False)["update"]
    # Whatever is deleted next must not meet an update that is under way.
    while update.get("status") == "InProgress" and not patience.is_over:
        patience.pause()
        update = eks.describe_update(name=name, updateId=update.get("id", ""))["update"]
    return True


def snapshot_name(environment_id: str) -> str:
    """Return the name of an environment's last snapshot."""
    return f"{names(environment_id).database}-final"


def take_snapshot(
    session: AwsSession, environment_id: str, seconds: float, stop: threading.Event
) -> str | None:
    """Take the database's last snapshot and wait for it; return its name, or None without a database.

    One that an earlier try has taken counts. Raises:

        AwsError: `snapshot_failed` when it cannot be taken, or is not there after so many seconds; or another
            failure of AWS.
        Stopped: the stop event was set.
    """
    name, database = snapshot_name(environment_id), names(environment_id).database
    patience = _Patience(seconds, stop)
    with session.explained(f"take the final snapshot {name}"):
        rds = session.client("rds")
        while (status := _snapshot(rds, name)) != "available":
            if status == "failed" or patience.is_over:
                raise _failed(name, f"Its status is {status or 'absent'}.")
            if status is None:
                found = database_of(rds, database)
                if found is None or found["DBInstanceStatus"] == "deleting":
                    return None
                if is_lost(found):
                    raise _failed(name, f"The database is {found['DBInstanceStatus']}.")
                _wake(rds, found)
                patience.insist(partial(_begin, rds, name, database, environment_id))
            else:
                patience.pause()
    return name


def _begin(rds: Any, name: str, database: str, environment_id: str) -> bool:
    tags = [{"Key": ENVIRONMENT_ID_TAG, "Value": environment_id}]
    rds.create_db_snapshot(DBSnapshotIdentifier=name, DBInstanceIdentifier=database, Tags=tags)
    return True


def _snapshot(rds: Any, name: str) -> str | None:
    try:
        found = rds.describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"]
    except ClientError as error:
        if error_code(error) not in _NO_SNAPSHOT:
            raise
        return None
    return str(found[0]["Status"]) if found else None


def database_of(rds: Any, name: str) -> dict[str, Any] | None:
    """Return what RDS says of an instance, or None when there is none."""
    try:
        found: dict[str, Any] = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
    except ClientError as error:
        if error_code(error) not in _NO_DATABASE:
            raise
        return None
    return found


def _failed(name: str, detail: str) -> AwsError:
    return AwsError(
        f"The final snapshot {name} could not be taken; nothing was deleted.",
        detail=detail,
        remedy="See in RDS why, delete a failed snapshot there, then delete the environment again. Without a "
        "snapshot it is deleted when data.postgres.final_snapshot is false.",
        code="snapshot_failed",
    )
