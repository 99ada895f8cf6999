"""`init_db` beside others: sessions that hold locks, replicas of other releases, tries that were cut off."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from beta9_provisioning.kit.database import connect
from beta9_provisioning.operations.records import schema
from beta9_provisioning.operations.records.migrate import LOCK_KEY, MigrationFailed, Patience, init_db

FIRST = next(schema.VERSIONS.glob("0001_*.py"))
HASTY = Patience(lock=0.1, pauses=(), online=30)
"""One try."""
STEADY = Patience(lock=0.1, pauses=(0.02,) * 2000, online=30)
"""As many tries as a test may need."""
MIGRATION = """
from alembic import op
from beta9_provisioning.operations.records.online import create_index

revision, down_revision = "{revision}", "{before}"


def upgrade():
    {upgrade}
"""
INDEX = 'create_index("ix_later", "operations", ["kind"], where="attempts > 0")'


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """A directory for migrations."""
    directory = tmp_path / "versions"
    directory.mkdir()
    return directory


def add_migration(directory: Path, revision: str, upgrade: str, *, before: str | None = None) -> None:
    """Write a migration that a later release might have."""
    text = MIGRATION.format(revision=revision, before=before or schema.head(), upgrade=upgrade)
    (directory / f"{revision}.py").write_text(text)


def migrate(url: str, *more: Path, patience: Patience = STEADY) -> None:
    """Run `init_db` as a later release does, which has these migrations as well."""
    init_db(url, patience=patience, versions=(schema.VERSIONS, *more))


def old_database(url: str, directory: Path) -> None:
    """Make the schema of 0.1.0."""
    shutil.copy(FIRST, directory)
    init_db(url, versions=[directory])


def ask(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchall()


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@contextmanager
def running(work: Callable[[], None]) -> Iterator[Future[None]]:
    """Do work on a thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work)


def lock_waiters(url: str, of: str) -> list[tuple[object, ...]]:
    return ask(
        url,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        f" AND wait_event_type = 'Lock' AND query ILIKE '%{of}%' AND pid <> pg_backend_pid()",
    )


class TestLocks:
    def test_a_long_reader_delays_the_migration_and_nobody_behind_it(
        self, empty_database_url: str, versions: Path
    ) -> None:
        old_database(empty_database_url, versions)
        with psycopg.connect(empty_database_url) as reader:
            reader.execute("SELECT * FROM operations")  # its transaction goes on
            with running(lambda: migrate(empty_database_url)) as migration:
                until(lambda: lock_waiters(empty_database_url, "ALTER TABLE"), "the migration waits")
                for _ in range(5):
                    with psycopg.connect(empty_database_url) as other:
                        other.execute("SET lock_timeout = '30s'")  # the guard: else it would wait for ever
                        other.execute("SELECT * FROM operations")
                assert not migration.done()
                reader.rollback()
                migration.result(timeout=60)
        assert ask(empty_database_url, "SELECT version_num FROM alembic_version") == [(schema.head(),)]

    def test_a_row_that_stays_locked_ends_it_with_one_sentence(
        self, empty_database_url: str, versions: Path
    ) -> None:
        old_database(empty_database_url, versions)
        with psycopg.connect(empty_database_url) as writer:
            writer.execute("SELECT * FROM operations FOR UPDATE")
            with pytest.raises(MigrationFailed, match=r"stays at revision 0001.*pg_stat_activity"):
                migrate(empty_database_url, patience=HASTY)
        migrate(empty_database_url, patience=HASTY)
        assert ask(empty_database_url, "SELECT version_num FROM alembic_version") == [(schema.head(),)]


class TestTurns:
    def test_whoever_waits_tells_for_whom_and_gives_up_with_a_sentence(self, empty_database_url: str) -> None:
        told: list[str] = []
        with psycopg.connect(empty_database_url, application_name="other", autocommit=True) as other:
            other.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
            who = rf"pid {other.info.backend_pid}, application other"
            with pytest.raises(MigrationFailed, match=rf"{who}.*pg_terminate_backend"):
                init_db(empty_database_url, patience=Patience(turn=1, word=0.3), tell=told.append)
        assert len(told) > 1
        assert all(who in sentence for sentence in told)
        init_db(empty_database_url, tell=told.append)


class TestOnline:
    def indexes(self, url: str) -> list[tuple[object, ...]]:
        return ask(
            url,
            "SELECT indexrelid::regclass::text, indisvalid FROM pg_index"
            " WHERE indexrelid::regclass::text LIKE 'ix_later%'",
        )

    def test_an_index_is_built_while_a_writer_writes(self, empty_database_url: str, versions: Path) -> None:
        init_db(empty_database_url)
        add_migration(versions, "later", INDEX)
        with psycopg.connect(empty_database_url) as writer:
            writer.execute("DELETE FROM operations")
            with running(lambda: migrate(empty_database_url, versions)) as migration:
                until(lambda: lock_waiters(empty_database_url, "CREATE INDEX"), "the build has begun")
                writer.execute("DELETE FROM operations")
                writer.commit()
                migration.result(timeout=60)
        assert self.indexes(empty_database_url) == [("ix_later", True)]

    def test_a_build_that_was_killed_is_repeated(self, empty_database_url: str, versions: Path) -> None:
        init_db(empty_database_url)
        add_migration(versions, "later", INDEX)
        with psycopg.connect(empty_database_url) as writer:
            writer.execute("DELETE FROM operations")  # what the build waits for
            with running(lambda: migrate(empty_database_url, versions)) as migration:
                until(lambda: lock_waiters(empty_database_url, "CREATE INDEX"), "the build has begun")
                [(pid,)] = lock_waiters(empty_database_url, "CREATE INDEX")
                ask(empty_database_url, f"SELECT pg_terminate_backend({pid})")
                with pytest.raises(MigrationFailed, match="again"):
                    migration.result(timeout=60)
        assert self.indexes(empty_database_url) == [("ix_later", False)]
        migrate(empty_database_url, versions)
        assert self.indexes(empty_database_url) == [("ix_later", True)]
        assert ask(empty_database_url, "SELECT version_num FROM alembic_version") == [("later",)]

    def test_replicas_that_wait_for_their_turn_do_not_hold_it_up(
        self, empty_database_url: str, versions: Path
    ) -> None:
        init_db(empty_database_url)
        add_migration(versions, "later", INDEX)
        start = threading.Barrier(4)

        def replica(_: int) -> None:
            start.wait(30)
            migrate(empty_database_url, versions)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(replica, range(4), timeout=60))
        assert self.indexes(empty_database_url) == [("ix_later", True)]


class TestOlderPrograms:
    """This program against the database of a later release."""

    def misfit(self, url: str) -> str | None:
        engine = connect(url)
        with engine.connect() as connection:
            found = schema.misfit(connection)
        engine.dispose()
        return None if found is None else found.code

    def test_they_go_on_after_a_later_migration_that_suits_them(
        self, empty_database_url: str, versions: Path
    ) -> None:
        init_db(empty_database_url)
        add_migration(versions, "later", 'op.execute("ALTER TABLE operations ADD COLUMN later int")')
        migrate(empty_database_url, versions)
        assert self.misfit(empty_database_url) is None
        init_db(empty_database_url)  # a replica of before that starts now leaves the schema alone
        assert ask(empty_database_url, "SELECT version_num FROM alembic_version") == [("later",)]

    def test_they_are_told_of_one_that_does_not(self, empty_database_url: str, versions: Path) -> None:
        init_db(empty_database_url)
        oldest = "UPDATE schema_compatibility SET oldest_program = 'later'"
        add_migration(versions, "later", f'op.execute("{oldest}")')
        add_migration(versions, "last", "pass", before="later")
        migrate(empty_database_url, versions)
        assert self.misfit(empty_database_url) == "schema_newer"
        with pytest.raises(
            MigrationFailed, match=r"at revision last.*older than revision later.*newer release"
        ):
            init_db(empty_database_url)

    def test_a_database_that_is_older_wants_db_init(self, empty_database_url: str, versions: Path) -> None:
        assert self.misfit(empty_database_url) == "schema_missing"
        old_database(empty_database_url, versions)
        assert self.misfit(empty_database_url) == "schema_older"
        init_db(empty_database_url)
        assert self.misfit(empty_database_url) is None
