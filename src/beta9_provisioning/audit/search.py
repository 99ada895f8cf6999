"""Questions about the audit log, newest records first. All functions take a session."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from beta9_provisioning.operations.records.model import AuditRecordRow

_FIELDS = ("actor", "action", "object_id", "decision", "request_id")


@dataclass(frozen=True)
class Wanted:
    """Which records are wanted: those that have each value that is given.

    Attributes:
        since: the earliest time.
        until: the latest.
    """

    actor: str | None = None
    action: str | None = None
    object_id: str | None = None
    decision: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def newest_first(
    session: Session, organization_id: str, wanted: Wanted, *, limit: int, before: int | None = None
) -> Sequence[AuditRecordRow]:
    """Return at most so many records of a chain, those below the number `before` if it is given."""
    query = (
        select(AuditRecordRow)
        .where(AuditRecordRow.organization_id == organization_id)
        .order_by(AuditRecordRow.number.desc())
        .limit(limit)
    )
    for name in _FIELDS:
        if (value := getattr(wanted, name)) is not None:
            query = query.where(getattr(AuditRecordRow, name) == value)
    # Times go up with the numbers, so both ends are numbers: one look into an index each.
    place = AuditRecordRow.at, AuditRecordRow.number
    one = select(AuditRecordRow.number).where(AuditRecordRow.organization_id == organization_id).limit(1)
    if wanted.since is not None:
        first = one.where(AuditRecordRow.at >= wanted.since).order_by(*place)
        query = query.where(AuditRecordRow.number >= first.scalar_subquery())
    if wanted.until is not None:
        last = one.where(AuditRecordRow.at <= wanted.until).order_by(*(column.desc() for column in place))
        query = query.where(AuditRecordRow.number <= last.scalar_subquery())
    if before is not None:
        query = query.where(AuditRecordRow.number < before)
    return session.scalars(query).all()
