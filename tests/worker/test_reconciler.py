"""The reconciler on genuine PostgreSQL and Valkey: lost hints, backlogs, lost workers, absent servers."""

import threading
from collections.abc import Callable, Iterator

import pytest
from tests.operations.rows import add_destroy, events, make_environment, operation, status, take
from tests.support.proxy import Proxy, proxy_to
from tests.support.waiting import until
from tests.worker.rig import attempt, experienced, hints, lose_redis, lose_worker, wait_long_ago

from beta9_provisioning.kit.database import Sessions, connect, transaction
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.kit.queue import ACTOR, Queue, QueueUnavailable
from beta9_provisioning.operations.records.leases import Observer
from beta9_provisioning.operations.records.store import Claim, request_cancel
from beta9_provisioning.worker import reconciler as module
from beta9_provisioning.worker.reconciler import Reconciler

Make = Callable[[Sessions, Queue], Reconciler]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make reconcilers that may judge at once; their connections are closed after the test."""
    observers: list[Observer] = []

    def new(factory: Sessions, queue: Queue) -> Reconciler:
        observers.append(experienced(factory))
        return Reconciler(observers[-1], factory, queue, ACTOR, interval=0.05)

    yield new
    for observer in observers:
        observer.close()


@pytest.fixture
def reconciler(sessions: Sessions, queue: Queue, make: Make) -> Reconciler:
    """One whose rounds the test does itself."""
    return make(sessions, queue)


@pytest.fixture
def redis_proxy(redis_url: str) -> Iterator[Proxy]:
    with proxy_to(redis_url) as proxy:
        yield proxy


@pytest.fixture
def distant_queue(redis_proxy: Proxy) -> Iterator[Queue]:
    """The queue behind a proxy."""
    queue = Queue(redis_proxy.url)
    yield queue
    queue.close()


def destroy_instead(sessions: Sessions, claim: Claim) -> str:
    """Ask for the end of an operation, and for a destroy, as a delete does."""
    behind = add_destroy(sessions, claim.environment_id)
    with transaction(sessions) as session:
        request_cancel(session, session.merge(operation(sessions, claim.operation_id)))
    return behind


def test_losing_redis_loses_no_operation(
    sessions: Sessions, queue: Queue, redis_url: str, reconciler: Reconciler
) -> None:
    ids = [make_environment(sessions).operation_id for _ in range(3)]
    for one in ids:
        queue.send(ACTOR, one)
    lose_redis(redis_url)
    assert hints(redis_url) == []
    wait_long_ago(sessions, *ids)
    reconciler.round()
    assert sorted(hints(redis_url)) == sorted(ids)


def test_the_oldest_is_sent_first(sessions: Sessions, redis_url: str, reconciler: Reconciler) -> None:
    first, second, third = (make_environment(sessions).operation_id for _ in range(3))
    wait_long_ago(sessions, second, seconds=300)
    wait_long_ago(sessions, third, seconds=200)
    wait_long_ago(sessions, first, seconds=100)
    reconciler.round()
    assert hints(redis_url) == [second, third, first]


def test_a_backlog_is_not_sent_again(
    sessions: Sessions, queue: Queue, redis_url: str, reconciler: Reconciler
) -> None:
    ids = [make_environment(sessions).operation_id for _ in range(3)]
    for one in ids:
        queue.send(ACTOR, one)
    wait_long_ago(sessions, *ids)
    for _ in range(3):
        reconciler.round()
    assert hints(redis_url) == ids


def test_hints_that_were_lost_in_part_are_sent_again_once(
    sessions: Sessions, queue: Queue, redis_url: str, reconciler: Reconciler
) -> None:
    kept, lost = (make_environment(sessions).operation_id for _ in range(2))
    queue.send(ACTOR, kept)
    wait_long_ago(sessions, kept, seconds=61.0)  # whose turn it is says the time of the request
    wait_long_ago(sessions, lost)
    for _ in range(3):
        reconciler.round()
    assert hints(redis_url) == [kept, lost]


def test_a_young_operation_is_not_sent_again(
    sessions: Sessions, redis_url: str, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HINT_SECONDS", 3600.0)  # the database's clock does not stand still
    made = make_environment(sessions)
    wait_long_ago(sessions, made.operation_id, seconds=3000)
    reconciler.round()
    assert hints(redis_url) == []


def test_what_runs_or_waits_behind_it_is_not_sent(
    sessions: Sessions, redis_url: str, reconciler: Reconciler
) -> None:
    made = make_environment(sessions)
    take(sessions, made.operation_id)
    behind = add_destroy(sessions, made.environment_id)
    wait_long_ago(sessions, made.operation_id, behind)
    reconciler.round()
    assert hints(redis_url) == []
    assert operation(sessions, made.operation_id).status == "planning"


def test_an_operation_that_nobody_began_in_time_fails_and_can_be_deleted(
    sessions: Sessions, redis_url: str, reconciler: Reconciler
) -> None:
    late, in_time, begun = (make_environment(sessions) for _ in range(3))
    take(sessions, begun.operation_id)
    wait_long_ago(sessions, late.operation_id, begun.operation_id, seconds=24 * 3600 + 60)
    wait_long_ago(sessions, in_time.operation_id, seconds=24 * 3600 - 600)
    reconciler.round()
    row = operation(sessions, late.operation_id)
    assert (row.status, row.reason) == ("failed", "timeout")
    assert row.error is not None
    assert row.error["code"] == "queue_timeout"
    assert "1440 minutes" in row.error["message"]
    assert status(sessions, late.environment_id) == "failed"
    assert operation(sessions, begun.operation_id).status == "planning"
    assert hints(redis_url) == [in_time.operation_id]
    assert add_destroy(sessions, late.environment_id)


def test_a_lost_workers_operation_goes_to_another_one(
    sessions: Sessions, redis_url: str, reconciler: Reconciler
) -> None:
    claim = lose_worker(sessions)
    reconciler.round()
    assert status(sessions, claim.environment_id) == "provisioning"
    assert attempt(sessions, claim).outcome == "worker_lost"
    assert hints(redis_url) == [claim.operation_id]
    assert take(sessions, claim.operation_id).attempt == claim.attempt + 1


def test_the_destroy_behind_a_lost_worker_is_woken(
    sessions: Sessions, redis_url: str, reconciler: Reconciler
) -> None:
    claim = lose_worker(sessions)
    behind = destroy_instead(sessions, claim)
    reconciler.round()
    assert hints(redis_url) == [behind]
    assert status(sessions, claim.environment_id) == "destroy_queued"


def test_a_live_worker_keeps_its_operation_beside_a_lost_one(
    sessions: Sessions, reconciler: Reconciler
) -> None:
    lost = lose_worker(sessions)
    live = take(sessions, make_environment(sessions).operation_id)
    reconciler.round()
    assert attempt(sessions, lost).outcome == "worker_lost"
    assert operation(sessions, live.operation_id).status == "planning"
    assert attempt(sessions, live).ended_at is None


def test_several_reconcilers_end_a_lost_attempt_once(
    make: Make, sessions: Sessions, queue: Queue, redis_url: str
) -> None:
    claims = [lose_worker(sessions) for _ in range(6)]
    several = [make(sessions, queue) for _ in range(4)]
    ready = threading.Barrier(len(several))
    problems: list[Exception] = []

    def work(one: Reconciler) -> None:
        ready.wait()
        try:
            one.round()
        except Exception as error:  # noqa: BLE001  shown below: a thread's exception fails no test
            problems.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    for claim in claims:
        types = [type_ for _, type_, _ in events(sessions, claim.environment_id)]
        assert types.count("operation.interrupted") == 1
        assert attempt(sessions, claim).outcome == "worker_lost"
    # Which operation a message names decides nothing: whoever gets it takes the one whose turn it is.
    told = hints(redis_url)
    assert len(told) >= len(claims)
    assert set(told) <= {claim.operation_id for claim in claims}


def test_without_redis_lost_operations_end_and_the_destroy_is_woken_later(
    make: Make, sessions: Sessions, redis_url: str, redis_proxy: Proxy, distant_queue: Queue
) -> None:
    claim = lose_worker(sessions)
    behind = destroy_instead(sessions, claim)
    reconciler = make(sessions, distant_queue)
    redis_proxy.cut()
    with pytest.raises(QueueUnavailable):
        reconciler.round()
    assert operation(sessions, claim.operation_id).status == "cancelled"
    redis_proxy.heal()
    wait_long_ago(sessions, behind)
    reconciler.round()
    assert hints(redis_url) == [behind]


def test_without_redis_all_lost_operations_end_in_one_round(
    make: Make, sessions: Sessions, redis_proxy: Proxy, distant_queue: Queue
) -> None:
    claims = [lose_worker(sessions) for _ in range(3)]
    redis_proxy.cut()
    with pytest.raises(QueueUnavailable):
        make(sessions, distant_queue).round()
    assert [attempt(sessions, claim).outcome for claim in claims] == ["worker_lost"] * 3


def test_it_outlives_an_absent_redis(
    make: Make, sessions: Sessions, redis_url: str, redis_proxy: Proxy, distant_queue: Queue
) -> None:
    made = make_environment(sessions)
    wait_long_ago(sessions, made.operation_id)
    lost = lose_worker(sessions)
    redis_proxy.cut()
    reconciler = make(sessions, distant_queue)
    reconciler.start()
    try:
        until(lambda: attempt(sessions, lost).outcome == "worker_lost", "a round without Redis")
        redis_proxy.heal()
        both = {made.operation_id, lost.operation_id}
        until(lambda: set(hints(redis_url)) == both, "the hints are sent when Redis is back")
    finally:
        reconciler.stop()


def test_it_outlives_an_absent_database(
    make: Make, sessions: Sessions, queue: Queue, redis_url: str, database_url: str
) -> None:
    made = make_environment(sessions)
    wait_long_ago(sessions, made.operation_id)
    with proxy_to(database_url) as proxy:
        engine = connect(proxy.url)
        reconciler = make(session_factory(engine), queue)
        proxy.cut()
        reconciler.start()
        try:
            until(lambda: proxy.refused >= 2, "two rounds without a database")
            assert hints(redis_url) == []
            proxy.heal()
            until(
                lambda: hints(redis_url) == [made.operation_id], "the hint is sent when the database is back"
            )
        finally:
            reconciler.stop()
            engine.dispose()
