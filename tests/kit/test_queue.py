"""The queue's client beside Dramatiq's own consumer."""

import socket

import pytest
from dramatiq.errors import ConnectionClosed

from beta9_provisioning.kit.queue import QUEUE, make_broker


def test_a_worker_logged_a_stack_when_redis_stood_still() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = make_broker(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        consumer = broker.consume(QUEUE, prefetch=1, timeout=1)
        with pytest.raises(ConnectionClosed):
            next(consumer)
        broker.close()
