import logging
import socket
from collections.abc import Iterator

import pytest
import redis
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.api import hints as module
from beta9_provisioning.api.hints import Hints
from beta9_provisioning.kit.queue import BACKLOG_KEY, Queue
from beta9_provisioning.local.ports import free_port


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let closing wait for as long as a busy machine takes to send what waits."""
    monkeypatch.setattr(module, "_CLOSE_SECONDS", GUARD_SECONDS)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A Redis that accepts connections and never answers; it is gone when the test has ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(GUARD_SECONDS)
        yield server


def logged(caplog: pytest.LogCaptureFixture, event: str, operation_id: str) -> int:
    """How often the hints have logged this event of this operation."""
    ours = [record.getMessage() for record in caplog.records if record.name == module.__name__]
    return len([line for line in ours if f"'{event}'" in line and f"'{operation_id}'" in line])


@pytest.mark.usefixtures("unhurried")
def test_closing_sends_what_waits(queue: Queue, redis_url: str) -> None:
    hints = Hints(queue)
    for number in range(20):
        hints.send(f"op_{number}")
    hints.start()
    hints.close()
    assert queue.backlog() == 20
    with redis.Redis.from_url(redis_url) as connection:
        assert connection.llen(BACKLOG_KEY) == 20


def test_a_queue_that_is_away_blocks_nobody(
    silent: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Who waits for the queue waits until the connection is closed, below.
    monkeypatch.setattr("beta9_provisioning.kit.queue._TIMEOUT_SECONDS", 3600.0)
    queue = Queue(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
    hints = Hints(queue)
    hints.start()
    hints.send("op_first")
    connection, _ = silent.accept()
    with connection:
        connection.settimeout(GUARD_SECONDS)
        assert connection.recv(1)  # the first hint is on its way
        for number in range(1010):
            hints.send(f"op_{number}")
        hints.close()
    dropped = [number for number in range(1010) if logged(caplog, "hint_dropped", f"op_{number}")]
    assert dropped == list(range(1000, 1010))
    queue.close()


@pytest.mark.usefixtures("unhurried")
def test_a_hint_that_fails_does_not_end_the_sending(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, module.__name__)
    away = Queue(f"redis://127.0.0.1:{free_port()}/0")
    hints = Hints(away)
    hints.start()
    hints.send("op_1")
    hints.send("op_2")
    hints.close()
    assert [logged(caplog, "hint_not_sent", one) for one in ("op_1", "op_2")] == [1, 1]
    away.close()
