"""Run one command-line tool: its output in a file that is followed, one polite way to stop it.

The output goes to a file and never to a pipe: a tool whose reader died must not die of SIGPIPE in the
middle of saving its state. Stopping, in every case, is the launcher's work (`launcher.py`): this module
only asks for it.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from prometheus_client import Counter

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.processes import launcher, watchdog
from beta9_provisioning.engine.processes.memory import memory_file
from beta9_provisioning.engine.processes.remains import end_session
from beta9_provisioning.engine.processes.tolerant import Tolerant

POLL_SECONDS = 0.03
TAIL_BYTES = 64 * 1024
LINE_BYTES = 1024 * 1024
# Read at most this much before looking at the stop request and the deadline again.
CHUNK_BYTES = 256 * 1024

Reason = Literal["stop", "timeout"]

COMMANDS = Counter(
    "provisioning_worker_commands_total",
    "Commands that ended, by tool and verb (such as `terraform apply`) and exit code; 128 + n: by signal n.",
    ["command", "exit_code"],
    registry=None,
)
"""Of this process since its start; whoever serves metrics registers it."""


class ToolMissing(EngineError):
    """A command-line tool is not installed or not executable."""

    code = "tool_missing"


class AlreadyRunning(EngineError):
    """Another command still writes to the same log file."""

    code = "already_running"


@dataclass(frozen=True)
class Finished:
    """How a command ended.

    Attributes:
        returncode: its exit code; 128 + n when signal n ended it.
        output: the end of what it wrote to stdout and stderr, at most 64 KiB; bytes that are not UTF-8 are
            replaced.
        timed_out: its time was up before it had ended, and it was asked to stop.
        stopped: `stop` was set before it had ended, and it was asked to stop (or not even started).
        killed: it did not end within its grace and was killed; what it was doing may be half done.
        unobserved: of how many lines `on_line` raised.
        stood_still: its launcher asked it to stop by itself, because this process had stood still.
    """

    returncode: int
    output: str
    timed_out: bool
    stopped: bool
    killed: bool
    unobserved: int = 0
    stood_still: bool = False


@dataclass(frozen=True)
class Bounds:
    """The most bytes of data that each process of a command may have in memory, and in one file; 0: any."""

    memory: int = 0
    file: int = 0

    @property
    def words(self) -> tuple[str, str]:
        """The launcher's arguments that say so."""
        return str(self.memory), str(self.file)


UNBOUNDED = Bounds()


class Run(Protocol):
    """Runs a command as `run` below does, whose arguments these are."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        log: Path,
        stop: threading.Event,
        timeout: float,
        on_line: Callable[[str], None] | None = None,
        interrupt: signal.Signals = signal.SIGINT,
        grace: float = 60.0,
        stdin: bytes | None = None,
        secret_output: bool = False,
        pass_on: Sequence[int] = (),
        bounds: Bounds = UNBOUNDED,
    ) -> Finished:
        """Run a command to its end and return how it ended."""


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    stop: threading.Event,
    timeout: float,
    on_line: Callable[[str], None] | None = None,
    interrupt: signal.Signals = signal.SIGINT,
    grace: float = 60.0,
    stdin: bytes | None = None,
    secret_output: bool = False,
    pass_on: Sequence[int] = (),
    bounds: Bounds = UNBOUNDED,
) -> Finished:
    """Run `argv` to its end and return how it ended; the exit code is the caller's to judge.

    stdout and stderr are appended to the file `log` (created with mode 0600); with `secret_output` they stay
    in memory, and the file is only the lock that keeps a second command away. Complete lines are given to
    `on_line`, without their line ends, as they come; a last line without a line end comes when the command
    has ended, and of a line longer than 1 MiB only the first MiB comes.

    When `stop` is set or `timeout` seconds have passed, one `interrupt` is sent to the command's process
    group, and SIGKILL `grace` seconds later if it is still there. The same happens when this process dies,
    and when an asynchronous exception is raised: it is raised again once the command has ended. A second one
    meanwhile is raised at once; the launcher then ends the command without us.

    `on_line` only watches: what it raises is logged and counted, and the command goes on, unless it is
    `Stopped`, which is taken like an asynchronous exception.

    Call it on a thread that lives until it returns: the death of the thread counts as the death of the
    process, and so does its silence where there is a `watchdog`. `env` is the complete environment of the
    command; `stdin` is its input, empty if None; it inherits the descriptors in `pass_on`. What it does when
    it comes to its `bounds` is its affair.

    Raises:
        ToolMissing: the program does not exist or is not executable.
        AlreadyRunning: another command still writes to `log`, perhaps one whose worker has died since.
    """
    program = _find(argv[0], cwd, env)
    if stop.is_set():
        return Finished(128 + interrupt, "", timed_out=False, stopped=True, killed=False)
    with ExitStack() as resources:
        log_fd = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        resources.callback(os.close, log_fd)
        claim(log_fd, log)
        output_fd = resources.enter_context(memory_file("output")) if secret_output else log_fd
        tail = _Tail(output_fd)
        command = [sys.executable, "-I", "-S", launcher.__file__]
        command += [str(os.getpid()), str(int(interrupt)), str(grace), *bounds.words]
        watched = watchdog.current()
        command += [*(watched.words if watched else watchdog.UNWATCHED), program, *argv[1:]]
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=resources.enter_context(_input(stdin)),
            stdout=output_fd,
            stderr=output_fd,
            # The log's, too: with it the command inherits the lock.
            pass_fds=(log_fd, *pass_on, *([watched.descriptor] if watched else [])),
            start_new_session=True,
        )
        observer = Tolerant(on_line or _ignore, Path(program).name)
        reason = _follow(child, tail, stop, observer, timeout=timeout, grace=grace)
        # Negative: the launcher itself was ended by a signal, mostly a stop request before it had started
        # anything.
        returncode = child.returncode if child.returncode >= 0 else 128 - child.returncode
        COMMANDS.labels(_name(argv), str(returncode)).inc()
        return Finished(
            returncode,
            tail.last(TAIL_BYTES),
            timed_out=reason == "timeout",
            stopped=reason == "stop",
            killed=reason is not None and returncode == 128 + signal.SIGKILL,
            unobserved=observer.faults,
            stood_still=reason is None and returncode == launcher.STOOD_STILL,
        )


def _name(argv: Sequence[str]) -> str:
    """Return what a command is called in metrics: tool and verb, and nothing that grows without bound."""
    verb = [word for word in argv[1:2] if word.isalpha()]
    return " ".join([Path(argv[0]).name, *verb])


def _ignore(_line: str) -> None:
    """Take a line that nobody wants to see."""


def _find(program: str, cwd: Path, env: Mapping[str, str]) -> str:
    """Return the path of `program`, looked up as a shell in `cwd` with `env` would.

    Raises:
        ToolMissing: there is none.
    """
    named = str(cwd / program) if "/" in program else program
    # An absent PATH must not become this process's own PATH.
    found = shutil.which(named, path=env.get("PATH", ""))
    if found is None:
        raise ToolMissing(
            f"The program {program} was not found.",
            detail=f"It was looked for in PATH={env.get('PATH', '')}." if "/" not in program else "",
            remedy=f"Install {Path(program).name} and make sure that it is executable.",
        )
    return str(Path(found).absolute())


def claim(log_fd: int, log: Path) -> None:
    """Lock the log file, which is open. A command inherits the lock and keeps it when this process dies.

    Raises:
        AlreadyRunning: another command holds it.
    """
    try:
        fcntl.flock(log_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AlreadyRunning(
            f"Another command is still running in {log.parent}.",
            detail=f"It holds the lock on {log}. A command whose worker died stops within its grace.",
            remedy="Wait until it has ended, then try again.",
        ) from None


def is_claimed(log: Path) -> bool:
    """Return whether a command still writes to the log, even one that `run` does not wait for any more."""
    try:
        with log.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _input(stdin: bytes | None) -> BinaryIO:
    """Return an open file with the child's input. It lives in memory: the input may hold secrets."""
    if stdin is None:
        return Path(os.devnull).open("rb")
    file = os.fdopen(os.memfd_create("stdin"), "w+b")
    file.write(stdin)
    file.seek(0)
    return file


def _follow(
    child: subprocess.Popen[bytes],
    tail: _Tail,
    stop: threading.Event,
    on_line: Callable[[str], None],
    *,
    timeout: float,
    grace: float,
) -> Reason | None:
    """Give the child's lines to `on_line` until it has ended; return why it was asked to stop, if it was."""
    deadline = time.monotonic() + timeout
    reason: Reason | None = None
    try:
        with _Exit(child) as exit_:
            while not exit_.wait(POLL_SECONDS):
                for line in tail.lines():
                    on_line(line)
                if reason is None and (reason := _reason_to_stop(stop, deadline)):
                    child.terminate()
            if child.returncode < 0:
                end_session(child.pid, grace)
            for line in tail.rest():
                on_line(line)
    except BaseException:
        # SIGTERM to the launcher, which passes it on at most once.
        child.terminate()
        child.wait()
        raise
    return reason


def _reason_to_stop(stop: threading.Event, deadline: float) -> Reason | None:
    if stop.is_set():
        return "stop"
    return "timeout" if time.monotonic() >= deadline else None


class _Exit:
    """Waits for a child's end through a pidfd: no busy loop, and no latency when it ends."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child

    def __enter__(self) -> _Exit:
        self._pidfd = os.pidfd_open(self._child.pid)
        self._poll = select.poll()
        self._poll.register(self._pidfd, select.POLLIN)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pidfd)

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` and return whether the child has ended; it is reaped if so."""
        return bool(self._poll.poll(seconds * 1000)) and self._child.wait() is not None


class _Tail:
    """What is appended to a file from now on, as lines. Holds no more than one line and one chunk in
    memory."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._start = self._offset = os.fstat(fd).st_size
        self._partial = bytearray()

    def lines(self) -> Iterator[str]:
        """Yield the complete lines of the next chunk."""
        chunk = os.pread(self._fd, CHUNK_BYTES, self._offset)
        self._offset += len(chunk)
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield self._take(end)
        self._append(rest)

    def rest(self) -> Iterator[str]:
        """Yield the lines up to the present end of the file, the last one even if its line end is missing."""
        size = os.fstat(self._fd).st_size
        while self._offset < size:
            yield from self.lines()
        if self._partial:
            yield self._take(b"")

    def last(self, size: int) -> str:
        """Return the last `size` bytes appended since the start."""
        end = os.fstat(self._fd).st_size
        start = max(self._start, end - size)
        return os.pread(self._fd, end - start, start).decode(errors="replace")

    def _append(self, piece: bytes) -> None:
        self._partial += piece[: LINE_BYTES - len(self._partial)]

    def _take(self, end: bytes) -> str:
        self._append(end)
        line = self._partial.decode(errors="replace")
        self._partial.clear()
        return line.removesuffix("\r")
