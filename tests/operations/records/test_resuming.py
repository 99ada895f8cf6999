"""Attempts that end before their operation, and the attempts that follow, on genuine PostgreSQL."""

from datetime import timedelta

import pytest
from sqlalchemy import func, update
from tests.operations.rows import add_destroy, events, make_environment, operation, status, take

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import OperationStatus, Reason
from beta9_provisioning.operations.records import resuming, store
from beta9_provisioning.operations.records.fairness import claimable
from beta9_provisioning.operations.records.leases import take_from_lost_worker
from beta9_provisioning.operations.records.model import AttemptRow
from beta9_provisioning.operations.records.resuming import MOST_LOST_ATTEMPTS, STOPPED
from beta9_provisioning.operations.records.store import Claim, Failure, LeaseLost

S = OperationStatus
FAILURE = Failure(Reason.INTERNAL, "it_ended", "It ended.", "why", "what to do")


def lose(sessions: Sessions, claim: Claim) -> None:
    """Have a worker judged lost whose lease has run out."""
    with transaction(sessions) as session:
        session.execute(
            update(AttemptRow)
            .where(AttemptRow.lease_token == claim.lease_token)
            .values(lease_expires_at=func.clock_timestamp() - timedelta(seconds=1))
        )
    with transaction(sessions) as session:
        assert take_from_lost_worker(session, claim.lease_token, claim.environment_id)


def hand_back(sessions: Sessions, claim: Claim) -> OperationStatus | None:
    with transaction(sessions) as session:
        return resuming.hand_back(session, claim, STOPPED, FAILURE)


def left(sessions: Sessions, claim: Claim) -> float:
    with transaction(sessions) as session:
        return resuming.earlier_end(session, claim)


def types(sessions: Sessions, claim: Claim) -> list[str]:
    return [type_ for _, type_, _ in events(sessions, claim.environment_id)]


def test_a_lost_attempt_is_followed_by_another_one_in_the_same_status(sessions: Sessions) -> None:
    made = make_environment(sessions)
    first = take(sessions, made.operation_id)
    assert (first.is_resumed, first.was_interrupted) == (False, False)
    with transaction(sessions) as session:
        store.advance(session, first, S.PLANNING, S.APPLYING)
    lose(sessions, first)
    assert operation(sessions, made.operation_id).status == S.APPLYING
    assert status(sessions, made.environment_id) == "provisioning"
    with transaction(sessions) as session:
        assert claimable(session) == [made.operation_id]
    second = take(sessions, made.operation_id)
    assert (second.attempt, second.status) == (2, S.APPLYING)
    assert second.is_resumed
    assert second.was_interrupted
    told = types(sessions, first)
    assert told[-2:] == ["operation.interrupted", "operation.resumed"]
    assert told.count("environment.status") == 2  # queued, provisioning
    with transaction(sessions) as session:
        assert claimable(session) == []
        with pytest.raises(LeaseLost):
            store.advance(session, first, S.APPLYING, S.BOOTSTRAPPING)
    with transaction(sessions) as session:
        store.advance(session, second, S.APPLYING, S.BOOTSTRAPPING)
        store.succeed(session, second, S.BOOTSTRAPPING, {})
    assert status(sessions, made.environment_id) == "ready"


def test_what_loses_every_worker_fails_at_last(sessions: Sessions) -> None:
    made = make_environment(sessions)
    for _ in range(MOST_LOST_ATTEMPTS):
        # Attempts that were handed back are not counted.
        hand_back(sessions, take(sessions, made.operation_id))
        lose(sessions, take(sessions, made.operation_id))
    row = operation(sessions, made.operation_id)
    assert (row.status, row.reason, row.attempts) == ("failed", "worker_lost", 2 * MOST_LOST_ATTEMPTS)
    assert row.error is not None
    assert "w:1" in row.error["detail"]
    with transaction(sessions) as session:
        assert store.claim(session, made.operation_id, worker="w", liveness_key=1, lease_seconds=9) is None


def test_what_was_to_be_cancelled_is_not_gone_on_with(sessions: Sessions) -> None:
    made = make_environment(sessions)
    claim = take(sessions, made.operation_id)
    destroy = add_destroy(sessions, made.environment_id)
    with transaction(sessions) as session:
        store.request_cancel(session, session.merge(operation(sessions, made.operation_id)))
    lose(sessions, claim)
    assert operation(sessions, made.operation_id).status == S.CANCELLED
    with transaction(sessions) as session:
        assert claimable(session) == [destroy]


def test_what_waits_for_another_attempt_is_cancelled_at_once(sessions: Sessions) -> None:
    made = make_environment(sessions)
    hand_back(sessions, take(sessions, made.operation_id))
    with transaction(sessions) as session:
        store.request_cancel(session, session.merge(operation(sessions, made.operation_id)))
    assert operation(sessions, made.operation_id).status == S.CANCELLED


def test_a_destroy_waits_behind_what_is_gone_on_with(sessions: Sessions) -> None:
    made = make_environment(sessions)
    lose(sessions, take(sessions, made.operation_id))
    destroy = add_destroy(sessions, made.environment_id)
    with transaction(sessions) as session:
        assert store.claim(session, destroy, worker="w", liveness_key=1, lease_seconds=9) is None
        assert claimable(session) == [made.operation_id]


def test_an_attempt_that_was_handed_back_twice_ended_once(sessions: Sessions) -> None:
    made = make_environment(sessions)
    claim = take(sessions, made.operation_id)
    assert [hand_back(sessions, claim), hand_back(sessions, claim)] == [None, None]
    assert types(sessions, claim).count("operation.interrupted") == 1
    take(sessions, made.operation_id)
    assert hand_back(sessions, claim) is None  # and takes nothing from the next attempt
    with transaction(sessions) as session:
        assert claimable(session) == []


def test_the_next_attempt_waits_for_the_lease_of_one_whose_end_nobody_saw(sessions: Sessions) -> None:
    made = make_environment(sessions)
    seen = take(sessions, made.operation_id)
    assert left(sessions, seen) == 0
    hand_back(sessions, seen)
    second = take(sessions, made.operation_id)
    assert left(sessions, second) == 0
    with transaction(sessions) as session:
        resuming.interrupt(session, session.get_one(AttemptRow, second.lease_token), STOPPED, FAILURE)
    third = take(sessions, made.operation_id)
    assert 3500 < left(sessions, third) <= 3600
    lose(sessions, third)
    assert left(sessions, take(sessions, made.operation_id)) > 0  # of the second one, still


def test_what_was_under_way_in_a_backup_is_given_up(sessions: Sessions) -> None:
    runs, waits, interrupted = (make_environment(sessions) for _ in range(3))
    take(sessions, runs.operation_id)
    lose(sessions, take(sessions, interrupted.operation_id))
    with transaction(sessions) as session:
        resuming.give_up(session)
    for made in (runs, interrupted):
        row = operation(sessions, made.operation_id)
        assert (row.status, row.reason) == ("failed", "worker_lost")
    assert operation(sessions, waits.operation_id).status == "queued"
