"""What takes too long is asked to stop, and says which of its limits it passed."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, update
from tests.operations.rows import add_destroy, make_environment, operation, take
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import Kind, OperationStatus, Reason
from beta9_provisioning.operations.records.model import OperationRow
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.deadlines import Deadlines
from beta9_provisioning.operations.run.runner import Runner, Step
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.settings import Settings

S = OperationStatus
MINUTES = {"plan": 60.0, "apply": 90.0, "bootstrap": 30.0, "destroy": 360.0, "operation": 480.0}


class Clock:
    """Stands still until the test moves it; in minutes."""

    def __init__(self) -> None:
        self.minutes = 0.0

    def __call__(self) -> float:
        return self.minutes * 60


def first_status(claim: Claim) -> S:
    return S.DESTROYING if claim.kind is Kind.DESTROY else S.PLANNING


def run(sessions: Sessions, claim: Claim, work: Callable[[Context], None], settings: Settings) -> None:
    """Run one step of a claimed operation."""
    step = Step("work", "Working", first_status(claim), Reason.TERRAFORM_FAILED, work)
    Runner(sessions, settings, new_synthesizer(), lambda _: (step,)).run(claim, Stop())


def work_until_stopped(context: Context) -> None:
    assert context.stop.event.wait(GUARD_SECONDS), "nobody stopped it"
    raise Stopped("terraform apply was stopped.", detail="tainted: x")


def past(sessions: Sessions, operation_id: str, **columns: timedelta) -> None:
    """Make times of an operation earlier."""
    with transaction(sessions) as session:
        session.execute(
            update(OperationRow)
            .where(OperationRow.id == operation_id)
            .values({name: func.clock_timestamp() - ago for name, ago in columns.items()})
        )


@pytest.mark.parametrize("late", ["plan", "destroy", "operation"])
def test_what_is_late_is_stopped_and_says_so(sessions: Sessions, tmp_path: Path, late: str) -> None:
    made = make_environment(sessions)
    limits: dict[str, Any] = {f"{late}_timeout_minutes": 0.001}
    settings = Settings(workdir_base=tmp_path, **limits)
    operation_id = made.operation_id
    if late == "destroy":
        run(sessions, take(sessions, operation_id), lambda _: None, Settings(workdir_base=tmp_path))
        operation_id = add_destroy(sessions, made.environment_id)
    run(sessions, take(sessions, operation_id), work_until_stopped, settings)
    row = operation(sessions, operation_id)
    assert (row.status, row.reason) == ("failed", "timeout")
    assert row.error is not None
    assert row.error["code"] == f"{late}_timeout"
    assert "0.001 minutes" in row.error["message"]
    assert row.error["detail"] == "tainted: x"
    assert f"{late.upper()}_TIMEOUT_MINUTES" in row.error["remedy"]


@pytest.mark.parametrize(
    ("status", "phase"),
    [(S.PLANNING, "plan"), (S.APPLYING, "apply"), (S.BOOTSTRAPPING, "bootstrap"), (S.DESTROYING, "destroy")],
)
def test_each_phase_has_a_limit_of_its_own(sessions: Sessions, status: S, phase: str) -> None:
    claim, stop, clock = take(sessions, make_environment(sessions).operation_id), Stop(), Clock()
    deadlines = Deadlines(claim, Settings(), stop, clock)
    deadlines.enter(status)
    clock.minutes = MINUTES[phase] - 1
    deadlines.look()
    assert not stop.event.is_set()
    clock.minutes = MINUTES[phase]
    deadlines.look()
    assert (stop.reason, stop.late) == (StopReason.TIMED_OUT, phase)


def test_the_steps_of_a_phase_share_its_time(sessions: Sessions) -> None:
    claim, stop, clock = take(sessions, make_environment(sessions).operation_id), Stop(), Clock()
    deadlines = Deadlines(claim, Settings(), stop, clock)
    for minutes in (0, 30, 59):
        clock.minutes = minutes
        deadlines.enter(S.PLANNING)
    deadlines.look()
    assert not stop.event.is_set()
    clock.minutes = 60
    deadlines.look()
    assert stop.late == "plan"


def test_each_run_of_terraform_has_the_time_of_one(sessions: Sessions) -> None:
    claim, stop, clock = take(sessions, make_environment(sessions).operation_id), Stop(), Clock()
    deadlines = Deadlines(claim, Settings(), stop, clock)
    deadlines.enter(S.APPLYING)
    clock.minutes = 60
    deadlines.enter(S.APPLYING)
    clock.minutes = 149
    deadlines.look()
    assert not stop.event.is_set()
    clock.minutes = 150
    deadlines.look()
    assert stop.late == "apply"


def test_an_earlier_attempts_time_counts(sessions: Sessions) -> None:
    made = make_environment(sessions)
    past(sessions, made.operation_id, started_at=timedelta(hours=7))
    claim, stop, clock = take(sessions, made.operation_id), Stop(), Clock()
    deadlines = Deadlines(claim, Settings(), stop, clock)
    clock.minutes = 59
    deadlines.look()
    assert not stop.event.is_set()
    clock.minutes = 60
    deadlines.look()
    assert (stop.reason, stop.late) == (StopReason.TIMED_OUT, "operation")


def test_an_operation_whose_time_has_passed_begins_no_step(sessions: Sessions, tmp_path: Path) -> None:
    made = make_environment(sessions)
    past(sessions, made.operation_id, started_at=timedelta(hours=9))
    ran: list[str] = []
    run(
        sessions,
        take(sessions, made.operation_id),
        lambda context: ran.append(context.claim.operation_id),
        Settings(workdir_base=tmp_path),
    )
    assert ran == []
    row = operation(sessions, made.operation_id)
    assert row.error is not None
    assert row.error["code"] == "operation_timeout"


def test_a_lost_lease_outranks_a_deadline() -> None:
    stop = Stop()
    stop.request(StopReason.TIMED_OUT, late="plan")
    stop.request(StopReason.CANCELLED)
    assert stop.late == "plan"
    stop.request(StopReason.LEASE_LOST)
    assert (stop.reason, stop.late) == (StopReason.LEASE_LOST, "")
