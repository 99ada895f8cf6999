"""How long recoveries took: from a strike to the first step of the attempt that came after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.acceptance.crash_matrix.cases import Case, Fault, Victim
from tests.acceptance.crash_matrix.journal import Attempt, Journal
from tests.acceptance.crash_matrix.strikes import Struck

WORKERS = "a worker or pod was killed"
ROWS = (
    WORKERS,
    "the same, nobody but a cold worker",
    "stopped in order",
    "partition, or a worker that stands still",
    "launcher, Terraform or Helm was killed",
    "database away, restarted or killed",
)
_DATABASE = {
    Victim.POSTGRES,
    Victim.BACKEND,
    Fault.POSTGRES_RESTARTED,
    Fault.POSTGRES_AWAY,
    Fault.BACKEND_ENDED,
}
_STARTS = ("operation.claimed", "operation.resumed")


@dataclass(frozen=True)
class Sample:
    """Seconds from the strike to the next attempt's first step, and which row of the table they belong to."""

    row: str
    seconds: float


def samples(case: Case, struck: Sequence[Struck], journal: Journal) -> list[Sample]:
    """Return a sample for each attempt that ended by a strike and was followed by another."""
    row = _row(case)
    found = list(_found(struck, journal))
    return [Sample(row, seconds) for seconds in found]


def _row(case: Case) -> str:
    happened = {case.victim, case.fault}
    if not happened.isdisjoint(_DATABASE):
        return ROWS[5]
    if not happened.isdisjoint({Fault.PARTITION, Fault.FROZEN}):
        return ROWS[3]
    if Fault.COLD_WORKER in happened:
        return ROWS[1]
    if not happened.isdisjoint({Victim.LAUNCHER, Victim.TERRAFORM, Victim.HELM}):
        return ROWS[4]
    if not happened.isdisjoint({Victim.WORKER, Victim.POD}):
        return ROWS[0]
    return ROWS[2]


def _found(struck: Sequence[Struck], journal: Journal) -> Iterator[float]:
    attempts = journal.attempts()
    for one in attempts:
        following = [
            other
            for other in attempts
            if other.operation_id == one.operation_id and other.number == one.number + 1
        ]
        ended_by = [
            strike
            for strike in struck
            if one.started_at <= strike.at <= (one.ended_at or float("inf"))
            and strike.worker in (None, one.worker)
        ]
        if not following or not ended_by:
            continue
        first = _first_step(following[0], journal)
        if first is not None:
            yield first - ended_by[0].at


def _first_step(attempt: Attempt, journal: Journal) -> float | None:
    events = [one for one in journal.of(attempt.environment_id) if one.operation_id == attempt.operation_id]
    starts = [place for place, one in enumerate(events) if one.type in _STARTS]
    if len(starts) < attempt.number:
        return None
    later = events[starts[attempt.number - 1] :]
    return next((one.at for one in later if one.type == "step.started"), None)
