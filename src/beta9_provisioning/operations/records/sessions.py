"""The database of this process: one engine, made from the settings on first use."""

from functools import lru_cache

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from beta9_provisioning.kit.database import Sessions, check, connect, sessions
from beta9_provisioning.settings import get_settings


@lru_cache(maxsize=1)
def get_engine() -> Engine:
    """Return the process's engine.

    A worker's operations use two connections each at most, one for their steps and one for the journal; the
    others are for heartbeat and reconciler, two of each.
    """
    settings = get_settings()
    return connect(settings.database_url, pool_size=2 * settings.worker_threads + 4)


@lru_cache(maxsize=1)
def get_sessions() -> Sessions:
    """Return the process's session factory."""
    return sessions(get_engine())


def get_db() -> Session:
    """Return a new session on a database that has answered; the caller closes it.

    Raises:
        DatabaseUnavailable: when the database is down, with what to do.
    """
    check(get_engine())
    return get_sessions()()
