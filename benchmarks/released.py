"""The first release as a baseline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scripts.packages import ROOT, NotInstalled
from scripts.releases import FIRST, NoHistory, Program, prepare


def first_release(report: Callable[[str], None], root: Path = ROOT) -> Program | None:
    """Return the first release, installed when it is first asked for; None, told, when it cannot be had."""
    try:
        return prepare(FIRST, root=root)
    except (NoHistory, NotInstalled, OSError) as error:
        report(f"{FIRST.name} cannot be had, so there is no baseline: {error}")
        return None
