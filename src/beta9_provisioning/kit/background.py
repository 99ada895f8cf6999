"""Work beside requests and operations: a thread survives whatever it raises, and counts it."""

from collections.abc import Callable

import structlog
from prometheus_client import Counter
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.backoff import Backoff
from beta9_provisioning.kit.database_errors import Trouble, describe, trouble

log = structlog.get_logger(__name__)

_LONGEST_PAUSE = 10.0

FAILURES = Counter(
    "provisioning_background_failures_total", "Background work that failed.", ["work"], registry=None
)
"""Of this process since its start; whoever serves metrics registers it."""


def failed(work: str, error: Exception, **context: object) -> None:
    """Log and count what a piece of background work raised; it will be tried again or is given up."""
    FAILURES.labels(work).inc()
    if isinstance(error, SQLAlchemyError):
        kind = trouble(error)
        if kind is Trouble.FAULT:
            log.error("database_fault", work=work, error=describe(error), **context)
        else:
            event = "database_away" if kind is Trouble.LOST else "database_busy"
            log.warning(event, work=work, error=describe(error), **context)
    else:
        log.error("background_work_failed", work=work, exc_info=error, **context)


def repeat(
    work: str,
    do: Callable[[], object],
    *,
    every: float,
    ended: runtime.Event,
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
