"""Files in memory (memfd_create(2)) for what is secret: a process that is killed leaves nothing on a disk."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def memory_file(name: str, content: bytes = b"") -> Iterator[int]:
    """Give the descriptor of a file in memory; it is gone when the last process has closed it.

    A child to which the descriptor is passed on finds the file at `path_of(descriptor)`. Its mode is 0600, as
    tools want it for files with secrets, and whatever is written to it is appended.
    """
    with os.fdopen(os.memfd_create(name), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND)
        yield file.fileno()


def path_of(descriptor: int) -> Path:
    """Return the path of an open file as the process itself sees it."""
    return Path(f"/proc/self/fd/{descriptor}")
