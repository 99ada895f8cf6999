"""Processes that outlive the one that started them: tell them apart from strangers, and end them.

A pid alone is not enough, because the kernel reuses it; a pid with its start time is (Linux only, proc(5)).
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class ProcessRef:
    """One process, for ever: a process that gets the same pid later has another start time."""

    pid: int
    started: int
    """Start time in clock ticks since boot."""

    @classmethod
    def of(cls, pid: int) -> "ProcessRef":
        """Return the reference of a process that is running.

        Raises:
            ProcessLookupError: there is none with this pid.
        """
        stat = _stat(pid)
        if stat is None:
            raise ProcessLookupError(f"no process with pid {pid} is running")
        return cls(pid, stat[1])

    def is_running(self) -> bool:
        """Tell whether this very process is running; one that has ended but was not yet reaped is not."""
        return _stat(self.pid) == ("running", self.started)

    def stop(self, first: signal.Signals, grace_seconds: float) -> bool:
        """Send `first`, and SIGKILL when the grace is over; return whether the first was enough."""
        if self._gone_after(first, grace_seconds):
            return True
        self._gone_after(signal.SIGKILL, 5.0)
        return False

    def _gone_after(self, number: signal.Signals, seconds: float) -> bool:
        if not self.is_running():
            return True
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return True
        return wait_until(lambda: not self.is_running(), seconds)


def wait_until(condition: Callable[[], bool], seconds: float, poll_seconds: float = _POLL_SECONDS) -> bool:
    """Poll until the condition holds or the time is over; return whether it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_seconds)
    return True


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log, to show why a process ended; empty when there is no log."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _stat(pid: int) -> tuple[str, int] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name comes in parentheses and may hold anything, so count from the last one.
    fields = text.rpartition(")")[2].split()
    state = "ended" if fields[0] in "ZX" else "running"
    return state, int(fields[19])
