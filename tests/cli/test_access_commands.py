"""Commands on keys, organizations, members and the audit log: what they send, print, and ask before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from tests.cli.test_terminal import EVIL, STEERING
from tests.client import fake_api
from tests.client.fake_api import FakeApi, answer_json, body, problem
from tests.support.cli import Home
from tests.support.terminals import run
from typer.testing import CliRunner, Result

from beta9_provisioning.cli.main import app
from beta9_provisioning.cli.member_commands import Kind
from beta9_provisioning.cli.member_commands import Role as RoleName
from beta9_provisioning.schemas.callers import MemberKind, Role

SECRET = "b9p_0123456789abcdef_" + "k" * 43
KEYS, MEMBERS, ORGANIZATIONS, AUDIT = (
    f"/api/v1/{name}" for name in ("keys", "members", "organizations", "audit")
)
AT = "2026-01-02T03:04:05Z"
KEY: dict[str, Any] = {
    "id": "key_0123456789abcdef",
    "organization_id": "default",
    "member_id": "mem_0123456789abcdef",
    "member_name": "alice",
    "name": "ci",
    "scopes": None,
    "created_at": AT,
    "expires_at": "2126-01-02T03:04:05Z",
    "last_used_at": None,
    "revoked_at": None,
    "replaced_by": None,
}
MEMBER: dict[str, Any] = {
    "id": "mem_0123456789abcdef",
    "organization_id": "default",
    "kind": "user",
    "name": "alice",
    "subject": None,
    "role": "viewer",
    "created_at": AT,
}
ORGANIZATION: dict[str, Any] = {"id": "org_0123456789abcdef", "name": "acme", "created_at": AT}
RECORD: dict[str, Any] = {
    "organization_id": "default",
    "number": 7,
    "at": AT,
    "actor": MEMBER["id"],
    "actor_name": "alice",
    "key_id": KEY["id"],
    "address": "203.0.113.7",
    "action": "environment.delete",
    "object_type": "environment",
    "object_id": "env_0123456789abcdef",
    "decision": "refused",
    "reason": "forbidden",
    "request_id": "r",
    "before": None,
    "after": None,
    "hash": "0" * 64,
}
LISTS = {KEYS: KEY, MEMBERS: MEMBER, ORGANIZATIONS: ORGANIZATION, AUDIT: RECORD}


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    """A service with one of each."""
    with fake_api.serving() as running:
        for path, item in LISTS.items():
            running.on("GET", path, answer_json({"items": [item], "next_cursor": None}))
        for path in (KEYS, f"{KEYS}/{KEY['id']}/rotate"):
            running.on("POST", path, answer_json({"key": KEY, "secret": SECRET}, 201))
        running.on("POST", MEMBERS, answer_json(MEMBER, 201))
        running.on("POST", ORGANIZATIONS, answer_json(ORGANIZATION, 201))
        running.on("PATCH", f"{MEMBERS}/{MEMBER['id']}", answer_json({**MEMBER, "role": "admin"}))
        for path, item in ((KEYS, KEY), (MEMBERS, MEMBER), (ORGANIZATIONS, ORGANIZATION)):
            running.on("DELETE", f"{path}/{item['id']}", body(204, ""))
        yield running


def call(fake: FakeApi, *arguments: str) -> Result:
    variables = {"BETA9_PROVISIONING_URL": fake.url, "COLUMNS": "200"}
    return CliRunner(env=variables).invoke(app, arguments)


def sent(fake: FakeApi) -> Any:
    return json.loads(fake.received[-1].body)


def test_choices_are_those_of_the_service() -> None:
    assert get_args(RoleName) == tuple(Role)
    assert get_args(Kind) == tuple(MemberKind)


def test_a_new_keys_secret_is_all_of_stdout(fake: FakeApi) -> None:
    result = call(fake, "key", "create", "ci", "--scope", "environments:read", "--scope", "audit:read")
    assert (result.exit_code, result.stdout) == (0, f"{SECRET}\n")
    assert SECRET not in result.stderr
    assert "nobody can show it again" in result.stderr
    assert sent(fake) == {
        "name": "ci",
        "member_id": None,
        "scopes": ["environments:read", "audit:read"],
        "expires_in_days": 90,
    }
    as_json = call(fake, "key", "create", "ci", "--member", "mem_1", "-o", "json")
    assert json.loads(as_json.stdout) == {"key": KEY, "secret": SECRET}
    assert (sent(fake)["member_id"], sent(fake)["scopes"]) == ("mem_1", None)


@pytest.mark.parametrize(
    ("text", "days"),
    [("90d", 90), ("12w", 84), ("48h", 2), ("never", None)],
)
def test_how_long_a_key_counts(fake: FakeApi, text: str, days: int | None) -> None:
    assert call(fake, "key", "create", "ci", "--expires-in", text).exit_code == 0
    assert sent(fake)["expires_in_days"] == days


@pytest.mark.parametrize("text", ["", "90", "0d", "36h", "-1d", "1y", "٣d", "999999d", "1d "])
def test_a_time_that_is_none_is_refused_before_anything_is_made(fake: FakeApi, text: str) -> None:
    assert call(fake, "key", "create", "ci", f"--expires-in={text}").exit_code == 2
    assert fake.received == []


def test_a_key_is_rotated_with_an_overlap(fake: FakeApi) -> None:
    result = call(fake, "key", "rotate", KEY["id"], "--overlap", "7d")
    assert (result.exit_code, result.stdout) == (0, f"{SECRET}\n")
    assert sent(fake) == {"overlap_hours": 168}


def test_a_secret_that_could_not_be_written_is_told_with_what_to_do(home: Home, fake: FakeApi) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device
        child = home.start("key", "create", "ci", "--server", fake.url, stdout=full)
        told = child.communicate()[1]
    assert child.returncode == 1
    assert f"beta9-provisioning key revoke {KEY['id']}" in told
    assert SECRET not in told


def test_a_key_whose_answer_was_lost_is_made_once(fake: FakeApi) -> None:
    fake.scripts["POST", KEYS].clear()
    fake.on("POST", KEYS, fake_api.drop)
    result = call(fake, "key", "create", "ci")
    assert (result.exit_code, len(fake.received)) == (5, 1)
    assert "beta9-provisioning key list" in result.stderr


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["key", "list"], ["ci", "alice", "all", "valid", "2126-01-02", "never"]),
        (["member", "list"], ["alice", "user", "viewer"]),
        (["org", "list"], ["acme"]),
        (["audit", "list"], ["alice", "environment.delete", "refused (forbidden)", "203.0.113.7"]),
    ],
    ids=lambda value: " ".join(value) if "list" in value else "",
)
def test_lists_in_all_their_forms(fake: FakeApi, command: list[str], expected: list[str]) -> None:
    shown = call(fake, *command)
    assert shown.exit_code == 0
    assert [word for word in expected if word not in shown.stdout] == []
    [item] = json.loads(call(fake, *command, "-o", "json").stdout)
    path = fake.received[-1].path
    assert item == LISTS[path]
    assert fake.received[-1].query == "limit=101"
    if command[0] != "audit":
        assert call(fake, *command, "-q").stdout == f"{item['id']}\n"
    fake.scripts["GET", path].clear()
    fake.on("GET", path, answer_json({"items": [item, item], "next_cursor": None}))
    cut = call(fake, *command, "--limit", "1")
    assert "the newest 1 are shown" in cut.stderr
    fake.scripts["GET", path].clear()
    fake.on("GET", path, answer_json({"items": [], "next_cursor": None}))
    assert call(fake, *command).stdout.startswith("No ")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "valid"),
        ({"revoked_at": AT}, "revoked"),
        ({"expires_at": AT}, "expired"),
        ({"replaced_by": "key_1"}, "replaced"),
    ],
)
def test_the_state_of_a_key(fake: FakeApi, changes: dict[str, str], state: str) -> None:
    fake.scripts["GET", KEYS].clear()
    fake.on("GET", KEYS, answer_json({"items": [{**KEY, **changes}], "next_cursor": None}))
    assert state in call(fake, "key", "list", "--member", "all").stdout
    assert fake.received[-1].query == "member=all&limit=101"


def test_members_and_organizations_are_made_and_changed(fake: FakeApi) -> None:
    added = call(fake, "member", "add", "bot", "--kind", "service_account", "--role", "operator", "-q")
    assert added.stdout == f"{MEMBER['id']}\n"
    assert sent(fake) == {"name": "bot", "kind": "service_account", "role": "operator", "subject": None}
    assert "alice" in call(fake, "member", "add", "alice", "--subject", "00u1").stdout
    assert sent(fake)["subject"] == "00u1"
    changed = call(fake, "member", "update", MEMBER["id"], "--role", "admin", "-o", "json")
    assert json.loads(changed.stdout)["role"] == "admin"
    assert call(fake, "member", "update", MEMBER["id"], "--role", "king").exit_code == 2
    assert "acme" in call(fake, "org", "create", "acme").stdout
    assert sent(fake) == {"name": "acme"}


def test_an_organization_is_chosen_for_one_command(fake: FakeApi) -> None:
    call(fake, "member", "list", "--organization", "org_1")
    assert fake.received[-1].headers["beta9-organization"] == "org_1"


@pytest.mark.parametrize(
    ("command", "path", "done"),
    [
        (["key", "revoke", KEY["id"]], KEYS, "revoked"),
        (["member", "remove", MEMBER["id"]], MEMBERS, "removed"),
        (["org", "delete", ORGANIZATION["id"]], ORGANIZATIONS, "deleted"),
    ],
    ids=["key", "member", "org"],
)
def test_what_cannot_be_undone_is_asked_before(
    fake: FakeApi, home: Home, command: list[str], path: str, done: str
) -> None:
    one = f"{path}/{command[-1]}"
    refused = call(fake, *command)
    assert (refused.exit_code, "add --yes" in refused.stderr) == (2, True)
    arguments = [*command, "--server", fake.url]
    no = run(arguments, home.variables, when="(n)", press=b"n\n")
    assert (no.code, f"Nothing was {done}." in no.screen) == (1, True)
    assert not fake.requests("DELETE", one)
    assert run(arguments, home.variables, when="(n)", press=b"y\n").code == 0
    yes = call(fake, *command, "--yes")
    assert (yes.exit_code, yes.stdout) == (0, f"{command[-1]} is {done}.\n")
    assert call(fake, *command, "--yes", "-q").stdout == f"{command[-1]}\n"
    assert len(fake.requests("DELETE", one)) == 3


def test_the_audit_log_is_filtered_and_exported(fake: FakeApi) -> None:
    lines = "".join(json.dumps({**RECORD, "number": number}) + "\n" for number in range(3))
    fake.scripts["GET", AUDIT].clear()
    fake.on("GET", AUDIT, body(200, lines, "application/x-ndjson"))
    filters = {"--actor": "mem_1", "--action": "key.create", "--object": "key_1", "--decision": "refused"}
    times = {"--since": "2026-01-01T00:00:00Z", "--until": "2026-02-01T00:00:00Z", "--request-id": "r"}
    options = [part for pair in {**filters, **times}.items() for part in pair]
    result = call(fake, "audit", "list", "--export", *options)
    assert result.stdout == lines
    query = fake.received[-1].query
    assert query == (
        "actor=mem_1&action=key.create&object_id=key_1&decision=refused&request_id=r"
        "&since=2026-01-01T00%3A00%3A00Z&until=2026-02-01T00%3A00%3A00Z"
    )
    assert call(fake, "audit", "list", "--decision", "perhaps").exit_code == 2


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "beta9-provisioning auth login"), (403, "beta9-provisioning auth status"), (429, "")],
)
def test_a_refusal_says_what_to_do(fake: FakeApi, status: int, told: str) -> None:
    fake.scripts["POST", ORGANIZATIONS].clear()
    fake.on("POST", ORGANIZATIONS, problem(status, "Refused", "It takes organizations:write."))
    result = call(fake, "org", "create", "acme")
    assert result.exit_code == 4
    assert "It takes organizations:write." in result.stderr
    assert told in result.stderr
    as_json = json.loads(call(fake, "org", "create", "acme", "-o", "json").stderr)["error"]
    assert as_json["problem"]["status"] == status
    assert told in as_json.get("remedy", "")


def test_a_service_that_is_too_busy_says_until_when(fake: FakeApi) -> None:
    document = {"type": "about:blank", "title": "Busy", "status": 429, "detail": "", "errors": []}
    fake.scripts["POST", ORGANIZATIONS].clear()
    answer = body(429, json.dumps(document), "application/problem+json", **{"Retry-After": "17"})
    fake.on("POST", ORGANIZATIONS, answer)
    result = call(fake, "org", "create", "acme")
    assert (result.exit_code, "Try again in 17 s." in result.stderr) == (4, True)


@pytest.mark.parametrize(
    "command",
    [
        ["key", "list"],
        ["key", "create", "x"],
        ["member", "list"],
        ["member", "add", "x"],
        ["org", "list"],
        ["org", "create", "x"],
        ["audit", "list"],
        ["audit", "list", "--export"],
    ],
    ids=" ".join,
)
def test_a_servers_names_steer_no_terminal(fake: FakeApi, home: Home, command: list[str]) -> None:
    def spoil(item: dict[str, Any]) -> dict[str, Any]:
        names = ("name", "member_name", "actor_name", "action", "object_id", "address", "subject")
        return {**item, **{name: f"{EVIL}[/x]" for name in names if name in item}}

    fake.scripts.clear()
    for path, item in LISTS.items():
        fake.on("GET", path, answer_json({"items": [spoil(item)], "next_cursor": None}))
        fake.on("POST", path, answer_json(spoil(item), 201))
    if "--export" in command:
        fake.scripts["GET", AUDIT].clear()
        fake.on(
            "GET", AUDIT, body(200, json.dumps(spoil(RECORD), ensure_ascii=False), "application/x-ndjson")
        )
    if command[:2] == ["key", "create"]:
        fake.scripts["POST", KEYS].clear()
        fake.on("POST", KEYS, answer_json({"key": spoil(KEY), "secret": EVIL}, 201))
    ended = run([*command, "--server", fake.url], home.variables)
    assert ended.code == 0, ended.screen
    assert "owned" in ended.screen.replace("\r\n", "")
    assert not STEERING.search(ended.screen)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("key revoke key_", [KEY["id"]]),
        ("member update mem_", [MEMBER["id"]]),
        ("org delete org_", [ORGANIZATION["id"]]),
        ("member add x --role op", ["operator"]),
    ],
)
def test_ids_and_roles_complete(fake: FakeApi, home: Home, words: str, expected: list[str]) -> None:
    ended = home.run(
        BETA9_PROVISIONING_URL=fake.url,
        _BETA9_PROVISIONING_COMPLETE="complete_bash",
        COMP_WORDS=f"beta9-provisioning {words}",
        COMP_CWORD=str(len(words.split(" "))),
    )
    assert (ended.stdout.split(), ended.stderr) == (expected, "")
