"""Database engine and sessions: one way to connect, with bounds on waiting, to a server that writes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from beta9_provisioning.kit import database_url, runtime
from beta9_provisioning.kit.database_errors import READ_ONLY, Trouble, describe, sqlstate, trouble
from beta9_provisioning.kit.silence import AttentiveConnection, Patience, ServerSilent

Sessions = sessionmaker[Session]
T = TypeVar("T")

# What the URL does not say itself. A peer that has gone silent (a cut cable, a lost node) is noticed in
# about 15 s, not in TCP's minutes; of several servers the one that takes writes is meant.
_PARAMETERS = {
    "application_name": "beta9-provisioning",
    "connect_timeout": "5",
    "tcp_user_timeout": "10000",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "target_session_attrs": "read-write",
}
# Set in each new session, never as start-up parameters, which poolers refuse. The server's side of the same
# care: a client that vanishes in a transaction would keep its rows locked for two hours otherwise.
_SESSION = {
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "15s",
    "tcp_user_timeout": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
}
_POOL_SECONDS = 10
# How much longer than a statement may take we wait for the server to say so; how long for what takes no time;
# and how long for anything when this process has been told to stop.
_MARGIN_SECONDS = 3.0
_PROMPT_SECONDS = 5.0
_HASTY_SECONDS = 5.0
_SESSION_PROBES = 5
# A connection that was used so recently is not asked whether it still writes: that would be a round trip more
# for every request. Should it have been lost meanwhile, its user is told so.
_TRUSTED_SECONDS = 1.0


class DatabaseUnavailable(Exception):
    """The database could not be used; the message says where, why and what to do."""


class _ReadOnly(psycopg.OperationalError):
    """The server, or this session, only reads: a standby, or `default_transaction_read_only`."""

    sqlstate = READ_ONLY


def parameters(url: str) -> dict[str, str]:
    """Return libpq's parameters of a connection: what the URL says, and our defaults for the rest.

    Raises:
        ValueError: the URL cannot be understood; the message does not show it.
    """
    return {**_PARAMETERS, **database_url.parse(url)}


def connect(
    url: str,
    *,
    pool_size: int = 20,
    lock_seconds: int = 3,
    statement_seconds: int | None = 20,
    connector: Callable[..., AttentiveConnection] = AttentiveConnection.connect,
) -> Engine:
    """Return an engine for a `postgresql://` URL with at most `pool_size` connections; none is made yet.

    The URL is libpq's, and what it says goes before our own bounds: statements end after `statement_seconds`,
    waits for locks after `lock_seconds`, connection attempts after 5 s. A connection whose server stays
    silent 3 s longer than a statement may take is closed, and so lost; None bounds neither. One that cannot
    write counts as broken: it is thrown away with all others, and the next may find the server that can.
    `connector` makes connections; a simulation has its own.

    Raises:
        ValueError: the URL cannot be understood; the message does not show it.
    """
    given = database_url.parse(url)
    settings = {
        name: value
        for name, value in {
            **_SESSION,
            "lock_timeout": f"{lock_seconds}s",
            "statement_timeout": f"{statement_seconds or 0}s",
        }.items()
        if name not in database_url.option_names(given.get("options", ""))
    }
    engine = create_engine(
        "postgresql+psycopg://",
        connect_args=parameters(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
        hide_parameters=True,
        execution_options={"address": database_url.address(given), "patience": Patience()},
    )
    _watch(engine, settings, connector, is_bounded=statement_seconds is not None)
    _keep_fit(engine)
    return engine


def hasten(engine: Engine) -> None:
    """Call a connection lost after 5 s of silence from now on, whatever waits: this process is to stop."""
    engine.get_execution_options()["patience"].most = _HASTY_SECONDS


def _watch(
    engine: Engine,
    settings: dict[str, str],
    connector: Callable[..., AttentiveConnection],
    *,
    is_bounded: bool,
) -> None:
    calls = [f"set_config('{name}', '{value}', false)" for name, value in settings.items()]
    # The bound of the statements is asked for last: the URL may have set another one.
    bound = "extract(epoch FROM current_setting('statement_timeout')::interval)::float"
    set_up = f"SELECT current_setting('transaction_read_only') = 'off', {', '.join(calls)}, {bound}"

    @event.listens_for(engine, "do_connect")
    def open_(_dialect: object, _record: object, cargs: Any, cparams: Any) -> AttentiveConnection:
        connection = connector(*cargs, **cparams)
        connection.patience = engine.get_execution_options()["patience"]
        return connection

    @event.listens_for(engine, "connect")
    def begin(connection: AttentiveConnection, record: ConnectionPoolEntry) -> None:
        try:
            seconds = _refuse_read_only(connection, set_up)[-1]
            if is_bounded and seconds:
                connection.silence = seconds + _MARGIN_SECONDS
        except BaseException:
            connection.close()
            raise
        record.info["used"] = runtime.monotonic()

    @event.listens_for(engine, "handle_error")
    def discard(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
            context.is_disconnect = True


def _keep_fit(engine: Engine) -> None:
    """Ask a connection that comes from the pool whether it still writes, unless it was in use just now."""

    @event.listens_for(engine, "checkin")
    def note(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["used"] = runtime.monotonic()

    @event.listens_for(engine, "checkout")
    def ping(connection: AttentiveConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        if runtime.monotonic() - record.info["used"] < _TRUSTED_SECONDS:
            return
        try:
            _refuse_read_only(connection, "SELECT current_setting('transaction_read_only') = 'off'")
        except psycopg.Error as error:
            raise InvalidatePoolError from error


def _refuse_read_only(connection: AttentiveConnection, question: str) -> Sequence[Any]:
    """Ask whether the server writes, and for more; return the whole answer."""
    with connection.at_most(_PROMPT_SECONDS):
        connection.autocommit = True
        answer: Sequence[Any] | None = connection.execute(question.encode()).fetchone()
        connection.autocommit = False
    assert answer is not None
    if not answer[0]:
        raise _ReadOnly("the server only reads: it is a standby, or default_transaction_read_only is on")
    return answer


def sessions(engine: Engine) -> Sessions:
    """Return a session factory; objects stay readable after commit."""
    return sessionmaker(engine, expire_on_commit=False)


def read(factory: Sessions, ask: Callable[[Session], T]) -> T:
    """Ask something that changes nothing, each statement by itself; ask again when the connection was lost.

    The session is in no transaction, which saves two round trips: what must belong together is one statement.
    """
    try:
        return _read(factory, ask)
    except DBAPIError as error:
        # Not when there was no connection to lose, nor when the server is silent: that has taken its time.
        if not error.connection_invalidated or isinstance(error.orig, ServerSilent):
            raise
    return _read(factory, ask)


def _read(factory: Sessions, ask: Callable[[Session], T]) -> T:
    engine: Engine = factory.kw["bind"]
    with factory(bind=engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        return ask(session)


@contextmanager
def transaction(factory: Sessions) -> Iterator[Session]:
    """Open a session, commit at the end, roll back on any error."""
    with factory() as session, session.begin():
        yield session


def own_connection(engine: Engine) -> Connection:
    """Return a connection of the caller's own, in no transaction and in no pool.

    Raises:
        SQLAlchemyError: when the database is away.
    """
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    connection.detach()
    return connection


def check(engine: Engine) -> None:
    """See that there is a database that takes writes.

    Raises:
        DatabaseUnavailable: when no connection can be made.
    """
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        if trouble(error) is Trouble.FAULT:
            raise
        raise _unavailable(engine, error) from error


def check_session(engine: Engine) -> None:
    """See that a connection keeps its session on the server, as leases and liveness locks need.

    A pooler in transaction mode gives the server's session of one connection to another in between.

    Raises:
        DatabaseUnavailable: when it does not, or no connection can be made.
    """
    try:
        kept = all(_keeps_session(engine) for _ in range(_SESSION_PROBES))
    except SQLAlchemyError as error:
        if trouble(error) is Trouble.FAULT:
            raise
        raise _unavailable(engine, error) from error
    if not kept:
        raise DatabaseUnavailable(
            f"The pooler at {_address(engine)} works in transaction mode, but leases need sessions: "
            "let DATABASE_URL name PostgreSQL itself, or a pool with pool_mode = session."
        )


def _keeps_session(engine: Engine) -> bool:
    """While another connection is in a transaction it holds a session: is it, or was it, this one's?"""
    question = text("SELECT pg_backend_pid()")
    with own_connection(engine) as mine, engine.connect() as other:
        before = mine.scalar(question)
        others = other.scalar(question)
        after = mine.scalar(question)
        return bool(before == after != others)


def _address(engine: Engine) -> str:
    return str(engine.get_execution_options()["address"])


def _unavailable(engine: Engine, error: SQLAlchemyError) -> DatabaseUnavailable:
    where, reason = _address(engine), describe(error).split(": ", 1)[1]
    if "unsupported startup parameter" in reason:
        return DatabaseUnavailable(
            f"The pooler at {where} refuses the options in DATABASE_URL. Take them out, and give them to the "
            "database or the role (ALTER ROLE ... SET); or let DATABASE_URL name PostgreSQL itself."
        )
    if sqlstate(error) == READ_ONLY or "session is read-only" in reason:
        return DatabaseUnavailable(
            f"The database at {where} only reads: it is a standby, or default_transaction_read_only is on. "
            "Let DATABASE_URL name the primary, or all servers (a:5432,b:5432) to have the right one found."
        )
    return DatabaseUnavailable(
        f"No connection to the database at {where}: {reason}. "
        "Check DATABASE_URL, and that PostgreSQL is running and lets this user in."
    )
