import socket
import time
from collections.abc import Iterator

import pytest
import redis

from beta9_provisioning.api.hints import Hints
from beta9_provisioning.kit.queue import BACKLOG_KEY, Queue
from beta9_provisioning.local.ports import free_port


@pytest.fixture
def silent_queue() -> Iterator[Queue]:
    """A queue whose server accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        queue = Queue(f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        yield queue
        queue.close()


def test_closing_sends_what_waits(queue: Queue, redis_url: str) -> None:
    hints = Hints(queue)
    for number in range(20):
        hints.send(f"op_{number}")
    hints.start()
    hints.close()
    assert queue.backlog() == 20
    with redis.Redis.from_url(redis_url) as connection:
        assert connection.llen(BACKLOG_KEY) == 20


def test_a_queue_that_is_away_blocks_nobody(silent_queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    hints = Hints(silent_queue)
    hints.start()
    began = time.monotonic()
    for number in range(1010):
        hints.send(f"op_{number}")
    hints.close()
    assert time.monotonic() - began < 1
    assert "hint_dropped" in caplog.text


def test_a_hint_that_fails_does_not_end_the_sending(caplog: pytest.LogCaptureFixture) -> None:
    away = Queue(f"redis://127.0.0.1:{free_port()}/0")
    hints = Hints(away)
    hints.start()
    hints.send("op_1")
    hints.send("op_2")
    hints.close()
    assert caplog.text.count("hint_not_sent") == 2
    away.close()
