"""Runs uv, as the set-up does: with the package index that it is configured for."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import uv

ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 600


class NotInstalled(Exception):
    """Packages could not be installed; the message shows what uv said."""


def run_uv(variables: Mapping[str, str], *arguments: str) -> None:
    """Run uv from the root of the checkout, in an environment that names no other Python.

    Raises:
        NotInstalled: it failed.
    """
    foreign = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME")
    done = subprocess.run(
        [uv.find_uv_bin(), "--quiet", *arguments],
        cwd=ROOT,
        env={name: value for name, value in variables.items() if name not in foreign},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise NotInstalled(f"`uv {' '.join(arguments)}` failed:\n{done.stdout}")
