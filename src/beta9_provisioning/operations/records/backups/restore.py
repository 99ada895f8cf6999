"""Reading a backup into an empty database. Everything is checked before anything is changed."""

import argparse
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from alembic import command
from sqlalchemy import Connection, func, select, text

from beta9_provisioning.kit.database import check_session, connect, sessions, transaction
from beta9_provisioning.kit.signals import handling
from beta9_provisioning.operations.records import schema
from beta9_provisioning.operations.records.backups.archive import BackupError, Manifest, Unpacking
from beta9_provisioning.operations.records.backups.backup import (
    FAILURES,
    explained,
    rows,
    server_major,
    stop,
    summary,
)
from beta9_provisioning.operations.records.backups.encryption import pour
from beta9_provisioning.operations.records.backups.pg_clients import PgClient
from beta9_provisioning.operations.records.leases import LIVE_WORKERS_BY_LOCK
from beta9_provisioning.operations.records.migrate import LOCK_KEY, MigrationFailed, alembic_config, init_db
from beta9_provisioning.operations.records.model import Base, OrganizationRow
from beta9_provisioning.operations.records.resuming import give_up
from beta9_provisioning.settings import Settings, run_or_explain

AFTERWARDS = (
    "Start workers only when those of the lost database have ended: two that know one attempt would both act "
    "on its environment. Operations that were under way at the time of the backup have ended as worker_lost; "
    "queued ones run, whatever became of them since. What was created after the backup is unknown here and "
    "still in the accounts. docs/disaster-recovery.md says more."
)

# Id of the organization that a new schema has (migration 0009).
_OF_THE_SCHEMA = "default"


def restore(settings: Settings, path: Path) -> Manifest:
    """Read a backup into the database, and bring its schema up to date.

    Raises:
        BackupError: the file or the database does not suit; nothing was changed then.
        DatabaseUnavailable: the database cannot be reached, or is behind a pooler in transaction mode.
        MigrationFailed: all was restored, but the schema could not be brought up to date.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        manifest = _examine(file, settings.backup_identity_file)
        engine = connect(settings.database_url, pool_size=2, statement_seconds=None)
        try:
            check_session(engine)
            with engine.connect() as connection:
                client = PgClient(
                    "pg_restore", settings.database_url, settings.pg_bin, server_major(connection)
                )
                _refuse_unfit(connection, manifest, client.major)
                _take_turn(connection)
                _clear(connection)
                _load(client, manifest, file, settings.backup_identity_file)
                _compare(connection, manifest)
        finally:
            engine.dispose()
    init_db(settings.database_url)
    _end_what_was_under_way(settings.database_url)
    return manifest


def _examine(file: BinaryIO, identity_file: Path | None) -> Manifest:
    """Read all of the file and return its manifest, if this program can use it."""
    unpacking = Unpacking(lambda _: None)
    pour(file, identity_file, unpacking)
    manifest = unpacking.check()
    misfit = schema.judge(manifest.revision, manifest.oldest_program)
    if misfit is not None and misfit.code == "schema_newer":
        raise BackupError(
            f"The backup's schema is at revision {manifest.revision}, of release {manifest.program}, and "
            f"this program knows {schema.head()} as the newest: restore it with that release."
        )
    return manifest


def _refuse_unfit(connection: Connection, manifest: Manifest, client_major: int) -> None:
    if manifest.client_major > client_major:
        raise BackupError(
            f"The backup is of PostgreSQL {manifest.client_major}, and this server is {client_major}: "
            f"restore it to a server of {manifest.client_major} or newer."
        )
    namespace = connection.scalar(select(func.current_schema()))
    if namespace != manifest.namespace:
        raise BackupError(
            f"The backup's tables are in the schema {manifest.namespace}, but this connection makes them in "
            f"{namespace or 'none'}: create that schema if it is absent; search_path must begin with it."
        )
    workers = connection.scalar(select(LIVE_WORKERS_BY_LOCK)) or 0
    if workers:
        raise BackupError(
            f"{workers} worker(s) work on this database, and a restore is for an empty one. Stop them, and "
            "see that DATABASE_URL names the database that you mean."
        )


def _take_turn(connection: Connection) -> None:
    """Keep every `db init` and other restore away until this session ends."""
    if not connection.scalar(select(func.pg_try_advisory_lock(LOCK_KEY))):
        raise BackupError("A `db init` or another restore works on this database: wait until it has ended.")
    connection.commit()


def _clear(connection: Connection) -> None:
    """Take away a schema that holds nothing, in one transaction; refuse a database that holds anything."""
    found = schema.current(connection)
    names = [table.name for table in Base.metadata.sorted_tables]
    there = [name for name in names if connection.scalar(select(func.to_regclass(name))) is not None]
    if found is None and there:
        raise BackupError(
            f"The database has a table `{there[0]}` that this program did not make. Restore into a database "
            "of its own: CREATE DATABASE makes one."
        )
    if there:
        connection.execute(text(f"LOCK TABLE {', '.join(there)} IN ACCESS EXCLUSIVE MODE"))
        held = [name for name in there if _holds_something(connection, name)]
        if held:
            raise BackupError(
                f"The database holds rows in {', '.join(sorted(held))}, and nothing is restored over them. "
                "Let DATABASE_URL name an empty database: CREATE DATABASE makes one."
            )
    if found is not None:
        misfit = schema.judge(found, schema.oldest_program(connection))
        if misfit is not None and misfit.code == "schema_newer":
            raise BackupError(f"{misfit.message} Or restore into a new database.")
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.execute(text("DROP TABLE alembic_version"))
    connection.commit()


def _holds_something(connection: Connection, name: str) -> bool:
    """Tell whether a table has rows, but for the first organization, which a new schema has."""
    rows_of = select(Base.metadata.tables[name])
    if name == OrganizationRow.__tablename__:
        rows_of = rows_of.where(OrganizationRow.id != _OF_THE_SCHEMA)
    return bool(connection.scalar(select(rows_of.exists())))


def _load(client: PgClient, manifest: Manifest, file: BinaryIO, identity_file: Path | None) -> None:
    """Let pg_restore do it, in one transaction, which ends with all of it or leaves nothing.

    The file is read for the second time, so it is checked for the second time: it may have changed.
    """
    arguments = [
        "--format=custom",
        "--single-transaction",
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
    ]
    arguments.append(f"--schema={manifest.namespace}")
    with client.running(arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as program:
        # When it ends early it says why.
        with suppress(BrokenPipeError):
            unpacking = Unpacking(program.input.write)
            pour(file, identity_file, unpacking)
            if unpacking.check() != manifest:
                raise BackupError("The file became another one while it was read; nothing was restored.")
            unpacking.close()
            program.input.close()
        program.finish()


def _end_what_was_under_way(url: str) -> None:
    """Fail the operations that workers of the lost database had: nobody knows what became of them since."""
    engine = connect(url, pool_size=1)
    try:
        with transaction(sessions(engine)) as session:
            give_up(session)
    finally:
        engine.dispose()


def _compare(connection: Connection, manifest: Manifest) -> None:
    found = rows(connection)
    # A later release, whose schema suits this program, may have counted tables that it does not know.
    if found != {name: count for name, count in manifest.rows.items() if name in Base.metadata.tables}:
        raise BackupError(
            f"The database holds {found} after the restore, but the backup says {manifest.rows}. "
            "Do not use it; take another backup."
        )
    for name in found:  # the planner knows nothing yet of tables that were filled this moment
        connection.execute(text(f"ANALYZE {name}"))
    connection.commit()


def main(settings: Settings) -> int:
    """Restore as the command line says; for `beta9-provisioning restore`."""
    parser = argparse.ArgumentParser(prog="beta9-provisioning restore")
    parser.add_argument("file", type=Path)
    path = parser.parse_args().file
    began = time.monotonic()
    try:
        with handling(stop):
            manifest = restore(settings, path)
    except (*FAILURES, MigrationFailed) as error:
        print(f"error: {explained(error, 'restore')}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"Restored in {time.monotonic() - began:.1f} s: {summary(manifest)}")  # noqa: T201
    print(AFTERWARDS)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
