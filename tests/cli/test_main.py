"""The command line as a program: help, completion, imports, signals, the service's commands."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.client import fake_api
from tests.client.fake_api import BASE, ENVIRONMENT_ID, answer_json, event, stream
from tests.support.waiting import GUARD_SECONDS
from typer.testing import CliRunner

from beta9_provisioning.cli.main import app
from beta9_provisioning.cli.output import ExitCode

PROGRAM = [sys.executable, "-c", "from beta9_provisioning.cli.main import main; main()"]


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*path, name))


COMMANDS = list(_commands(typer.main.get_command(app)))


def test_all_commands_are_there() -> None:
    names = {" ".join(path) for path in COMMANDS}
    assert names >= {
        *(f"env {name}" for name in ("create", "list", "get", "watch", "events", "outputs", "kubeconfig")),
        *(f"local {name}" for name in ("up", "down", "status", "env", "demo")),
        *("env delete", "api", "worker", "db init", "token", "version"),
    }


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "top")
def test_every_help_text_shows_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    examples = [line for line in result.stdout.splitlines() if "Example:" in line]
    assert len(examples) == 1
    assert " ".join(("beta9-provisioning", *path)) in examples[0]


def test_help_lists_the_exit_codes() -> None:
    text = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["--help"]).stdout
    for code in ("0", "1", "2", "3", "4", "5", "130"):
        assert f"{code} " in text.split("Exit codes:")[1]


def test_the_documented_exit_codes_are_those_of_the_program() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    assert set(re.findall(r"^\| (\d+) \|", page, re.MULTILINE)) == {str(int(code)) for code in ExitCode}


def test_completion_completes(tmp_path: Path) -> None:
    variables = {
        **os.environ,
        "_BETA9_PROVISIONING_COMPLETE": "complete_bash",
        "COMP_WORDS": "beta9-provisioning env li",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(PROGRAM, env=variables, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.split() == ["list"]


def test_help_needs_no_heavy_imports() -> None:
    """Start-up must stay fast; a timed test would be flaky, so look at what makes it slow."""
    code = (
        "import sys; from beta9_provisioning.cli.main import app\n"
        "heavy = {'httpx', 'pydantic', 'ruamel', 'boto3', 'botocore', 'sqlalchemy', 'fastapi', 'psycopg'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("command", "module"),
    [(["api"], "api"), (["worker"], "worker"), (["db", "init"], "operations.records.migrate")],
)
def test_service_commands_become_the_service(
    monkeypatch: pytest.MonkeyPatch, command: list[str], module: str
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _path, arguments: became.append(arguments))
    assert CliRunner().invoke(app, command).exit_code == 0
    assert became == [[sys.executable, "-m", f"beta9_provisioning.{module}"]]


def test_the_version_has_one_source() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    number = project["version"]
    assert CliRunner().invoke(app, ["--version"]).stdout == f"{number}\n"
    assert CliRunner().invoke(app, ["version"]).stdout == f"{number}\n"
    assert json.loads(CliRunner().invoke(app, ["version", "-o", "json"]).stdout) == {"version": number}


def test_token_without_credentials_says_what_to_do(tmp_path: Path) -> None:
    # No AWS CLI on PATH, which might know somebody.
    variables = {**os.environ, "PATH": str(tmp_path)}
    arguments = ["token", "--cluster", "c", "--region", "us-east-1", "--role-arn", "arn:aws:iam::1:role/x"]
    done = subprocess.run(
        [*PROGRAM, *arguments], env=variables, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "credentials" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("output", ["table", "json"])
def test_ctrl_c_leaves_the_operation_and_says_so(output: str) -> None:
    with fake_api.serving() as fake:
        fake.on("GET", f"{BASE}/{ENVIRONMENT_ID}", answer_json(fake_api.environment()))
        started = event(1, step="a", title="Creating")
        fake.on("GET", f"{BASE}/{ENVIRONMENT_ID}/events", stream(started, then="hang"))
        variables = {**os.environ, "BETA9_PROVISIONING_URL": fake.url, "PYTHONUNBUFFERED": "1"}
        watching = subprocess.Popen(
            [*PROGRAM, "env", "watch", ENVIRONMENT_ID, "-o", output],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        while "Creating" not in watching.stdout.readline():
            assert watching.poll() is None
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=GUARD_SECONDS)
    assert watching.returncode == 130
    assert f"beta9-provisioning env watch {ENVIRONMENT_ID}" in errors
    assert "goes on" in errors
    assert "Traceback" not in errors
