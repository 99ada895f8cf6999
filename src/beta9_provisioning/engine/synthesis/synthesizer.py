"""Synthesis in processes of its own, of which the next one has always been started ahead.

jsii never frees what was synthesized, so a child (`child`) serves one request and ends. Nearly all
its time goes into its start: Python's imports and Node.js. A spare child has that behind it, and waits. What
this gains and costs is in docs/adr/0005-warm-synthesizer.md.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

from beta9_provisioning.engine.errors import Stopped, SynthesisError
from beta9_provisioning.engine.processes import launcher
from beta9_provisioning.engine.processes.child_variables import SYNTHESIS, chosen
from beta9_provisioning.engine.processes.process import UNBOUNDED
from beta9_provisioning.engine.processes.watchdog import UNWATCHED
from beta9_provisioning.engine.synthesis.child import Request
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.kit.temporary import temporary_directory

# The next spare starts so long after one was taken, unless it is needed before: its start takes about a
# second of one processor, and the operation that took the last one goes on with Terraform.
RESPITE_SECONDS = 5.0
# A spare that does not answer within this share of the time hangs; another child gets the rest.
SPARE_SHARE = 0.25
# What a child needs at most to remove its temporary files when it is stopped.
GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.05
_CHUNK_BYTES = 64 * 1024
_LAST_WORDS_BYTES = 16 * 1024
_STOPPED = "Synthesis was stopped."


class Synthesizer:
    """Synthesizes for any number of threads at once.

    A context manager: entering it starts the first spare in the background, leaving it ends all children,
    those at work too. Outside of it nothing is synthesized.
    """

    def __init__(self, module: str) -> None:
        """Prepare; nothing is started. `module`, run with `python -m`, is a child."""
        self._module = module
        self._lock = threading.Lock()
        self._children: list[_Child] = []
        self._spare: _Child | None = None

    def __enter__(self) -> Self:
        with self._lock:
            self._spare = self._start(after=0)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            spare, self._spare = self._spare, None
        for child in self._children:
            child.stop()
        for child in self._children:
            child.join()
        if spare is not None:
            spare.forget()

    def synthesize(
        self,
        subject: Subject,
        outdir: Path,
        stop: threading.Event,
        *,
        timeout: float = 120,
    ) -> Path:
        """Write the Terraform configuration of an environment below `outdir`, in a child, within `timeout`
        seconds; return the directory that holds it.

        Whatever it raises, nothing writes to `outdir` afterwards.

        Raises:
            Stopped: `stop` was set, or the synthesizer was left.
            SynthesisError: what the child said; with code `timeout` when the time has passed.
        """
        outdir.mkdir(parents=True, exist_ok=True)
        request = Request(subject, outdir.absolute()).to_line()
        deadline = time.monotonic() + timeout
        try:
            return self._take().ask(request, stop, timeout * SPARE_SHARE)
        except _NoAnswer:
            return self._take().ask(request, stop, deadline - time.monotonic())

    def _take(self) -> _Child:
        """Return the spare, which may not be ready or not even started yet, and see to the next one."""
        with self._lock:
            taken = self._spare
            if taken is None:
                raise Stopped(_STOPPED)
            self._spare = self._start(after=RESPITE_SECONDS)
        return taken

    def _start(self, after: float) -> _Child:
        self._children = [child for child in self._children if child.lives()]
        self._children.append(child := _Child(self._module, after))
        return child


class _NoAnswer(SynthesisError):
    """A child died or hung. Another one may do better."""


class _Child:
    """One child below the launcher, on a thread that starts it and lives as long: see `launcher`.

    It starts after so many seconds, or as soon as it is asked.
    """

    def __init__(self, module: str, after: float) -> None:
        self._module = module
        self._socket, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._after = after
        self._needed = threading.Event()
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None
        self._last_words = ""
        self._scratch = temporary_directory() / f"beta9-synthesis-{secrets.token_hex(8)}"
        self._thread = threading.Thread(target=self._keep, args=(theirs,), name="synthesis", daemon=True)
        self._thread.start()

    def lives(self) -> bool:
        """Return whether it has not ended yet."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ask it to end; its launcher kills it after its grace."""
        with self._lock:
            self._stopped = True
            self._needed.set()
            if self._process is not None:
                self._process.terminate()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def forget(self) -> None:
        """Release what is held for whoever asks. `ask` does so itself."""
        self._socket.close()

    def ask(self, request: bytes, stop: threading.Event, seconds: float) -> Path:
        """Send the request and return the directory that the answer names. A child can be asked once.

        Raises:
            Stopped: `stop` was set, or `stop()` was called; the child has ended.
            _NoAnswer: it took too long, or ended without an answer; it has ended.
            SynthesisError: the answer is an error.
        """
        self._needed.set()
        try:
            with self._socket:
                line = self._exchange(request, stop, time.monotonic() + seconds)
        except (ConnectionError, EOFError) as error:
            self.join()
            if self._stopped:
                raise Stopped(_STOPPED) from None
            raise _NoAnswer("Synthesis ended unexpectedly.", detail=self._last_words) from error
        except BaseException:
            self.stop()
            self.join()
            raise
        return _directory(line)

    def _exchange(self, request: bytes, stop: threading.Event, deadline: float) -> bytes:
        """Send the request and return the line that answers it."""
        # A child that could not even get ready has answered before it was asked, and has ended.
        with suppress(BrokenPipeError):
            self._socket.sendall(request)  # does not block: it is far smaller than the socket's buffer
        self._socket.settimeout(_POLL_SECONDS)
        received = bytearray()
        while not received.endswith(b"\n"):
            if stop.is_set():
                raise Stopped(_STOPPED)
            if time.monotonic() >= deadline:
                raise _NoAnswer(
                    "Synthesis did not end in time.",
                    remedy="The machine may be overloaded. Try again.",
                    code="timeout",
                )
            with suppress(TimeoutError):
                received += self._receive()
        return bytes(received)

    def _receive(self) -> bytes:
        chunk = self._socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise EOFError
        return chunk

    def _keep(self, theirs: socket.socket) -> None:
        self._needed.wait(self._after)
        # In memory: when the disk is full, this is what tells it.
        with os.fdopen(os.memfd_create("synthesis"), "w+b") as errors:
            with theirs, self._lock:
                if not self._stopped:
                    self._process = _start(self._module, self._scratch, theirs, errors)
            if self._process is not None:
                self._process.wait()
                # Node.js may have written while the child removed it; only now has all of its group ended.
                shutil.rmtree(self._scratch, ignore_errors=True)
            # What it said is told when it ended without an answer.
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - _LAST_WORDS_BYTES))
            self._last_words = errors.read().decode(errors="replace")


def _start(module: str, scratch: Path, channel: socket.socket, errors: BinaryIO) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", launcher.__file__]
    command += [str(os.getpid()), str(int(signal.SIGINT)), str(GRACE_SECONDS), *UNBOUNDED.words]
    command += UNWATCHED
    command += [sys.executable, "-P", "-m", module, str(scratch.absolute())]
    # Not the whole environment: CDK Terrain takes settings from variables of its own.
    env = chosen(os.environ, SYNTHESIS)
    return subprocess.Popen(
        command,
        env=env,
        stdin=channel.fileno(),
        stdout=channel.fileno(),
        stderr=errors,
        start_new_session=True,
    )


def _directory(line: bytes) -> Path:
    """Return the directory that an answer names.

    Raises:
        SynthesisError: the answer is an error.
    """
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    match answer:
        case {"directory": str(directory)}:
            return Path(directory)
        case {"error": {"code": code, "message": message, "detail": detail, "remedy": remedy}}:
            raise SynthesisError(message, detail=detail, remedy=remedy, code=code)
        case _:
            raise SynthesisError("Synthesis gave no answer.", detail=line.decode(errors="replace"))
