"""Earlier releases, taken from the repository's history, with the dependencies they were locked to.

Tests run them beside the present program, benchmarks measure against them. Each release moves `PREVIOUS`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from scripts.packages import ROOT, run_uv

_LOCK_FILE = "requirements.txt"


@dataclass(frozen=True)
class Release:
    """A commit that was released.

    Attributes:
        name: for messages.
        commit: its full hash.
        migrate: module that makes its tables.
    """

    name: str
    commit: str
    migrate: str = "beta9_provisioning.operations.records.migrate"


PREVIOUS = Release("the previous release", "694d94cfe05a1a184789f94d8fae687e302b92e0")
"""The one that operators update from, side by side with ours (ADR 8)."""
FIRST = Release("0.1.0", "4f6d61704e91efe8c78ff3e2848330c9c915d7dd", "beta9_provisioning.operations.migrate")
"""The one that is updated with a stop."""


class NoHistory(Exception):
    """This copy of the repository does not have the release: it is shallow, or no repository at all."""


@dataclass(frozen=True)
class Program:
    """A program that can be run.

    Attributes:
        python: the interpreter, with its dependencies.
        source: directory of its package; it belongs into `PYTHONPATH`.
        migrate: module that makes its tables.
    """

    python: Path
    source: Path
    migrate: str


OURS = Program(Path(sys.executable), ROOT / "src", "beta9_provisioning.operations.records.migrate")
"""That of this checkout."""


def prepare(release: Release, *, root: Path = ROOT, variables: Mapping[str, str] = os.environ) -> Program:
    """Return a release that can be run; the first call unpacks and installs it, below `.tools/releases`.

    Any number of processes may call it at once. Where the release was locked to what we are locked to, it
    runs on our own dependencies.

    Args:
        release: which one.
        root: the checkout.
        variables: the environment in which packages are fetched.

    Raises:
        NoHistory: it cannot be taken from the history.
        NotInstalled: its dependencies cannot be installed.
    """
    home = root / ".tools" / "releases" / release.commit[:12]
    with _alone(home):
        if not (home / _LOCK_FILE).is_file():
            _unpack(release, root, home)
        if (home / _LOCK_FILE).read_bytes() == (ROOT / _LOCK_FILE).read_bytes():
            python = OURS.python
        else:
            python = _installed(home, variables)
    return Program(python, home / "src", release.migrate)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Let one process at a time in; the lock ends with the process, whatever happens to it."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(release: Release, root: Path, home: Path) -> None:
    command = ["git", "archive", "--format=tar", release.commit, "src", _LOCK_FILE]
    try:
        archive = subprocess.run(command, cwd=root, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", b"").decode(errors="replace").strip() or str(error)
        raise NoHistory(
            f"{release.name} ({release.commit[:12]}) is not in this copy of the history: {told}. "
            "`git fetch --unshallow` brings it to a shallow clone."
        ) from error
    # Whole or not at all: what a killed process left is no release.
    aside = home.with_suffix(".new")
    shutil.rmtree(aside, ignore_errors=True)
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(aside, filter="data")
    shutil.rmtree(home, ignore_errors=True)
    aside.rename(home)


def _installed(home: Path, variables: Mapping[str, str]) -> Path:
    """Return the interpreter of the release's virtual environment, made unless it is there."""
    python, marker = home / "venv" / "bin" / "python", home / "venv" / ".source"
    wanted = hashlib.sha256((home / _LOCK_FILE).read_bytes()).hexdigest() + sys.version
    if not marker.is_file() or marker.read_text() != wanted:
        run_uv(variables, "venv", "--clear", "--python", sys.executable, str(home / "venv"))
        into = ["--python", str(python), "--require-hashes", "-r", str(home / _LOCK_FILE)]
        run_uv(variables, "pip", "install", *into)
        marker.write_text(wanted)
    return python
