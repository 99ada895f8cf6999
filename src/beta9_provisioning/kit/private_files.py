"""Files that only their owner may read or write: whole or not at all, and one writer at a time."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LARGEST = 1024 * 1024


class NotPrivate(Exception):
    """A file that others could have written, or can read; the message says what to do."""


def read_private(path: Path) -> bytes | None:
    """Return what the file holds; None when it is not there.

    Raises:
        NotPrivate: it belongs to somebody else, others may read or write it, or it is no plain file.
        OSError: it cannot be read.
    """
    try:
        # What is judged is what is read, whatever is put in its place.
        with open(path, "rb", opener=_at_once) as file:
            _judge(path, os.fstat(file.fileno()))
            content = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(content) > _LARGEST:
        raise NotPrivate(f"{path} is larger than {_LARGEST >> 20} MiB, so it is none of ours. Move it away.")
    return content


def write_private(path: Path, content: bytes) -> None:
    """Write the file with mode 0600 from its first byte; what was there stays until the new one is whole.

    Its writers have to hold the same `alone`.

    Raises:
        OSError: it cannot be written.
    """
    aside = path.with_name(f"{path.name}.new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    aside.replace(path)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait until nobody else holds this lock, and hold it meanwhile. Its directory is made, with mode 0700.

    Raises:
        NotPrivate: the directory belongs to somebody else, or others may write into it.
        OSError: the lock cannot be made.
    """
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = lock.parent.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise NotPrivate(
            f"{lock.parent} belongs to somebody else, or others may write into it. "
            f"Make it yours alone: chown {os.geteuid()} {lock.parent} && chmod 700 {lock.parent}"
        )
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe would keep us waiting for its writer


def _judge(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotPrivate(f"{path} is no plain file. Move it away.")
    if found.st_uid != os.geteuid():
        raise NotPrivate(
            f"{path} belongs to another user, who could have written anything. Move it away, or take it over "
            f"if you know what it holds: chown {os.geteuid()} {path}"
        )
    if found.st_mode & 0o077:
        raise NotPrivate(f"Others may read or write {path}. Make it yours alone: chmod 600 {path}")
