"""Counts that several processes keep together, in files that outlive one that is killed.

This is the multiprocess mode of prometheus_client. Its files have the number of a place and no process id, so
the replacement of a process goes on with the counts of the one before, and files never become more.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import values

from beta9_provisioning.kit.temporary import temporary_directory

_PREFIX = "beta9-api-"
# In bytes, by kind of metric: a series takes about 230, and several thousand are more than there can be.
_ROOM = {"counter": 2**19, "histogram": 2**20, "gauge_sum": 2**16}
# Memory: nobody tidies it up, and the files of others do not fill it.
_MEMORY = Path("/dev/shm")  # noqa: S108  a directory of our own is made in it


@contextmanager
def shared(processes: int, parents: Sequence[Path] | None = None) -> Iterator[Path]:
    """Give a directory with the files of so many processes; it is removed at the end.

    It lies in memory, or else in TMPDIR, unless `parents` says where to try. All room is allocated now: a
    process that counts would be killed (SIGBUS) by a page that a full disk cannot give it.

    Raises:
        OSError: no place has the room.
    """
    directory, lock = _make(processes, *(parents or (_MEMORY, temporary_directory())))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def join(directory: Path, place: int) -> None:
    """Have this process count in its place, from 0, of the directory; call it before anything is counted."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]


def alone() -> None:
    """Have this process count for itself, whatever the library makes of its environment."""
    values.ValueClass = values.MutexValue


def _make(processes: int, parent: Path, *others: Path) -> tuple[Path, int]:
    """Return a new directory with its files, and what keeps it locked as long as this process lives."""
    try:
        return _make_in(parent, processes)
    except OSError:
        if not others:
            raise
        return _make(processes, *others)


def _make_in(parent: Path, processes: int) -> tuple[Path, int]:
    _remove_abandoned(parent)
    directory = Path(tempfile.mkdtemp(prefix="new-", dir=parent))
    lock = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for kind, size in _ROOM.items():
            for place in range(processes):
                with (directory / f"{kind}_{place}.db").open("xb") as file:
                    os.posix_fallocate(file.fileno(), 0, size)
        # Only a directory with this name is ever taken for an abandoned one.
        return directory.rename(parent / directory.name.replace("new-", _PREFIX, 1)), lock
    except OSError:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)
        raise


def _remove_abandoned(parent: Path) -> None:
    """Remove what a service that was killed has left: nobody holds its lock."""
    for directory in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if directory.lstat().st_uid != os.geteuid():
                continue
            lock = os.open(directory, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(lock)
