"""Figures about all environments, for metrics: without names and ids; counted with the change (ADR 10)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from sqlalchemy import extract, func, select
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
    """How long something took, in seconds.

    Attributes:
        buckets: upper bound, and how many took at most that long.
    """

    buckets: Sequence[tuple[int, int]]
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
class Ends:
    """What is counted since revision 0007 of the schema.

    Attributes:
        present: how many environments are in each status now; every status is there.
        operations: how many ended, ever, by kind, outcome and reason ("" for none); every triple is there.
        attempts: how many ended, ever, by `succeeded` or the reason; every one is there.
        ready: from the request to the end of provisions that succeeded.
    """

    present: dict[str, int]
    operations: dict[tuple[str, str, str], int]
    attempts: dict[str, int]
    ready: Durations


@dataclass(frozen=True)
class Statistics:
    """All figures, read in one transaction.

    Attributes:
        entered: how many environments entered each status, ever; every status is there.
        oldest: start of the oldest unfinished operation of the environments in each status that has one.
        durations: from start to end of operations, by kind and outcome.
        live_workers: how many workers live, busy or not.
        ends: None on a schema that does not count them yet: a 0 would rise to all history in a moment.
    """

    entered: dict[str, int]
    oldest: dict[str, datetime]
    durations: dict[tuple[str, str], Durations]
    live_workers: int
    work: Work
    ends: Ends | None


_COUNTS_ENDS = func.to_regproc("count_ended").is_not(None)


def read(session: Session) -> Statistics:
    """Return all figures; their cost does not grow with history."""
    live_workers, counts_ends = session.execute(select(LIVE_WORKERS, _COUNTS_ENDS)).one()
    counts = _Counts(session)
    entered = {**dict.fromkeys(map(str, EnvironmentStatus), 0), **counts.of("entered")}
    work, oldest = _unfinished(session)
    return Statistics(
        entered=entered,
        oldest=oldest,
        durations={_pair(label): counts.durations("duration", label) for label in counts.labels("duration")},
        live_workers=live_workers,
        work=work,
        ends=_ends(counts, entered) if counts_ends else None,
    )


def _ends(counts: "_Counts", entered: dict[str, int]) -> Ends:
    left = counts.of("left")
    return Ends(
        present={status: count - left.get(status, 0) for status, count in entered.items()},
        operations={
            **dict.fromkeys(_ENDS, 0),
            **{_triple(label): count for label, count in counts.of("ended").items()},
        },
        attempts={**dict.fromkeys((OperationStatus.SUCCEEDED, *Reason), 0), **counts.of("attempt")},
        ready=counts.durations("ready", ""),
    )


def _pair(label: str) -> tuple[str, str]:
    kind, outcome = label.split("/")
    return kind, outcome


def _triple(label: str) -> tuple[str, str, str]:
    kind, outcome, *reason = label.split("/")
    return kind, outcome, "".join(reason)


class _Counts:
    """The table of statistics, its shards added up."""

    def __init__(self, session: Session) -> None:
        row = StatisticRow
        rows = session.execute(
            select(row.figure, row.label, row.bound, func.sum(row.count), func.sum(row.total)).group_by(
                row.figure, row.label, row.bound
            )
        )
        # (figure, label) -> bound -> count and total.
        self._found: defaultdict[tuple[str, str], dict[int, tuple[int, float]]] = defaultdict(dict)
        for figure, label, bound, count, total in rows:
            self._found[figure, label][bound] = int(count), total

    def labels(self, figure: str) -> list[str]:
        """Return all labels of a figure, in order."""
        return sorted(label for its, label in self._found if its == figure)

    def of(self, figure: str) -> dict[str, int]:
        """Return the counts of a figure that has no bounds, by label."""
        return {label: self._found[figure, label][0][0] for label in self.labels(figure)}

    def durations(self, figure: str, label: str) -> Durations:
        """A row has the durations between its bound and the one before; the histogram adds them up."""
        found = self._found.get((figure, label), {})
        below = accumulate(found.get(bound, (0, 0.0))[0] for bound in BUCKETS)
        return Durations(
            list(zip(BUCKETS, below, strict=True)),
            sum(count for count, _ in found.values()),
            sum(total for _, total in found.values()),
        )


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
