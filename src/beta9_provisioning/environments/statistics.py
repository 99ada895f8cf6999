"""Figures about all environments, for metrics: without names and ids; counted with the change (ADR 10)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from sqlalchemy import extract, func, select, text
from sqlalchemy.orm import Session

from beta9_provisioning.lifecycle import (
    FINAL,
    PATHS,
    RUNNING,
    EnvironmentStatus,
    Kind,
    OperationStatus,
    Reason,
    environment_status,
)
from beta9_provisioning.operations.records.leases import LIVE_WORKERS
from beta9_provisioning.operations.records.model import OperationRow, StatisticRow

BUCKETS = (5, 15, 30, 60, 120, 300, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200, 10800, 14400)
"""Upper bounds in seconds of the durations' histogram, as migration 0005 has them."""
# A scrape does not wait without bound.
_STATEMENT_MS = 5000

_PHASES = [(kind, phase) for kind, path in PATHS.items() for phase in path if phase not in FINAL]
_ENDS = [
    (kind, outcome, reason)
    for kind in Kind
    for outcome, reasons in (
        (OperationStatus.SUCCEEDED, [""]),
        (OperationStatus.FAILED, [reason for reason in Reason if reason is not Reason.CANCELLED]),
        (OperationStatus.CANCELLED, [Reason.CANCELLED]),
    )
    for reason in reasons
]


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
class Work:
    """Unfinished operations.

    Attributes:
        phases: how many there are by kind and status; every pair that can be is there.
        waiting: how many of them a worker could take now.
        running: how many workers are at.
        longest_wait: seconds since the oldest of those that wait was requested; 0 when none waits.
    """

    phases: dict[tuple[str, str], int]
    waiting: int
    running: int
    longest_wait: float


@dataclass(frozen=True)
class Statistics:
    """All figures, read in one transaction."""

    entered: dict[str, int]
    """How many environments entered each status, ever; every status is there."""
    present: dict[str, int]
    """How many environments are in each status now; every status is there."""
    oldest: dict[str, datetime]
    """Start of the oldest unfinished operation of the environments in each status that has one."""
    durations: list[Durations]
    ends: dict[tuple[str, str, str], int]
    """How many operations ended, ever, by kind, outcome and reason ("" for none); every triple is there."""
    attempts: dict[str, int]
    """How many attempts ended, ever, by `succeeded` or the reason; every one is there."""
    live_workers: int
    """How many workers live, busy or not."""
    work: Work


def read(session: Session) -> Statistics:
    """Return all figures; their cost does not grow with history."""
    session.execute(text(f"SET LOCAL statement_timeout = {_STATEMENT_MS}"))
    counts = _Counts(session)
    entered, left = counts.of("entered"), counts.of("left")
    ends = {_end(label): count for label, count in counts.of("ended").items()}
    work, oldest = _unfinished(session)
    return Statistics(
        entered={status: entered.get(status, 0) for status in EnvironmentStatus},
        present={status: entered.get(status, 0) - left.get(status, 0) for status in EnvironmentStatus},
        oldest=oldest,
        durations=counts.durations(),
        ends={**dict.fromkeys(_ENDS, 0), **ends},
        attempts={
            **dict.fromkeys((OperationStatus.SUCCEEDED, *Reason), 0),
            **counts.of("attempt"),
        },
        live_workers=session.scalar(select(LIVE_WORKERS)) or 0,
        work=work,
    )


def _end(label: str) -> tuple[str, str, str]:
    kind, outcome, *reason = label.split("/")
    return kind, outcome, "".join(reason)


class _Counts:
    """The table of statistics, its shards added up."""

    def __init__(self, session: Session) -> None:
        row = StatisticRow
        self._rows = session.execute(
            select(row.figure, row.label, row.bound, func.sum(row.count), func.sum(row.total)).group_by(
                row.figure, row.label, row.bound
            )
        ).all()

    def of(self, figure: str) -> dict[str, int]:
        """Return the counts of a figure that has no bounds, by label."""
        return {label: int(count) for its, label, _, count, _ in self._rows if its == figure}

    def durations(self) -> list[Durations]:
        """A row has the durations between its bound and the one before; the histogram adds them up."""
        counts: defaultdict[str, dict[int, int]] = defaultdict(dict)
        totals: defaultdict[str, float] = defaultdict(float)
        for figure, label, bound, count, total in self._rows:
            if figure == "duration":
                counts[label][bound] = int(count)
                totals[label] += total
        return [_histogram(label, counts[label], totals[label]) for label in sorted(counts)]


def _histogram(label: str, counts: dict[int, int], total: float) -> Durations:
    kind, _, outcome = label.partition("/")
    below = accumulate(counts.get(bound, 0) for bound in BUCKETS)
    return Durations(kind, outcome, list(zip(BUCKETS, below, strict=True)), sum(counts.values()), total)


def _unfinished(session: Session) -> tuple[Work, dict[str, datetime]]:
    """Return what there is to do, and the start of the oldest current operation by the environment's status.

    An operation that waits for another of its environment has no use for a worker yet. The current one is the
    latest; a queued one starts when it is requested.
    """
    operation = OperationRow
    each = (
        select(
            operation.kind,
            operation.status,
            operation.created_at,
            func.coalesce(operation.started_at, operation.created_at).label("start"),
            func.bool_or(operation.status.in_(RUNNING))
            .over(partition_by=operation.environment_id)
            .label("is_busy"),
            func.row_number()
            .over(partition_by=operation.environment_id, order_by=operation.number.desc())
            .label("turn"),
        )
        .where(operation.status.not_in(FINAL))
        .subquery()
        .c
    )
    could_be_taken = (each.status == OperationStatus.QUEUED) & ~each.is_busy
    rows = session.execute(
        select(
            each.kind,
            each.status,
            func.count().label("amount"),
            func.count().filter(could_be_taken).label("waiting"),
            extract("epoch", func.clock_timestamp() - func.min(each.created_at).filter(could_be_taken)).label(
                "longest_wait"
            ),
            func.min(each.start).filter(each.turn == 1).label("oldest"),
        ).group_by(each.kind, each.status)
    ).all()
    found = {(row.kind, row.status): row.amount for row in rows}
    work = Work(
        phases={**dict.fromkeys(_PHASES, 0), **found},
        waiting=sum(row.waiting for row in rows),
        running=sum(amount for (_, status), amount in found.items() if status in RUNNING),
        longest_wait=max((max(0.0, float(row.longest_wait)) for row in rows if row.waiting), default=0.0),
    )
    oldest: dict[str, datetime] = {}
    for row in rows:
        if row.oldest is not None:
            status = environment_status(Kind(row.kind), OperationStatus(row.status))
            oldest[status] = min(row.oldest, oldest.get(status, row.oldest))
    return work, oldest
