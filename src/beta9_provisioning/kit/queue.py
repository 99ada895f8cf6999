"""The job queue: Dramatiq on Redis. A message is a hint that carries one id; losing it loses nothing."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Protocol

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from redis.backoff import NoBackoff
from redis.retry import Retry

from beta9_provisioning.kit import redis_url

NAMESPACE = "provisioning"
QUEUE = "jobs"
ACTOR = "run_operation"
"""Name of the one job, which API and workers know."""
BACKLOG_KEY = f"{NAMESPACE}:{QUEUE}"
"""Redis list whose length is the backlog."""
# A list that is never there: LPUSHX writes nothing, and is still refused by a Redis that takes no writes.
_PROBE_KEY = f"{NAMESPACE}:probe"

_TIMEOUT_SECONDS = 2.0


class _Client(redis.Redis):
    """To Dramatiq a Redis that stands still is a fault of its own, told with a stack; to us it is away."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command; an answer that does not come in time is a lost connection."""
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.TimeoutError as error:
            raise redis.ConnectionError(str(error)) from error


class QueueUnavailable(Exception):
    """Redis could not be used; the message says where, why and what to do."""


def redis_client(url: str) -> redis.Redis:
    """Return a client that gives up after 2 s instead of waiting without bound.

    A connection to a Redis that has become a replica is closed, and another one tried: its address may
    lead to the new primary already.
    """
    return _Client.from_url(
        url,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        socket_timeout=_TIMEOUT_SECONDS,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ReadOnlyError,)),
    )


class _Consumer(_RedisConsumer):
    """Tells Redis what became of messages, once: Dramatiq would do nothing else until Redis has heard it.

    What Redis does not hear comes again after the end of this process, as a hint that is late.
    """

    def ack(self, message: dramatiq.MessageProxy) -> None:
        """Say that a message is done with."""
        with suppress(ConnectionClosed):
            super().ack(message)  # type: ignore[no-untyped-call]

    def nack(self, message: dramatiq.MessageProxy) -> None:
        """Say that a message is of no use."""
        with suppress(ConnectionClosed):
            super().nack(message)  # type: ignore[no-untyped-call]

    def requeue(self, messages: Iterable[dramatiq.MessageProxy]) -> None:
        """Give messages back."""
        with suppress(redis.ConnectionError):
            super().requeue(messages)  # type: ignore[no-untyped-call]


class _Broker(RedisBroker):
    @property
    def consumer_class(self) -> type[_Consumer]:
        """What takes messages."""
        return _Consumer


def make_broker(url: str) -> RedisBroker:
    """Return a broker without middleware that retries: whoever sends again is the reconciler."""
    broker = _Broker(  # type: ignore[no-untyped-call]
        client=redis_client(url), namespace=NAMESPACE, middleware=[]
    )
    broker.declare_queue(QUEUE)
    return broker


class JobQueue(Protocol):
    """What the service needs of a queue. Every method but `close` raises QueueUnavailable when it is away."""

    def send(self, actor: str, identifier: str) -> None:
        """Send one message."""

    def backlog(self) -> int:
        """Return how many messages wait."""

    def check_writable(self) -> None:
        """See that a message could be sent now."""

    def close(self) -> None:
        """Close the connections."""


class Queue:
    """Sends hints to the workers through Redis, and knows the backlog."""

    def __init__(self, url: str) -> None:
        self._where = redis_url.address(url)
        self._client = redis_client(url)
        self._broker = make_broker(url)

    def send(self, actor: str, identifier: str) -> None:
        """Send one message.

        Raises:
            QueueUnavailable: when Redis does not take it.
        """
        message: dramatiq.Message[object] = dramatiq.Message(
            queue_name=QUEUE, actor_name=actor, args=(identifier,), kwargs={}, options={}
        )
        try:
            self._broker.enqueue(message)
        except (redis.RedisError, dramatiq.errors.BrokerConnectionError) as error:
            raise self._unavailable(error) from error

    def backlog(self) -> int:
        """Return how many messages wait.

        Raises:
            QueueUnavailable: when Redis does not answer.
        """
        try:
            return int(self._client.llen(BACKLOG_KEY))
        except redis.RedisError as error:
            raise self._unavailable(error) from error

    def check_writable(self) -> None:
        """See that a message could be sent now: that this Redis is no replica, and has memory.

        Raises:
            QueueUnavailable: when it could not.
        """
        try:
            self._client.lpushx(_PROBE_KEY, "")
        except redis.RedisError as error:
            raise self._unavailable(error) from error

    def close(self) -> None:
        """Close the connections."""
        self._broker.close()
        self._client.close()

    def _unavailable(self, error: Exception) -> QueueUnavailable:
        return QueueUnavailable(
            f"Redis at {self._where} cannot be used: {str(error).rstrip('.')}. "
            "Check REDIS_URL, and that Redis is running, takes this password and takes writes."
        )
