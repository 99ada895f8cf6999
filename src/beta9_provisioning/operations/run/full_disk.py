"""Recognizing a full disk, whoever met it: this process, or one of its tools, which only has words for it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from beta9_provisioning.engine.errors import FULL, DiskFull, EngineError
from beta9_provisioning.kit.temporary import temporary_directory

_WORDS = ("no space left on device", "disk quota exceeded", "enospc")
# A tool's words may come from elsewhere, such as a node of the customer's cluster: they count when there is
# less than this here. What the tool could not finish has been removed by then.
_LOW_BYTES = 16 * 1024 * 1024


def full_disk(error: BaseException, workdir: Path) -> DiskFull | None:
    """Return what to tell when an error means that a disk of this machine is full; None when it does not."""
    for one in _chain(error):
        if isinstance(one, DiskFull):
            return one
        if isinstance(one, OSError) and one.errno in FULL:
            return DiskFull(str(one))
    if isinstance(error, EngineError):
        lines = f"{error.message}\n{error.detail}".splitlines()
        telling = [line.strip() for line in lines if any(words in line.lower() for words in _WORDS)]
        if telling and _is_low(workdir):
            return DiskFull(telling[0])
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_low(workdir: Path) -> bool:
    return any(_free(place) < _LOW_BYTES for place in (lambda: workdir, temporary_directory))


def _free(place: Callable[[], Path]) -> float:
    """Return how many bytes are free in a place; one that is not there is not full."""
    try:
        return shutil.disk_usage(place()).free
    except OSError:
        return float("inf")
