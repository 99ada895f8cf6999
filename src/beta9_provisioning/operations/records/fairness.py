"""Whose turn it is: which operations a worker may begin now, in an order that is fair to who asked for them.

What was interrupted, and has no live attempt, goes first. Then all requesters' operations follow in turns: in
the n-th turn are those with which their requester, counting what he runs already, would run n. So one who has
asked for fifty delays another's first by one slot at most. Within a turn the oldest goes first.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    and_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from beta9_provisioning.lifecycle import FINAL, RUNNING, OperationStatus
from beta9_provisioning.operations.records.model import AttemptRow, EnvironmentRow, OperationRow
from beta9_provisioning.operations.records.versions import OURS, Versions, within

_QUEUED = frozenset({OperationStatus.QUEUED})
_UNFINISHED = frozenset(OperationStatus) - FINAL
# Of PostgreSQL's advisory locks of two numbers, which no lock of a worker's life is.
_REQUESTERS_LOCKS = 0x6239_7275


def claimable(
    session: Session,
    *,
    most_of_one: int = 0,
    older_than: float = 0.0,
    limit: int = 100,
    versions: Versions = OURS,
) -> list[str]:
    """Return the ids of operations that this worker could begin now, in the order in which it is their turn.

    Args:
        session: left to the caller to end.
        most_of_one: how many operations of one requester may run at the same time; 0: any.
        older_than: seconds since the request that queued ones must have waited.
        limit: the most that are returned.
        versions: those of a later version are left to newer workers.
    """
    turns = _turns(versions, older_than)
    return list(session.scalars(_in_order(select(turns.c.id), turns, most_of_one).limit(limit)))


def next_free(
    session: Session, *, most_of_one: int = 0, refused: Collection[str] = (), versions: Versions = OURS
) -> str | None:
    """Return the operation whose turn it is, its environment locked; None when there is none.

    An environment that somebody else has locked is passed over: two workers that ask at the same time are
    given different ones. Whether it may be begun `store.claim` says, for another worker may have been first;
    what that has refused goes into `refused`.
    """
    turns = _turns(versions, 0.0)
    chosen = _in_order(select(turns.c.id), turns, most_of_one)
    return session.scalar(
        chosen.join(EnvironmentRow, EnvironmentRow.id == turns.c.environment_id)
        .where(turns.c.id.not_in(list(refused)) if refused else true())
        .limit(1)
        .with_for_update(of=EnvironmentRow, skip_locked=True)
    )


def is_at_limit(session: Session, requested_by: str, most_of_one: int) -> bool:
    """Return whether somebody runs as many operations as he may.

    One worker at a time begins an operation of one requester when there is a limit: until the transaction
    ends no other does. Ask it with the environment's row locked, and lock no environment's afterwards.
    """
    if not most_of_one:
        return False
    session.execute(select(func.pg_advisory_xact_lock(_REQUESTERS_LOCKS, func.hashtext(requested_by))))
    running = select(func.count()).where(
        OperationRow.requested_by == requested_by, _is(OperationRow.status, RUNNING)
    )
    return (session.scalar(running) or 0) >= most_of_one


def _in_order(chosen: Select[str], turns: Subquery, most_of_one: int) -> Select[str]:
    within_limit = turns.c.turn <= most_of_one if most_of_one else true()
    return chosen.where(within_limit).order_by(turns.c.turn, turns.c.created_at, turns.c.id)


def _turns(versions: Versions, older_than: float) -> Subquery:
    """Return all operations that could be begun, each with its turn."""
    running = (
        select(OperationRow.requested_by, func.count().label("running"))
        .where(_is(OperationRow.status, RUNNING))
        .group_by(OperationRow.requested_by)
        .cte("running")
    )
    place = func.row_number().over(
        partition_by=OperationRow.requested_by, order_by=(OperationRow.created_at, OperationRow.id)
    )
    queued = (
        select(*_COLUMNS, (func.coalesce(running.c.running, 0) + place).label("turn"))
        .join(EnvironmentRow, EnvironmentRow.id == OperationRow.environment_id)
        .outerjoin(running, running.c.requested_by == OperationRow.requested_by)
        .where(_is(OperationRow.status, _QUEUED), ~_has_to_wait(), *within(versions))
    )
    if older_than:
        asked_before = func.clock_timestamp() - timedelta(seconds=older_than)
        queued = queued.where(OperationRow.created_at < asked_before)
    interrupted = (
        select(*_COLUMNS, literal(0).label("turn"))
        .join(EnvironmentRow, EnvironmentRow.id == OperationRow.environment_id)
        .where(is_resumable(), *within(versions))
    )
    return union_all(interrupted, queued).subquery("turns")


_COLUMNS: tuple[InstrumentedAttribute[Any], ...] = (
    OperationRow.id,
    OperationRow.environment_id,
    OperationRow.created_at,
)


def _has_to_wait() -> ColumnElement[bool]:
    """Return the condition that another operation of the environment comes first."""
    other = aliased(OperationRow)
    return exists().where(
        and_(
            other.environment_id == OperationRow.environment_id,
            other.id != OperationRow.id,
            _is(other.status, _UNFINISHED),
            or_(_is(other.status, RUNNING), other.number < OperationRow.number),
        )
    )


def is_resumable() -> ColumnElement[bool]:
    """Return the condition that an operation is under way and no attempt holds it."""
    held = exists().where(AttemptRow.operation_id == OperationRow.id, AttemptRow.ended_at.is_(None))
    return and_(_is(OperationRow.status, RUNNING), ~held)


def _is(column: InstrumentedAttribute[str], statuses: Collection[OperationStatus]) -> ColumnElement[bool]:
    """Return the condition, with the statuses in the statement: so partial indexes are used for any plan."""
    return column.in_(bindparam(None, sorted(statuses), expanding=True, literal_execute=True))
