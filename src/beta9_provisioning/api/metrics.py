"""What `/metrics` serves: counts of the service, and figures read from database and queue when asked."""

from collections.abc import Iterator
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.api import figures
from beta9_provisioning.api.telemetry import RequestMetrics
from beta9_provisioning.environments import statistics
from beta9_provisioning.kit.background import FAILURES, failed
from beta9_provisioning.kit.database import Sessions, sessions, transaction
from beta9_provisioning.kit.database_errors import Trouble, trouble
from beta9_provisioning.kit.pool_metrics import count_connections
from beta9_provisioning.kit.queue import Queue, QueueUnavailable

log = structlog.get_logger(__name__)


class Metrics:
    """One registry for one application."""

    def __init__(self, engine: Engine, queue: Queue, counts: Path | None) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        if counts is not None:
            # One of several processes: the counts of all are read from their files (counting.py).
            MultiProcessCollector(self.registry, counts)  # type: ignore[no-untyped-call]
            own = CollectorRegistry()
        self.requests = RequestMetrics(own)
        own.register(FAILURES)
        count_connections(engine, own)
        # One series of each kind opens the files: should they be gone later, nobody who counts fails by that.
        FAILURES.labels("metrics")
        self.requests.latency.labels("GET", "/health")
        self.registry.register(_Database(sessions(engine)))
        self.registry.register(_Queue(queue))


class _Database(Collector):
    """Figures from history, so that they survive restarts and are the same from every replica."""

    def __init__(self, factory: Sessions) -> None:
        self._sessions = factory

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering asks no database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the figures; without a database only say that it is away."""
        found, is_up = self._read()
        yield figures.database_up(is_up)
        if found is not None:
            yield from figures.of_database(found)

    def _read(self) -> tuple[statistics.Statistics | None, bool]:
        """Return the figures, and whether the database answered: it may refuse them, or take too long."""
        try:
            with transaction(self._sessions) as session:
                return statistics.read(session), True
        except SQLAlchemyError as error:
            failed("metrics", error)
            return None, trouble(error) is not Trouble.LOST


class _Queue(Collector):
    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering asks no queue."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the backlog; without a queue only say that it is away."""
        try:
            length: int | None = self._queue.backlog()
        except QueueUnavailable as error:
            log.warning("scrape_without_queue", error=str(error))
            length = None
        yield from figures.of_queue(length)
