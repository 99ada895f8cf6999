"""Several processes that serve the API on one port (ADR 11): start, replace, stop them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from beta9_provisioning.kit import logs
from beta9_provisioning.kit.orphans import dies_with_parent
from beta9_provisioning.kit.signals import StopSignal, stop_signals
from beta9_provisioning.kit.temporary import temporary_directory
from beta9_provisioning.settings import Settings

log = structlog.get_logger(__name__)

_EVERY_SECONDS = 0.25
# One that dies again and again is replaced no more often than this.
_APART_SECONDS = 5.0
# A process that is told to stop takes 25 s at most (see server.py).
_STOP_SECONDS = 35.0


def run(settings: Settings, listeners: Sequence[socket.socket]) -> int:
    """Serve with a process for each socket until a signal comes; return the exit code.

    A process that cannot serve, and so ends by itself with an error, ends all of them: a new one could not
    either. One that is killed is replaced; who connects to its socket meanwhile waits.
    """
    logs.configure(settings.log_level, settings.log_format)
    try:
        counts = TemporaryDirectory(prefix="beta9-api-", dir=temporary_directory())
    except OSError as error:
        print(  # noqa: T201
            f"error: API_PROCESSES is more than 1, and the processes' counts need a directory: {error}. "
            "Let TMPDIR name one that can be written to.",
            file=sys.stderr,
        )
        return 1
    with counts as directory, stop_signals() as stop:
        children = [_Child(listener, Path(directory)) for listener in listeners]
        try:
            return _watch(children, stop)
        finally:
            _stop(children)


class _Child:
    def __init__(self, listener: socket.socket, counts: Path) -> None:
        self._listener = listener
        self._counts = counts
        self._not_before = 0.0
        self.process = self._start()

    def replace(self) -> None:
        if time.monotonic() >= self._not_before:
            self.process = self._start()
            self._not_before = time.monotonic() + _APART_SECONDS

    def _start(self) -> subprocess.Popen[bytes]:
        number = self._listener.fileno()
        return subprocess.Popen(
            [sys.executable, "-m", "beta9_provisioning.api.server", str(number)],
            # Where prometheus_client's processes share their counts.
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self._counts)},
            pass_fds=[number],
            preexec_fn=dies_with_parent(signal.SIGTERM),
        )


def _watch(children: Sequence[_Child], stop: StopSignal) -> int:
    while not stop.wait(_EVERY_SECONDS):
        for child in children:
            code = child.process.poll()
            if code is None:
                continue
            if code > 0:
                log.error("api_process_failed", pid=child.process.pid, exit_code=code)
                return 1
            lost = child.process.pid
            child.replace()
            if child.process.pid != lost:
                log.error("api_process_replaced", pid=lost, signal=-code)
    return 0


def _stop(children: Sequence[_Child]) -> None:
    for child in children:
        child.process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(max(deadline - time.monotonic(), 0))
        if child.process.poll() is None:
            log.error("api_process_killed", pid=child.process.pid)
            child.process.kill()
            child.process.wait()
