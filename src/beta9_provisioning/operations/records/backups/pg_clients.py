"""PostgreSQL's own programs, pg_dump and pg_restore: which are taken, and how they reach the database."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from psycopg import pq
from psycopg.conninfo import make_conninfo

from beta9_provisioning.kit import database_url
from beta9_provisioning.kit.database import parameters
from beta9_provisioning.kit.orphans import dies_with_parent
from beta9_provisioning.operations.records.backups.archive import BackupError

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_SECONDS = 20
_MOST_WORDS = 2000
_BOUND = "tcp_user_timeout"


class PgClient:
    """One of the programs, of the server's major version, on its way to one database."""

    def __init__(self, name: str, url: str, folder: Path | None, server_major: int) -> None:
        """Find the program.

        The same major on both sides is asked for, although pg_dump takes older servers, too: what a newer one
        wrote, the server that it was taken from may refuse when it is restored.

        Raises:
            BackupError: there is none, it is of another major, or the URL holds what it cannot be given.
        """
        self.name = name
        found = shutil.which(name, path=None if folder is None else str(folder))
        remedy = f"install postgresql-client-{server_major}, or let PG_BIN name the directory of that version"
        if found is None:
            place = "on PATH" if folder is None else f"in {folder}"
            raise BackupError(f"There is no {name} {place}: {remedy}.")
        self._program = found
        self.major = self._own_major()
        if self.major != server_major:
            raise BackupError(
                f"{name} {self.major} ({found}) does not fit PostgreSQL {server_major}, which is what the "
                f"server is: {remedy}."
            )
        given = _patient(url)
        self._where = database_url.address(given)
        self._environment, self._rest = _for_child(given)

    @contextmanager
    def running(self, arguments: Sequence[str], *, stdin: int, stdout: int) -> Iterator["Running"]:
        """Run it meanwhile; it ends with the block, and with this process."""
        with TemporaryFile() as words:
            child = subprocess.Popen(
                [self._program, *arguments, f"--dbname={self._rest}", "--no-password"],
                env=self._environment,
                stdin=stdin,
                stdout=stdout,
                stderr=words,
                preexec_fn=dies_with_parent(signal.SIGTERM),
            )
            try:
                yield Running(self.name, self._where, child, words)
            finally:
                # Before its pipes are closed: the end of what pg_restore reads lets it commit.
                child.terminate()
                child.wait()
                for pipe in (child.stdin, child.stdout):
                    if pipe is not None and not pipe.closed:
                        _close(pipe)

    def _own_major(self) -> int:
        try:
            done = subprocess.run(
                [self._program, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BackupError(f"{self._program} --version failed: {error}.") from None
        found = _VERSION.search(done.stdout)
        if found is None:
            raise BackupError(f"{self._program} does not tell its version: {done.stdout[:80]!r}.")
        return int(found[1])


class Running:
    """A program that runs."""

    def __init__(self, name: str, where: str, child: subprocess.Popen[bytes], words: IO[bytes]) -> None:
        self._name = name
        self._where = where
        self._child = child
        self._words = words

    @property
    def output(self) -> IO[bytes]:
        """What it writes."""
        assert self._child.stdout is not None
        return self._child.stdout

    @property
    def input(self) -> IO[bytes]:
        """What it reads."""
        assert self._child.stdin is not None
        return self._child.stdin

    def finish(self) -> None:
        """Wait for its end.

        Raises:
            BackupError: it failed; with its own words, which hold no password.
        """
        code = self._child.wait()
        if code != 0:
            self._words.seek(0)
            words = self._words.read(_MOST_WORDS).decode(errors="replace").strip()
            ended = f"with exit code {code}" if code > 0 else f"by {signal.Signals(-code).name}"
            raise BackupError(f"{self._name} at {self._where} ended {ended}.\n{words}".rstrip())


def _patient(url: str) -> dict[str, str]:
    """Return the parameters of a connection that waits while the server does not read.

    Our bound on what was sent would end it: Linux counts the time in which the other side takes nothing, as
    while it waits for its disk. A server that is gone is found by keepalives, or by TCP in its minutes.
    """
    said = database_url.parse(url)
    return {name: value for name, value in parameters(url).items() if name in said or name != _BOUND}


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return  # what was not yet written is for nobody


def _for_child(given: dict[str, str]) -> tuple[dict[str, str], str]:
    """Return the environment and the connection string that stand for a URL.

    Whatever has a variable goes there, where other users of the machine cannot see it: they see a command's
    arguments.
    """
    known = {option.keyword.decode(): option for option in pq.Conninfo.get_defaults()}
    environment, rest = dict(os.environ), {"dbname": given.get("dbname", "")}
    environment.pop("DATABASE_URL", None)
    for name, value in given.items():
        option = known[name]
        if option.envvar is not None:
            environment[option.envvar.decode()] = value
        elif option.dispchar:  # how libpq marks what is not to be shown
            raise BackupError(
                f"DATABASE_URL holds {name}, which cannot be given to PostgreSQL's programs without showing "
                "it to other users of this machine. Use a key without a password for backups."
            )
        else:
            rest[name] = value
    return environment, make_conninfo(**rest)
