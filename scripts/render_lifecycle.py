"""Write docs/lifecycle.md, the state chart, from lifecycle.py.

python scripts/render_lifecycle.py
"""

import sys
import textwrap
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from beta9_provisioning.lifecycle import (
    CANCELLABLE_KINDS,
    FINAL,
    PATHS,
    RESUMED,
    RUNNING,
    EnvironmentStatus,
    Kind,
    OperationStatus,
    Reason,
    environment_status,
    moves,
)

FILE = Path(__file__).parent.parent / "docs" / "lifecycle.md"

WIDTH = 118

NOTICE = """\
Written by `python scripts/render_lifecycle.py` from `src/beta9_provisioning/lifecycle.py`; a test fails when
the two differ."""

INTRODUCTION = """\
An operation is one request to provision, update or destroy an environment. It walks one path and ends in one
of three statuses; a retry is a new operation. Why it ended without success is told by its reason:
{reasons}."""

CANCEL = """\
A cancel is a request: a queued operation ends at once, a running one when its worker has stopped Terraform
and Helm. {kinds} cannot be cancelled: a half-destroyed environment is no goal."""

RESUME = """\
An attempt may end before its operation does: its worker was lost or shut down, or its Terraform was killed.
Then another attempt goes on (`{resumed}`): with the first step again, and in the status that was reached."""

PUBLIC = """\
An environment's public status follows from its latest operation. It is one of {statuses}."""


def chart(kind: Kind) -> str:
    """Return the Mermaid diagram of a kind's statuses: its path straight down, and every way to end early."""
    path = PATHS[kind]
    lines = ["stateDiagram-v2", f"    [*] --> {path[0]}"]
    lines += [f"    {before} --> {after}" for before, after in pairwise(path)]
    lines += [f"    {status} --> {status}: {RESUMED}" for status in path if status in RUNNING]
    lines += [f"    {before} --> {end}" for before in path for end in early_ends(kind, before)]
    lines += [f"    {end} --> [*]" for end in OperationStatus if end in FINAL and is_reached(kind, end)]
    return "\n".join(["```mermaid", *lines, "```"])


def early_ends(kind: Kind, status: OperationStatus) -> Iterator[OperationStatus]:
    """Yield the ends other than success that may follow a status."""
    following = moves(kind, status)
    return (end for end in OperationStatus if end in FINAL & following and end is not PATHS[kind][-1])


def is_reached(kind: Kind, status: OperationStatus) -> bool:
    """Tell whether operations of a kind can come to have a status."""
    return status in PATHS[kind] or any(status in moves(kind, before) for before in PATHS[kind])


def table() -> str:
    """Return the Markdown table of the public statuses by kind and status of the latest operation."""
    rows = [["latest operation", *Kind], ["---"] * (len(Kind) + 1)]
    rows += [[f"`{status}`", *(public(kind, status) for kind in Kind)] for status in OperationStatus]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def public(kind: Kind, status: OperationStatus) -> str:
    """Return a cell of the table."""
    return f"`{environment_status(kind, status)}`" if is_reached(kind, status) else "–"


def never_cancelled() -> str:
    """Name the kinds that cannot be cancelled, at the start of a sentence."""
    return ", ".join(f"{kind.capitalize()}s" for kind in Kind if kind not in CANCELLABLE_KINDS)


def render() -> str:
    """Return the whole page."""
    parts = ["# The life of an operation", wrap(NOTICE), wrap(INTRODUCTION, reasons=spell(Reason))]
    for kind in Kind:
        parts += [f"## {kind.capitalize()}", chart(kind)]
    parts += [wrap(RESUME, resumed=RESUMED), wrap(CANCEL, kinds=never_cancelled())]
    parts += ["## Public statuses", wrap(PUBLIC, statuses=spell(EnvironmentStatus)), table()]
    return "\n\n".join(parts) + "\n"


def wrap(text: str, **values: str) -> str:
    """Return a paragraph in lines of bearable length."""
    return textwrap.fill(text.format(**values), WIDTH, break_long_words=False, break_on_hyphens=False)


def spell(names: Iterable[str]) -> str:
    """Return names as a list in a sentence."""
    return ", ".join(f"`{name}`" for name in names)


def main() -> int:
    """Write the file."""
    FILE.write_text(render(), encoding="utf-8")
    print(f"wrote {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
