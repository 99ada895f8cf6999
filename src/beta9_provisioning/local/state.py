"""What a running stack remembers of itself, in a file only its owner can read."""

import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from beta9_provisioning.local.processes import ProcessRef

_FILE = "state.json"
_LOCK = "lock"


class StackBusy(Exception):
    """Another command is starting or stopping this stack at this moment."""


@dataclass(frozen=True)
class Member:
    """One process of the stack, and how to end it."""

    name: str
    pid: int
    started: int
    """Start time in clock ticks since boot: the pid alone may be another process by now."""
    port: int
    log: str
    signal: str
    """The signal that asks it to stop."""
    grace_seconds: float
    """How long it may take over that."""

    @property
    def reference(self) -> ProcessRef:
        """The process itself."""
        return ProcessRef(self.pid, self.started)

    def stop(self) -> bool:
        """Stop it; return whether it ended by itself within its grace."""
        return self.reference.stop(signal.Signals[self.signal], self.grace_seconds)


@dataclass
class State:
    """A stack: its processes in the order of their start, its address, and its users' environment.

    Attributes:
        complete: whether it came up wholly; a start that was cut off leaves False.
        environment: what a user's shell needs to act on the simulated cloud.
    """

    api_url: str = ""
    complete: bool = False
    members: list[Member] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, directory: Path) -> "State | None":
        """Return the state that was saved in the directory, or None."""
        try:
            found = json.loads((directory / _FILE).read_text())
        except FileNotFoundError:
            return None
        members = [Member(**member) for member in found.pop("members")]
        return cls(**found, members=members)

    def save(self, directory: Path) -> None:
        """Write the state, whole or not at all."""
        aside = directory / f"{_FILE}.new"
        aside.unlink(missing_ok=True)
        aside.touch(mode=0o600)
        aside.write_text(json.dumps(asdict(self), indent=2) + "\n")
        aside.replace(directory / _FILE)

    def is_running(self) -> bool:
        """Tell whether the stack came up and all its processes are running."""
        return self.complete and all(member.reference.is_running() for member in self.members)

    def ended(self) -> list[Member]:
        """Return the processes that are not running any more."""
        return [member for member in self.members if not member.reference.is_running()]


def forget(directory: Path) -> None:
    """Remove the saved state; nothing runs any more."""
    (directory / _FILE).unlink(missing_ok=True)


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Keep others from starting or stopping the same stack.

    Raises:
        StackBusy: somebody else is at it.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StackBusy(
            f"Another command is starting or stopping the stack in {directory}; try again in a moment."
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)
