"""Database engine and sessions: one way to connect, with bounds on waiting."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from beta9_provisioning.kit.database_url import parse

Sessions = sessionmaker[Session]

_CONNECT_SECONDS = 5
_STATEMENT_MS = 30_000
# A peer that has gone silent (a cut cable, a lost node) is noticed in about 15 s, not in TCP's minutes.
_SILENCE = {
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}


class DatabaseUnavailable(Exception):
    """The database could not be reached; the message says where, why and what to do."""


def connect(url: str, *, pool_size: int = 10) -> Engine:
    """Return an engine for a `postgresql://` URL; nothing is connected yet.

    Statements end after 30 s and connection attempts after 5 s, so that nothing waits without bound.

    Raises:
        ValueError: the URL cannot be read; the sentence tells nothing of it, for it holds a password.
    """
    parse(url)
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    return create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_timeout=10,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            **_SILENCE,
            "options": f"-c statement_timeout={_STATEMENT_MS} -c timezone=UTC",
            "application_name": "beta9-provisioning",
        },
    )


def sessions(engine: Engine) -> Sessions:
    """Return a session factory; objects stay readable after commit."""
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def transaction(factory: Sessions) -> Iterator[Session]:
    """Open a session, commit at the end, roll back on any error."""
    with factory() as session, session.begin():
        yield session


def check(engine: Engine) -> None:
    """Ask the database for one row.

    Raises:
        DatabaseUnavailable: when no connection can be made.
    """
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except OperationalError as error:
        where = f"{engine.url.host}:{engine.url.port or 5432}/{engine.url.database}"
        reason = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
        raise DatabaseUnavailable(
            f"No connection to the database at {where}: {reason}. "
            "Check DATABASE_URL, and that PostgreSQL is running and lets this user in."
        ) from error
