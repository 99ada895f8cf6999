"""What `/metrics` serves: counts of the service, and figures read from database and queue when asked."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog
from anyio import CapacityLimiter, to_thread
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.api import figures
from beta9_provisioning.api.questions import Question
from beta9_provisioning.api.telemetry import RequestMetrics
from beta9_provisioning.environments import statistics
from beta9_provisioning.kit.background import FAILURES, failed
from beta9_provisioning.kit.database import connect, sessions, transaction
from beta9_provisioning.kit.database_errors import Trouble, trouble
from beta9_provisioning.kit.gauges import summed_gauge
from beta9_provisioning.kit.pool_metrics import count_connections
from beta9_provisioning.kit.queue import Queue, QueueUnavailable

log = structlog.get_logger(__name__)

# What Prometheus waits for is more (manifests/monitoring): a page without figures is better than none, which
# looks as if the service were down.
_ANSWER_SECONDS = 4.0
_STATEMENT_SECONDS = 3
_SAMPLE_SECONDS = 1.0


class Metrics:
    """The metrics of one application. A scrape waits for no request, nor for a database that hangs."""

    def __init__(self, engine: Engine, database_url: str, queue: Queue, counts: Path | None) -> None:
        """Connect to nothing yet.

        Args:
            engine: of the requests, whose connections are counted.
            database_url: where the figures are read, on a connection of their own.
            queue: whose length is told.
            counts: directory of the counts of several processes; none when this one is alone.
        """
        self._registry = CollectorRegistry()
        own = self._registry
        if counts is not None:
            # One of several processes: the counts of all are read from their files (counting.py).
            MultiProcessCollector(self._registry, counts)  # type: ignore[no-untyped-call]
            own = CollectorRegistry()
        self.requests = RequestMetrics(own)
        self.threads = RequestThreads(own)
        own.register(FAILURES)
        count_connections(engine, own)
        # One series of each kind opens the files: should they be gone later, nobody who counts fails by that.
        FAILURES.labels("metrics")
        self.requests.latency.labels("GET", "/health")
        self._engine = connect(
            database_url, pool_size=1, lock_seconds=1, statement_seconds=_STATEMENT_SECONDS
        )
        self._sessions = sessions(self._engine)
        self._queue = queue
        nothing = [figures.database_up(False)]
        self._ask_database = Question("metrics_late", "database", self._of_database, nothing)
        self._ask_queue = Question("metrics_late", "queue", self._of_queue, list(figures.of_queue(None)))
        self._turn = CapacityLimiter(1)

    async def page(self) -> bytes:
        """Return all metrics in Prometheus's text format, within some 5 s."""
        answers = await asyncio.gather(
            self._ask_database.answer(_ANSWER_SECONDS), self._ask_queue.answer(_ANSWER_SECONDS)
        )
        found = [metric for answer in answers for metric in answer]
        # Beside the threads of requests, and beside the event loop, which the files of counts would hold up.
        return await to_thread.run_sync(generate_latest, _Page(self._registry, found), limiter=self._turn)

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    def _of_database(self) -> list[Metric]:
        """Read the figures, which survive restarts; without them say whether the database answered.

        It may refuse them, or take too long.
        """
        try:
            with transaction(self._sessions) as session:
                found = statistics.read(session)
        except SQLAlchemyError as error:
            failed("metrics", error)
            return [figures.database_up(trouble(error) is not Trouble.LOST)]
        return [figures.database_up(True), *figures.of_database(found)]

    def _of_queue(self) -> list[Metric]:
        try:
            length: int | None = self._queue.backlog()
        except QueueUnavailable as error:
            log.warning("scrape_without_queue", error=str(error))
            length = None
        return list(figures.of_queue(length))


class RequestThreads:
    """How many of the threads that requests run on are in use, and how many requests wait for one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._in_use = summed_gauge(
            "provisioning_api_threads_in_use", "Threads that run requests now.", registry
        )
        self._most = summed_gauge(
            "provisioning_api_threads_max", "Threads that requests may run on.", registry
        )
        self._waiting = summed_gauge(
            "provisioning_api_requests_waiting",
            "Requests that wait for a thread, looked at once a second.",
            registry,
        )

    async def watch(self) -> None:
        """Look once a second, until cancelled; several processes add up."""
        limiter = to_thread.current_default_thread_limiter()
        while True:
            found = limiter.statistics()
            self._in_use.set(found.borrowed_tokens)
            self._most.set(found.total_tokens)
            self._waiting.set(found.tasks_waiting)
            await asyncio.sleep(_SAMPLE_SECONDS)


class _Page(CollectorRegistry):
    """What is counted here, and what was answered."""

    def __init__(self, counted: CollectorRegistry, answered: Sequence[Metric]) -> None:
        super().__init__()
        self._counted = counted
        self._answered = answered

    def collect(self) -> Iterator[Metric]:
        """Return all families."""
        yield from self._counted.collect()
        yield from self._answered
