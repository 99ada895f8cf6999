"""While Redis is away workers take operations from the database, in the same slots; nothing is lost by it."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine
from tests.operations.rows import add_destroy, make_environment, operation, status
from tests.support.proxy import proxy_to
from tests.support.waiting import until
from tests.worker.rig import Work, consuming, hints, make_worker

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.queue import ACTOR, Queue, QueueUnavailable
from beta9_provisioning.lifecycle import Kind
from beta9_provisioning.local.ports import free_port
from beta9_provisioning.local.services import EmbeddedValkey
from beta9_provisioning.operations.records.fairness import claimable
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.poller import Poller
from beta9_provisioning.worker.worker import Worker

SLOTS = 2


@pytest.fixture
def valkey() -> Iterator[EmbeddedValkey]:
    """A server of the test's own, to be stopped and started at the same address."""
    with tempfile.TemporaryDirectory(prefix="beta9-valkey-") as home:
        server = EmbeddedValkey(Path(home), free_port(), tied=True).start()
        yield server
        server.stop()


@pytest.fixture
def work() -> Work:
    return Work()


class Rig:
    """A worker as its process has it: consumer, poller, and one count of slots."""

    def __init__(self, worker: Worker, queue: Queue, url: str, poller: Poller) -> None:
        self.worker = worker
        self.queue = queue
        self.url = url
        self.poller = poller


@contextmanager
def working(
    url: str, engine: Engine, sessions: Sessions, settings: Settings, work: Work, *, slots: int = SLOTS
) -> Iterator[Rig]:
    queue = Queue(url)
    worker = make_worker(engine, sessions, queue, settings, work, slots=slots)
    poller = Poller(worker, queue, every=0.1)
    with ExitStack() as stack:
        stack.callback(queue.close)
        stack.enter_context(consuming(url, worker, threads=slots))
        poller.start()
        stack.callback(poller.stop, 60.0)
        yield Rig(worker, queue, url, poller)


def test_without_redis_a_worker_takes_what_is_queued_in_its_own_slots(
    engine: Engine, sessions: Sessions, settings: Settings, work: Work, valkey: EmbeddedValkey
) -> None:
    work.hold_back(Kind.PROVISION)
    with working(valkey.url, engine, sessions, settings, work) as rig:
        first = make_environment(sessions)
        rig.queue.send(ACTOR, first.operation_id)
        until(lambda: work.count(Kind.PROVISION) == 1, "a message brings the first")
        valkey.stop()
        others = [make_environment(sessions) for _ in range(3)]
        until(lambda: work.count(Kind.PROVISION) == SLOTS, "the other slot is filled from the database")
        assert not rig.worker.slots.take()
        assert work.count(Kind.PROVISION) == SLOTS
        work.let_go(Kind.PROVISION)
        for made in (first, *others):
            until(lambda one=made: status(sessions, one.environment_id) == "ready", "it has run")  # type: ignore[misc]
        assert [operation(sessions, made.operation_id).attempts for made in (first, *others)] == [1] * 4


def test_it_goes_back_to_the_queue_when_redis_is_back(
    engine: Engine, sessions: Sessions, settings: Settings, work: Work, valkey: EmbeddedValkey
) -> None:
    with working(valkey.url, engine, sessions, settings, work) as rig:
        valkey.stop()
        meanwhile = make_environment(sessions)
        until(lambda: status(sessions, meanwhile.environment_id) == "ready", "it ran without a message")
        valkey.start()
        until(lambda: writable(rig.queue), "Redis is back")
        rig.poller.stop(60.0)  # so that nothing but a message can bring it
        later = make_environment(sessions)
        rig.queue.send(ACTOR, later.operation_id)
        until(lambda: status(sessions, later.environment_id) == "ready", "a message brought it")


def writable(queue: Queue) -> bool:
    try:
        queue.check_writable()
    except QueueUnavailable:
        return False
    return True


def test_a_redis_that_swallows_everything_is_away(
    engine: Engine, sessions: Sessions, settings: Settings, work: Work, redis_url: str
) -> None:
    with proxy_to(redis_url) as proxy, working(proxy.url, engine, sessions, settings, work):
        proxy.freeze()
        made = make_environment(sessions)
        try:
            until(lambda: status(sessions, made.environment_id) == "ready", "it ran without a message")
        finally:
            proxy.heal()


def test_what_was_asked_for_in_a_short_absence_is_not_forgotten(
    engine: Engine, sessions: Sessions, settings: Settings, work: Work, redis_url: str
) -> None:
    with proxy_to(redis_url) as proxy:
        queue = Queue(proxy.url)
        worker = make_worker(engine, sessions, queue, settings, work, slots=1)
        poller = Poller(worker, queue)
        proxy.cut()
        poller.turn()
        made = make_environment(sessions)
        proxy.heal()
        poller.turn()  # takes it before it looks, and has seen that Redis is back
        other = make_environment(sessions)
        until(lambda: status(sessions, made.environment_id) == "ready", "it has run")
        until(worker.slots.take, "its slot is free again")
        worker.slots.give_back()
        poller.turn()
        queue.close()
    assert operation(sessions, other.operation_id).status == "queued"


def test_a_full_worker_leaves_messages_to_others(
    *, engine: Engine, sessions: Sessions, queue: Queue, redis_url: str, settings: Settings, work: Work
) -> None:
    made = make_environment(sessions)
    full = make_worker(engine, sessions, queue, settings, work, slots=1)
    assert full.slots.take()
    with consuming(redis_url, full, threads=1):
        queue.send(ACTOR, made.operation_id)
        with consuming(redis_url, make_worker(engine, sessions, queue, settings, work), threads=1):
            until(lambda: status(sessions, made.environment_id) == "ready", "the other worker has run it")


def test_a_worker_that_stops_without_redis_stops_what_it_took_and_waits_for_no_answer(
    engine: Engine, sessions: Sessions, settings: Settings, work: Work, valkey: EmbeddedValkey
) -> None:
    work.hold_back(Kind.PROVISION)
    with working(valkey.url, engine, sessions, settings, work, slots=2) as rig:
        by_message = make_environment(sessions)
        rig.queue.send(ACTOR, by_message.operation_id)
        until(lambda: work.count(Kind.PROVISION) == 1, "a message brings one")
        valkey.stop()
        polled = make_environment(sessions)
        until(lambda: work.count(Kind.PROVISION) == 2, "the database another")
        rig.worker.shut_down()
        # Leaving the block fails when a thread of the consumer or the poller does not end.
    # Both are handed back, and any worker may go on with them.
    with transaction(sessions) as session:
        assert claimable(session) == [by_message.operation_id, polled.operation_id]


def test_a_destroy_behind_a_create_runs_without_redis(
    engine: Engine, sessions: Sessions, settings: Settings, work: Work, valkey: EmbeddedValkey
) -> None:
    work.hold_back(Kind.PROVISION)
    with working(valkey.url, engine, sessions, settings, work, slots=1):
        valkey.stop()
        made = make_environment(sessions)
        until(lambda: work.count(Kind.PROVISION) == 1, "the create runs")
        add_destroy(sessions, made.environment_id)
        work.let_go(Kind.PROVISION)
        until(lambda: status(sessions, made.environment_id) == "destroyed", "the destroy has run")


def test_a_redis_that_was_emptied_loses_no_operation(
    engine: Engine, sessions: Sessions, settings: Settings, work: Work, valkey: EmbeddedValkey
) -> None:
    work.hold_back(Kind.PROVISION)
    with working(valkey.url, engine, sessions, settings, work, slots=1) as rig:
        made = [make_environment(sessions) for _ in range(3)]
        for one in made:
            rig.queue.send(ACTOR, one.operation_id)
        until(lambda: work.count(Kind.PROVISION) == 1, "one runs")
        with redis.Redis.from_url(valkey.url) as client:
            client.flushall()
        assert hints(valkey.url) == []
        work.let_go(Kind.PROVISION)
        # Each end sends hints for what may be begun.
        for one in made:
            until(lambda env=one.environment_id: status(sessions, env) == "ready", "it has run")  # type: ignore[misc]
