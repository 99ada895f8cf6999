"""The processes below another one, as /proc shows them."""

from __future__ import annotations

from pathlib import Path

from tests.support.waiting import until


def descendants(pid: int) -> dict[int, str]:
    """Return the command lines of the living processes below a process, by process id."""
    parents = {int(entry.name): parent(int(entry.name)) for entry in Path("/proc").glob("[0-9]*")}
    found: dict[int, str] = {}
    above = {pid}
    while above := {child for child, its in parents.items() if its in above}:
        found |= {child: command(child) for child in above}
    return found


def parent(pid: int) -> int | None:
    """Return the process id of a living process's parent; None when it has ended, as a zombie has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, its = stat.rsplit(")", 1)[1].split()[:2]
    return None if state == "Z" else int(its)


def command(pid: int) -> str:
    """Return the command line of a process; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def assert_ended(*pids: int) -> None:
    """Check that all of these processes have ended by now."""
    assert [pid for pid in pids if parent(pid) is not None] == []


def wait_for_end(*pids: int) -> None:
    """Wait until all of these processes have ended."""
    until(lambda: all(parent(pid) is None for pid in pids), f"the processes {pids} have ended")


def lives(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
