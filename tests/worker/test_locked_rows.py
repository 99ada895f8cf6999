"""One environment's rows stay locked by somebody who never lets go: nothing else is held up."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine
from tests.operations.rows import make_environment, take
from tests.support.waiting import until
from tests.worker.rig import attempt, experienced, hints, lose_worker, nothing, wait_long_ago

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.queue import ACTOR, Queue
from beta9_provisioning.operations.records.leases import Renewed, renew
from beta9_provisioning.operations.records.model import AttemptRow, Base, EnvironmentRow, OperationRow
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.worker.heartbeat import Heartbeat
from beta9_provisioning.worker.reconciler import Reconciler

LEASE = 2.4


@contextmanager
def locked(sessions: Sessions, row: type[Base], key: object) -> Iterator[None]:
    """Hold a row, as a host does that lost its power in a transaction."""
    with sessions() as session:
        assert session.get(row, key, with_for_update=True)
        yield


@pytest.mark.parametrize("row", [EnvironmentRow, OperationRow, AttemptRow])
def test_one_locked_environment_keeps_no_other_from_being_ended_and_no_hint_from_being_sent(
    sessions: Sessions, queue: Queue, redis_url: str, row: type[Base]
) -> None:
    stuck, *others = [lose_worker(sessions) for _ in range(4)]
    waiting = make_environment(sessions).operation_id
    wait_long_ago(sessions, waiting)
    observer = experienced(sessions)
    reconciler = Reconciler(observer, sessions, queue, ACTOR, interval=1)
    keys: dict[type[Base], object] = {
        EnvironmentRow: stuck.environment_id,
        OperationRow: stuck.operation_id,
        AttemptRow: stuck.lease_token,
    }
    with locked(sessions, row, keys[row]):
        reconciler.round()
        assert [attempt(sessions, one).outcome for one in others] == ["worker_lost"] * 3
        assert attempt(sessions, stuck).ended_at is None
        assert hints(redis_url) == [*(one.operation_id for one in others), waiting]
    reconciler.round()
    assert attempt(sessions, stuck).outcome == "worker_lost"
    observer.close()


def test_one_locked_attempt_costs_no_other_operation_its_lease(engine: Engine, sessions: Sessions) -> None:
    claims = [take(sessions, make_environment(sessions).operation_id, lease=LEASE) for _ in range(3)]
    stops = [Stop() for _ in claims]
    heartbeat = Heartbeat(engine, sessions, LEASE, nothing)
    for claim, stop in zip(claims, stops, strict=True):
        heartbeat.hold(claim.lease_token, stop)
    with locked(sessions, AttemptRow, claims[0].lease_token):
        heartbeat.start()
        try:
            assert stops[0].event.wait(30), "its own operation is stopped: it cannot be renewed"
            assert [stop.reason for stop in stops] == [StopReason.LEASE_LOST, None, None]
            for claim in claims[1:]:
                _wait_for_renewal(sessions, claim)
        finally:
            heartbeat.stop()


def test_a_lease_whose_row_is_locked_is_neither_renewed_nor_lost(sessions: Sessions) -> None:
    claim = take(sessions, make_environment(sessions).operation_id)
    with locked(sessions, AttemptRow, claim.lease_token), transaction(sessions) as session:
        assert renew(session, [claim.lease_token], 30) == [Renewed(claim.lease_token, False, False)]
    with transaction(sessions) as session:
        assert renew(session, [claim.lease_token], 30) == [Renewed(claim.lease_token, False, True)]


def _wait_for_renewal(sessions: Sessions, claim: Claim) -> None:
    before = attempt(sessions, claim).heartbeat_at
    until(lambda: attempt(sessions, claim).heartbeat_at > before, "the lease is renewed")
