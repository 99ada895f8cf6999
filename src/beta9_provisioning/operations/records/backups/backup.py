"""Writing a backup: pg_dump on one snapshot, into a file that has its name only when it is whole."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.kit.database import DatabaseUnavailable, check_session, connect
from beta9_provisioning.kit.database_errors import describe
from beta9_provisioning.kit.signals import handling
from beta9_provisioning.operations.records import schema
from beta9_provisioning.operations.records.backups import encryption
from beta9_provisioning.operations.records.backups.archive import BackupError, Manifest, Packing
from beta9_provisioning.operations.records.backups.pg_clients import PgClient
from beta9_provisioning.operations.records.model import Base
from beta9_provisioning.settings import Settings, run_or_explain

STANDARD_OUTPUT = "-"
HOLDS = (
    "It holds what the database holds: every configuration with its account, role and external ID, addresses "
    "of clusters and databases, and the words of tools. Passwords of environments, credentials and Terraform "
    "states are not in the database. Keep it like the database itself."
)


def write_backup(settings: Settings, target: BinaryIO) -> Manifest:
    """Write a backup of the database to an open file.

    Raises:
        BackupError: it could not be made; what was written has no checksum and will not be restored.
        DatabaseUnavailable: the database cannot be reached, or is behind a pooler in transaction mode.
        OSError: the file takes no more.
    """
    keys = encryption.recipients(settings.backup_recipients)
    engine = connect(settings.database_url, pool_size=2, statement_seconds=None)
    try:
        check_session(engine)
        with engine.connect() as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            # Until the dump has ended this session has nothing to do but to keep the snapshot.
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            client = PgClient("pg_dump", settings.database_url, settings.pg_bin, server_major(connection))
            manifest = _manifest(connection, client.major)
            arguments = [
                "--format=custom",
                f"--snapshot={connection.scalar(select(func.pg_export_snapshot()))}",
                f"--schema={_quoted(manifest.namespace)}",
                "--no-owner",
                "--no-privileges",
            ]
            with client.running(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as dump:
                encryption.write(Packing(manifest, dump.output, dump.finish), target, keys)
            return manifest
    finally:
        engine.dispose()


def server_major(connection: Connection) -> int:
    """Return the server's major version."""
    return int(connection.scalar(text("SHOW server_version_num")) or 0) // 10000


def rows(connection: Connection) -> dict[str, int]:
    """Return how many rows each table has that is in the database."""
    tables = [table for table in Base.metadata.sorted_tables if _is_there(connection, table.name)]
    return {table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def _is_there(connection: Connection, name: str) -> bool:
    return connection.scalar(select(func.to_regclass(name))) is not None


def _manifest(connection: Connection, client_major: int) -> Manifest:
    revision = schema.current(connection)
    if revision is None:
        raise BackupError("The database has no schema yet, so there is nothing to back up.")
    return Manifest(
        created_at=str(connection.scalar(select(func.now())).isoformat()),  # type: ignore[union-attr]
        program=version("beta9-provisioning"),
        revision=revision,
        oldest_program=schema.oldest_program(connection),
        namespace=str(connection.scalar(select(func.current_schema()))),
        server=str(connection.scalar(text("SHOW server_version"))).split(" ", 1)[0],
        client_major=client_major,
        rows=rows(connection),
    )


def _quoted(namespace: str) -> str:
    """As a pattern that means this name only."""
    return '"' + namespace.replace('"', '""') + '"'


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Give a file that gets its name when the block ends well, and else vanishes. Only its owner reads it.

    Raises:
        BackupError: there is one of that name, and `force` is not set; or what is there is no file.
        OSError: it cannot be written.
    """
    if path.exists() and not path.is_file():
        raise BackupError(f"{path} is {'a directory' if path.is_dir() else 'no file'}: name a file.")
    if not force and os.path.lexists(path):
        raise _exists(path)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:200]}.", suffix=".partial")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    partial = Path(name)  # mkstemp makes it with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if force:
            partial.replace(path)
        else:
            _name_unless_taken(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _name_unless_taken(partial: Path, path: Path) -> None:
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise _exists(path) from None
        partial.replace(path)


def _exists(path: Path) -> BackupError:
    return BackupError(f"{path} is there already: choose another name, or say --force to replace it.")


class Interrupted(Exception):
    """This process was told to stop."""


def stop(*_: object) -> NoReturn:
    """End what goes on, in order, when a signal comes."""
    raise Interrupted


def explained(error: Exception, command: str) -> str:
    """Return the sentence for one of `FAILURES`."""
    if isinstance(error, Interrupted):
        return f"The {command} was stopped before its end."
    if isinstance(error, SQLAlchemyError):
        return f"{describe(error)}. Run it again."
    if isinstance(error, OSError):
        return f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "") + "."
    return str(error)


FAILURES = (BackupError, DatabaseUnavailable, Interrupted, OSError, SQLAlchemyError)
"""What `explained` explains."""


def main(settings: Settings) -> int:
    """Back up as the command line says; for `beta9-provisioning backup`."""
    parser = argparse.ArgumentParser(prog="beta9-provisioning backup")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("file", nargs="?", default=f"provisioning-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.backup")
    given = parser.parse_args()
    began = time.monotonic()
    try:
        with handling(stop):
            manifest, size = _write(settings, given.file, force=given.force)
    except FAILURES as error:
        _say(f"error: {explained(error, 'backup')}")
        return 1
    where = "standard output" if given.file == STANDARD_OUTPUT else given.file
    _say(f"Wrote {size} to {where} in {time.monotonic() - began:.1f} s. {summary(manifest)}")
    _say(HOLDS)
    if settings.backup_recipients:
        _say(f"It is encrypted for {len(settings.backup_recipients)} public key(s).")
    else:
        _say("It is not encrypted: BACKUP_RECIPIENTS, a public key of age, would encrypt it.")
    return 0


def summary(manifest: Manifest) -> str:
    """Return what a backup holds, for people."""
    counted = ", ".join(
        f"{manifest.rows.get(name, 0)} {name}" for name in ("environments", "operations", "events")
    )
    return (
        f"{counted}, as of {manifest.created_at}, schema {manifest.revision}, PostgreSQL {manifest.server}."
    )


def _write(settings: Settings, name: str, *, force: bool) -> tuple[Manifest, str]:
    if name != STANDARD_OUTPUT:
        path = Path(name)
        with new_file(path, force=force) as file:
            manifest = write_backup(settings, file)
        return manifest, f"{path.stat().st_size / 1e6:.1f} MB"
    if sys.stdout.isatty():
        raise BackupError(
            "A backup is not written to a terminal. Send it to a file, as in "
            "`beta9-provisioning backup - > FILE`; with `kubectl exec`, leave -t out."
        )
    output = cast(BinaryIO, sys.stdout.buffer)
    manifest = write_backup(settings, output)
    output.flush()
    return manifest, "the backup"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
