"""A worker, a simulator and a local stack end in order whatever signals come, and however many at once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.simulated import ROOT
from tests.support.waiting import until

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.local.tools import ensure_tools, find_terraform
from beta9_provisioning.settings import Settings

PAIRS = 2000
STACK = """
import sys
from pathlib import Path
from beta9_provisioning.local.foreground import wait_for_end
from beta9_provisioning.local.stack import Stack
from beta9_provisioning.local.state import State


class Running(State):
    def ended(self):
        print("ready", flush=True)  # it waits, with its handlers in place
        return []


class Ending(Stack):
    def down(self):
        was_ours = super().down()
        print("ended", flush=True)  # later, a signal may end the process before it says anything
        return was_ours


wait_for_end(Ending(Path(sys.argv[1]), lambda _: None), Running())
"""
ORDERLY = {"worker": "worker_stopped", "stack": "ended", "simulator": ""}
"""What each has written when it has ended in order; the simulator writes nothing then."""


class Started:
    """A process and what it prints."""

    def __init__(self, command: list[str], environment: dict[str, str], directory: Path, ready: str) -> None:
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(command, cwd=directory, env=environment, stdout=log, stderr=log)
        until(lambda: self._is_ready(ready), "it has started")

    def _is_ready(self, word: str) -> bool:
        text = self.log.read_text() + "".join(str(path) for path in self.log.parent.iterdir())
        assert self.child.poll() is None, text
        return word in text


def start(kind: str, settings: Settings, directory: Path, prefix: tuple[str, ...] = ()) -> Started:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "WORKDIR_BASE": str(directory / "work"),
        "CHART_SOURCE": str(directory),
        "WORKER_METRICS_PORT": "0",
        "TERRAFORM_BINARY": str(find_terraform()),
        "HELM_BINARY": str(ensure_tools(ROOT).helm),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    simulator = ["-m", "beta9_simulator", str(directory), "--provider-schema", str(SCHEMA_FILE)]
    simulator += ["--account", "123456789012", "--external-id", "id", "--time-scale", "0"]
    arguments, ready = {
        "worker": (["-m", "beta9_provisioning.worker"], "worker_started"),
        "simulator": (simulator, "simulator.json"),
        "stack": (["-c", STACK, str(directory)], "ready"),
    }[kind]
    return Started([*prefix, sys.executable, *arguments], environment, directory, ready)


def takes(pid: int, number: signal.Signals) -> bool:
    """Tell, as the kernel knows it, whether a process has a handler for a signal, or waits for it.

    A thread that waits blocks it no longer, but others of its process do.
    """
    for thread in Path(f"/proc/{pid}/task").iterdir():
        lines: list[str] = []
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            lines = (thread / "status").read_text().splitlines()
        masks = [line.split()[1] for line in lines if line.startswith(("SigCgt:", "SigBlk:"))]
        if any(int(mask, 16) >> (number - 1) & 1 for mask in masks):
            return True
    return False


@pytest.fixture(params=["worker", "simulator", "stack"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ended() -> Iterator[list[Started]]:
    """Processes to kill when the test is over."""
    started: list[Started] = []
    yield started
    for one in started:
        one.child.kill()
        one.child.wait()


def test_signals_that_come_at_once_cannot_hang_it(
    kind: str, settings: Settings, tmp_path: Path, ended: list[Started]
) -> None:
    started = start(kind, settings, tmp_path)
    ended.append(started)
    until(lambda: takes(started.child.pid, signal.SIGTERM), "it takes the signal")
    for _ in range(PAIRS):
        for number in (signal.SIGTERM, signal.SIGINT):
            started.child.send_signal(number)
    # One that comes when it has stopped, and Python is ending, may end it at once.
    assert started.child.wait(60) in (0, 1, -signal.SIGTERM, -signal.SIGINT)
    assert ORDERLY[kind] in started.log.read_text()


def test_a_hangup_ends_it_in_order(
    kind: str, settings: Settings, tmp_path: Path, ended: list[Started]
) -> None:
    started = start(kind, settings, tmp_path)
    ended.append(started)
    started.child.send_signal(signal.SIGHUP)
    assert started.child.wait(60) == 0


def test_ctrl_c_ends_what_a_shell_has_started_in_the_background(
    kind: str, settings: Settings, tmp_path: Path, ended: list[Started]
) -> None:
    started = start(kind, settings, tmp_path, ("sh", "-c", 'trap "" INT; exec "$@"', "sh"))
    ended.append(started)
    started.child.send_signal(signal.SIGINT)
    assert started.child.wait(60) == 0


def test_a_worker_below_nohup_survives_its_terminal(
    settings: Settings, tmp_path: Path, ended: list[Started]
) -> None:
    started = start("worker", settings, tmp_path, ("sh", "-c", 'trap "" HUP; exec "$@"', "sh"))
    ended.append(started)
    started.child.send_signal(signal.SIGHUP)
    started.child.send_signal(signal.SIGTERM)
    assert started.child.wait(60) == 0
    ignored = [line for line in started.log.read_text().splitlines() if "shutting_down" in line]
    assert len(ignored) == 1
