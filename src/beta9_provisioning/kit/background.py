"""Work beside requests and operations: a thread survives whatever it raises, and counts it."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator

import structlog
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.kit.database_errors import Backoff, Trouble, describe, trouble

log = structlog.get_logger(__name__)

_LONGEST_PAUSE = 10.0
_lock = threading.Lock()
_failures: Counter[str] = Counter()


def failed(work: str, error: Exception, **context: object) -> None:
    """Log and count what a piece of background work raised; it will be tried again or is given up."""
    with _lock:
        _failures[work] += 1
    if isinstance(error, SQLAlchemyError):
        kind = trouble(error)
        if kind is Trouble.FAULT:
            log.error("database_fault", work=work, error=describe(error), **context)
        else:
            event = "database_away" if kind is Trouble.LOST else "database_busy"
            log.warning(event, work=work, error=describe(error), **context)
    else:
        log.error("background_work_failed", work=work, exc_info=error, **context)


def failures(work: str) -> int:
    """Return how often a piece of background work of this process has failed."""
    with _lock:
        return _failures[work]


def repeat(
    work: str,
    do: Callable[[], object],
    *,
    every: float,
    ended: threading.Event,
    longest: float = _LONGEST_PAUSE,
) -> None:
    """Do something every so many seconds until `ended`; after failures the pauses grow to `longest`."""
    backoff = Backoff(2 * every, longest)
    pause = every
    while not ended.wait(pause):
        try:
            do()
        except Exception as error:  # noqa: BLE001  the thread must go on, whatever happens
            failed(work, error)
            pause = max(every, backoff.next())
        else:
            backoff.reset()
            pause = every


class Failures(Collector):
    """The counts for Prometheus."""

    def collect(self) -> Iterator[Metric]:
        """Return the counts of this process since its start."""
        family = CounterMetricFamily(
            "provisioning_background_failures", "Background work that failed.", labels=["work"]
        )
        with _lock:
            for work, count in _failures.items():
                family.add_metric([work], count)
        yield family
