"""A worker in a pod: a process with a disk of its own, or a PID namespace with a mount of its own."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.crash_matrix.processes import TEMPORARY, Found, end_at_once
from tests.support.process_tree import parent
from tests.support.waiting import until

from beta9_provisioning.local.processes import ProcessRef
from beta9_provisioning.local.servers import spawn

_DISK_MEGABYTES = 256
# The worker is process 1 of its namespaces, which end with it.
_ISOLATED = (
    *("unshare", "--fork", "--pid", "--mount", "--uts", "--mount-proc", "--kill-child", "sh", "-c"),
    'hostname "$1" && mount -t tmpfs -o "size=$2m" tmpfs "$3" && cd "$3" && mkdir tmp && shift 3; exec "$@"',
    "pod",
)


@dataclass
class Pod:
    """One worker and its disk.

    Attributes:
        ended_at: when it was killed, cut off or told to stop, in Unix seconds; 0 before.
        is_expected: whether it is to be replaced when it has ended.
        is_told: whether it was told to stop.
    """

    name: str
    directory: Path
    isolated: bool
    log: Path
    ended_at: float = 0.0
    is_expected: bool = True
    is_told: bool = False
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def named(cls, place: Path, name: str, *, isolated: bool) -> Pod:
        """Return a pod with an empty directory; its log is kept when that goes."""
        directory = place / name
        directory.mkdir(parents=True)
        return cls(name, directory, isolated, place.parent / f"{name}.log")

    def start(self, settings: Mapping[str, str]) -> None:
        """Start the worker; `wait_until_ready` waits for it."""
        command = [sys.executable, "-m", "beta9_provisioning.worker"]
        if self.isolated:
            command = [*_ISOLATED, self.name, str(_DISK_MEGABYTES), str(self.directory), *command]
        else:
            (self.directory / TEMPORARY).mkdir()
        environment = {**settings, "WORKER_METRICS_PORT": "0"}
        self._child = spawn(command, environment, cwd=self.directory, log=self.log, tied=True)

    @property
    def is_ready(self) -> bool:
        """Whether it takes operations, as its log says."""
        return '"worker_started"' in self.log.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        """Wait until it takes operations."""
        until(lambda: self.is_ready or not self.is_running, f"{self.name} has started")
        assert self.is_running, self.log.read_text()

    @property
    def is_running(self) -> bool:
        """Whether the worker has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The worker itself, as this machine knows it."""
        assert self._child is not None
        if not self.isolated:
            return self._child.pid
        [init] = [
            int(entry.name)
            for entry in Path("/proc").glob("[0-9]*")
            if parent(int(entry.name)) == self._child.pid
        ]
        return init

    @property
    def worker(self) -> str:
        """How attempts name the worker; empty when it has ended."""
        if not self.is_running:
            return ""
        return f"{self.name}:1" if self.isolated else f"{socket.gethostname()}:{self.pid}"

    @property
    def disk(self) -> Path:
        """Its directory, as this machine can reach it."""
        if not self.isolated:
            return self.directory
        return Path(f"/proc/{self.pid}/root{self.directory}")

    def terminate(self) -> None:
        """Tell the worker to stop, as an update of its Deployment does; only once.

        A second signal may find a process that has done its work, and takes none any more: it ends by it.
        """
        if self.is_told:
            return
        self.is_told = True
        ProcessRef.of(self.pid)
        subprocess.run(["kill", "-TERM", str(self.pid)], check=True)

    def kill(self, members: Iterable[Found]) -> None:
        """End all that runs in it at once; its disk is gone with it."""
        if self.isolated:
            subprocess.run(["kill", f"-{signal.SIGKILL}", str(self.pid)], check=True)
        else:
            end_at_once(members)
        assert self._child is not None
        self._child.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def wait(self, seconds: float) -> int | None:
        """Wait for the worker's end; return its exit code, or None when it has not ended."""
        assert self._child is not None
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
