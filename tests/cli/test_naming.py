"""Names where IDs are wanted, IDs for scripts, completion, and what a list leaves out."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client import fake_api
from tests.client.fake_api import BASE, ENVIRONMENT_ID, FINISHED, FakeApi, answer_json, stream
from typer.testing import CliRunner, Result

from beta9_provisioning.cli.main import app
from beta9_provisioning.local.ports import free_port

ONE = f"{BASE}/{ENVIRONMENT_ID}"
PROGRAM = [sys.executable, "-c", "from beta9_provisioning.cli.main import main; main()"]
READY = fake_api.environment(status="ready", operation=FINISHED, outputs={"cluster_name": "c"})


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    """A service with one environment, `demo`."""
    with fake_api.serving() as running:
        running.on("GET", BASE, answer_json({"items": [fake_api.summary()], "next_cursor": None}))
        for method in ("GET", "PATCH", "DELETE"):
            running.on(method, ONE, answer_json(READY))
        running.on("GET", f"{ONE}/events", stream(), answer_json({"items": [], "next_after": None}))
        running.on("GET", f"{ONE}/kubeconfig", fake_api.body(200, "kind: Config\n", "text/yaml"))
        yield running


def call(fake: FakeApi, *arguments: str) -> Result:
    variables = {"BETA9_PROVISIONING_URL": fake.url, "COLUMNS": "200"}
    return CliRunner(env=variables).invoke(app, ["env", *arguments])


@pytest.mark.parametrize(
    "command",
    [
        ["get"],
        ["watch"],
        ["events", "--follow"],
        ["outputs"],
        ["kubeconfig"],
        ["wait", "--for", "ready"],
        ["update", "--deletion-protection"],
        ["delete", "--yes"],
    ],
    ids=lambda command: command[0],
)
def test_a_name_was_refused_where_the_program_knew_the_id(fake: FakeApi, command: list[str]) -> None:
    name, *options = command
    result = call(fake, name, "demo", *options)
    assert result.exit_code == 0, result.output
    assert fake.requests("GET", BASE)[0].query == "name=demo&limit=1"


def test_an_id_is_not_looked_up(fake: FakeApi) -> None:
    assert call(fake, "get", ENVIRONMENT_ID).exit_code == 0
    assert not fake.requests("GET", BASE)


@pytest.mark.parametrize("options", [["-q"], ["-o", "name"]], ids=" ".join)
@pytest.mark.parametrize("command", [["list"], ["get", "demo"], ["delete", "demo", "--yes"]], ids=" ".join)
def test_scripts_had_to_cut_the_id_out_of_a_table(
    fake: FakeApi, command: list[str], options: list[str]
) -> None:
    assert call(fake, *command, *options).stdout == f"{ENVIRONMENT_ID}\n"


def test_create_gives_scripts_the_id_alone(fake: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{}")
    fake.on("POST", BASE, answer_json(fake_api.environment(), 202))
    assert call(fake, "create", "-f", str(tmp_path / "c.json"), "-q").stdout == f"{ENVIRONMENT_ID}\n"


def test_destroyed_environments_were_listed_for_ever(fake: FakeApi) -> None:
    call(fake, "list")
    call(fake, "list", "--all")
    call(fake, "list", "--status", "destroyed")
    queries = [request.query for request in fake.requests("GET", BASE)]
    assert "status=ready" in queries[0]
    assert "destroyed" not in queries[0]
    assert queries[1:] == ["limit=101", "status=destroyed&limit=101"]


def test_limit_cut_without_a_word(fake: FakeApi) -> None:
    items = [fake_api.summary(name=f"n{number}") for number in range(3)]
    fake.scripts["GET", BASE].clear()
    fake.on("GET", BASE, answer_json({"items": items, "next_cursor": None}))
    result = call(fake, "list", "--limit", "2", "-o", "json")
    assert [item["name"] for item in json.loads(result.stdout)] == ["n0", "n1"]
    assert (
        result.stderr == "There are more environments: the newest 2 are shown. Raise --limit to see them.\n"
    )
    assert call(fake, "list", "--limit", "3").stderr == ""
    history = {"items": [fake_api.event(1), fake_api.event(2)], "next_after": None}
    fake.scripts["GET", f"{ONE}/events"].clear()
    fake.on("GET", f"{ONE}/events", answer_json(history))
    cut = call(fake, "events", "demo", "--limit", "1").stderr
    assert cut == "There are more events: the oldest 1 are shown. Raise --limit to see them.\n"
    assert call(fake, "events", "demo", "--limit", "2").stderr == ""


def complete(url: str, words: str) -> list[str]:
    variables = {
        **os.environ,
        "BETA9_PROVISIONING_URL": url,
        "_BETA9_PROVISIONING_COMPLETE": "complete_bash",
        "COMP_WORDS": f"beta9-provisioning {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    done = subprocess.run(PROGRAM, env=variables, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def test_ids_and_names_did_not_complete(fake: FakeApi) -> None:
    items = [fake_api.summary(), fake_api.summary(name="evil;reboot", environment_id="env_\x1b]0;x")]
    fake.scripts["GET", BASE].clear()
    fake.on("GET", BASE, answer_json({"items": items, "next_cursor": None}))
    assert complete(fake.url, "env get de") == ["demo"]
    assert complete(fake.url, "env delete env_") == [ENVIRONMENT_ID]
    assert complete(fake.url, f"env watch --server {fake.url} d") == ["demo"]


def test_completion_without_a_service_is_silent() -> None:
    assert complete(f"http://127.0.0.1:{free_port()}", "env get d") == []
