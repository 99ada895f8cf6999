"""Terraform's working directory is a cache: what an earlier run left there decides nothing.

A lock file of an older provider or of another mirror would fail `init`, a remembered workspace lead to
another state, a file of an earlier release add to the configuration. One thing is no cache: a state that
could not be saved.
"""

import os
import shutil
from pathlib import Path

from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.processes.process import AlreadyRunning, claim
from beta9_provisioning.engine.terraform.terraform import LOG
from beta9_provisioning.engine.terraform.unsaved_state import ERRORED_STATE, SUPERSEDED_STATES
from beta9_provisioning.kit import runtime

_POLL_SECONDS = 0.2


def clear(directory: Path, stop: runtime.Event, *, patience: float = 60.0) -> None:
    """Remove everything but states that could not be saved from a directory; make it if it is absent.

    A Terraform that a dead worker left is waited for, at most `patience` seconds: it holds the lock on the
    log, which is why that file stays, empty.

    Raises:
        AlreadyRunning: it is still running.
        Stopped: `stop` was set.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / LOG
    descriptor = os.open(log, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, log, stop, runtime.monotonic() + patience)
        for entry in directory.iterdir():
            if entry.name in (LOG, ERRORED_STATE) or entry.match(SUPERSEDED_STATES):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, log: Path, stop: runtime.Event, deadline: float) -> None:
    while True:
        try:
            claim(descriptor, log)
        except AlreadyRunning:
            if runtime.monotonic() >= deadline:
                raise
            if stop.wait(_POLL_SECONDS):
                raise Stopped("The wait for another command was stopped.") from None
        else:
            return
