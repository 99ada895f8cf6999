"""Several processes that serve the API on one port (ADR 11): start, replace, stop them."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import structlog

from beta9_provisioning.api import counting
from beta9_provisioning.kit import logs
from beta9_provisioning.kit.orphans import dies_with_parent
from beta9_provisioning.kit.signals import StopSignal, stop_signals
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
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        try:
            directory = stack.enter_context(counting.shared(len(listeners)))
            children: list[_Child] = []
            stack.callback(_stop, children, listeners)
            for place, listener in enumerate(listeners):
                children.append(_Child(settings, listener, place, directory))
        except OSError as error:
            print(f"error: {_cannot_start(len(listeners), error)}", file=sys.stderr)  # noqa: T201
            return 1
        return _watch(children, stop)


def _cannot_start(processes: int, error: OSError) -> str:
    return (
        f"API_PROCESSES is {processes}, and so many cannot be started: {error}. Each needs 1.5 MiB "
        "in /dev/shm, or else where TMPDIR says, and room among this user's processes. Set a smaller number."
    )


class _Child:
    """The process of one place; it may be replaced by another."""

    def __init__(self, settings: Settings, listener: socket.socket, place: int, counts: Path) -> None:
        self._settings = settings.model_dump_json().encode()
        self._listener = listener.fileno()
        self._command = [sys.executable, "-m", "beta9_provisioning.api.server"]
        self._command += [str(self._listener), str(place), str(counts)]
        self._not_before = 0.0
        self.process = self._start()

    def replace(self) -> None:
        """Start another one, if that may be now and can be; it gets the settings of the first."""
        if time.monotonic() < self._not_before:
            return
        self._not_before = time.monotonic() + _APART_SECONDS
        lost = self.process
        try:
            self.process = self._start()
        except OSError as error:
            log.error("api_process_not_replaced", pid=lost.pid, error=str(error))  # noqa: TRY400  it says all
        else:
            log.error("api_process_replaced", pid=lost.pid, signal=-lost.returncode)

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            pass_fds=[self._listener],
            preexec_fn=dies_with_parent(signal.SIGTERM),
        )
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, which is seen soon
            process.stdin.write(self._settings)
            process.stdin.close()
        return process


def _watch(children: Sequence[_Child], stop: StopSignal) -> int:
    while not stop.wait(_EVERY_SECONDS):
        for child in children:
            code = child.process.poll()
            if code is None:
                continue
            if code > 0:
                log.error("api_process_failed", pid=child.process.pid, exit_code=code)
                return 1
            child.replace()
    return 0


def _stop(children: Sequence[_Child], listeners: Sequence[socket.socket]) -> None:
    """Stop all; who comes now is refused, and can ask another replica."""
    for listener in listeners:
        listener.close()
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
