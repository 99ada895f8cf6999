"""The first release, taken from the repository's history, with the dependencies it was locked to."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from benchmarks.processes import BenchmarkFailed, run
from benchmarks.stacks import ROOT

VERSION = "0.1.0"
_COMMIT = "4f6d61704e91efe8c78ff3e2848330c9c915d7dd"
_HOME = ROOT / ".tools" / "bench" / VERSION


def first_release(report: Callable[[str], None]) -> Path | None:
    """Return the directory of the first release: `src` and `venv`; None, told, when it cannot be had."""
    marker = _HOME / "complete"
    if not marker.is_file():
        try:
            _unpack()
            _install()
        except (BenchmarkFailed, OSError, subprocess.CalledProcessError) as error:
            report(f"{VERSION} cannot be had, so there is no baseline: {error}")
            return None
        marker.touch()
    return _HOME


def _unpack() -> None:
    """Raises `CalledProcessError` where the history is not there, as in a shallow clone."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", _COMMIT, "src", "requirements.txt"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(_HOME, filter="data")


def _install() -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, "venv"], cwd=_HOME)
    install = [uv, "pip", "install", "--quiet", "--python", "venv/bin/python", "--require-hashes"]
    run([*install, "-r", "requirements.txt"], cwd=_HOME)
