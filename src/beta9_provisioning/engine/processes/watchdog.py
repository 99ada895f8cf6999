"""A sign of life that this process gives to the launchers of its commands, see `launcher`.

A process that stands still (SIGSTOP, a debugger, a frozen container of its own) does not die, so the kernel
tells nobody. Its lease ends all the same, and its commands must have ended by then.
"""

from __future__ import annotations

import os
import time

_WIDTH = 24


class Watchdog:
    """A file in memory that holds when its process last gave a sign of life, by the monotonic clock of all.

    Attributes:
        descriptor: of the file; commands inherit it.
        seconds: of silence, after which the launchers of its commands ask them to stop.
    """

    def __init__(self, seconds: float) -> None:
        self.descriptor = os.memfd_create("watchdog")
        self.seconds = seconds
        self.kick()

    @property
    def words(self) -> tuple[str, str]:
        """The launcher's arguments that name it."""
        return str(self.descriptor), str(self.seconds)

    def kick(self) -> None:
        """Give a sign of life."""
        os.pwrite(self.descriptor, f"{time.monotonic():{_WIDTH}.3f}".encode(), 0)


UNWATCHED = ("-1", "0")
"""The launcher's arguments without one."""

_started: list[Watchdog] = []


def start(seconds: float) -> None:
    """Have all commands of this process stop when it has been silent for so many seconds; call it once."""
    _started.append(Watchdog(seconds))


def kick() -> None:
    """Give a sign of life, if anybody watches for one."""
    for watchdog in _started:
        watchdog.kick()


def current() -> Watchdog | None:
    """Return what commands that start now watch; None when nothing was started."""
    return _started[-1] if _started else None
