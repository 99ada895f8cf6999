"""The worker with genuine queue and database: what comes twice, is unknown, waits, or is stopped."""

import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine
from tests.operations.rows import Made, add_destroy, events, make_environment, operation, status
from tests.support.proxy import proxy_to
from tests.support.waiting import until
from tests.worker.rig import Work, consuming, hints, make_worker, nothing, row_waiters

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.kit.database import Sessions, connect, transaction
from beta9_provisioning.kit.database import sessions as session_factory
from beta9_provisioning.kit.queue import ACTOR, Queue
from beta9_provisioning.lifecycle import Kind
from beta9_provisioning.operations.records.fairness import claimable
from beta9_provisioning.operations.records.store import lock_environment, request_cancel
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.heartbeat import Heartbeat
from beta9_provisioning.worker.metrics import Metrics
from beta9_provisioning.worker.worker import Worker


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def worker(
    engine: Engine, sessions: Sessions, queue: Queue, settings: Settings, work: Work
) -> Iterator[Worker]:
    """A worker whose heart beats, and quicker than its lease asks for."""
    worker = make_worker(engine, sessions, queue, settings, work)
    worker.heartbeat = Heartbeat(engine, sessions, 30.0, nothing, interval=0.1)
    worker.heartbeat.start()
    yield worker
    worker.heartbeat.stop()


def finished(factory: Sessions, operation_id: str) -> bool:
    return operation(factory, operation_id).finished_at is not None


def interrupted(factory: Sessions, made: Made) -> bool:
    return any(type_ == "operation.interrupted" for _, type_, _ in events(factory, made.environment_id))


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


def test_a_message_brings_an_environment_to_ready(
    sessions: Sessions, queue: Queue, redis_url: str, worker: Worker
) -> None:
    made = make_environment(sessions)
    with consuming(redis_url, worker, threads=1):
        queue.send(ACTOR, made.operation_id)
        until(lambda: status(sessions, made.environment_id) == "ready", "the environment is ready")
    assert queue.backlog() == 0


def test_a_message_that_comes_twice_runs_once(
    sessions: Sessions, queue: Queue, redis_url: str, worker: Worker, work: Work
) -> None:
    made, other = make_environment(sessions), make_environment(sessions)
    work.hold_back(Kind.PROVISION)
    with consuming(redis_url, worker, threads=2):
        for operation_id in (made.operation_id, made.operation_id, other.operation_id):
            queue.send(ACTOR, operation_id)
        # The second message was done with before the third could run: there are two threads.
        until(lambda: work.count(Kind.PROVISION) == 2, "both operations run")
        work.let_go(Kind.PROVISION)
        until(lambda: finished(sessions, made.operation_id), "the first has ended")
        queue.send(ACTOR, made.operation_id)
        until(lambda: queue.backlog() == 0, "the late message is taken")
    assert sorted(work.ran) == sorted((Kind.PROVISION, one.operation_id) for one in (made, other))
    assert operation(sessions, made.operation_id).attempts == 1


def test_many_workers_that_are_told_at_once_run_it_once(
    engine: Engine, sessions: Sessions, queue: Queue, settings: Settings, work: Work
) -> None:
    made = make_environment(sessions)
    workers = [make_worker(engine, sessions, queue, settings, work) for _ in range(6)]
    ready = threading.Barrier(len(workers))

    def run(one: Worker) -> None:
        ready.wait()
        one.run(made.operation_id)

    threads = [threading.Thread(target=run, args=(one,)) for one in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert work.ran == [(Kind.PROVISION, made.operation_id)]
    assert operation(sessions, made.operation_id).attempts == 1
    assert status(sessions, made.environment_id) == "ready"


def test_an_unknown_id_does_nothing(
    sessions: Sessions, queue: Queue, redis_url: str, worker: Worker, work: Work
) -> None:
    made = make_environment(sessions)
    with consuming(redis_url, worker, threads=1):
        queue.send(ACTOR, f"op_{uuid4().hex}")
        queue.send(ACTOR, "")
        queue.send(ACTOR, made.operation_id)
        until(lambda: status(sessions, made.environment_id) == "ready", "the known one ran after them")
    assert work.ran == [(Kind.PROVISION, made.operation_id)]


@pytest.mark.parametrize("ending", ["success", "failure"])
def test_a_destroy_behind_a_create_is_woken(
    *, sessions: Sessions, queue: Queue, redis_url: str, worker: Worker, work: Work, ending: str
) -> None:
    made = make_environment(sessions)
    work.hold_back(Kind.PROVISION)
    if ending == "failure":
        work.fail(Kind.PROVISION, EngineError("It broke."))
    with consuming(redis_url, worker, threads=2):
        queue.send(ACTOR, made.operation_id)
        until(lambda: work.count(Kind.PROVISION) == 1, "the create runs")
        destroy = add_destroy(sessions, made.environment_id)
        queue.send(ACTOR, destroy)
        until(lambda: queue.backlog() == 0, "the destroy's own hint is taken")
        assert work.count(Kind.DESTROY) == 0
        work.let_go(Kind.PROVISION)
        until(lambda: status(sessions, made.environment_id) == "destroyed", "the destroy has run")
    assert operation(sessions, made.operation_id).status == ("succeeded" if ending == "success" else "failed")


def test_a_cancel_ends_a_running_operation_and_wakes_the_destroy(
    sessions: Sessions, queue: Queue, redis_url: str, worker: Worker, work: Work
) -> None:
    made = make_environment(sessions)
    work.hold_back(Kind.PROVISION)
    with consuming(redis_url, worker, threads=1):
        queue.send(ACTOR, made.operation_id)
        until(lambda: work.count(Kind.PROVISION) == 1, "the create runs")
        add_destroy(sessions, made.environment_id)
        with transaction(sessions) as session:
            request_cancel(session, session.merge(operation(sessions, made.operation_id)))
        until(lambda: status(sessions, made.environment_id) == "destroyed", "the destroy has run")
    assert operation(sessions, made.operation_id).status == "cancelled"


def test_shutting_down_stops_what_runs_and_hands_it_back(
    sessions: Sessions, queue: Queue, redis_url: str, worker: Worker, work: Work
) -> None:
    running = [make_environment(sessions) for _ in range(2)]
    late = make_environment(sessions)
    work.hold_back(Kind.PROVISION)
    with consuming(redis_url, worker, threads=2):
        for made in running:
            queue.send(ACTOR, made.operation_id)
        until(lambda: work.count(Kind.PROVISION) == 2, "both run")
        worker.shut_down()
        for made in running:
            until(lambda one=made: interrupted(sessions, one), "it is handed back")  # type: ignore[misc]
        queue.send(ACTOR, late.operation_id)
        until(lambda: queue.backlog() == 0, "the late message is taken")
    for made in running:
        assert operation(sessions, made.operation_id).status == "planning"
        with transaction(sessions) as session:
            assert made.operation_id in claimable(session)
    # The message is lost, the row is not: the reconciler of a worker that stays sends again.
    assert operation(sessions, late.operation_id).status == "queued"
    assert work.count(Kind.PROVISION) == 2


def test_an_operation_claimed_while_shutting_down_is_stopped(
    engine: Engine, sessions: Sessions, queue: Queue, settings: Settings, work: Work
) -> None:
    made = make_environment(sessions)
    worker = make_worker(engine, sessions, queue, settings, work)
    work.hold_back(Kind.PROVISION)
    with transaction(sessions) as session:
        lock_environment(session, made.environment_id)
        thread = threading.Thread(target=worker.run, args=(made.operation_id,))
        thread.start()
        until(lambda: row_waiters(sessions) == 1, "the claim waits for the row")
        worker.shut_down()
    thread.join()
    assert interrupted(sessions, made)


def test_a_claim_without_a_database_leaves_the_operation_queued(
    sessions: Sessions, queue: Queue, settings: Settings, work: Work, database_url: str
) -> None:
    made = make_environment(sessions)
    with proxy_to(database_url) as proxy:
        distant = connect(proxy.url)
        worker = make_worker(distant, session_factory(distant), queue, settings, work)
        proxy.cut()
        worker.run(made.operation_id)
        assert operation(sessions, made.operation_id).status == "queued"
        proxy.heal()
        worker.run(made.operation_id)
        distant.dispose()
    assert status(sessions, made.environment_id) == "ready"


def test_an_end_that_redis_does_not_hear_of_is_an_end(
    engine: Engine, sessions: Sessions, settings: Settings, work: Work, redis_url: str
) -> None:
    made = make_environment(sessions)
    work.hold_back(Kind.PROVISION)
    with proxy_to(redis_url) as proxy:
        queue = Queue(proxy.url)
        worker = make_worker(engine, sessions, queue, settings, work)
        thread = threading.Thread(target=worker.run, args=(made.operation_id,))
        thread.start()
        until(lambda: work.count(Kind.PROVISION) == 1, "the create runs")
        destroy = add_destroy(sessions, made.environment_id)
        proxy.cut()
        work.let_go(Kind.PROVISION)
        thread.join()
        queue.close()
    assert operation(sessions, made.operation_id).status == "succeeded"
    assert operation(sessions, destroy).status == "queued"  # for the reconciler
    assert hints(redis_url) == []


def test_the_claim_names_the_worker(sessions: Sessions, worker: Worker) -> None:
    made = make_environment(sessions)
    worker.run(made.operation_id)
    named = [
        data["worker"]
        for _, type_, data in events(sessions, made.environment_id)
        if type_ == "operation.claimed"
    ]
    assert named == [worker.name]


def test_metrics_count_what_ran(
    engine: Engine, sessions: Sessions, queue: Queue, settings: Settings, work: Work
) -> None:
    metrics = Metrics(slots=3)
    assert sample(metrics.registry, "provisioning_worker_slots") == 3
    worker = make_worker(engine, sessions, queue, settings, work, metrics=metrics)
    worker.run(make_environment(sessions).operation_id)
    work.fail(Kind.PROVISION, EngineError("It broke."))
    worker.run(make_environment(sessions).operation_id)
    worker.run("op_unknown")
    work.hold_back(Kind.PROVISION)
    thread = threading.Thread(target=worker.run, args=(make_environment(sessions).operation_id,))
    thread.start()
    running = "provisioning_worker_operations_running"
    until(lambda: sample(metrics.registry, running) == 1, "one runs")
    worker.shut_down()
    thread.join()
    assert sample(metrics.registry, running) == 0
    count = "provisioning_worker_operation_seconds_count"
    assert sample(metrics.registry, count, kind="provision", outcome="succeeded") == 1
    assert sample(metrics.registry, count, kind="provision", outcome="failed") == 1
    assert sample(metrics.registry, count, kind="provision", outcome="handed_back") == 1
    assert sample(metrics.registry, "provisioning_worker_dispatch_seconds_count") == 3
    assert sample(metrics.registry, "provisioning_worker_leases_lost_total") == 0
