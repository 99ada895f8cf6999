"""The environment commands against a fake service: what they print where, and their exit codes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.client import fake_api
from tests.client.fake_api import (
    BASE,
    ENVIRONMENT_ID,
    FAILED,
    FINISHED,
    FakeApi,
    answer_json,
    body,
    event,
    problem,
    stream,
)
from typer.testing import CliRunner, Result

from beta9_provisioning.cli.main import app
from beta9_provisioning.local.ports import free_port

ONE = f"{BASE}/{ENVIRONMENT_ID}"
EVENTS = f"{ONE}/events"
NO_MORE = answer_json({"items": [], "next_after": None})


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    with fake_api.serving() as running:
        yield running


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text("name: demo\n")
    return str(path)


def call(fake: FakeApi, *arguments: str, stdin: str | None = None) -> Result:
    variables = {"BETA9_PROVISIONING_URL": fake.url, "COLUMNS": "200"}
    return CliRunner(env=variables).invoke(app, ["env", *arguments], input=stdin)


def test_create_shows_the_environment(fake: FakeApi, config: str) -> None:
    fake.on("POST", BASE, answer_json(fake_api.environment(), 202))
    result = call(fake, "create", "-f", config, "--idempotency-key", "k")
    assert result.exit_code == 0
    assert ENVIRONMENT_ID in result.stdout
    assert "queued" in result.stdout
    assert fake.received[0].headers["idempotency-key"] == "k"
    assert fake.received[0].body == b"name: demo\n"


def test_create_reads_stdin(fake: FakeApi) -> None:
    fake.on("POST", BASE, answer_json(fake_api.environment(), 202))
    result = call(fake, "create", "-f", "-", "-o", "json", stdin="name: piped\n")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["environment_id"] == ENVIRONMENT_ID
    assert fake.received[0].body == b"name: piped\n"


def test_create_sends_a_json_file_as_json(fake: FakeApi, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"name": "demo"}')
    fake.on("POST", BASE, answer_json(fake_api.environment(), 202))
    call(fake, "create", "-f", str(path))
    assert fake.received[0].headers["content-type"] == "application/json"


def test_create_without_the_file_is_wrong_usage(fake: FakeApi, tmp_path: Path) -> None:
    result = call(fake, "create", "-f", str(tmp_path / "absent.yaml"))
    assert result.exit_code == 2
    assert "absent.yaml cannot be read: No such file or directory" in result.stderr
    assert not fake.received


def test_create_refused_names_the_fields(fake: FakeApi, config: str) -> None:
    errors = [{"field": "cloud.region", "message": "is not allowed", "allowed": ["us-east-1", "us-west-2"]}]
    fake.on("POST", BASE, problem(422, "Invalid", "1 problem.", errors))
    result = call(fake, "create", "-f", config)
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "cloud.region: is not allowed (allowed: us-east-1, us-west-2)" in result.stderr


@pytest.mark.parametrize(("status", "code"), [(404, 3), (409, 4), (429, 4), (500, 1), (503, 1)])
def test_exit_codes_of_problems(fake: FakeApi, status: int, code: int) -> None:
    fake.on("GET", ONE, problem(status, "Title", "Detail."))
    fake.on("GET", BASE, answer_json({"items": [], "next_cursor": None}))
    result = call(fake, "get", ENVIRONMENT_ID)
    assert result.exit_code == code
    assert "Title: Detail." in result.stderr
    # Whom the caller could have asked is the operator, who has a log.
    assert (fake_api.REQUEST_ID in result.stderr) is (status >= 500)
    assert result.stdout == ""


def test_unreachable_has_an_exit_code_of_its_own() -> None:
    result = CliRunner().invoke(app, ["env", "list", "--server", f"http://127.0.0.1:{free_port()}"])
    assert result.exit_code == 5
    assert "make up" in result.stderr


def test_wrong_usage_is_2(fake: FakeApi) -> None:
    assert call(fake, "get").exit_code == 2
    assert call(fake, "list", "--status", "nonsense").exit_code == 2


def test_a_text_that_cannot_be_a_name_is_just_not_found(fake: FakeApi) -> None:
    fake.on("GET", BASE, problem(422, "Invalid", "query.name"))
    result = call(fake, "get", "No Such")
    assert result.exit_code == 3
    assert "There is no environment 'No Such'." in result.stderr


def test_list(fake: FakeApi) -> None:
    page = {"items": [fake_api.summary(name="first"), fake_api.summary(name="second")], "next_cursor": None}
    fake.on("GET", BASE, answer_json(page))
    table = call(fake, "list", "--status", "ready", "--limit", "5")
    assert table.exit_code == 0
    assert table.stdout.index("first") < table.stdout.index("second")
    assert fake.received[0].query == "status=ready&limit=6"
    assert [item["name"] for item in json.loads(call(fake, "list", "-o", "json").stdout)] == [
        "first",
        "second",
    ]


def test_an_empty_list(fake: FakeApi) -> None:
    fake.on("GET", BASE, answer_json({"items": [], "next_cursor": None}))
    assert "No environments." in call(fake, "list").stdout
    assert json.loads(call(fake, "list", "-o", "json").stdout) == []


def test_get_shows_error_and_remedy(fake: FakeApi) -> None:
    error = {
        "code": "role_refused",
        "message": "AWS refused the role.",
        "detail": "AccessDenied",
        "remedy": "Fix it.",
    }
    fake.on("GET", ONE, answer_json(fake_api.environment(status="failed", error=error, operation=FAILED)))
    result = call(fake, "get", ENVIRONMENT_ID)
    assert result.exit_code == 0
    for part in error.values():
        assert part in result.stdout


def test_json_is_what_the_api_says(fake: FakeApi) -> None:
    wire = fake_api.environment(outputs={"cluster_name": "c"}, status="ready", operation=FINISHED)
    fake.on("GET", ONE, answer_json(wire))
    shown = json.loads(call(fake, "get", ENVIRONMENT_ID, "-o", "json").stdout)
    assert shown["environment_id"] == wire["environment_id"]
    assert shown["outputs"] == {"cluster_name": "c"}
    assert shown["config"] == wire["config"]


OUTPUTS = {"cluster_name": "beta9-x", "database_port": 5432, "subnets": ["a", "b"], "ca": "x" * 500}


@pytest.mark.parametrize(
    ("name", "output", "expected"),
    [
        ("cluster_name", "table", "beta9-x\n"),
        ("cluster_name", "json", '"beta9-x"\n'),
        ("database_port", "table", "5432\n"),
        ("subnets", "table", '["a", "b"]\n'),
        ("ca", "table", "x" * 500 + "\n"),
    ],
)
def test_one_output_bare(fake: FakeApi, name: str, output: str, expected: str) -> None:
    fake.on("GET", ONE, answer_json(fake_api.environment(outputs=OUTPUTS)))
    result = call(fake, "outputs", ENVIRONMENT_ID, name, "-o", output)
    assert (result.exit_code, result.stdout) == (0, expected)


def test_all_outputs(fake: FakeApi) -> None:
    fake.on("GET", ONE, answer_json(fake_api.environment(outputs=OUTPUTS)))
    assert json.loads(call(fake, "outputs", ENVIRONMENT_ID, "-o", "json").stdout) == OUTPUTS
    table = call(fake, "outputs", ENVIRONMENT_ID).stdout
    assert "beta9-x" in table
    assert "500 characters; ask for it by name" in table


def test_an_unknown_output_lists_the_known_ones(fake: FakeApi) -> None:
    fake.on("GET", ONE, answer_json(fake_api.environment(outputs=OUTPUTS)))
    result = call(fake, "outputs", ENVIRONMENT_ID, "clustername")
    assert result.exit_code == 3
    assert "ca, cluster_name, database_port, subnets" in result.stderr


def test_kubeconfig(fake: FakeApi) -> None:
    fake.on("GET", f"{ONE}/kubeconfig", body(200, "kind: Config\nusers: []\n", "text/yaml"))
    assert call(fake, "kubeconfig", ENVIRONMENT_ID).stdout == "kind: Config\nusers: []\n"
    as_json = call(fake, "kubeconfig", ENVIRONMENT_ID, "-o", "json").stdout
    assert json.loads(as_json) == {"kind": "Config", "users": []}


def test_kubeconfig_before_there_is_a_cluster(fake: FakeApi) -> None:
    fake.on("GET", f"{ONE}/kubeconfig", problem(409, "Conflict", "There is no cluster yet."))
    result = call(fake, "kubeconfig", ENVIRONMENT_ID)
    assert (result.exit_code, result.stdout) == (4, "")


def test_events(fake: FakeApi) -> None:
    page = {"items": [event(1, message="First [x]."), event(2, message="Second.")], "next_after": None}
    fake.on("GET", EVENTS, answer_json(page))
    table = call(fake, "events", ENVIRONMENT_ID).stdout
    assert "First [x]." in table
    assert "03:04:05" in table
    shown = json.loads(call(fake, "events", ENVIRONMENT_ID, "-o", "json").stdout)
    assert [item["id"] for item in shown] == [1, 2]
    assert len(json.loads(call(fake, "events", ENVIRONMENT_ID, "--limit", "1", "-o", "json").stdout)) == 1


def test_events_followed_come_as_lines(fake: FakeApi) -> None:
    fake.on("GET", EVENTS, stream(event(1), event(2)), NO_MORE)
    fake.on("GET", ONE, answer_json(fake_api.environment(operation=FINISHED)))
    lines = call(fake, "events", ENVIRONMENT_ID, "--follow", "-o", "json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 2]


@pytest.mark.parametrize(
    ("status", "operation", "code"),
    [("ready", FINISHED, 0), ("destroyed", FINISHED, 0), ("failed", FAILED, 1)],
)
def test_watch_exits_as_the_environment_ended(
    fake: FakeApi, status: str, operation: dict[str, Any], code: int
) -> None:
    fake.on("GET", EVENTS, stream(event(1, step="a", title="Doing it")), NO_MORE)
    fake.on("GET", ONE, answer_json(fake_api.environment(operation=operation, status=status)))
    result = call(fake, "watch", ENVIRONMENT_ID)
    assert result.exit_code == code
    assert "Doing it" in result.stdout
    assert f"demo is {status} after 34 s" in result.stdout


def test_watch_as_json_lines(fake: FakeApi) -> None:
    fake.on("GET", EVENTS, stream(event(1), event(2)), NO_MORE)
    fake.on("GET", ONE, answer_json(fake_api.environment(operation=FINISHED, status="ready")))
    result = call(fake, "watch", ENVIRONMENT_ID, "-o", "json")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [event(1), event(2)]


def test_create_and_watch_as_json_prints_the_end_alone(fake: FakeApi, config: str) -> None:
    fake.on("POST", BASE, answer_json(fake_api.environment(), 202))
    fake.on("GET", EVENTS, stream(event(1, step="a", title="Doing it")), NO_MORE)
    fake.on("GET", ONE, answer_json(fake_api.environment(operation=FINISHED, status="ready")))
    result = call(fake, "create", "-f", config, "--watch", "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["status"] == "ready"
    assert "Doing it" in result.stderr


def test_create_and_watch_fails_with_the_environment(fake: FakeApi, config: str) -> None:
    fake.on("POST", BASE, answer_json(fake_api.environment(), 202))
    fake.on("GET", EVENTS, stream(event(1)), NO_MORE)
    fake.on("GET", ONE, answer_json(fake_api.environment(operation=FAILED, status="failed")))
    assert call(fake, "create", "-f", config, "--watch").exit_code == 1


def test_delete_asks_and_takes_no_answer_for_a_no(fake: FakeApi) -> None:
    fake.on("GET", ONE, answer_json(fake_api.environment(status="ready", operation=FINISHED)))
    result = call(fake, "delete", ENVIRONMENT_ID)
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert not fake.requests("DELETE", ONE)


def test_delete_with_yes_does_not_ask(fake: FakeApi) -> None:
    fake.on("DELETE", ONE, answer_json(fake_api.environment(status="destroy_queued"), 202))
    result = call(fake, "delete", ENVIRONMENT_ID, "--yes")
    assert result.exit_code == 0
    assert "destroy_queued" in result.stdout
    [asked] = fake.requests("DELETE", ONE)
    assert asked.query == "", "what becomes of objects is the configuration's word"


def test_delete_can_have_objects_deleted(fake: FakeApi) -> None:
    fake.on("DELETE", ONE, answer_json(fake_api.environment(status="destroy_queued"), 202))
    assert call(fake, "delete", ENVIRONMENT_ID, "--yes", "--delete-objects").exit_code == 0
    [asked] = fake.requests("DELETE", ONE)
    assert asked.query == "objects=delete"


@pytest.mark.parametrize(("status", "code"), [("destroyed", 0), ("failed", 1), ("ready", 1)])
def test_delete_and_wait_wants_it_destroyed(fake: FakeApi, status: str, code: int) -> None:
    operation = FAILED if status == "failed" else FINISHED
    fake.on("DELETE", ONE, answer_json(fake_api.environment(status="destroying"), 202))
    fake.on("GET", EVENTS, stream(event(1)), NO_MORE)
    fake.on("GET", ONE, answer_json(fake_api.environment(status=status, operation=operation)))
    assert call(fake, "delete", ENVIRONMENT_ID, "--yes", "--wait").exit_code == code


def test_deletion_protection_is_a_refusal(fake: FakeApi) -> None:
    fake.on("DELETE", ONE, problem(409, "Protected", "deletion_protection is set."))
    result = call(fake, "delete", ENVIRONMENT_ID, "--yes")
    assert result.exit_code == 4
    assert "deletion_protection is set." in result.stderr


def test_watch_shows_the_latest_operation_alone(fake: FakeApi) -> None:
    earlier = {**event(1, message="The earlier one."), "type": "other", "operation_id": "op_earlier"}
    current = {**event(2, message="The current one."), "type": "other"}
    later = {**event(3, message="The later one."), "type": "other", "operation_id": "op_later"}
    fake.on("GET", EVENTS, stream(earlier, current, later), NO_MORE)
    fake.on("GET", ONE, answer_json(fake_api.environment(operation=FINISHED, status="ready")))
    shown = call(fake, "watch", ENVIRONMENT_ID).stdout
    assert "The earlier one." not in shown
    assert shown.index("The current one.") < shown.index("The later one.")
