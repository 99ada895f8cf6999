"""Leases: a worker's proof that it lives, its renewal, and what becomes of operations without it.

Two proofs stand side by side. A lease is renewed by heartbeat and expires when the worker falls
silent, whatever the cause. A session-level advisory lock lives exactly as long as the worker's
liveness connection, so that a process that died is known dead within seconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, and_, func, or_, select, text, update
from sqlalchemy.orm import Session

from beta9_provisioning.lifecycle import Reason
from beta9_provisioning.operations.records.model import AttemptRow, OperationRow
from beta9_provisioning.operations.records.store import Failure, fail_attempt, lock_environment

# A dead process is believed dead after its liveness lock is gone and this many seconds of silence.
PROVEN_DEATH_SECONDS = 15.0

_LIVENESS_LOCK_IS_FREE = text(
    """NOT EXISTS (
        SELECT 1 FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND ((classid::bigint << 32) | objid::bigint) = attempts.liveness_key
    )"""
)


@dataclass(frozen=True)
class Renewed:
    """A lease that was renewed."""

    lease_token: UUID
    cancel_requested: bool


def renew(session: Session, tokens: Iterable[UUID], lease_seconds: float) -> Sequence[Renewed]:
    """Renew leases by the database's clock; those missing from the answer are lost."""
    rows = session.execute(
        update(AttemptRow)
        .where(
            AttemptRow.lease_token.in_(list(tokens)),
            AttemptRow.ended_at.is_(None),
            OperationRow.id == AttemptRow.operation_id,
        )
        .values(
            heartbeat_at=func.clock_timestamp(),
            lease_expires_at=func.clock_timestamp() + timedelta(seconds=lease_seconds),
        )
        .returning(AttemptRow.lease_token, OperationRow.cancel_requested_at)
        .execution_options(synchronize_session=False)
    )
    return [Renewed(token, cancelled is not None) for token, cancelled in rows]


def hold_liveness(session: Session | Connection, liveness_key: int) -> bool:
    """Take (or keep) the session-level lock that proves this process alive; False if another has it."""
    return bool(session.scalar(select(func.pg_try_advisory_lock(liveness_key))))


def abandoned(session: Session, *, lease_seconds: float) -> Sequence[tuple[UUID, str]]:
    """Return (lease token, environment id) of live attempts whose worker is gone.

    A database that has just come back proves nothing: workers could not renew while it was away. So
    nobody is called gone before it has been up for one full lease.
    """
    silent = and_(
        AttemptRow.heartbeat_at < func.clock_timestamp() - timedelta(seconds=PROVEN_DEATH_SECONDS),
        _LIVENESS_LOCK_IS_FREE,
    )
    up_long_enough = func.pg_postmaster_start_time() < func.clock_timestamp() - timedelta(
        seconds=lease_seconds
    )
    rows = session.execute(
        select(AttemptRow.lease_token, OperationRow.environment_id)
        .join(OperationRow, OperationRow.id == AttemptRow.operation_id)
        .where(
            AttemptRow.ended_at.is_(None),
            or_(AttemptRow.lease_expires_at < func.clock_timestamp(), silent),
            up_long_enough,
        )
    )
    return [(token, environment_id) for token, environment_id in rows]


def take_from_lost_worker(
    session: Session, token: UUID, environment_id: str, *, lease_seconds: float
) -> bool:
    """Fail the operation of an abandoned attempt; False when it was renewed or ended meanwhile."""
    lock_environment(session, environment_id)
    attempt = session.scalars(
        select(AttemptRow).where(AttemptRow.lease_token == token).with_for_update()
    ).one()
    if (token, environment_id) not in abandoned(session, lease_seconds=lease_seconds):
        return False
    failure = Failure(
        Reason.WORKER_LOST,
        "worker_lost",
        "The worker that ran the operation was lost.",
        f"Worker {attempt.worker} sent its last heartbeat at {attempt.heartbeat_at:%Y-%m-%d %H:%M:%S} UTC. "
        "Terraform was told to stop and to save its state; what it had created is in the customer's account.",
        "Delete the environment to remove what was created, then create it again. "
        "If workers are lost repeatedly, look at their memory and their logs.",
    )
    fail_attempt(session, attempt, failure)
    return True
