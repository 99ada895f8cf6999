"""Attempts that end before their operation: it keeps its status, and another attempt follows (ADR 19)."""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from beta9_provisioning.kit.texts import clean_document
from beta9_provisioning.lifecycle import FINAL, RUNNING, OperationStatus, Reason
from beta9_provisioning.operations.records.journal import NewEvent, append
from beta9_provisioning.operations.records.model import AttemptRow, OperationRow
from beta9_provisioning.operations.records.store import (
    CANCELLED,
    Claim,
    Failure,
    end_attempt,
    fail_operation,
    hold,
    lock_environment,
)

MOST_LOST_ATTEMPTS = 5
"""So many attempts of an operation may be lost; what ends its worker that often would do so for ever."""

STOPPED = str(Reason.WORKER_STOPPED)
"""Outcome of an attempt that a worker handed back because it was shut down, which says nothing against it."""

_WAITS = {"step": "Waiting for another worker", "done": 0, "total": None}


def hand_back(session: Session, claim: Claim, outcome: str, failure: Failure) -> OperationStatus | None:
    """End this worker's attempt and leave the operation to the next one; return its status if it ended, too.

    All that the attempt started has ended: nobody has to wait for its lease.

    Args:
        session: left to the caller to commit.
        claim: what this worker holds.
        outcome: of the attempt: `STOPPED`, or what it met.
        failure: how the operation ends when it has met that too often, or was to be cancelled anyway.

    Raises:
        LeaseLost: when this attempt no longer holds the operation.
    """
    attempt = hold(session, claim, ended_as=outcome)
    if attempt.ended_at is not None:
        # By this very call, whose answer was lost.
        status = OperationStatus(session.get_one(OperationRow, claim.operation_id).status)
        return status if status in FINAL else None
    return interrupt(session, attempt, outcome, failure, is_over=True)


def interrupt(
    session: Session, attempt: AttemptRow, outcome: str, failure: Failure, *, is_over: bool = False
) -> OperationStatus | None:
    """End an attempt whose row the caller holds locked; return its operation's status if that ended, too."""
    operation = session.get_one(
        OperationRow, attempt.operation_id, with_for_update=True, populate_existing=True
    )
    end_attempt(session, attempt.lease_token, outcome, is_over=is_over)
    if operation.cancel_requested_at is not None:
        return fail_operation(session, operation.id, CANCELLED)
    if outcome != STOPPED and _lost(session, operation.id) >= MOST_LOST_ATTEMPTS:
        return fail_operation(session, operation.id, failure)
    session.execute(
        update(OperationRow).where(OperationRow.id == operation.id).values(progress=clean_document(_WAITS))
    )
    about = {"cause": outcome, "worker": attempt.worker, "attempt": attempt.number}
    message = f"{failure.message} Another attempt follows."
    append(
        session, operation.environment_id, [NewEvent("operation.interrupted", message, about, operation.id)]
    )
    return None


def earlier_end(session: Session, claim: Claim) -> float:
    """Return in how many seconds all that earlier attempts at the environment started has ended for sure.

    Their workers are known dead, or have said so; 0 when nothing is left. The leases are those that their own
    workers gave them, whatever others are set to.
    """
    left = session.scalar(
        select(func.extract("epoch", func.max(AttemptRow.lease_expires_at) - func.clock_timestamp()))
        .join(OperationRow, OperationRow.id == AttemptRow.operation_id)
        .where(
            OperationRow.environment_id == claim.environment_id,
            AttemptRow.lease_token != claim.lease_token,
        )
    )
    return max(0.0, float(left or 0))


def _lost(session: Session, operation_id: str) -> int:
    """Return how many attempts at an operation were lost, and not handed back because a worker was to end."""
    lost = select(func.count()).where(
        AttemptRow.operation_id == operation_id,
        AttemptRow.ended_at.is_not(None),
        AttemptRow.outcome != STOPPED,
    )
    return session.scalar(lost) or 0


def give_up(session: Session) -> None:
    """Fail all operations that are under way, whoever held them: what became of them nobody can know."""
    under_way = select(OperationRow.id, OperationRow.environment_id).where(OperationRow.status.in_(RUNNING))
    for operation_id, environment_id in session.execute(under_way).all():
        lock_environment(session, environment_id)
        live = select(AttemptRow.lease_token).where(
            AttemptRow.operation_id == operation_id, AttemptRow.ended_at.is_(None)
        )
        for token in session.scalars(live):
            end_attempt(session, token, Reason.WORKER_LOST, is_over=False)
        fail_operation(
            session,
            operation_id,
            Failure(
                Reason.WORKER_LOST,
                "worker_lost",
                "The operation was under way when the database was backed up, and its worker is unknown now.",
                "What it has created since is in the customer's account.",
                "Delete the environment to remove what was created, then create it again.",
            ),
        )
