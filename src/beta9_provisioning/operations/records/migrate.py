"""Schema migrations: `init_db` brings a database up to date, from any number of replicas at once.

Each migration commits by itself, so that a repeat goes on where the last try ended. A statement that changes
a table must wait for everybody who uses it, and everybody who comes later waits behind it: so it gives up
soon, lets the others through, and tries again.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.database import DatabaseUnavailable, check_session, connect
from beta9_provisioning.kit.database_errors import sqlstate
from beta9_provisioning.operations.records import schema
from beta9_provisioning.settings import Settings, run_or_explain

LOCK_KEY = 0x62657461_39  # "beta9"
"""Key of the advisory lock of whoever changes the schema: one for all replicas, also of 0.1.0."""
_TURN_SECONDS = 0.2
_HOLDER = text(
    """SELECT pid, coalesce(nullif(application_name, ''), 'without a name') AS application
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
      AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND ((classid::bigint << 32) | objid::bigint) = :key"""
)
_CUT_OFF = (
    "The connection was lost while the schema was changed. Run `beta9-provisioning db init` again: it goes "
    "on where it stopped."
)
_HELD_UP = ("55P03", "40P01")  # SQLSTATE of a lock timeout and of a deadlock


@dataclass(frozen=True)
class Patience:
    """How long migrations wait for locks of others, in seconds.

    Attributes:
        lock: longest wait for one lock; readers and writers of the table are held up for as long.
        pauses: between the tries; there is one try more than pauses.
        online: longest wait of a change that holds up nobody, such as building an index concurrently.
        turn: longest wait for another `db init` to end.
        word: between two words about that wait.
    """

    lock: float = 2.0
    pauses: tuple[float, ...] = (1, 2, 4, 8, 15, 30, 30, 30, 30, 30)
    online: float = 600.0
    turn: float = 1800.0
    word: float = 5.0


class MigrationFailed(Exception):
    """The schema could not be brought up to date; the message says why and what to do."""


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201


def alembic_config(versions: Iterable[Path] = (schema.VERSIONS,)) -> Config:
    """Return Alembic's configuration for the migrations in some directories."""
    result = Config()
    result.set_main_option("script_location", _literal(schema.VERSIONS.parent))
    result.set_main_option("path_separator", "newline")
    result.set_main_option("version_locations", "\n".join(map(_literal, versions)))
    return result


def _literal(path: Path) -> str:
    return str(path).replace("%", "%%")  # configparser would read it as a reference


def init_db(
    database_url: str,
    *,
    patience: Patience | None = None,
    versions: Iterable[Path] = (schema.VERSIONS,),
    tell: Callable[[str], None] = _say,
) -> None:
    """Create or upgrade the schema; one that is newer than this program stays as it is.

    Safe to call from several replicas at once, and again at any time, also after a try that was killed.
    Replicas take turns: the others tell whom they wait for, and give up after half an hour.

    Args:
        database_url: of the database.
        patience: how long to wait for locks; None waits for about three minutes.
        versions: directories with migrations, for tests.
        tell: takes a sentence about a wait that goes on; standard error unless it is given.

    Raises:
        DatabaseUnavailable: when the database cannot be reached, or is behind a pooler in transaction mode.
        MigrationFailed: when others would not let go of their locks, when the connection was lost, or when
            the schema is of a newer release with which this program cannot work.
    """
    patience = patience or Patience()
    engine = connect(database_url, pool_size=1, statement_seconds=None)
    try:
        # The lock for the turn is the session's: it ends with the connection, whatever happens. A pooler in
        # transaction mode would keep both.
        check_session(engine)
        with engine.connect() as connection:
            _wait_for_turn(connection, patience, tell)
            _upgrade(connection, patience, versions)
    finally:
        engine.dispose()


def _wait_for_turn(connection: Connection, patience: Patience, tell: Callable[[str], None]) -> None:
    """Wait until no other replica migrates, and tell whom we wait for.

    By asking again and again: a replica that waited inside a statement would be an open transaction, for
    which an index that the other one builds concurrently would wait in turn.
    """
    began = runtime.monotonic()
    told = began - patience.word + min(1.0, patience.word)  # a turn of a moment is not worth a word
    while not connection.scalar(select(func.pg_try_advisory_lock(LOCK_KEY))):
        now = runtime.monotonic()
        if now - told >= patience.word:
            told = now
            tell(f"Waiting for another `db init` ({_holder(connection)}) since {now - began:.0f} s.")
        if now - began >= patience.turn:
            raise MigrationFailed(
                f"Another `db init` holds the lock on migrations ({_holder(connection)}) for longer "
                f"than {patience.turn:g} s. See what that session does (pg_stat_activity); if nobody needs "
                "it, end it with pg_terminate_backend, then run `beta9-provisioning db init` again."
            )
        connection.commit()
        runtime.sleep(_TURN_SECONDS)
    connection.commit()


def _holder(connection: Connection) -> str:
    found = connection.execute(_HOLDER, {"key": LOCK_KEY}).first()
    return f"pid {found.pid}, application {found.application}" if found else "gone meanwhile"


def _upgrade(connection: Connection, patience: Patience, versions: Iterable[Path]) -> None:
    config = alembic_config(versions)
    if _is_newer(connection, config):
        return
    config.attributes["connection"] = connection
    config.attributes["online_seconds"] = patience.online
    for pause in (*patience.pauses, None):
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text(f"SET lock_timeout = {round(patience.lock * 1000)}"))
        connection.commit()
        try:
            command.upgrade(config, "head")
        except SQLAlchemyError as error:
            if connection.invalidated:
                raise MigrationFailed(_CUT_OFF) from error
            if sqlstate(error) not in _HELD_UP:
                raise
            connection.rollback()
            if pause is None:
                raise MigrationFailed(_blocked(schema.current(connection))) from error
            runtime.sleep(pause)
        else:
            return


def _is_newer(connection: Connection, config: Config) -> bool:
    """Tell whether the schema is of a newer release, which this program leaves as it is."""
    found = schema.current(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is None or found in known:
        return False
    misfit = schema.misfit(connection)
    if misfit is not None:
        raise MigrationFailed(misfit.message)
    return True


def _blocked(revision: str | None) -> str:
    return (
        f"The schema stays at revision {revision}: other sessions held a lock on a table for too long. "
        "Nothing else is affected. End long transactions (pg_stat_activity shows them), then run "
        "`beta9-provisioning db init` again."
    )


def main(settings: Settings) -> int:
    """Run `init_db` with the settings; for `beta9-provisioning db init`."""
    try:
        init_db(settings.migration_database_url or settings.database_url)
    except (DatabaseUnavailable, MigrationFailed) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"The schema is up to date (revision {schema.head()}, or a later one that fits).")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
