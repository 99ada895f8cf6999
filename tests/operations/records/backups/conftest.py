"""A database to back up, an empty one to restore into, and the command line between them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
import pytest
from tests.support.lives import create
from tests.support.postgres import PROGRAMS, execute
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.operations.records.backups.archive import BackupError
from beta9_provisioning.operations.records.backups.backup import new_file, write_backup
from beta9_provisioning.operations.records.backups.restore import restore
from beta9_provisioning.operations.records.model import Base
from beta9_provisioning.settings import Settings

PROGRAM = [sys.executable, "-c", "from beta9_provisioning.cli.main import main; main()"]


@dataclass(frozen=True)
class Operator:
    """Somebody with a shell, in a directory of his own."""

    home: Path
    url: str
    pg_bin: Path | None

    def environment(self, **variables: str) -> dict[str, str]:
        """Return what the shell exports."""
        found = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.url,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        if self.pg_bin is not None:
            found["PG_BIN"] = str(self.pg_bin)
        return {**found, **variables}

    def types(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
        """Run the program, whatever comes of it."""
        return subprocess.run(
            [*PROGRAM, *arguments],
            cwd=self.home,
            env=self.environment(**variables),
            capture_output=True,
            timeout=GUARD_SECONDS,
            check=False,
        )

    def works(self, *arguments: str, **variables: str) -> str:
        """Run it and return what it says."""
        done = self.types(*arguments, **variables)
        assert done.returncode == 0, done.stderr.decode()
        return (done.stdout + done.stderr).decode()

    def refused(self, *arguments: str, **variables: str) -> str:
        """Run it and return why it failed: one sentence or more, no traceback, no password."""
        done = self.types(*arguments, **variables)
        words = done.stderr.decode()
        assert done.returncode == 1, words
        assert words.startswith("error: "), words
        assert "Traceback" not in words
        return words.removeprefix("error: ").strip()

    def settings(self, **changes: Any) -> Settings:
        """Return the settings of a process that the shell starts."""
        return Settings(database_url=self.url, pg_bin=self.pg_bin, **changes)

    def backs_up(self, name: str, **changes: Any) -> Path:
        """Make a backup without a process of its own, which is faster."""
        path = self.home / name
        with new_file(path, force=False) as file:
            write_backup(self.settings(**changes), file)
        return path

    def restores(self, path: Path, **changes: Any) -> None:
        """Restore one in the same way."""
        restore(self.settings(**changes), path)

    def may_not_restore(self, path: Path, **changes: Any) -> str:
        """Be refused a restore, and return why."""
        with pytest.raises(BackupError) as caught:
            self.restores(path, **changes)
        return str(caught.value)

    def files(self) -> Sequence[str]:
        """Return the names of all files, hidden ones too."""
        return sorted(path.name for path in self.home.iterdir())


def programs_for(url: str) -> Path | None:
    """Return where the programs of a server's version are: the developer's own server has his own on PATH."""
    major = int(str(execute(url, "SHOW server_version_num"))) // 10000
    return PROGRAMS if major == 18 else None


def contents(url: str) -> dict[str, list[str]]:
    """Return every row of every table."""
    ask = r"SELECT coalesce(string_agg(row_to_json(one)::text, E'\n'), '') FROM"
    return {
        table.name: sorted(str(execute(url, f"{ask} {table.name} AS one")).splitlines())
        for table in Base.metadata.sorted_tables
    }


@pytest.fixture
def operator(tmp_path: Path, database_url: str, sessions: Sessions, settings: Settings) -> Operator:
    """One whose database has three environments."""
    for name in ("first", "second", "third"):
        create(sessions, settings, key=f"key-of-{name}", name=name)
    home = tmp_path / "home"
    home.mkdir()
    return Operator(home, database_url, programs_for(database_url))


@pytest.fixture
def elsewhere(operator: Operator, empty_database_url: str) -> Operator:
    """The same, at an empty database."""
    return Operator(operator.home, empty_database_url, operator.pg_bin)


@pytest.fixture
def identity() -> pyrage.x25519.Identity:
    """A key pair of age."""
    return pyrage.x25519.Identity.generate()
