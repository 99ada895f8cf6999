"""The PostgreSQL of a simulation: genuine, its own, and without what it does at times of its own."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beta9_provisioning.local.postgres import THROW_AWAY, EmbeddedPostgres
from beta9_provisioning.operations.records.migrate import init_db
from simulation.database import Database

_SETTINGS = {
    **THROW_AWAY,
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "checkpoint_timeout": "1h",
    "max_parallel_workers_per_gather": "0",
    "password_encryption": "scram-sha-256",
    "scram_iterations": "1",
}


@contextmanager
def own_database() -> Iterator[tuple[Database, Path]]:
    """Give a database with the product's schema, and a directory for what belongs to it."""
    home = Path(tempfile.mkdtemp(prefix="beta9-simulation-"))
    server = EmbeddedPostgres(home, settings=_SETTINGS, tied=True)
    try:
        url = server.start().url
        init_db(url)
        files = home / "sim"
        files.mkdir()
        database = Database(url, files)
        try:
            yield database, home / "work"
        finally:
            database.close()
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
