"""The program between a worker and its child: it makes the child stop gracefully, exactly once.

Usage: `python -I -S launcher.py PARENT INTERRUPT GRACE MEMORY FILE WATCHDOG SILENCE PROGRAM [ARGUMENT...]`

PARENT is the process id of whoever started the launcher, INTERRUPT the number of the signal that asks
PROGRAM to stop, GRACE the seconds PROGRAM then has before SIGKILL, MEMORY and FILE the most bytes of data
that each of its processes may have in memory and in one file (0: any), WATCHDOG the descriptor of a file in
which the parent writes when it last lived, by the monotonic clock in seconds (-1: none), and SILENCE the
seconds after which it is taken for dead (see `watchdog`). The launcher imports the standard library only and
is run as a file, because its start is paid for every Terraform and Helm command.

It stays alive beside PROGRAM, which runs in a process group of its own, and acts on three things:

- SIGTERM, sent by the parent to ask for a stop, or by the kernel when the parent dies (PR_SET_PDEATHSIG):
  INTERRUPT goes to PROGRAM's group. Only the first SIGTERM does this. Terraform takes a second signal as
  "exit now" and loses state, and a worker that is killed while it waits for a stop would otherwise cause
  just that.
- SILENCE of a parent that stands still without being dead: the same happens.
- PROGRAM's end: what is left of its group is killed, and when the last of it has ended, the launcher exits
  with PROGRAM's code, 128 + n if signal n ended it, STOOD_STILL if the parent's silence was why it was asked
  to stop. A killed process goes on until it has released its memory, so whoever waits for the launcher would
  else meet processes that still write. Orphans pass to the launcher (PR_SET_CHILD_SUBREAPER), which can wait
  for them and leaves no zombie to process 1.

PR_SET_PDEATHSIG follows the *thread* that forked, not its process (prctl(2)): start the launcher from a
thread that waits for it. It is not sent when the parent was dead before prctl was called, therefore the
comparison with PARENT. If the launcher itself is killed, PROGRAM receives INTERRUPT by the same mechanism.

Exit codes of its own: 125 the parent was gone, nothing was started; 126 PROGRAM could not be executed; 127
PROGRAM does not exist.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time

TYPE_CHECKING = False  # as typing's, whose import would be a fifth of the launcher's start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

STOOD_STILL = 124
PARENT_GONE = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LOOK_SECONDS = 1.0
WATCHED = (signal.SIGTERM, signal.SIGCHLD)
# Python ignores the first two from its start and a shell's background jobs ignore the others. Ignored
# signals stay ignored across exec, so without a reset PROGRAM could be deaf to them.
RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD)


def main(arguments: list[str]) -> int:
    """Run the program named in `arguments` (see the module's docstring) and return the exit code."""
    parent, interrupt, grace = int(arguments[0]), int(arguments[1]), float(arguments[2])
    bounds = {resource.RLIMIT_DATA: int(arguments[3]), resource.RLIMIT_FSIZE: int(arguments[4])}
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    for number in RESET:
        signal.signal(number, signal.SIG_DFL)
    signal_on_death_of(parent, signal.SIGTERM)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    watchdog, silence = int(arguments[5]), float(arguments[6])
    child = start(arguments[7:], interrupt, bounds, watchdog)
    is_abandoned = supervise(child, interrupt, grace, lambda: is_silent(watchdog, silence))
    status = end_group(child)
    if is_abandoned:
        return STOOD_STILL
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def signal_on_death_of(parent: int, number: int) -> None:
    """Have the kernel send signal `number` here when the parent dies; exit if it is dead already."""
    prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(PARENT_GONE)


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process: prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def start(argv: list[str], interrupt: int, bounds: dict[int, int], watchdog: int) -> int:
    """Start `argv` in a process group of its own and return its process id."""
    launcher = os.getpid()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        signal_on_death_of(launcher, interrupt)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        if watchdog >= 0:
            os.close(watchdog)
        for kind, most in bounds.items():
            if most:
                resource.setrlimit(kind, (most, most))
        execute(argv)
    # Both sides set the group: whoever comes second finds it done, and a stop request may arrive at once.
    try:
        os.setpgid(child, child)
    except PermissionError:
        return child  # it has executed the program, and set its group before that
    return child


def execute(argv: list[str]) -> NoReturn:
    """Become `argv`, or say on stderr why that failed."""
    try:
        os.execvpe(argv[0], argv, environment())  # noqa: S606 -- no shell is wanted
    except OSError as error:
        os.write(2, f"{argv[0]} could not be started: {error.strerror}\n".encode())
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE)


def environment() -> dict[bytes, bytes]:
    """Return the environment the launcher was given: in a C locale, Python adds LC_CTYPE to os.environ."""
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 -- importing pathlib costs more than the rest
        entries = file.read().split(b"\0")
    return {name: value for name, _, value in (entry.partition(b"=") for entry in entries) if name}


def is_silent(watchdog: int, silence: float) -> bool:
    """Return whether the parent has written no sign of life for too long."""
    return watchdog >= 0 and time.monotonic() - float(os.pread(watchdog, 64, 0)) > silence


def supervise(child: int, interrupt: int, grace: float, is_abandoned: Callable[[], bool]) -> bool:
    """Ask for the stop once, kill after the grace; return when `child` has ended, still unreaped.

    Return whether it was asked because it was abandoned, and by nobody.
    """
    deadline: float | None = None
    by_itself = False
    is_killed = False
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        left = LOOK_SECONDS if deadline is None else deadline - time.monotonic()
        info = signal.sigtimedwait(WATCHED, min(LOOK_SECONDS, max(0.0, left)))
        if deadline is None:
            by_itself = is_abandoned()
            if by_itself or (info is not None and info.si_signo == signal.SIGTERM):
                deadline = time.monotonic() + grace
                os.killpg(child, interrupt)
        elif not is_killed and time.monotonic() >= deadline:
            is_killed = True
            os.killpg(child, signal.SIGKILL)
    return by_itself


def end_group(child: int) -> int:
    """Kill what is left of the ended child's group, wait for it, and return the child's wait status."""
    # The child is still unreaped, so its process id cannot have passed to another group.
    os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    while True:
        try:
            os.waitpid(-child, 0)
        except ChildProcessError:
            return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
