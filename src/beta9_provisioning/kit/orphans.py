"""Processes whose parent has ended: children that are to end with it, and the reaping of those that did not.

When a process ends, what it has started becomes the child of process 1 (or of the nearest subreaper, see
prctl(2)), and stays in the process table as a zombie until that one waits for it. In a container that is
whatever was started first.
"""

import ctypes
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_GET_CHILD_SUBREAPER = 37
_SECONDS = 1.0
# Loaded here, not in the forked child, where importing is unsafe.
_LIBC = ctypes.CDLL(None, use_errno=True)


def dies_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` for Popen: the child gets this signal when the thread that started it ends."""
    parent = os.getpid()

    def set_in_child() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # the parent ended before the call above
            os.kill(os.getpid(), signal.SIGKILL)

    return set_in_child


def start_reaping() -> None:
    """Reap adopted processes from now on, on a thread that ends with this process, if it adopts any."""
    if os.getpid() == 1 or _is_subreaper():
        threading.Thread(target=_run, name="orphans", daemon=True).start()


def _run() -> None:
    never = threading.Event()
    while not never.wait(_SECONDS):
        reap()


def reap() -> None:
    """Reap the adopted processes that have ended.

    Those that this process has started itself are left to whoever waits for them: they are in its session
    or lead one of their own. What their descendants leave behind is in the session of another process.
    """
    own = os.getpid()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _is_adopted_zombie(entry / "stat", own):
            with suppress(ChildProcessError):
                os.waitpid(int(entry.name), os.WNOHANG)


def _is_adopted_zombie(stat: Path, own: int) -> bool:
    try:
        text = stat.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    # The command's name comes in parentheses and may hold anything, so count from the last one; proc(5).
    state, parent, _, session = text.rpartition(")")[2].split()[:4]
    return state == "Z" and int(parent) == own and int(session) not in (int(stat.parent.name), os.getsid(0))


def _is_subreaper() -> bool:
    flag = ctypes.c_int(0)
    return _LIBC.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(flag), 0, 0, 0) == 0 and bool(flag.value)
