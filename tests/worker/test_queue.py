"""The queue on genuine Valkey: bounded waits, clear errors, a backlog that says the truth."""

import socket
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from sqlalchemy import Engine
from tests.operations.rows import make_environment
from tests.worker.proxy import proxy_to
from tests.worker.rig import Work, consuming, hints, make_worker, until

from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.kit.queue import Queue, QueueUnavailable
from beta9_provisioning.lifecycle import Kind
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.actors import ACTOR

CALLS: dict[str, Callable[[Queue], object]] = {
    "send": lambda queue: queue.send(ACTOR, "op_1"),
    "backlog": lambda queue: queue.backlog(),
}


@pytest.fixture(params=["closed", "silent"])
def absent(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port where no Redis answers: a closed one, or one that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if request.param == "closed":
            listener.close()
        yield port


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_an_absent_redis_is_a_clear_error_within_seconds(
    absent: int, call: Callable[[Queue], object]
) -> None:
    queue = Queue(f"redis://:geheim@127.0.0.1:{absent}/0")
    began = time.monotonic()
    with pytest.raises(QueueUnavailable) as caught:
        call(queue)
    assert time.monotonic() - began < 4
    queue.close()
    assert f"127.0.0.1:{absent}" in str(caught.value)
    assert "REDIS_URL" in str(caught.value)
    assert "geheim" not in str(caught.value)


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
    with consuming(redis_url, worker, threads=threads):
        for one in ids:
            queue.send(ACTOR, one)
        until(lambda: work.count(Kind.PROVISION) == threads, "every thread is busy")
        # Long enough for a consumer that hoards messages to take more.
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            assert queue.backlog() == waiting
            time.sleep(0.02)
        work.let_go(Kind.PROVISION)
        until(lambda: work.count(Kind.PROVISION) == len(ids), "the others run too")
    assert queue.backlog() == 0
