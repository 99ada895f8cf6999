"""The life of operations on the genuine store: whatever is called in whatever order, the invariants hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, update
from tests.operations.rows import add_destroy, events, make_environment, operation

from beta9_provisioning.kit.database import Sessions, transaction
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
from beta9_provisioning.operations.records import store
from beta9_provisioning.operations.records.journal import NewEvent
from beta9_provisioning.operations.records.leases import take_from_lost_worker
from beta9_provisioning.operations.records.model import AttemptRow, EnvironmentRow, OperationRow
from beta9_provisioning.operations.records.resuming import MOST_LOST_ATTEMPTS, STOPPED, hand_back
from beta9_provisioning.operations.records.store import Claim, Failure, LeaseLost

S = OperationStatus
_STOPPED = Failure(Reason.WORKER_STOPPED, "worker_stopped", "The worker was stopped.")
_BROKEN = Failure(Reason.TERRAFORM_FAILED, "terraform_failed", "It broke.")
_ORDER = tuple(EnvironmentStatus)


class Lives(RuleBasedStateMachine):
    """Users, workers and what befalls them, one call after another.

    Attributes:
        live: the claim that holds each operation.
        ended: the final status of each operation that has one.
        known: the environments of this life; those of others are in the same tables.
    """

    operations = Bundle("operations")
    environments = Bundle("environments")
    claims = Bundle("claims")

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self._sessions = sessions
        self.live: dict[str, Claim] = {}
        self.ended: dict[str, str] = {}
        self.known: set[str] = set()

    @rule(target=operations)
    def create(self) -> Any:
        made = make_environment(self._sessions)
        self.known.add(made.environment_id)
        return made.operation_id

    @rule(target=operations, about=operations)
    def delete(self, about: str) -> Any:
        """Queue a destroy unless one waits or runs, or nothing is there any more: the API's rules."""
        environment_id = operation(self._sessions, about).environment_id
        with transaction(self._sessions) as session:
            last = store.latest(session, environment_id)
            if last.kind == Kind.DESTROY and last.status not in (S.FAILED, S.CANCELLED):
                return multiple()
        return add_destroy(self._sessions, environment_id)

    @rule(target=claims, operation_id=operations)
    def claim(self, operation_id: str) -> Any:
        """A claim succeeds exactly when an operation waits and no other of its environment runs."""
        row = operation(self._sessions, operation_id)
        with transaction(self._sessions) as session:
            running = session.scalars(
                select(OperationRow.id).where(
                    OperationRow.environment_id == row.environment_id, OperationRow.status.in_(RUNNING)
                )
            ).all()
        is_free = operation_id not in self.live and (
            (row.status == S.QUEUED and not running) or row.status in RUNNING
        )
        with transaction(self._sessions) as session:
            taken = store.claim(session, operation_id, worker="w:1", liveness_key=1, lease_seconds=60)
        assert (taken is not None) == is_free
        if taken is None:
            return multiple()
        assert taken.attempt == row.attempts + 1
        assert taken.is_resumed == (row.status != S.QUEUED)
        self.live[operation_id] = taken
        return taken

    @rule(claim=claims)
    def record(self, claim: Claim) -> None:
        self._write(claim, lambda session: store.record(session, claim, [NewEvent("told", "Told.")], None))

    @rule(claim=claims)
    def go_on(self, claim: Claim) -> None:
        """Move to the next status of the path, or succeed behind the last."""
        path = PATHS[claim.kind]
        status = S(operation(self._sessions, claim.operation_id).status)
        if status in FINAL:
            self._write(claim, lambda session: store.advance(session, claim, path[1], path[2]))
            return
        following = path[path.index(status) + 1]
        if following is S.SUCCEEDED:
            self._write(claim, lambda session: store.succeed(session, claim, status, {}), ends=S.SUCCEEDED)
        else:
            self._write(claim, lambda session: store.advance(session, claim, status, following))

    @rule(claim=consumes(claims))
    def fail(self, claim: Claim) -> None:
        self._write(claim, lambda session: store.fail(session, claim, _BROKEN), ends=S.FAILED)

    @rule(claim=consumes(claims))
    def stop_its_worker(self, claim: Claim) -> None:
        """What is handed back stays where it is; what was to be cancelled ends."""
        cancelled = operation(self._sessions, claim.operation_id).cancel_requested_at is not None
        self._write(
            claim,
            lambda session: hand_back(session, claim, STOPPED, _STOPPED),
            ends=S.CANCELLED if cancelled else None,
            gives_up=True,
        )

    @rule(claim=claims)
    def lose_its_worker(self, claim: Claim) -> None:
        row = operation(self._sessions, claim.operation_id)
        long_ago = func.clock_timestamp() - timedelta(seconds=60)
        with transaction(self._sessions) as session:
            session.execute(
                update(AttemptRow)
                .where(AttemptRow.lease_token == claim.lease_token, AttemptRow.ended_at.is_(None))
                .values(lease_expires_at=long_ago, heartbeat_at=long_ago)
            )
            taken = take_from_lost_worker(session, claim.lease_token, claim.environment_id)
        assert taken == self._holds(claim)
        if not taken:
            return
        del self.live[claim.operation_id]
        if row.cancel_requested_at is not None:
            self.ended[claim.operation_id] = S.CANCELLED
        elif self._lost(claim.operation_id) >= MOST_LOST_ATTEMPTS:
            self.ended[claim.operation_id] = S.FAILED

    @rule(operation_id=operations)
    def cancel(self, operation_id: str) -> None:
        with transaction(self._sessions) as session:
            row = session.get_one(OperationRow, operation_id)
            if row.kind == Kind.DESTROY:
                return
            waits = row.status in RUNNING and operation_id not in self.live
            ends_now = row.status == S.QUEUED or waits
            store.request_cancel(session, row)
            if ends_now:
                self.ended[operation_id] = S.CANCELLED

    @invariant()
    def everything_is_in_order(self) -> None:
        with transaction(self._sessions) as session:
            ours = OperationRow.environment_id.in_(self.known)
            rows = session.scalars(select(OperationRow).where(ours)).all()
            about = select(EnvironmentRow).where(EnvironmentRow.id.in_(self.known))
            environments = {row.id: row for row in session.scalars(about)}
            attempts = session.scalars(select(AttemptRow)).all()
        for row in rows:
            assert row.status == self.ended.get(row.id, row.status)
            assert (row.status in FINAL) == (row.id in self.ended)
            own = sorted(one.number for one in attempts if one.operation_id == row.id)
            assert own == list(range(1, row.attempts + 1))
            held = [one for one in attempts if one.operation_id == row.id and one.ended_at is None]
            assert len(held) == (row.id in self.live)
        for environment_id, environment in environments.items():
            own_rows = [row for row in rows if row.environment_id == environment_id]
            assert sum(row.status in RUNNING for row in own_rows) <= 1
            last = max(own_rows, key=lambda row: row.number)
            assert environment.status == environment_status(Kind(last.kind), S(last.status))
            self._check_journal(environment_id, environment.last_event)

    def _check_journal(self, environment_id: str, last: int) -> None:
        told = events(self._sessions, environment_id)
        assert [number for number, _, _ in told] == list(range(1, last + 1))
        statuses = [data for _, kind, data in told if kind == "environment.status"]
        before = None
        for data in statuses:
            assert data["from"] == before
            # The statuses are declared in the order in which they follow each other; any may end in failure.
            is_free = before in (None, "failed") or data["to"] == "failed"
            assert is_free or _ORDER.index(data["to"]) > _ORDER.index(before)
            before = data["to"]

    def _write(self, claim: Claim, do: Any, *, ends: str | None = None, gives_up: bool = False) -> None:
        """Only the attempt that holds its operation writes; any other is told that its lease is lost."""
        if not self._holds(claim):
            with pytest.raises(LeaseLost), transaction(self._sessions) as session:
                do(session)
            return
        with transaction(self._sessions) as session:
            do(session)
        if ends is not None:
            self.ended[claim.operation_id] = ends
        if ends is not None or gives_up:
            del self.live[claim.operation_id]

    def _holds(self, claim: Claim) -> bool:
        held = self.live.get(claim.operation_id)
        return held is not None and held.lease_token == claim.lease_token

    def _lost(self, operation_id: str) -> int:
        with transaction(self._sessions) as session:
            outcomes = session.scalars(
                select(AttemptRow.outcome).where(AttemptRow.operation_id == operation_id)
            ).all()
        return sum(one not in (None, STOPPED) for one in outcomes)


def test_no_order_of_calls_breaks_an_invariant(sessions: Sessions) -> None:
    class Own(Lives):
        def __init__(self) -> None:
            super().__init__(sessions)

    run_state_machine_as_test(
        Own,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            # Short enough to be read as it was found; to shrink one costs minutes.
            phases=(Phase.generate,),
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
