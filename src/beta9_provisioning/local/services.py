"""Throw-away PostgreSQL and Valkey for tests, genuine and embedded, on free ports with random passwords."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from beta9_provisioning.local.postgres import THROW_AWAY, EmbeddedPostgres
from beta9_provisioning.local.servers import ServiceError
from beta9_provisioning.local.valkey import EmbeddedValkey

__all__ = ["EmbeddedPostgres", "EmbeddedValkey", "ServiceError", "embedded_postgres", "embedded_valkey"]


@contextmanager
def embedded_postgres(settings: Mapping[str, str] = THROW_AWAY, log: Path | None = None) -> Iterator[str]:
    """Give the URL of a throw-away PostgreSQL; the server and its data are gone afterwards, not a `log`.

    Raises:
        ServiceError: it did not start.
    """
    home = Path(tempfile.mkdtemp(prefix="beta9-postgres-"))
    server = EmbeddedPostgres(home, settings=settings, log=log, tied=True)
    try:
        yield server.start().url
    finally:
        server.stop()
        shutil.rmtree(home)


@contextmanager
def embedded_valkey() -> Iterator[str]:
    """Give the URL of a throw-away Valkey; the server is gone afterwards.

    Raises:
        ServiceError: it did not start.
    """
    home = Path(tempfile.mkdtemp(prefix="beta9-valkey-"))
    server = EmbeddedValkey(home, tied=True)
    try:
        yield server.start().url
    finally:
        server.stop()
        shutil.rmtree(home)
