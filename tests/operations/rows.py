"""Rows that the tests of operations start from."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.ids import new_id
from beta9_provisioning.lifecycle import Kind
from beta9_provisioning.operations.records import journal, store
from beta9_provisioning.operations.records.model import EnvironmentRow, OperationRow

CONFIG: dict[str, Any] = {
    "name": "demo",
    "cloud": {
        "provider": "aws",
        "region": "us-east-1",
        "account_id": "123456789012",
        "role_arn": "arn:aws:iam::123456789012:role/Beta9Provisioner",
    },
    "beta9": {"domain": "beta9.example.com"},
}


@dataclass(frozen=True)
class Made:
    """A new environment and its first operation."""

    environment_id: str
    operation_id: str


def make_environment(
    sessions: Sessions, config: dict[str, Any] | None = None, *, user: str = "default"
) -> Made:
    """Add an environment whose provision is queued; `user` asks for it."""
    now = datetime.now(UTC)
    with transaction(sessions) as session:
        row = EnvironmentRow(
            id=new_id("env"),
            owner="default",
            name=new_id("n").replace("_", "-"),
            provider="aws",
            region="us-east-1",
            account_id="123456789012",
            config=CONFIG if config is None else config,
            config_version=1,
            deletion_protection=False,
            status="queued",
            created_at=now,
            updated_at=now,
        )
        operation = store.begin(session, row, user)
        return Made(row.id, operation.id)


def take(
    sessions: Sessions, operation_id: str, *, lease: float = 3600.0, liveness_key: int = 1
) -> store.Claim:
    """Claim an operation that must be there to be claimed."""
    with transaction(sessions) as session:
        claim = store.claim(
            session, operation_id, worker="w:1", liveness_key=liveness_key, lease_seconds=lease
        )
    assert claim is not None
    return claim


def add_destroy(sessions: Sessions, environment_id: str) -> str:
    """Queue a destroy beside whatever there is."""
    with transaction(sessions) as session:
        row = store.lock_environment(session, environment_id)
        assert row is not None
        return store.queue(session, row, Kind.DESTROY, "default").id


def operation(sessions: Sessions, operation_id: str) -> OperationRow:
    """Read an operation."""
    with transaction(sessions) as session:
        return session.get_one(OperationRow, operation_id)


def status(sessions: Sessions, environment_id: str) -> str:
    """Read an environment's public status."""
    with transaction(sessions) as session:
        return session.get_one(EnvironmentRow, environment_id).status


def events(sessions: Sessions, environment_id: str) -> list[tuple[int, str, dict[str, Any]]]:
    """Read an environment's whole journal as (number, type, data)."""
    with transaction(sessions) as session:
        rows = journal.read(session, environment_id, after=0, limit=10_000)
        return [(row.id, row.type, row.data) for row in rows]
