"""The heartbeat on genuine PostgreSQL: renewal, cancel, lost leases, absent databases, the liveness lock."""

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, create_engine, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from tests.operations.rows import make_environment, operation, take
from tests.support.background import failures
from tests.support.proxy import Proxy
from tests.support.waiting import GUARD_SECONDS, until
from tests.worker.rig import attempt, lock_holder, nothing

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.operations.records.leases import hold_liveness
from beta9_provisioning.operations.records.model import AttemptRow
from beta9_provisioning.operations.records.store import Claim, request_cancel
from beta9_provisioning.operations.run.stopping import Stop, StopReason
from beta9_provisioning.worker.heartbeat import Heartbeat

LEASE = 60.0
BEAT = 0.05

Start = Callable[[Engine, Sessions], Heartbeat]


class Clock:
    """Tells heartbeats the time; only the test moves it. Beats come in real time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(clock: Clock) -> Iterator[Start]:
    """Start heartbeats; they are stopped after the test."""
    with ExitStack() as stack:

        def begin(engine: Engine, factory: Sessions) -> Heartbeat:
            heartbeat = Heartbeat(engine, factory, LEASE, nothing, interval=BEAT, clock=clock)
            heartbeat.start()
            stack.callback(heartbeat.stop)
            return heartbeat

        yield begin


def engine_with_one_connection(url: str) -> Engine:
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    return create_engine(parsed, pool_size=1, max_overflow=0, pool_timeout=0.05)


def claimed(factory: Sessions) -> Claim:
    return take(factory, make_environment(factory).operation_id, lease=LEASE)


def wait_for_renewal(factory: Sessions, claim: Claim) -> None:
    before = attempt(factory, claim).heartbeat_at
    until(lambda: attempt(factory, claim).heartbeat_at > before, "the lease is renewed")


def end_attempt(factory: Sessions, claim: Claim) -> None:
    """Do what another worker does that takes over."""
    with transaction(factory) as session:
        session.execute(
            update(AttemptRow)
            .where(AttemptRow.lease_token == claim.lease_token)
            .values(ended_at=datetime.now(UTC))
        )


def test_a_held_lease_is_renewed_and_a_released_one_no_more(
    engine: Engine, sessions: Sessions, start: Start
) -> None:
    released, kept = claimed(sessions), claimed(sessions)
    heartbeat = start(engine, sessions)
    stops = {claim.lease_token: Stop() for claim in (released, kept)}
    for token, stop in stops.items():
        heartbeat.hold(token, stop)
    wait_for_renewal(sessions, released)
    renewed = attempt(sessions, released)
    assert (renewed.lease_expires_at - renewed.heartbeat_at).total_seconds() == pytest.approx(LEASE, abs=1)

    heartbeat.release(released.lease_token)
    wait_for_renewal(sessions, kept)  # a renewal that was under way has ended
    last = attempt(sessions, released).heartbeat_at
    wait_for_renewal(sessions, kept)
    wait_for_renewal(sessions, kept)
    assert attempt(sessions, released).heartbeat_at == last
    assert [stop.reason for stop in stops.values()] == [None, None]


def test_a_cancel_reaches_its_operation_and_no_other(
    engine: Engine, sessions: Sessions, start: Start
) -> None:
    cancelled, other = claimed(sessions), claimed(sessions)
    heartbeat = start(engine, sessions)
    stop, other_stop = Stop(), Stop()
    heartbeat.hold(cancelled.lease_token, stop)
    heartbeat.hold(other.lease_token, other_stop)
    with transaction(sessions) as session:
        request_cancel(session, session.merge(operation(sessions, cancelled.operation_id)))
    assert stop.event.wait(GUARD_SECONDS), "the cancel was not passed on"
    assert stop.reason is StopReason.CANCELLED
    # Its worker still has to write the end: the lease is renewed until it is released.
    wait_for_renewal(sessions, cancelled)
    assert other_stop.reason is None


def test_a_lease_that_was_taken_stops_its_operation_and_no_other(
    engine: Engine, sessions: Sessions, start: Start
) -> None:
    taken, other = claimed(sessions), claimed(sessions)
    heartbeat = start(engine, sessions)
    stop, other_stop = Stop(), Stop()
    heartbeat.hold(taken.lease_token, stop)
    heartbeat.hold(other.lease_token, other_stop)
    end_attempt(sessions, taken)
    assert stop.event.wait(GUARD_SECONDS), "the loss was not noticed"
    assert stop.reason is StopReason.LEASE_LOST
    wait_for_renewal(sessions, other)
    assert other_stop.reason is None


def test_stop_all_stops_every_operation(engine: Engine, sessions: Sessions) -> None:
    heartbeat = Heartbeat(engine, sessions, LEASE, nothing)
    stops = [Stop(), Stop()]
    for stop in stops:
        heartbeat.hold(claimed(sessions).lease_token, stop)
    heartbeat.stop_all(StopReason.WORKER_STOPPED)
    assert [stop.reason for stop in stops] == [StopReason.WORKER_STOPPED] * 2


def test_a_database_that_is_down_stops_operations_after_half_a_lease(
    sessions: Sessions, distant: Engine, proxy: Proxy, start: Start, clock: Clock
) -> None:
    claim, stop = claimed(sessions), Stop()
    heartbeat = start(distant, session_factory(distant))
    heartbeat.hold(claim.lease_token, stop)
    wait_for_renewal(sessions, claim)
    proxy.cut()
    clock.now += LEASE / 2 - 1
    until(lambda: proxy.refused >= 4, "several beats fail")
    assert not stop.event.is_set()
    clock.now += 2
    assert stop.event.wait(GUARD_SECONDS), "nobody stopped the operation"
    assert stop.reason is StopReason.LEASE_LOST

    proxy.heal()
    later, later_stop = claimed(sessions), Stop()
    heartbeat.hold(later.lease_token, later_stop)
    wait_for_renewal(sessions, later)
    until(lambda: lock_holder(sessions, heartbeat.liveness_key) is not None, "the liveness lock is back")


def test_a_short_absence_of_the_database_stops_nothing(
    sessions: Sessions, distant: Engine, proxy: Proxy, start: Start, clock: Clock
) -> None:
    claim, stop = claimed(sessions), Stop()
    heartbeat = start(distant, session_factory(distant))
    heartbeat.hold(claim.lease_token, stop)
    wait_for_renewal(sessions, claim)
    for beats in (1, 2):
        proxy.cut()
        clock.now += LEASE / 2 - 1
        until(lambda least=beats: proxy.refused >= least, "a beat fails")  # type: ignore[misc]
        proxy.heal()
        wait_for_renewal(sessions, claim)
        wait_for_renewal(sessions, claim)  # the one before has been noted
    assert stop.reason is None


def test_a_database_that_does_not_answer_stops_operations_after_half_a_lease(
    sessions: Sessions, distant: Engine, proxy: Proxy, start: Start, clock: Clock
) -> None:
    claim, stop = claimed(sessions), Stop()
    heartbeat = start(distant, session_factory(distant))
    heartbeat.hold(claim.lease_token, stop)
    wait_for_renewal(sessions, claim)
    proxy.freeze()
    clock.now += LEASE / 2 + 1
    try:
        stopped = stop.event.wait(GUARD_SECONDS)
    finally:
        proxy.heal()
    assert stopped, "a silent connection held the heartbeat up, and nobody stopped the operation"
    assert stop.reason is StopReason.LEASE_LOST


def test_an_exhausted_pool_does_not_end_the_heartbeat(
    engine: Engine,
    sessions: Sessions,
    database_url: str,
    start: Start,
) -> None:
    claim = claimed(sessions)
    small = engine_with_one_connection(database_url)
    heartbeat = start(engine, session_factory(small))
    heartbeat.hold(claim.lease_token, Stop())
    wait_for_renewal(sessions, claim)
    with ExitStack() as ours:
        until(lambda: takes_connection(small, ours), "no renewal holds the only connection")
        last = attempt(sessions, claim).heartbeat_at
        before = failures("heartbeat")
        until(lambda: failures("heartbeat") >= before + 3, "several beats find no connection")
        assert attempt(sessions, claim).heartbeat_at == last
    wait_for_renewal(sessions, claim)
    heartbeat.stop()
    small.dispose()


def takes_connection(engine: Engine, into: ExitStack) -> bool:
    """Take a connection from the pool if it has one."""
    try:
        into.enter_context(engine.connect())
    except PoolTimeout:
        return False
    return True


def test_the_liveness_lock_lives_from_start_to_stop(engine: Engine, sessions: Sessions) -> None:
    heartbeat = Heartbeat(engine, sessions, LEASE, nothing)
    assert lock_holder(sessions, heartbeat.liveness_key) is None
    heartbeat.start()
    try:
        assert lock_holder(sessions, heartbeat.liveness_key) is not None
    finally:
        heartbeat.stop()
    until(lambda: lock_holder(sessions, heartbeat.liveness_key) is None, "the lock is given back")


def test_start_says_that_the_database_is_away(proxy: Proxy, distant: Engine) -> None:
    proxy.cut()
    with pytest.raises(DBAPIError):
        Heartbeat(distant, session_factory(distant), LEASE, nothing).start()


def test_the_liveness_lock_is_taken_again_when_its_connection_breaks(
    engine: Engine, sessions: Sessions, start: Start
) -> None:
    heartbeat = start(engine, sessions)
    first = lock_holder(sessions, heartbeat.liveness_key)
    with transaction(sessions) as session:
        assert session.scalar(text("SELECT pg_terminate_backend(:pid)"), {"pid": first})
    until(
        lambda: lock_holder(sessions, heartbeat.liveness_key) not in (None, first),
        "the liveness lock is taken again",
    )


def test_a_renewal_that_fails_costs_no_liveness_lock(
    engine: Engine, sessions: Sessions, distant: Engine, proxy: Proxy, start: Start
) -> None:
    claim = claimed(sessions)
    heartbeat = start(engine, session_factory(distant))
    heartbeat.hold(claim.lease_token, Stop())
    wait_for_renewal(sessions, claim)
    holder = lock_holder(sessions, heartbeat.liveness_key)
    proxy.cut()
    until(lambda: proxy.refused >= 3, "several beats fail")
    proxy.heal()
    gc.collect()  # a connection that was dropped unclosed takes its lock with it
    wait_for_renewal(sessions, claim)
    wait_for_renewal(sessions, claim)
    assert lock_holder(sessions, heartbeat.liveness_key) == holder


def test_a_liveness_lock_that_an_old_connection_still_holds_is_taken_later(
    engine: Engine, sessions: Sessions
) -> None:
    heartbeat = Heartbeat(engine, sessions, LEASE, nothing, interval=BEAT)
    with sessions() as old:
        assert hold_liveness(old, heartbeat.liveness_key)
        pid = lock_holder(sessions, heartbeat.liveness_key)
        heartbeat.start()
        try:
            assert lock_holder(sessions, heartbeat.liveness_key) == pid
            old.connection().invalidate()
            until(
                lambda: lock_holder(sessions, heartbeat.liveness_key) not in (None, pid),
                "the heartbeat takes the lock that has become free",
            )
        finally:
            heartbeat.stop()
