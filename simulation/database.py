"""Genuine PostgreSQL in simulated time: what a statement means is the server's affair, when it runs is ours.

`sim.clock_timestamp()` and its like stand before PostgreSQL's own in `search_path` and read the simulated
time from a file. Statements run at once while nobody else does anything; one that has to wait for a lock
gives the baton away until the server says that it has it. Which sessions wait is asked of the server after
each statement, so that it is known before anybody is chosen to run.
"""

import os
import select
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Engine

from beta9_provisioning.kit.database import connect
from beta9_provisioning.kit.silence import AttentiveConnection
from beta9_provisioning.operations.records.model import Base
from simulation.baton import Baton, Process, Signal

T = TypeVar("T")

LOCK_SECONDS = 3.0
"""As the product's engines bound their waits; counted in simulated time here."""
# So long the server is given before it is asked whether somebody is in the way.
_ANSWER_MS = 4
_SETTLED_MS = 1
_EPOCH = 1_767_225_600.0  # 2026-01-01
# A peer that is cut off is noticed by keepalives on both sides; a new connection gives up sooner.
_SILENCE_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
_IDLE_IN_TRANSACTION_SECONDS = 15.0
_OPTIONS = {
    "search_path": "sim,pg_catalog,public",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "tcp_user_timeout": "0",
}
# What goes to the server and comes back; the others only prepare it.
_POINTS = {
    "_execute_gen": "statement",
    "_executemany_gen_pipeline": "statements",
    "_executemany_gen_no_pipeline": "statements",
    "_commit_gen": "commit",
    "_rollback_gen": "rollback",
}
_FUNCTIONS = """
    DROP SCHEMA IF EXISTS sim CASCADE;
    CREATE SCHEMA sim;
    CREATE FUNCTION sim.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS $$ SELECT to_timestamp(pg_catalog.pg_read_file('{clock}')::float8) $$;
    CREATE FUNCTION sim.now() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS $$ SELECT to_timestamp(pg_catalog.pg_read_file('{clock}')::float8) $$;
    CREATE FUNCTION sim.statement_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS $$ SELECT to_timestamp(pg_catalog.pg_read_file('{clock}')::float8) $$;
    CREATE FUNCTION sim.transaction_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS $$ SELECT to_timestamp(pg_catalog.pg_read_file('{clock}')::float8) $$;
    CREATE FUNCTION sim.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS $$ SELECT to_timestamp(pg_catalog.pg_read_file('{start}')::float8) $$;
"""
_FIRST_ORGANIZATION = (
    "INSERT INTO organizations (id, name, created_at) VALUES ('default', 'default', '2026-01-01')"
)


class Database:
    """One database for all simulated processes, its faults included.

    Attributes:
        lost_answers: how likely a commit's answer is lost after it was carried out.
        lost_statements: how likely a connection is lost before a statement is sent.
    """

    def __init__(self, url: str, files: Path) -> None:
        self._url = url
        self._clock = files / "clock"
        self._start = files / "start"
        for file in (self._clock, self._start):
            file.touch(mode=0o644)
        files.chmod(0o755)
        self._clock_fd = os.open(self._clock, os.O_WRONLY)
        self._start_fd = os.open(self._start, os.O_WRONLY)
        self._admin = psycopg.connect(url, autocommit=True)
        self._admin.execute(_FUNCTIONS.format(clock=self._clock, start=self._start).encode())
        self._baton: Baton | None = None
        self._told = -1.0
        self._open: dict[int, Connection] = {}
        self._blocked: list[Connection] = []
        self._down_until = 0.0
        self.lost_answers = 0.0
        self.lost_statements = 0.0
        self.statements = 0

    def close(self) -> None:
        """Close it for good."""
        self._admin.close()
        os.close(self._clock_fd)
        os.close(self._start_fd)

    def begin(self, baton: Baton) -> None:
        """Begin a history in an empty database."""
        names = ", ".join(table.name for table in Base.metadata.sorted_tables)
        with self._admin.transaction():
            # The audit log's triggers refuse it.
            self._admin.execute("SET LOCAL session_replication_role = replica")
            self._admin.execute(f"TRUNCATE {names}".encode())
            self._admin.execute(_FIRST_ORGANIZATION.encode())
        self._baton = baton
        self._open.clear()
        self._blocked.clear()
        self._down_until = 0.0
        self._tell_time(force=True)
        self._tell_start()

    def end(self) -> None:
        """End every session."""
        self._terminate(list(self._open.values()))
        for connection in list(self._open.values()):
            connection.close()
        self._open.clear()
        self._blocked.clear()

    def ask(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask something, as nobody of the simulated world: it takes no time and disturbs nobody."""
        self._tell_time()
        return self._admin.execute(question.encode(), values or None).fetchall()

    def epoch_of(self, seconds: float) -> float:
        """Return a time of the simulated world as the database's clock tells it, in seconds."""
        return _EPOCH + seconds

    def engine(self, process: Process, pool_size: int, lock_seconds: int = 3) -> Engine:
        """Return the product's engine for a process, with one connection made."""
        assert self._baton is not None
        options = quote(" ".join(f"-c {name}={value}" for name, value in _OPTIONS.items()))
        engine = connect(
            f"{self._url}?options={options}",
            pool_size=pool_size,
            lock_seconds=lock_seconds,
            connector=lambda *given, **named: self._connect(process, float(lock_seconds), given, named),
        )
        process.on_death.append(lambda: self._drop(process))
        with engine.connect():  # SQLAlchemy asks the server about itself under a lock that is not the baton's
            pass
        return engine

    # Faults.

    def restart(self, seconds: float, *, is_another_server: bool = False) -> None:
        """End every session, and take none for so many seconds.

        Another server that takes over, as in a failover, may have been started long ago.
        """
        assert self._baton is not None
        self._down_until = self._baton.now + seconds
        self._terminate(list(self._open.values()))
        if not is_another_server:
            self._baton.at(self._down_until, self._tell_start)

    def cut(self, process: Process, seconds: float) -> None:
        """Let nothing of a process reach the server for so many seconds."""
        baton = self._baton
        assert baton is not None
        process.cut_since, process.cut_until = baton.now, baton.now + seconds
        if seconds > _SILENCE_SECONDS:
            old = [one for one in self._open.values() if one.process is process]
            baton.after(_SILENCE_SECONDS, lambda: self._terminate(old))

    def freeze(self, process: Process, seconds: float) -> None:
        """Let a process stand still; the server ends what it leaves in a transaction for too long."""
        baton = self._baton
        assert baton is not None
        process.frozen_since = baton.now
        process.frozen_until = until = baton.now + seconds

        def end_idle() -> None:
            if process.frozen_until == until:
                mine = [one for one in self._open.values() if one.process is process]
                self._terminate([one for one in mine if one.is_in_transaction])

        if seconds > _IDLE_IN_TRANSACTION_SECONDS:
            baton.after(_IDLE_IN_TRANSACTION_SECONDS, end_idle)

    def end_one(self, number: int) -> None:
        """End one session of all that there are."""
        sessions = list(self._open.values())
        if sessions:
            self._terminate([sessions[number % len(sessions)]])

    # What connections do.

    def _connect(self, process: Process, lock_seconds: float, cargs: Any, cparams: Any) -> "Connection":
        baton = self._baton
        assert baton is not None
        baton.pause("connect")
        if process.cut_until > baton.now:
            baton.sleep(min(_CONNECT_SECONDS, process.cut_until - baton.now))
            if process.cut_until > baton.now:
                raise psycopg.OperationalError("connection timeout expired")
        if self._down_until > baton.now:
            raise psycopg.OperationalError("connection refused")
        connection = Connection.connect(*cargs, **cparams)
        connection.database = self
        connection.process = process
        connection.lock_seconds = lock_seconds
        connection.pid = connection.info.backend_pid
        self._open[connection.pid] = connection
        return connection

    def before(self, connection: "Connection", what: str) -> None:
        """Come to the point where a statement is sent."""
        baton = self._baton
        assert baton is not None
        if connection.process is not baton.current.process:
            raise psycopg.OperationalError("the process of this connection is gone")
        baton.pause(what)
        self.statements += 1
        self._reach(connection)
        if self.lost_statements and baton.latency.random() < self.lost_statements:
            baton.note("statement lost")
            self._terminate([connection])
        self._tell_time()

    def _reach(self, connection: "Connection") -> None:
        """Wait while the network is cut, as long as both sides bear it."""
        baton, process = self._baton, connection.process
        assert baton is not None
        if process.cut_until > baton.now:
            patience = process.cut_since + _SILENCE_SECONDS - baton.now
            baton.sleep(min(max(patience, 1.0), process.cut_until - baton.now))
            if process.cut_until > baton.now:
                connection.close()
                raise psycopg.OperationalError("the server has said nothing")

    def after(self, connection: "Connection", what: str) -> None:
        """Come to the point where the answer is there."""
        baton = self._baton
        assert baton is not None
        if self._blocked:
            self.settle()
        if what != "commit":
            return
        baton.pause("committed")
        if self.lost_answers and baton.latency.random() < self.lost_answers:
            baton.note("answer lost")
            self._terminate([connection])
            connection.close()
            raise psycopg.OperationalError("the connection was lost while a commit was answered")
        if connection.process.cut_until > baton.now:
            self._reach(connection)

    def block(self, connection: "Connection") -> None:
        """Give the baton away until the server has something to say on a connection that waits for a lock."""
        baton = self._baton
        assert baton is not None
        baton.note("blocked")
        self._blocked.append(connection)
        connection.granted = Signal()
        connection.is_granted = False
        deadline = baton.now + connection.lock_seconds
        while not connection.is_granted:
            baton.wait([connection.granted], max(deadline - baton.now, 0.0))
            if not connection.is_granted and baton.now >= deadline:
                self._blocked.remove(connection)
                self._admin.execute("SELECT pg_cancel_backend(%s)", [connection.pid])
                baton.note("lock timeout")
                return
        self._tell_time()

    def settle(self) -> None:
        """Find out which of those that waited for locks go on now."""
        baton = self._baton
        assert baton is not None
        for connection in list(self._blocked):
            while not connection.has_answer(0):
                if self.is_blocked(connection):
                    break
                connection.has_answer(_SETTLED_MS)
            else:
                self._blocked.remove(connection)
                connection.is_granted = True
                baton.wake(connection.granted)

    def may_block(self, connection: "Connection") -> bool:
        """Tell whether there is anybody for whom a session could wait."""
        return any(one.is_in_transaction for one in self._open.values() if one is not connection)

    def is_blocked(self, connection: "Connection") -> bool:
        """Ask the server whether a session waits for another one."""
        row = self._admin.execute(
            "SELECT cardinality(pg_blocking_pids(%s)) > 0", [connection.pid], prepare=True
        ).fetchone()
        return bool(row and row[0])

    def forget(self, connection: "Connection") -> None:
        """Take note that a connection was closed by its process; the server has noticed when this returns."""
        if self._open.get(connection.pid) is connection:
            self._terminate([connection])

    def _drop(self, process: Process) -> None:
        self._terminate([one for one in self._open.values() if one.process is process])

    def _terminate(self, connections: list["Connection"]) -> None:
        ending = [one for one in connections if self._open.pop(one.pid, None) is not None]
        if ending:
            self._admin.execute(
                "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid",
                [[one.pid for one in ending]],
            )
        for one in ending:
            one.await_end()
        if self._blocked:
            self.settle()

    def _tell_time(self, *, force: bool = False) -> None:
        assert self._baton is not None
        if force or self._baton.now != self._told:
            self._told = self._baton.now
            os.pwrite(self._clock_fd, f"{_EPOCH + self._told:017.6f}".encode(), 0)

    def _tell_start(self) -> None:
        assert self._baton is not None
        os.pwrite(self._start_fd, f"{_EPOCH + self._baton.now:017.6f}".encode(), 0)


class Connection(AttentiveConnection):
    """A connection of a simulated process."""

    database: Database
    process: Process
    lock_seconds = LOCK_SECONDS
    pid = 0
    granted: Signal
    is_granted = False

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Do what psycopg wants of the server, when the baton comes to it."""
        what: str = gen.__name__  # type: ignore[attr-defined]
        ends_nothing = what in ("_commit_gen", "_rollback_gen") and not self.is_in_transaction
        if self.pid == 0 or what not in _POINTS or ends_nothing:
            return super().wait(gen, *args, **kwargs)
        self.database.before(self, _POINTS[what])
        result = self._carry_out(gen)
        self.database.after(self, _POINTS[what])
        return result

    def close(self) -> None:
        """Close it; the server has ended its session when this returns."""
        if self.pid and not self.closed:
            self.database.forget(self)
        super().close()

    @property
    def is_in_transaction(self) -> bool:
        """Whether the server has a transaction open for it."""
        return self.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE

    def await_end(self) -> None:
        """Wait until the server has closed it, after it gave all of its locks back."""
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLRDHUP)
        if not poll.poll(10_000):
            raise TimeoutError("a session did not end")

    def has_answer(self, milliseconds: int) -> bool:
        """Return whether the server has said something."""
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        return bool(poll.poll(milliseconds))

    def _carry_out(self, gen: PQGen[T]) -> T:
        try:
            wanted = next(gen)
            while True:
                poll = select.poll()
                events = (select.POLLIN if wanted & 1 else 0) | (select.POLLOUT if wanted & 2 else 0)
                poll.register(self.pgconn.socket, events)
                found = poll.poll(_ANSWER_MS)
                if not found:
                    if self.database.may_block(self) and self.database.is_blocked(self):
                        self.database.block(self)
                    continue
                ready = 0
                for _, happened in found:
                    if happened & ~select.POLLOUT:
                        ready |= 1
                    if happened & select.POLLOUT:
                        ready |= 2
                wanted = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result
