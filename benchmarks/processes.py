"""Child processes of the benchmark: their time, and the memory of a whole process tree."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

SAMPLE_SECONDS = 0.05
_GRACE_SECONDS = 60.0
_SHOWN = 4000


class BenchmarkFailed(Exception):
    """Something that is measured does not work; the message says what, and shows its output."""


@dataclass(frozen=True)
class Finished:
    """A child that succeeded: seconds from start to end, and what it printed."""

    seconds: float
    output: str


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 600
) -> Finished:
    """Run a child to its end; its stdout and stderr are collected together.

    Raises:
        BenchmarkFailed: it failed, or took longer than `timeout` seconds.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        # A group of its own, because a child that takes too long may have children, too.
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = child.wait(timeout)
            seconds = time.monotonic() - began
            problem = f"ended with exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            problem = f"did not end within {timeout:g} s"
        finally:
            _end_group(child)
        log.seek(0)
        output = log.read()
    if problem:
        raise BenchmarkFailed(f"`{' '.join(command)}` {problem}:\n{output[-_SHOWN:]}")
    return Finished(seconds, output)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Interrupt a child and its children, give it time to end, and kill what is left of them."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_SECONDS)
    with suppress(ProcessLookupError):  # there is nothing left
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


class PeakMemory:
    """Samples the memory of the descendants that come while the block runs; read `mib` after it.

    Memory is the sum of the proportional set sizes (PSS, proc(5)): pages shared by several processes count
    once in all. Peaks shorter than the time between two samples can be missed.
    """

    def __init__(self, every_seconds: float = SAMPLE_SECONDS) -> None:
        self.mib = 0.0
        self._every = every_seconds
        self._over = threading.Event()
        self._others: set[int] = set()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)

    def __enter__(self) -> Self:
        """Start sampling."""
        self._others.update(descendants(os.getpid()))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sampling."""
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(self._every):
            ours = set(descendants(os.getpid())) - self._others
            total = sum(pss_kib(pid) for pid in ours)
            self.mib = max(self.mib, total / 1024)


def descendants(root: int) -> list[int]:
    """Return the processes that descend from `root`, without itself."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            children[parent].append(int(entry.name))
    found = list(children[root])
    for pid in found:  # grows while it is walked
        found.extend(children[pid])
    return found


def pss_kib(pid: int) -> int:
    """Return the proportional set size of a process in KiB; 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def cpu_seconds(root: int) -> float:
    """Return the processor time of a process and its living descendants since their start."""
    return sum(_ticks(Path(f"/proc/{pid}")) for pid in [root, *descendants(root)]) / os.sysconf("SC_CLK_TCK")


def _ticks(process: Path) -> int:
    fields = _stat(process)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _parent(process: Path) -> int | None:
    fields = _stat(process)
    return int(fields[1]) if fields else None


def _stat(process: Path) -> list[str]:
    """Return the fields from the third on, the state (proc(5)); none when the process has ended."""
    try:
        text = (process / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The command's name is in parentheses and may hold anything.
    return text.rpartition(")")[2].split()
