"""The store of operations on genuine PostgreSQL: who may claim, who may write, what history says."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from tests.operations.rows import (
    add_destroy,
    events,
    make_environment,
    operation,
    status,
    take,
)
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import Kind, OperationStatus, Reason
from beta9_provisioning.operations.records import fairness, journal, store
from beta9_provisioning.operations.records.model import EnvironmentRow

S = OperationStatus
FAILURE = store.Failure(Reason.TERRAFORM_FAILED, "terraform_failed", "Terraform failed.", "why", "what to do")


def test_a_provision_walks_to_ready_and_history_tells_it(sessions: Sessions) -> None:
    made = make_environment(sessions)
    assert status(sessions, made.environment_id) == "queued"
    claim = take(sessions, made.operation_id)
    seen = [status(sessions, made.environment_id)]
    for before, after in ((S.PLANNING, S.APPLYING), (S.APPLYING, S.BOOTSTRAPPING)):
        with transaction(sessions) as session:
            store.advance(session, claim, before, after)
        seen.append(status(sessions, made.environment_id))
    with transaction(sessions) as session:
        store.succeed(session, claim, S.BOOTSTRAPPING, {"cluster_name": "c"})
    assert [*seen, status(sessions, made.environment_id)] == [
        "provisioning",
        "provisioning",
        "bootstrapping",
        "ready",
    ]
    told = [
        data["to"]
        for _, type_, data in events(sessions, made.environment_id)
        if type_ == "environment.status"
    ]
    assert told == ["queued", "provisioning", "bootstrapping", "ready"]
    with transaction(sessions) as session:
        assert session.get_one(EnvironmentRow, made.environment_id).outputs == {"cluster_name": "c"}


def test_of_many_claims_at_once_exactly_one_wins(sessions: Sessions) -> None:
    made = make_environment(sessions)
    start = threading.Barrier(8)

    def claim(number: int) -> store.Claim | None:
        start.wait()
        with transaction(sessions) as session:
            return store.claim(
                session, made.operation_id, worker=f"w:{number}", liveness_key=number, lease_seconds=30
            )

    with ThreadPoolExecutor(8) as pool:
        claims = [claim for claim in pool.map(claim, range(8)) if claim is not None]
    assert len(claims) == 1
    assert operation(sessions, made.operation_id).attempts == 1


def test_an_unknown_operation_cannot_be_claimed(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        assert store.claim(session, "op_none", worker="w", liveness_key=1, lease_seconds=30) is None


def test_a_destroy_waits_for_the_running_create(sessions: Sessions) -> None:
    made = make_environment(sessions)
    claim = take(sessions, made.operation_id)
    destroy = add_destroy(sessions, made.environment_id)
    assert status(sessions, made.environment_id) == "destroy_queued"
    with transaction(sessions) as session:
        assert store.claim(session, destroy, worker="w", liveness_key=1, lease_seconds=30) is None
        assert fairness.claimable(session) == []
    with transaction(sessions) as session:
        store.fail(session, claim, FAILURE)
    # The create's end does not speak over the destroy that waits.
    assert status(sessions, made.environment_id) == "destroy_queued"
    with transaction(sessions) as session:
        assert fairness.claimable(session) == [destroy]
    take(sessions, destroy)
    assert status(sessions, made.environment_id) == "destroying"


def test_two_live_destroys_are_refused_by_the_database(sessions: Sessions) -> None:
    made = make_environment(sessions)
    add_destroy(sessions, made.environment_id)
    with pytest.raises(IntegrityError, match="uq_operations_live_destroy"):
        add_destroy(sessions, made.environment_id)


def test_two_running_operations_are_refused_by_the_database(sessions: Sessions) -> None:
    made = make_environment(sessions)
    take(sessions, made.operation_id)
    destroy = add_destroy(sessions, made.environment_id)
    with pytest.raises(IntegrityError, match="uq_operations_running"), transaction(sessions) as session:
        store._move(session, destroy, S.QUEUED, S.DESTROYING)


def test_an_attempt_that_lost_its_lease_writes_nothing(sessions: Sessions) -> None:
    made = make_environment(sessions)
    claim = take(sessions, made.operation_id)
    with transaction(sessions) as session:
        store.end_attempt(session, claim.lease_token, "worker_lost", is_over=False)
        lost = store.Failure(Reason.WORKER_LOST, "worker_lost", "Lost.")
        store.fail_operation(session, made.operation_id, lost)
    before = events(sessions, made.environment_id)
    event = journal.NewEvent("late", "Came late.")
    writes: tuple[Callable[[Session], None], ...] = (
        lambda session: store.advance(session, claim, S.PLANNING, S.APPLYING),
        lambda session: store.succeed(session, claim, S.BOOTSTRAPPING, {"x": 1}),
        lambda session: store.fail(session, claim, FAILURE),
        lambda session: store.record(session, claim, [event], {"step": "x"}),
    )
    for write in writes:
        with pytest.raises(store.LeaseLost), transaction(sessions) as session:
            write(session)
    assert events(sessions, made.environment_id) == before
    assert operation(sessions, made.operation_id).reason == "worker_lost"


def test_a_step_backwards_is_refused(sessions: Sessions) -> None:
    made = make_environment(sessions)
    claim = take(sessions, made.operation_id)
    with pytest.raises(ValueError, match="does not go from"), transaction(sessions) as session:
        store.advance(session, claim, S.PLANNING, S.BOOTSTRAPPING)


def test_a_stale_expectation_is_a_lost_lease(sessions: Sessions) -> None:
    made = make_environment(sessions)
    claim = take(sessions, made.operation_id)
    with transaction(sessions) as session:
        store.advance(session, claim, S.PLANNING, S.APPLYING)
    with pytest.raises(store.LeaseLost), transaction(sessions) as session:
        store.advance(session, claim, S.BOOTSTRAPPING, S.SUCCEEDED)


def test_a_failure_says_what_why_and_what_to_do(sessions: Sessions) -> None:
    made = make_environment(sessions)
    claim = take(sessions, made.operation_id)
    with transaction(sessions) as session:
        store.fail(session, claim, FAILURE)
    row = operation(sessions, made.operation_id)
    assert (row.status, row.reason) == ("failed", "terraform_failed")
    assert row.error == FAILURE.document()
    assert row.finished_at is not None
    assert status(sessions, made.environment_id) == "failed"


def test_a_queued_create_is_cancelled_at_once(sessions: Sessions) -> None:
    made = make_environment(sessions)
    with transaction(sessions) as session:
        store.lock_environment(session, made.environment_id)
        store.request_cancel(session, store.latest(session, made.environment_id))
    assert operation(sessions, made.operation_id).status == "cancelled"


def test_a_running_create_is_asked_once(sessions: Sessions) -> None:
    made = make_environment(sessions)
    take(sessions, made.operation_id)
    for _ in range(2):
        with transaction(sessions) as session:
            store.lock_environment(session, made.environment_id)
            store.request_cancel(session, store.latest(session, made.environment_id))
    asked = [
        type_
        for _, type_, _ in events(sessions, made.environment_id)
        if type_ == "operation.cancel_requested"
    ]
    assert len(asked) == 1
    assert operation(sessions, made.operation_id).status == "planning"


def test_events_written_at_once_are_numbered_without_gaps(sessions: Sessions) -> None:
    made = make_environment(sessions)
    first = len(events(sessions, made.environment_id))

    def write(number: int) -> None:
        with transaction(sessions) as session:
            batch = [journal.NewEvent("test", f"Wrote {number}.", {"n": number})] * 5
            journal.append(session, made.environment_id, batch)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(20)))
    numbers = [number for number, _, _ in events(sessions, made.environment_id)]
    assert numbers == list(range(1, first + 101))


def test_a_rolled_back_batch_leaves_no_gap(sessions: Sessions) -> None:
    made = make_environment(sessions)
    count = len(events(sessions, made.environment_id))
    with sessions() as session:
        journal.append(session, made.environment_id, [journal.NewEvent("test", "Was rolled back.")])
        session.rollback()
    with transaction(sessions) as session:
        journal.append(session, made.environment_id, [journal.NewEvent("test", "Stayed.")])
    assert [number for number, _, _ in events(sessions, made.environment_id)][-1] == count + 1


def test_claims_and_deletes_at_once_do_not_deadlock(sessions: Sessions) -> None:
    made = [make_environment(sessions) for _ in range(10)]

    def claim(index: int) -> None:
        with transaction(sessions) as session:
            store.claim(session, made[index].operation_id, worker="w", liveness_key=1, lease_seconds=30)

    def delete(index: int) -> None:
        with transaction(sessions) as session:
            row = store.lock_environment(session, made[index].environment_id)
            assert row is not None
            store.queue(session, row, Kind.DESTROY, "default")
            last = operation(sessions, made[index].operation_id)
            store.request_cancel(session, session.merge(last, load=True))

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(work, index) for index in range(10) for work in (claim, delete)]
        for future in futures:
            future.result(GUARD_SECONDS)
