"""The local stack, genuine processes on free ports: up, looked at, broken, taken over, down."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.local.ports import HOST, PortTaken
from beta9_provisioning.local.postgres import data_directory
from beta9_provisioning.local.servers import ServiceError
from beta9_provisioning.local.stack import AlreadyUp, Stack
from beta9_provisioning.local.state import State

MEMBERS = ["postgres", "valkey", "simulator", "api", "worker"]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path / "stack", lambda _: None, tied=True)
    yield made
    made.down()


def _get(url: str) -> object:
    with urllib.request.urlopen(url, timeout=GUARD_SECONDS) as response:
        return json.load(response)


def test_life_of_a_stack(stack: Stack) -> None:
    state = stack.up(api_port=0, time_scale=0)
    assert [member.name for member in state.members] == MEMBERS
    assert state.is_running()
    assert State.load(stack.directory) == state
    assert _get(f"{state.api_url}/health") == {"status": "healthy", "service": "beta9-provisioning"}
    assert _get(f"{stack.simulator().control_url}/leftovers") == {"cloud": [], "clusters": []}
    for secret in (stack.directory / "state.json", stack.directory / "cloud" / "simulator.json"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert sorted(path.name for path in stack.logs.iterdir()) == sorted(
        [*(f"{name}.log" for name in MEMBERS), "db-init.log"]
    )
    _a_user_gets_a_token(state)

    with pytest.raises(AlreadyUp, match=state.api_url):
        stack.up(api_port=0, time_scale=0)

    api = next(member for member in state.members if member.name == "api")
    os.kill(api.pid, signal.SIGKILL)
    until(state.ended, "the API has ended")
    assert [member.name for member in state.ended()] == ["api"]

    again = stack.up(api_port=0, time_scale=0)  # takes over what is left of the first
    assert again.is_running()
    assert not [member for member in state.members if member.reference.is_running()]

    data = data_directory(stack.directory)
    assert data.exists()
    assert stack.down()
    assert not [member for member in again.members if member.reference.is_running()]
    assert not data.exists()
    assert [path.name for path in stack.directory.iterdir() if path.is_dir()] == ["logs"]
    assert not stack.down()


def _a_user_gets_a_token(state: State) -> None:
    """With the environment that `local env` prints, the simulated STS lets the user assume the role."""
    command = ["beta9-provisioning", "token", "--cluster", "c", "--region", "us-east-1"]
    command += ["--role-arn", "arn:aws:iam::123456789012:role/Beta9Provisioner"]
    program = shutil.which("beta9-provisioning", path=state.environment["PATH"])
    assert program is not None
    allowed = subprocess.run(
        [program, *command[1:], "--external-id", "b9-3f1c7a52e0d84f6b"],
        env=state.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert allowed.returncode == 0, allowed.stderr
    assert json.loads(allowed.stdout)["kind"] == "ExecCredential"
    refused = subprocess.run(
        [program, *command[1:], "--external-id", "wrong"],
        env=state.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stdout == ""


def test_a_taken_port_is_named_and_nothing_is_left(stack: Stack) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port} for the API is taken by .*--port-offset"):
            stack.up(api_port=port, time_scale=0)
    assert State.load(stack.directory) is None


def test_a_part_that_does_not_start_takes_the_others_down(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEASE_SECONDS", "nonsense")
    started: list[str] = []
    stack._report = started.append
    with pytest.raises(ServiceError, match=r"(?si)failed with exit code \d.*lease_seconds"):
        stack.up(api_port=0, time_scale=0)
    assert [line for line in started if line.startswith("Stopping")] == [
        "Stopping simulator",
        "Stopping valkey",
        "Stopping postgres",
    ]
    assert State.load(stack.directory) is None
    assert not data_directory(stack.directory).exists()


def test_servers_of_the_user_are_not_replaced(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://nobody:x@{HOST}:1/none")
    monkeypatch.setenv("REDIS_URL", f"redis://{HOST}:1/0")
    started: list[str] = []
    stack._report = started.append
    with pytest.raises(ServiceError, match="db init"):
        stack.up(api_port=0, time_scale=0)
    assert not {"Starting PostgreSQL", "Starting Valkey"} & set(started)


def test_a_tied_stack_ends_with_its_starter_even_when_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time\n"
        "from beta9_provisioning.local.stack import Stack\n"
        "Stack(pathlib.Path(sys.argv[1]), lambda _: None, tied=True).up(api_port=0, time_scale=0)\n"
        "print('up', flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    assert starter.stdout.readline() == "up\n"
    state = State.load(tmp_path)
    assert state is not None
    assert state.is_running()
    starter.kill()
    starter.wait()
    starter.stdout.close()
    try:
        until(lambda: len(state.ended()) == len(MEMBERS), "all have ended")
    finally:
        Stack(tmp_path, lambda _: None).down()
