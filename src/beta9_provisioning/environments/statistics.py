"""Figures about all environments, for metrics: without names and ids; counted with the change (ADR 10)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, aliased

from beta9_provisioning.lifecycle import FINAL, RUNNING, EnvironmentStatus, OperationStatus
from beta9_provisioning.operations.records.leases import LIVE_WORKERS
from beta9_provisioning.operations.records.model import EnvironmentRow, OperationRow, StatisticRow

BUCKETS = (5, 15, 30, 60, 120, 300, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200, 10800, 14400)
"""Upper bounds in seconds of the durations' histogram, as migration 0005 has them."""
# A scrape does not wait without bound.
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
    waiting: int
    """How many operations a worker could take now."""
    running: int
    """How many operations workers are at."""


def read(session: Session) -> Statistics:
    """Return all figures; their cost does not grow with history."""
    session.execute(text(f"SET LOCAL statement_timeout = {_STATEMENT_MS}"))
    workers = session.scalar(select(LIVE_WORKERS)) or 0
    return Statistics(_entered(session), _oldest(session), _durations(session), workers, *_work(session))


def _entered(session: Session) -> dict[str, int]:
    rows = session.execute(
        select(StatisticRow.label, func.sum(StatisticRow.count))
        .where(StatisticRow.figure == "entered")
        .group_by(StatisticRow.label)
    )
    return {**dict.fromkeys(EnvironmentStatus, 0), **{status: int(count) for status, count in rows}}


def _work(session: Session) -> tuple[int, int]:
    """Return how many operations wait for a worker, and how many run.

    One that waits for another of its environment has no use for a worker yet.
    """
    other = aliased(OperationRow)
    is_blocked = (
        select(other.id)
        .where(other.environment_id == OperationRow.environment_id, other.status.in_(RUNNING))
        .exists()
    )
    waiting, running = session.execute(
        select(
            func.count().filter(OperationRow.status == OperationStatus.QUEUED, ~is_blocked),
            func.count().filter(OperationRow.status.in_(RUNNING)),
        ).where(OperationRow.status.not_in(FINAL))
    ).one()
    return waiting, running


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
    """A row has the durations between its bound and the one before; the histogram adds them up."""
    rows = session.execute(
        select(
            StatisticRow.label, StatisticRow.bound, func.sum(StatisticRow.count), func.sum(StatisticRow.total)
        )
        .where(StatisticRow.figure == "duration")
        .group_by(StatisticRow.label, StatisticRow.bound)
    )
    counts: defaultdict[str, dict[int, int]] = defaultdict(dict)
    totals: defaultdict[str, float] = defaultdict(float)
    for label, bound, count, total in rows:
        counts[label][bound] = int(count)
        totals[label] += total
    return [_histogram(label, counts[label], totals[label]) for label in sorted(counts)]


def _histogram(label: str, counts: dict[int, int], total: float) -> Durations:
    kind, _, outcome = label.partition("/")
    below = accumulate(counts.get(bound, 0) for bound in BUCKETS)
    return Durations(kind, outcome, list(zip(BUCKETS, below, strict=True)), sum(counts.values()), total)
