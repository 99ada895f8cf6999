"""What `/metrics` serves: counts of the service, and figures read from database and queue when asked."""

from collections.abc import Iterator
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.api.telemetry import RequestMetrics
from beta9_provisioning.environments import statistics
from beta9_provisioning.kit.background import FAILURES, failed
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.database_errors import Trouble, trouble
from beta9_provisioning.kit.queue import BACKLOG_KEY, Queue, QueueUnavailable

log = structlog.get_logger(__name__)


class Metrics:
    """One registry for one application."""

    def __init__(self, sessions: Sessions, queue: Queue, counts: Path | None) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        if counts is not None:
            # One of several processes: the counts of all are read from their files (counting.py).
            MultiProcessCollector(self.registry, counts)  # type: ignore[no-untyped-call]
            own = CollectorRegistry()
        self.requests = RequestMetrics(own)
        own.register(FAILURES)
        # One series of each kind opens the files: should they be gone later, nobody who counts fails by that.
        FAILURES.labels("metrics")
        self.requests.latency.labels("GET", "/health")
        self.registry.register(_Database(sessions))
        self.registry.register(_Queue(queue))


class _Database(Collector):
    """Figures from history, so that they survive restarts and are the same from every replica."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering asks no database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the figures; without a database only say that it is away."""
        found, is_up = self._read()
        yield GaugeMetricFamily(
            "provisioning_database_up", "1 when the database answered this scrape.", float(is_up)
        )
        if found is not None:
            yield from _families(found)

    def _read(self) -> tuple[statistics.Statistics | None, bool]:
        """Return the figures, and whether the database answered: it may refuse them, or take too long."""
        try:
            with transaction(self._sessions) as session:
                return statistics.read(session), True
        except SQLAlchemyError as error:
            failed("metrics", error)
            return None, trouble(error) is not Trouble.LOST


def _families(found: statistics.Statistics) -> Iterator[Metric]:
    yield GaugeMetricFamily("provisioning_live_workers", "Workers that live now.", found.live_workers)
    yield GaugeMetricFamily(
        "provisioning_operations_waiting", "Queued operations that a worker could take now.", found.waiting
    )
    yield GaugeMetricFamily(
        "provisioning_operations_running", "Operations that workers are at.", found.running
    )
    entered = CounterMetricFamily(
        "provisioning_environments", "Environments that entered a status, ever.", labels=["status"]
    )
    for status, count in found.entered.items():
        entered.add_metric([status], count)
    yield entered
    oldest = GaugeMetricFamily(
        "provisioning_environment_created_at",
        "Start (Unix seconds) of the oldest current operation of an environment in this status.",
        labels=["status"],
    )
    for status, start in found.oldest.items():
        oldest.add_metric([status], start.timestamp())
    yield oldest
    duration = HistogramMetricFamily(
        "provisioning_duration_seconds",
        "Seconds from the start to the end of finished operations.",
        labels=["kind", "outcome"],
    )
    for durations in found.durations:
        buckets = [(str(float(bound)), count) for bound, count in durations.buckets]
        duration.add_metric(
            [durations.kind, durations.outcome], [*buckets, ("+Inf", durations.count)], durations.total
        )
    yield duration


class _Queue(Collector):
    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering asks no queue."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the backlog; without a queue only say that it is away."""
        up = GaugeMetricFamily("provisioning_queue_up", "1 when the queue answered this scrape.")
        # A Kubernetes label selector accepts no colon: autoscalers select by the second label.
        length = GaugeMetricFamily(
            "redis_queue_length", "Operations waiting in the queue.", labels=["queue", "queue_name"]
        )
        try:
            length.add_metric([BACKLOG_KEY, BACKLOG_KEY.replace(":", ".")], self._queue.backlog())
        except QueueUnavailable as error:
            log.warning("scrape_without_queue", error=str(error))
        up.add_metric([], float(bool(length.samples)))
        yield up
        yield length
