"""What a launcher that was killed has left: the kernel has asked it to stop, and nobody waits for its end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_POLL_SECONDS = 0.05


def end_session(leader: int, grace: float) -> None:
    """Wait until no process is left in the session that `leader` led, and kill after `grace` seconds."""
    deadline = time.monotonic() + grace
    while left := list(_members(leader)):
        if time.monotonic() >= deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _members(leader: int) -> Iterator[int]:
    """Yield the processes of a session that have not ended."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The command's name comes in parentheses and may hold anything, so count from the last one; proc(5).
        state, _, _, session = text.rpartition(")")[2].split()[:4]
        if int(session) == leader and state not in "ZX":
            yield int(entry.name)
