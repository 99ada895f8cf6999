"""Who judges a silent worker: only who has had one session with the database for a whole lease."""

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from tests.support.postgres import Servers, both, execute, own_servers
from tests.support.waiting import until
from tests.worker.rig import lose_worker

from beta9_provisioning.kit.database import connect, sessions
from beta9_provisioning.operations.records.leases import Observer

LEASE = 60.0


@dataclass
class Clock:
    """Seconds that pass when the test says so."""

    now: float = 0.0
    reads: int = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now


@dataclass
class Watched:
    """An observer of a database in which a worker has fallen silent."""

    url: str
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.engine: Engine = connect(self.url)
        self.observer = Observer(self.engine, LEASE, self.clock)

    def looks(self, seconds: float) -> list[UUID]:
        """Look every five seconds for so long, and return whom the last look found."""
        found: list[UUID] = []
        for _ in range(int(seconds / 5)):
            self.clock.now += 5
            found = [token for token, _ in self.observer.look()]
        return found

    def pid(self) -> int:
        """The server's process that serves the observer."""
        found = execute(
            self.url,
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%FROM attempts JOIN operations%'"
            " AND pid <> pg_backend_pid() AND state = 'idle'",
        )
        assert isinstance(found, int)
        return found

    def loses_its_session(self) -> None:
        with pytest.raises(SQLAlchemyError):
            self.observer.look()

    def close(self) -> None:
        self.observer.close()
        self.engine.dispose()


@pytest.fixture(scope="module")
def own() -> Iterator[Servers]:
    with own_servers() as servers:
        yield servers


@pytest.fixture
def watched(own: Servers) -> Iterator[Watched]:
    watched = Watched(own.primary.url)
    lose_worker(sessions(watched.engine))
    yield watched
    execute(own.primary.url, "TRUNCATE environments, operations, attempts, events, idempotency_keys")
    watched.close()


def test_a_new_observer_judges_nobody_before_it_has_looked_for_one_lease(watched: Watched) -> None:
    assert watched.looks(LEASE) == []
    assert len(watched.looks(10)) == 1


def test_a_killed_session_begins_the_count_anew(watched: Watched) -> None:
    assert watched.looks(LEASE + 10)
    execute(watched.url, f"SELECT pg_terminate_backend({watched.pid()}, 10000)")
    watched.loses_its_session()
    assert watched.looks(LEASE) == []
    assert watched.looks(10)


def test_crash_recovery_begins_the_count_anew(watched: Watched) -> None:
    """As when the kernel kills one of the server's processes for memory: the server itself stays up."""
    assert watched.looks(LEASE + 10)
    started = execute(watched.url, "SELECT pg_postmaster_start_time()")
    os.kill(watched.pid(), signal.SIGKILL)
    until(lambda: _fails(watched.observer), "the session is gone")
    until(lambda: _answers(watched.url), "the server has recovered")
    assert execute(watched.url, "SELECT pg_postmaster_start_time()") == started
    watched.engine.dispose()
    assert watched.looks(LEASE) == []
    assert watched.looks(10)


def test_a_server_that_stood_still_begins_the_count_anew(watched: Watched) -> None:
    assert watched.looks(LEASE + 10)
    pid = watched.pid()
    found: list[object] = []
    look = threading.Thread(target=lambda: found.extend(watched.observer.look()))
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: _is_stopped(pid), "the server's process stands still")
        reads = watched.clock.reads
        look.start()
        until(lambda: watched.clock.reads > reads, "the observer is about to ask")
        watched.clock.now += LEASE
    finally:
        os.kill(pid, signal.SIGCONT)
    look.join(30)
    assert not look.is_alive()
    assert found == []
    assert watched.looks(LEASE - 5) == []
    assert watched.looks(10)


def test_a_failover_begins_the_count_anew() -> None:
    with own_servers() as servers:
        standby = servers.add_standby()
        watched = Watched(both(servers.primary.url, standby.url))
        lose_worker(sessions(watched.engine))
        until(lambda: execute(standby.url, "SELECT count(*) FROM attempts") == 1, "the standby has the row")
        assert watched.looks(LEASE + 10)
        servers.primary.stop()
        watched.loses_its_session()
        execute(standby.url, "SELECT pg_promote()")
        assert watched.looks(LEASE) == []
        assert watched.looks(10)
        watched.close()


def _fails(observer: Observer) -> bool:
    try:
        observer.look()
    except SQLAlchemyError:
        return True
    return False


def _answers(url: str) -> bool:
    engine = connect(url)
    try:
        engine.connect().close()
    except SQLAlchemyError:
        return False
    finally:
        engine.dispose()
    return True


def _is_stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0] == "T"
