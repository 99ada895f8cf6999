"""Keys, members and organizations as an administrator makes them on a real service, by the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import callers
from tests.support.cli import Home
from tests.support.configs import document
from tests.support.serving import serving

from beta9_provisioning.api.app import create_app
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.schemas.callers import Role
from beta9_provisioning.settings import Settings


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """A service that asks who is asking."""
    with serving(create_app(settings.model_copy(update={"auth_mode": "required"}))) as server:
        yield server.url


@pytest.fixture
def admin(home: Home, url: str, sessions: Sessions) -> Home:
    """Somebody who is logged in as the administrator of everything."""
    key = callers.caller(sessions, Role.PLATFORM_ADMIN)
    ended = home.run("auth", "login", "--with-key", "--server", url, "--context", "admin", stdin=key)
    assert ended.returncode == 0, ended.stderr
    return home


def said(home: Home, *arguments: str, **variables: str) -> str:
    ended = home.run(*arguments, **variables)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_a_member_gets_a_key_changes_it_and_loses_it(admin: Home, url: str) -> None:
    member = said(admin, "member", "add", "bot", "--kind", "service_account", "--role", "operator", "-q")
    secret = said(admin, "key", "create", "ci", "--member", member, "--expires-in", "30d")
    as_bot = {"BETA9_API_KEY": secret}
    identity = json.loads(said(admin, "auth", "status", "-o", "json", **as_bot))
    assert (identity["member_id"], identity["role"]) == (member, "operator")
    refused = admin.run("member", "list", "--server", url, "--organization", "org_0000000000000000", **as_bot)
    assert refused.returncode in (3, 4)
    denied = admin.run("member", "add", "eve", **as_bot)
    assert (denied.returncode, "members:write" in denied.stderr) == (4, True)
    assert "beta9-provisioning auth status" in denied.stderr
    key = said(admin, "key", "list", "-q", **as_bot)
    newer = said(admin, "key", "rotate", key, "--overlap", "1h", **as_bot)
    assert said(admin, "env", "list", BETA9_API_KEY=newer) == "No environments."
    keys = json.loads(said(admin, "key", "list", "--member", member, "-o", "json"))
    assert [one["id"] == key for one in keys] == [False, True]
    assert said(admin, "key", "revoke", key, "--yes") == f"{key} is revoked."
    assert admin.run("env", "list", **as_bot).returncode == 4
    said(admin, "member", "update", member, "--role", "viewer")
    assert json.loads(said(admin, "auth", "status", "-o", "json", BETA9_API_KEY=newer))["role"] == "viewer"
    said(admin, "member", "remove", member, "--yes")
    assert admin.run("env", "list", BETA9_API_KEY=newer).returncode == 4


def test_an_administrator_acts_in_another_organization(admin: Home) -> None:
    organization = said(admin, "org", "create", "acme", "-q")
    there = ("--organization", organization)
    member = said(admin, "member", "add", "anna", "--role", "admin", "-q", *there)
    assert said(admin, "member", "list", "-q", *there) == member
    secret = said(admin, "key", "create", "first", "--member", member, *there)
    assert "acme" in said(admin, "auth", "status", BETA9_API_KEY=secret)
    assert organization in said(admin, "org", "list", "-q").split()
    said(admin, "org", "delete", organization, "--yes")
    assert admin.run("auth", "status", BETA9_API_KEY=secret).returncode == 1
    assert admin.run("org", "delete", organization, "--yes").returncode == 3


def test_a_new_key_takes_the_place_of_the_stored_one(admin: Home) -> None:
    """`key rotate | auth login --with-key`, as the page says."""
    key = json.loads(said(admin, "auth", "status", "-o", "json"))["key_id"]
    secret = said(admin, "key", "rotate", key, "--overlap", "0h")
    assert admin.run("env", "list").returncode == 4
    ended = admin.run("auth", "login", "--with-key", stdin=f"{secret}\n")
    assert ended.returncode == 0, ended.stderr
    assert said(admin, "env", "list") == "No environments."
    assert admin.contexts()["current"] == "admin"


def test_what_was_done_is_in_the_audit_log(admin: Home, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(document()))
    made = said(admin, "env", "create", "-f", str(file), "-q")
    [record] = json.loads(said(admin, "audit", "list", "--object", made, "-o", "json"))
    assert (record["decision"], record["object_type"]) == ("allowed", "environment")
    assert record["action"] in said(admin, "audit", "list", "--action", record["action"])
    exported = [json.loads(line) for line in said(admin, "audit", "list", "--export").splitlines()]
    assert record in exported
    assert said(admin, "audit", "list", "--until", "2020-01-01T00:00:00Z") == "No records."
    wrong = admin.run("audit", "list", "--since", "yesterday")
    assert (wrong.returncode, "since" in wrong.stderr) == (4, True)
