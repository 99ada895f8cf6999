"""The processes of one case, as /proc shows them: every one carries the case's directory in its TMPDIR.

That variable is passed on to Terraform, Helm, their plugins and the synthesizer, so that a process is known
for ours, and for its pod's, whoever has become its parent.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from beta9_provisioning.local.processes import ProcessRef

PODS = "pods"
TEMPORARY = "tmp"
_WRITERS = ("apply", "destroy", "import", "untaint", "state push")


@dataclass(frozen=True)
class Found:
    """A living process of a case.

    Attributes:
        pod: the name of the pod that it belongs to.
        words: its command line.
        directory: its working directory.
    """

    ref: ProcessRef
    pod: str
    words: tuple[str, ...]
    directory: str

    @property
    def role(self) -> str:
        """What it is: worker, api, launcher, terraform, helm, provider, or something else."""
        line = " ".join(self.words)
        if "launcher.py" in line:
            return "launcher"
        if self.words[1:] == ("-m", "beta9_provisioning.worker"):
            return "worker"
        if "beta9_provisioning.api" in line:
            return "api"
        if "cloud.provider" in line or "terraform-provider" in line:
            return "provider"
        name = Path(self.words[0]).name if self.words else ""
        return {"terraform": "terraform", "tofu": "terraform", "helm": "helm"}.get(name, name or "other")

    @property
    def writes(self) -> bool:
        """Whether it is a Terraform that may write the state or the account."""
        return self.role == "terraform" and " ".join(self.words[1:]).startswith(_WRITERS)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal, unless it has ended."""
        if self.ref.is_running():
            os.kill(self.ref.pid, number)


def processes(directory: Path) -> list[Found]:
    """Return the living processes of the case in a directory."""
    wanted = f"TMPDIR={directory}/{PODS}/".encode()
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            mark = next(
                (one for one in _read(entry.name, "environ").split(b"\0") if one.startswith(wanted)), None
            )
            if mark is None:
                continue
            words = tuple(word.decode() for word in _read(entry.name, "cmdline").split(b"\0")[:-1])
            ref = ProcessRef.of(int(entry.name))
            place = str(Path(f"/proc/{entry.name}/cwd").readlink())
        except OSError:
            continue  # it has ended meanwhile
        if ref.is_running():
            found.append(Found(ref, mark[len(wanted) :].split(b"/", 1)[0].decode(), words, place))
    return found


def end_at_once(found: Iterable[Found]) -> None:
    """Kill many processes as the end of their machine does: none sees another one end."""
    ours = list(found)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for one in ours:
            one.kill(number)


def _read(pid: str, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()
