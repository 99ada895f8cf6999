"""The event journal: events are numbered per environment, one by one in the order of commit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.texts import clean_document, clean_text
from beta9_provisioning.operations.records.model import EnvironmentRow, EventRow


@dataclass(frozen=True)
class NewEvent:
    """An event that is not written yet. `message` is in the past tense.

    When it happened is kept by this process's monotonic clock (seconds), so that the database's clock, the
    one that all hosts share, can date it when it is written.
    """

    type: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)
    operation_id: str | None = None
    happened: float = field(default_factory=runtime.monotonic)


def append(session: Session, environment_id: str, events: Sequence[NewEvent]) -> None:
    """Write events in the session's transaction, their texts cleaned and bounded.

    The counter's row lock is held until commit, so a reader that has seen number n has seen all
    before it.
    """
    if not events:
        return
    last, now = session.execute(
        update(EnvironmentRow)
        .where(EnvironmentRow.id == environment_id)
        .values(last_event=EnvironmentRow.last_event + len(events))
        .returning(EnvironmentRow.last_event, func.clock_timestamp())
        .execution_options(synchronize_session=False)
    ).one()
    read = runtime.monotonic()
    session.execute(
        insert(EventRow),
        [
            values(environment_id, number, event, now - timedelta(seconds=max(0.0, read - event.happened)))
            for number, event in enumerate(events, start=last - len(events) + 1)
        ],
    )


def values(environment_id: str, number: int, event: NewEvent, at: datetime) -> dict[str, Any]:
    """Return a row of the journal, its texts cleaned and bounded."""
    return {
        "environment_id": environment_id,
        "id": number,
        "at": at,
        "operation_id": event.operation_id,
        "type": event.type,
        "message": clean_text(event.message),
        "data": clean_document(event.data),
    }


def read(session: Session, environment_id: str, *, after: int, limit: int) -> Sequence[EventRow]:
    """Return at most `limit` events with a number above `after`, oldest first."""
    return session.scalars(
        select(EventRow)
        .where(EventRow.environment_id == environment_id, EventRow.id > after)
        .order_by(EventRow.id)
        .limit(limit)
    ).all()
