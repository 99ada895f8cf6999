"""Programs in a terminal of their own, as people run them."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import GUARD_SECONDS

PROGRAM = [sys.executable, "-c", "from beta9_provisioning.cli.main import main; main()"]
CTRL_C = b"\x03"
# The number of read(2) on x86-64 and on arm64.
_READ = ("0", "63")


@dataclass(frozen=True)
class Ended:
    """How a program in a terminal ended, and all that the terminal got."""

    code: int
    screen: str


def run(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    *,
    columns: int = 80,
    when: str = "",
    press: bytes = b"",
    is_prompt: bool = False,
) -> Ended:
    """Run this command line in a terminal; `press` keys when `when` has been written.

    At a prompt, when the program has begun to read: a Ctrl-C right before that has no effect on Python, whose
    handler sets a flag that nobody looks at while the program reads. No person is that quick.
    """
    environment = {**os.environ, "TERM": "xterm", **variables}
    environment.pop("COLUMNS", None)
    child, terminal = pty.fork()
    if child == 0:
        try:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.execve(sys.executable, [*PROGRAM, *arguments], environment)
        finally:
            os._exit(127)
    written = b""
    guard = threading.Timer(GUARD_SECONDS, os.kill, (child, signal.SIGKILL))
    guard.start()
    try:
        while (more := _read(terminal)) is not None:
            written += more
            if press and when.encode() in written and (not is_prompt or _reads(child)):
                os.write(terminal, press)
                press = b""
    finally:
        _, status = os.waitpid(child, 0)
        guard.cancel()
        guard.join()
        os.close(terminal)
    return Ended(os.waitstatus_to_exitcode(status), written.decode(errors="replace"))


def _reads(child: int) -> bool:
    """Return whether a process waits in read(2) of its standard input; proc(5)."""
    number, *arguments = Path(f"/proc/{child}/syscall").read_text().split()
    return number in _READ and arguments[:1] == ["0x0"]


def _read(terminal: int) -> bytes | None:
    """Return what has come; None when the program has closed its terminal."""
    if not select.select([terminal], [], [], 0.1)[0]:
        return b""
    try:
        return os.read(terminal, 65536) or None
    except OSError:  # how Linux says it
        return None
