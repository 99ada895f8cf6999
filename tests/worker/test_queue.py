"""The queue on genuine Valkey: bounded waits, clear errors, a backlog that says the truth."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import redis
from sqlalchemy import Engine
from tests.operations.rows import make_environment
from tests.support.proxy import proxy_to
from tests.support.waiting import until
from tests.worker.rig import Work, consuming, hints, make_worker

from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.kit.queue import ACTOR, Queue, QueueUnavailable
from beta9_provisioning.lifecycle import Kind
from beta9_provisioning.local.ports import free_port
from beta9_provisioning.settings import Settings

CALLS: dict[str, Callable[[Queue], object]] = {
    "send": lambda queue: queue.send(ACTOR, "op_1"),
    "backlog": lambda queue: queue.backlog(),
}


@contextmanager
def silent() -> Iterator[socket.socket]:
    """Somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def connections(listener: socket.socket) -> int:
    """Take the connections that wait, and return how many there were."""
    taken = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            taken += 1
    return taken


def check_absence(port: int, call: Callable[[Queue], object]) -> None:
    """Call without a Redis at this port."""
    queue = Queue(f"redis://:geheim@127.0.0.1:{port}/0")
    with pytest.raises(QueueUnavailable) as caught:
        call(queue)
    queue.close()
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "REDIS_URL" in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_an_absent_redis_is_a_clear_error(call: Callable[[Queue], object]) -> None:
    check_absence(free_port(), call)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_redis_that_never_answers_is_a_clear_error_after_one_try(call: Callable[[Queue], object]) -> None:
    with silent() as listener:
        check_absence(listener.getsockname()[1], call)
        assert connections(listener) == 1


def test_a_wrong_password_is_a_clear_error(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        where = client.connection_pool.connection_kwargs
    queue = Queue(f"redis://:geheim@{where['host']}:{where['port']}/{where['db']}")
    with pytest.raises(QueueUnavailable, match="password") as caught:
        queue.send(ACTOR, "op_1")
    queue.close()
    assert "geheim" not in str(caught.value)


def test_it_works_again_when_redis_is_back(redis_url: str) -> None:
    with proxy_to(redis_url) as proxy:
        queue = Queue(proxy.url)
        queue.send(ACTOR, "op_1")
        proxy.cut()
        with pytest.raises(QueueUnavailable):
            queue.send(ACTOR, "op_2")
        proxy.heal()
        queue.send(ACTOR, "op_3")
        assert hints(redis_url) == ["op_1", "op_3"]
        queue.close()


def test_messages_carry_the_id_and_nothing_else(queue: Queue, redis_url: str) -> None:
    for number in range(3):
        queue.send(ACTOR, f"op_{number}")
    assert queue.backlog() == 3
    assert hints(redis_url) == ["op_0", "op_1", "op_2"]


@pytest.mark.parametrize(("threads", "waiting"), [(1, 4), (3, 2)])
def test_the_backlog_is_what_nobody_works_on(
    *,
    engine: Engine,
    sessions: Sessions,
    queue: Queue,
    settings: Settings,
    redis_url: str,
    threads: int,
    waiting: int,
) -> None:
    work = Work()
    work.hold_back(Kind.PROVISION)
    worker = make_worker(engine, sessions, queue, settings, work)
    ids = [make_environment(sessions).operation_id for _ in range(threads + waiting)]
    for one in ids:
        queue.send(ACTOR, one)
    # All are there before it looks, so that a consumer that hoards messages takes more at its first look.
    with consuming(redis_url, worker, threads=threads):
        until(lambda: work.count(Kind.PROVISION) == threads, "every thread is busy")
        assert queue.backlog() == waiting
        work.let_go(Kind.PROVISION)
        until(lambda: work.count(Kind.PROVISION) == len(ids), "the others run too")
        until(lambda: queue.backlog() == 0, "nothing is left")
