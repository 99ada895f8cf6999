"""Schema migrations: `init_db` brings a database up to date, from any number of replicas at once."""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from beta9_provisioning.kit.database import DatabaseUnavailable, check, connect
from beta9_provisioning.settings import Settings, run_or_explain

# One key for all replicas: pg_advisory_lock makes the second wait until the first has committed.
_LOCK_KEY = 0x62657461_39  # "beta9"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def head() -> str | None:
    """Return the newest revision this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def current(connection: Connection) -> str | None:
    """Return the database's revision, or None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def init_db(database_url: str) -> None:
    """Create or upgrade the schema.

    Safe to call from several replicas at once, and again at any time.

    Raises:
        DatabaseUnavailable: when the database cannot be reached.
    """
    engine = connect(database_url, pool_size=1)
    try:
        check(engine)
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            # Replicas that start together wait for each other, however long a migration takes.
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def main(settings: Settings) -> int:
    """Run `init_db` with the settings; for `beta9-provisioning db init`."""
    try:
        init_db(settings.database_url)
    except DatabaseUnavailable as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"The schema is up to date (revision {head()}).")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
