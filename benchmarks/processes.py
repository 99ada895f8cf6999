"""Child processes of the benchmark: their time, and the memory of a whole process tree."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

SAMPLE_SECONDS = 0.05


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
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkFailed(f"{command[0]} did not end within {timeout:g} s") from error
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise BenchmarkFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return Finished(seconds, done.stdout)


class PeakMemory:
    """Samples the memory of this process's descendants while the block runs; read `mib` after it.

    Memory is the sum of the proportional set sizes (PSS, proc(5)): pages shared by several processes count
    once in all. Peaks shorter than the time between two samples can be missed.
    """

    def __init__(self, every_seconds: float = SAMPLE_SECONDS) -> None:
        self.mib = 0.0
        self._every = every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)

    def __enter__(self) -> Self:
        """Start sampling."""
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
            total = sum(pss_kib(pid) for pid in descendants(os.getpid()))
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


def _parent(process: Path) -> int | None:
    try:
        text = (process / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name is in parentheses and may hold anything.
    return int(text.rpartition(")")[2].split()[1])
