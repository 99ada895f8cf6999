"""Operations that have waited too long for a worker to begin them: they end, and say so."""

from datetime import timedelta

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from beta9_provisioning.lifecycle import Kind, OperationStatus, Reason
from beta9_provisioning.operations.records.model import OperationRow
from beta9_provisioning.operations.records.store import Failure, fail_operation, try_lock_environment

_MOST = 100


def overdue(session: Session, minutes: float) -> list[tuple[str, str]]:
    """Return (operation id, environment id) of those that were requested so long ago and never begun.

    Those of a later version, too: no worker that could begin them has come.
    """
    rows = session.execute(
        select(OperationRow.id, OperationRow.environment_id)
        .where(_is_overdue(minutes))
        .order_by(OperationRow.created_at)
        .limit(_MOST)
    )
    return [(operation_id, environment_id) for operation_id, environment_id in rows]


def end_overdue(session: Session, operation_id: str, environment_id: str, minutes: float) -> bool:
    """End one of them; False when somebody began or ended it, or changes its environment just now."""
    if not try_lock_environment(session, environment_id):
        return False
    operation = session.scalar(
        select(OperationRow)
        .where(OperationRow.id == operation_id, _is_overdue(minutes))
        .with_for_update(skip_locked=True)
    )
    if operation is None:
        return False
    again = (
        "Delete the environment again."
        if operation.kind == Kind.DESTROY
        else "Nothing was created. Delete the environment, then create it again."
    )
    failure = Failure(
        Reason.TIMEOUT,
        "queue_timeout",
        f"No worker began the operation within {minutes:g} minutes.",
        "",
        f"{again} If it happens again, ask the operator of this service for more workers.",
    )
    fail_operation(session, operation_id, failure)
    return True


def _is_overdue(minutes: float) -> ColumnElement[bool]:
    return and_(
        OperationRow.status == OperationStatus.QUEUED,
        OperationRow.created_at < func.clock_timestamp() - timedelta(minutes=minutes),
    )
