"""Schema migrations: `init_db` brings a database up to date, from any number of replicas at once.

Each migration commits by itself, so that a repeat goes on where the last try ended. A statement that changes
a table must wait for everybody who uses it, and everybody who comes later waits behind it: so it gives up
soon, lets the others through, and tries again.
"""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from beta9_provisioning.kit.database import DatabaseUnavailable, check, connect
from beta9_provisioning.operations.records import schema
from beta9_provisioning.settings import Settings, run_or_explain

# One key for all replicas, also of 0.1.0.
_LOCK_KEY = 0x62657461_39  # "beta9"
_TURN_SECONDS = 0.2
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
    """

    lock: float = 2.0
    pauses: tuple[float, ...] = (1, 2, 4, 8, 15, 30, 30, 30, 30, 30)
    online: float = 600.0


class MigrationFailed(Exception):
    """The schema could not be brought up to date; the message says why and what to do."""


def init_db(
    database_url: str, *, patience: Patience | None = None, versions: Iterable[Path] = (schema.VERSIONS,)
) -> None:
    """Create or upgrade the schema; one that is newer than this program stays as it is.

    Safe to call from several replicas at once, and again at any time, also after a try that was killed.
    Replicas take turns, however long the first one takes.

    Args:
        database_url: of the database.
        patience: how long to wait for locks; None waits for about three minutes.
        versions: directories with migrations, for tests.

    Raises:
        DatabaseUnavailable: when the database cannot be reached.
        MigrationFailed: when others would not let go of their locks, when the connection was lost, or when
            the schema is of a newer release with which this program cannot work.
    """
    patience = patience or Patience()
    engine = connect(database_url, pool_size=1, statement_seconds=None)
    try:
        check(engine)
        # The lock for the turn is the session's: it ends with the connection, whatever happens.
        with engine.connect() as connection:
            _wait_for_turn(connection)
            _upgrade(connection, patience, versions)
    finally:
        engine.dispose()


def _wait_for_turn(connection: Connection) -> None:
    """Wait until no other replica migrates.

    By asking again and again: a replica that waited inside a statement would be an open transaction, for
    which an index that the other one builds concurrently would wait in turn.
    """
    while not connection.scalar(select(func.pg_try_advisory_lock(_LOCK_KEY))):
        connection.commit()
        time.sleep(_TURN_SECONDS)
    connection.commit()


def _upgrade(connection: Connection, patience: Patience, versions: Iterable[Path]) -> None:
    config = schema.config(versions)
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
            if not isinstance(error, DBAPIError) or getattr(error.orig, "sqlstate", None) not in _HELD_UP:
                raise
            connection.rollback()
            if pause is None:
                raise MigrationFailed(_blocked(schema.current(connection))) from error
            time.sleep(pause)
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
        init_db(settings.database_url)
    except (DatabaseUnavailable, MigrationFailed) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"The schema is up to date (revision {schema.head()}, or a later one that fits).")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
