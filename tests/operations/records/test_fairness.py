"""Whose turn it is, on the genuine store: turns, limits, and many workers at once."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, update
from tests.operations.rows import add_destroy, make_environment, operation, take
from tests.worker.rig import wait_long_ago

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import Reason
from beta9_provisioning.operations.records import store
from beta9_provisioning.operations.records.fairness import claimable, next_free
from beta9_provisioning.operations.records.model import AttemptRow


def queued(sessions: Sessions, user: str, number: int = 1) -> list[str]:
    """Have a user ask for operations; return their ids, oldest first."""
    return [make_environment(sessions, user=user).operation_id for _ in range(number)]


def order(sessions: Sessions, *, most_of_one: int = 0) -> list[str]:
    with transaction(sessions) as session:
        return claimable(session, most_of_one=most_of_one)


def test_whoever_runs_fewer_goes_first(sessions: Sessions) -> None:
    a = queued(sessions, "a", 4)
    b = queued(sessions, "b", 2)
    c = queued(sessions, "c")
    assert order(sessions) == [a[0], b[0], c[0], a[1], b[1], a[2], a[3]]
    take(sessions, a[0])
    take(sessions, a[1])
    assert order(sessions) == [b[0], c[0], b[1], a[2], a[3]]


def test_of_those_with_equal_claims_the_oldest_goes_first(sessions: Sessions) -> None:
    (a,), (b,), (c,) = (queued(sessions, user) for user in "abc")
    wait_long_ago(sessions, b, seconds=300)
    wait_long_ago(sessions, c, seconds=200)
    wait_long_ago(sessions, a, seconds=100)
    assert order(sessions) == [b, c, a]


def test_a_users_limit_leaves_his_others_out(sessions: Sessions) -> None:
    a = queued(sessions, "a", 4)
    b = queued(sessions, "b")
    assert order(sessions, most_of_one=2) == [a[0], b[0], a[1]]
    claim = take(sessions, a[0])
    assert order(sessions, most_of_one=2) == [b[0], a[1]]
    take(sessions, a[1])
    assert order(sessions, most_of_one=2) == [b[0]]
    with transaction(sessions) as session:
        assert store.claim(session, a[2], worker="w", liveness_key=1, lease_seconds=30, most_of_one=2) is None
    with transaction(sessions) as session:
        store.fail(session, claim, store.Failure(Reason.INTERNAL, "x", "It failed."))
    assert order(sessions, most_of_one=2) == [b[0], a[2]]


def test_what_waits_behind_another_is_left_out(sessions: Sessions) -> None:
    made = make_environment(sessions)
    destroy = add_destroy(sessions, made.environment_id)
    assert order(sessions) == [made.operation_id]
    take(sessions, made.operation_id)
    assert destroy not in order(sessions)


def test_what_was_interrupted_goes_before_everything_and_over_no_limit(sessions: Sessions) -> None:
    (interrupted,) = queued(sessions, "a")
    take(sessions, interrupted)
    waiting = queued(sessions, "b", 2)
    with transaction(sessions) as session:
        session.execute(
            update(AttemptRow)
            .where(AttemptRow.operation_id == interrupted)
            .values(ended_at=func.clock_timestamp(), outcome="handed_back")
        )
    assert order(sessions) == [interrupted, *waiting]
    assert order(sessions, most_of_one=1) == [interrupted, waiting[0]]


def test_two_that_ask_at_once_are_given_different_ones(sessions: Sessions) -> None:
    first, second = queued(sessions, "a", 2)
    with sessions() as one, sessions() as other, sessions() as third:
        assert next_free(one) == first
        assert next_free(other) == second
        assert next_free(third) is None
    with transaction(sessions) as session:
        assert next_free(session, refused={first}) == second


@pytest.mark.parametrize("most_of_one", [0, 3])
def test_many_that_claim_at_once_all_get_work_and_no_user_more_than_his_limit(
    sessions: Sessions, most_of_one: int
) -> None:
    queued(sessions, "a", 12)
    queued(sessions, "b", 4)
    workers = 10
    ready = threading.Barrier(workers)
    taken: list[str] = []

    def work() -> None:
        refused: set[str] = set()
        ready.wait()
        while True:
            with transaction(sessions) as session:
                chosen = next_free(session, most_of_one=most_of_one, refused=refused)
                if chosen is None:
                    return
                claim = store.claim(
                    session, chosen, worker="w", liveness_key=1, lease_seconds=300, most_of_one=most_of_one
                )
            if claim is not None:
                taken.append(chosen)
                return
            refused.add(chosen)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == len(taken)
    by_user = [operation(sessions, one).requested_by for one in taken]
    if most_of_one:
        assert max(by_user.count(user) for user in "ab") <= most_of_one
    else:
        assert (by_user.count("a"), by_user.count("b")) == (6, 4)


def test_only_old_ones_are_told_of_when_that_is_asked(sessions: Sessions) -> None:
    old, young = queued(sessions, "a", 2)
    wait_long_ago(sessions, old, seconds=7200)
    with transaction(sessions) as session:
        assert claimable(session, older_than=timedelta(hours=1).total_seconds()) == [old]
        assert claimable(session) == [old, young]
