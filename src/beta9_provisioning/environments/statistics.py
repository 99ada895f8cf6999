"""Figures about all environments, for metrics: taken from history, and without names and ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Float, cast, func, select, text
from sqlalchemy.orm import Session, aliased

from beta9_provisioning.lifecycle import FINAL, EnvironmentStatus
from beta9_provisioning.operations.records.leases import LIVE_WORKERS
from beta9_provisioning.operations.records.model import EnvironmentRow, EventRow, OperationRow

BUCKETS = (5, 15, 30, 60, 120, 300, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200, 10800, 14400)
"""Upper bounds in seconds of the durations' histogram."""
_STATEMENT_MS = 5000


@dataclass(frozen=True)
class Durations:
    """How long finished operations of one kind and outcome took, in seconds."""

    kind: str
    outcome: str
    buckets: Sequence[tuple[int, int]]
    """Upper bound, and how many took at most that long."""
    count: int
    total: float


@dataclass(frozen=True)
class Statistics:
    """All figures, read in one transaction."""

    entered: dict[str, int]
    """How many environments entered each status, ever; every status is there."""
    oldest: dict[str, datetime]
    """Start of the oldest unfinished operation of the environments in each status that has one."""
    durations: list[Durations]
    live_workers: int
    """How many workers live, busy or not."""


def read(session: Session) -> Statistics:
    """Return all figures. Each query ends after 5 s, so that a scrape does not wait without bound."""
    session.execute(text(f"SET LOCAL statement_timeout = {_STATEMENT_MS}"))
    workers = session.scalar(select(LIVE_WORKERS)) or 0
    return Statistics(_entered(session), _oldest(session), _durations(session), workers)


def _entered(session: Session) -> dict[str, int]:
    status = EventRow.data["to"].astext
    rows = session.execute(
        select(status, func.count()).where(EventRow.type == "environment.status").group_by(status)
    )
    return {**dict.fromkeys(EnvironmentStatus, 0), **{status: count for status, count in rows}}


def _oldest(session: Session) -> dict[str, datetime]:
    """The current operation is the latest one; a queued one starts when it is requested."""
    later = aliased(OperationRow)
    rows = session.execute(
        select(
            EnvironmentRow.status, func.min(func.coalesce(OperationRow.started_at, OperationRow.created_at))
        )
        .join(OperationRow, OperationRow.environment_id == EnvironmentRow.id)
        .where(
            OperationRow.status.not_in(FINAL),
            ~select(later.id)
            .where(later.environment_id == OperationRow.environment_id, later.number > OperationRow.number)
            .exists(),
        )
        .group_by(EnvironmentRow.status)
    )
    return {status: start for status, start in rows}


def _durations(session: Session) -> list[Durations]:
    seconds: ColumnElement[float] = cast(
        func.extract("epoch", OperationRow.finished_at - OperationRow.started_at), Float
    )
    below = [func.count().filter(seconds <= bound) for bound in BUCKETS]
    rows = session.execute(
        select(OperationRow.kind, OperationRow.status, func.count(), func.sum(seconds), *below)
        .where(OperationRow.started_at.is_not(None), OperationRow.finished_at.is_not(None))
        .group_by(OperationRow.kind, OperationRow.status)
    )
    return [
        Durations(kind, outcome, list(zip(BUCKETS, counts, strict=True)), count, total)
        for kind, outcome, count, total, *counts in rows
    ]
