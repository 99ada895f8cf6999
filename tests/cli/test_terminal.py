"""The command line in a terminal: narrow, plain, interrupted, with a full disk, with a hostile server."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cli.test_main import COMMANDS
from tests.client import fake_api
from tests.client.fake_api import BASE, ENVIRONMENT_ID, FAILED, FakeApi, answer_json, event, problem, stream
from tests.support.terminals import CTRL_C, PROGRAM, run
from typer.testing import CliRunner

from beta9_provisioning.cli.main import app
from beta9_provisioning.local.ports import free_port

ONE = f"{BASE}/{ENVIRONMENT_ID}"
EVENTS = f"{ONE}/events"
NO_MORE = answer_json({"items": [], "next_after": None})
# Sets the title, clears the screen (as one C1 character, too), rings, and turns the direction of writing.
EVIL = "a\x1b]0;owned\x07\x1b[2J\x9b2J\u202eb"
STEERING = re.compile("\x1b\\]|\x1b\\[2J|[\x07\x9b\u202e]")


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    with fake_api.serving() as running:
        yield running


@pytest.fixture
def variables(fake: FakeApi) -> dict[str, str]:
    return {"BETA9_PROVISIONING_URL": fake.url}


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "top")
def test_the_help_of_update_could_not_be_read_at_80_columns(path: tuple[str, ...]) -> None:
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(app, [*path, "--help"]).stdout
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("columns", "shown"), [(60, "an-environment…"), (200, "an-environment-with-a-long-name")]
)
def test_a_list_at_60_columns_cut_the_status(
    fake: FakeApi, variables: dict[str, str], columns: int, shown: str
) -> None:
    item = fake_api.summary(
        name="an-environment-with-a-long-name", status="destroy_queued", region="ap-southeast-1"
    )
    fake.on("GET", BASE, answer_json({"items": [item], "next_cursor": None}))
    ended = run(["env", "list"], variables, columns=columns)
    row = ended.screen.splitlines()[1]
    assert ENVIRONMENT_ID in row
    assert "destroy_queued" in row
    assert shown in row


def test_ctrl_c_in_a_live_watch_erased_the_sentence_that_names_the_id(
    fake: FakeApi, variables: dict[str, str]
) -> None:
    fake.on("GET", ONE, answer_json(fake_api.environment(status="provisioning")))
    fake.on("GET", EVENTS, stream(event(1, step="a", title="Creating"), then="hang"))
    ended = run(["env", "watch", ENVIRONMENT_ID], variables, when="Creating", press=CTRL_C)
    assert ended.code == 130
    stays = ended.screen.rpartition("\x1b[2K")[2]
    assert f"beta9-provisioning env watch {ENVIRONMENT_ID}" in stays


@pytest.mark.parametrize(
    ("keys", "code", "told"),
    [(CTRL_C, 130, ""), (b"n\n", 1, "Nothing was deleted."), (b"\x04", 1, "Nothing")],
)
def test_ctrl_c_at_a_prompt_was_a_failure(
    fake: FakeApi, variables: dict[str, str], keys: bytes, code: int, told: str
) -> None:
    fake.on("GET", ONE, answer_json(fake_api.environment()))
    ended = run(["env", "delete", ENVIRONMENT_ID], variables, when="data?", press=keys, is_prompt=True)
    assert ended.code == code
    assert told in ended.screen
    assert not fake.requests("DELETE", ONE)


@pytest.mark.parametrize(
    "command",
    [
        ["list"],
        ["get", ENVIRONMENT_ID],
        ["watch", ENVIRONMENT_ID],
        ["events", ENVIRONMENT_ID],
        ["events", ENVIRONMENT_ID, "--follow", "-o", "json"],
        ["outputs", ENVIRONMENT_ID],
        ["outputs", ENVIRONMENT_ID, "x"],
        ["kubeconfig", ENVIRONMENT_ID],
        ["get", "env_refused"],
        ["get", ENVIRONMENT_ID, "-o", "json"],
        ["delete", ENVIRONMENT_ID],
    ],
    ids=" ".join,
)
def test_a_servers_text_steered_the_terminal(
    fake: FakeApi, variables: dict[str, str], command: list[str]
) -> None:
    error = {"code": EVIL, "message": EVIL, "detail": EVIL, "remedy": EVIL}
    evil: dict[str, Any] = {"name": EVIL, "region": EVIL, "provider": EVIL}
    environment = fake_api.environment(
        **evil, outputs={"x": EVIL, EVIL: EVIL}, error=error, operation=FAILED, status="failed"
    )
    told = [event(1, step="a", title=EVIL), event(2, message=EVIL), event(3, EVIL, EVIL)]
    fake.on("GET", BASE, answer_json({"items": [fake_api.summary(**evil)], "next_cursor": None}))
    fake.on("GET", ONE, answer_json(environment))
    follows = "watch" in command or "--follow" in command
    page = answer_json({"items": told, "next_after": None})
    fake.on("GET", EVENTS, *([stream(*told), NO_MORE] if follows else [page]))
    fake.on("GET", f"{ONE}/kubeconfig", fake_api.body(200, EVIL, "text/yaml"))
    errors = [{"field": EVIL, "message": EVIL, "allowed": [EVIL]}]
    fake.on("GET", f"{BASE}/env_refused", problem(409, EVIL, EVIL, errors))
    ended = run(["env", *command], variables, when="data?", press=b"n\n")
    assert "owned" in ended.screen
    # Rich itself hides and shows the cursor, colours and moves; it never does any of these.
    assert not STEERING.search(ended.screen)


def test_files_and_pipes_get_every_byte(fake: FakeApi, variables: dict[str, str]) -> None:
    fake.on("GET", ONE, answer_json(fake_api.environment(outputs={"x": EVIL})))
    for options, expected in (["x"], EVIL), (["-o", "json"], {"x": EVIL}):
        result = CliRunner(env=variables).invoke(app, ["env", "outputs", ENVIRONMENT_ID, *options])
        found = result.stdout.removesuffix("\n")
        assert (found if isinstance(expected, str) else json.loads(found)) == expected


@pytest.mark.parametrize("command", [["env", "get", ENVIRONMENT_ID], ["env", "get", "-h"], ["version"]])
def test_a_full_disk_was_a_traceback(fake: FakeApi, variables: dict[str, str], command: list[str]) -> None:
    fake.on("GET", ONE, answer_json(fake_api.environment()))
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device
        done = subprocess.run(
            [*PROGRAM, *command],
            env={**os.environ, **variables},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "The output cannot be written or read: No space left on device.\n"


def test_an_ascii_terminal_was_a_traceback(fake: FakeApi, variables: dict[str, str]) -> None:
    variables["PYTHONIOENCODING"] = "ascii"
    fake.on("GET", EVENTS, stream(event(1, "step.finished", step="a", title="Doing it")), NO_MORE)
    fake.on("GET", ONE, answer_json(fake_api.environment(operation=FAILED, status="failed", name="dé")))
    ended = run(["env", "watch", ENVIRONMENT_ID], variables)
    assert ended.code == 1
    assert "x d? is failed" in re.sub("\x1b\\[[0-9;]*m", "", ended.screen)
    ended = run(["env", "get", ENVIRONMENT_ID, "-o", "json"], variables)
    assert json.loads(ended.screen)["name"] == "dé"
    assert run(["env", "--help"], variables).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["get", "env_refused"], 4, "Refused: Because."),
        (["get"], 2, "Missing argument"),
        (["list", "--limit", "0"], 2, "--limit"),
        (["list", "--server", f"http://127.0.0.1:{free_port()}"], 5, "No service at"),
        (["delete", ENVIRONMENT_ID], 2, "--yes"),
    ],
    ids=["problem", "argument", "option", "unreachable", "failure"],
)
@pytest.mark.parametrize("output", ["-ojson", "--output=json", "-o json"])
def test_errors_were_prose_under_json(
    *, fake: FakeApi, variables: dict[str, str], arguments: list[str], code: int, message: str, output: str
) -> None:
    fake.on("GET", ONE, answer_json(fake_api.environment()))
    fake.on("GET", f"{BASE}/env_refused", problem(409, "Refused", "Because."))
    result = CliRunner(env=variables).invoke(app, ["env", *arguments, *output.split()])
    assert (result.exit_code, result.stdout) == (code, "")
    [error] = json.loads(result.stderr).values()
    assert error["exit_code"] == code
    assert message in error["message"]
    assert ("problem" in error) is (code == 4)
    assert error.get("request_id") == (fake_api.REQUEST_ID if code == 4 else None)


def test_update_wants_to_know_which_way(fake: FakeApi, variables: dict[str, str]) -> None:
    for options in ([], ["--deletion-protection", "--no-deletion-protection"]):
        result = CliRunner(env=variables).invoke(app, ["env", "update", ENVIRONMENT_ID, *options])
        assert result.exit_code == 2
        assert not fake.received
