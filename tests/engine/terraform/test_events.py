"""Parsing and masking Terraform's output, and folding it into progress."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kit.test_masking import SECRETS

from beta9_provisioning.engine.terraform.events import TEXT, TEXT_BYTES, TerraformEvent, parse
from beta9_provisioning.engine.terraform.progress import Progress
from beta9_provisioning.kit import texts
from beta9_provisioning.kit.masking import MASK, is_secret_name, mask, mask_text
from beta9_provisioning.kit.texts import clean_text

APPLY_COMPLETE = (
    '{"@level":"info",'
    '"@message":"terraform_data.b[\\"k 1\\"]: Creation complete after 2s [id=7fe2]",'
    '"@module":"terraform.ui","@timestamp":"2026-11-24T06:50:44.344406Z","hook":{"resource":{"addr":'
    '"terraform_data.b[\\"k 1\\"]","module":"","resource":"terraform_data.b[\\"k 1\\"]","implied_provider":'
    '"terraform","resource_type":"terraform_data","resource_name":"b","resource_key":"k 1"},'
    '"action":"create",'
    '"id_key":"id","id_value":"7fe2","elapsed_seconds":2},"type":"apply_complete"}'
)

KEPT = texts.TEXT_BYTES


def event(document: dict[str, Any]) -> TerraformEvent:
    parsed = parse(json.dumps(document))
    assert parsed is not None
    return parsed


def test_an_event_of_terraform_1_11() -> None:
    parsed = parse(APPLY_COMPLETE + "\n")
    assert parsed == TerraformEvent(
        type="apply_complete",
        level="info",
        message='terraform_data.b["k 1"]: Creation complete after 2s [id=7fe2]',
        at="2026-11-24T06:50:44.344406Z",
        address='terraform_data.b["k 1"]',
        action="create",
        data=json.loads(APPLY_COMPLETE),
    )


def test_address_and_action_of_a_planned_change_and_a_diagnostic() -> None:
    planned = event({"type": "planned_change", "change": {"resource": {"addr": "a.b"}, "action": "replace"}})
    assert (planned.address, planned.action) == ("a.b", "replace")
    diagnostic = event({"type": "diagnostic", "@level": "error", "diagnostic": {"address": "a.b"}})
    assert (diagnostic.address, diagnostic.action, diagnostic.level) == ("a.b", None, "error")


@pytest.mark.parametrize(
    "line", ["[1]", '"text"', "3", "{", "{'a': 1}", "\ufffd", "panic: nil", "[" * 50_000, "NaN"]
)
def test_what_is_no_event_becomes_text(line: str) -> None:
    parsed = parse(line)
    assert parsed is not None
    assert (parsed.type, parsed.message, parsed.data) == (TEXT, clean_text(line, TEXT_BYTES), {})


@pytest.mark.parametrize("line", ["", "   ", "\t"])
def test_an_empty_line_is_nothing(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize(
    "document",
    [
        {"type": "not_invented_yet", "new": {"deep": [1, None, True]}},
        {"type": 3, "@message": ["x"], "@level": None, "hook": "odd"},
        {"hook": {"resource": [], "action": 7}},
        {"type": "outputs", "outputs": ["odd"]},
        {"type": "diagnostic", "diagnostic": {"snippet": None, "range": 1}},
        {},
    ],
)
def test_unknown_and_odd_documents_are_kept(document: dict[str, Any]) -> None:
    assert event(document).data == document
    Progress().add(event(document))


def test_sensitive_outputs_are_hidden() -> None:
    outputs = {
        "hidden": {"sensitive": True, "type": "string", "value": "s3cret"},
        "unsaid": {"value": "s3cret"},
        "redis_password": {"sensitive": False, "value": {"deep": ["s3cret"]}},
        "database_secret_arn": {"sensitive": False, "value": "arn:aws:secretsmanager:x"},
        "settings": {"sensitive": False, "value": {"auth_token": "s3cret", "port": 6379}},
        "planned": {"sensitive": True, "action": "create"},
    }
    data = event({"type": "outputs", "outputs": outputs}).data["outputs"]
    assert "s3cret" not in json.dumps(data)
    assert data["database_secret_arn"]["value"] == "arn:aws:secretsmanager:x"
    assert data["settings"]["value"] == {"auth_token": MASK, "port": 6379}
    assert data["planned"] == outputs["planned"]


def test_quoted_configuration_is_hidden() -> None:
    snippet = {
        "context": "resource.x.y",
        "code": '{"password":"s3cret"}',
        "values": [{"statement": "s3cret"}],
    }
    data = event({"type": "diagnostic", "diagnostic": {"snippet": snippet}}).data
    assert data["diagnostic"]["snippet"] == {"context": "resource.x.y", "code": MASK, "values": MASK}


@pytest.mark.parametrize(
    "text",
    [
        "password=s3cret",
        "Executing: [psql --password='s3cret s3cret' -h db]",
        '{"SecretString":"s3cret, s3cret"}',
        '{\\"auth_token\\": \\"s3cret\\"}',
        "AWS_SECRET_ACCESS_KEY=s3cret next",
        "postgresql://beta9:s3cret@db:5432/x",
        "redis://:s3cret@cache:6379/0",
        "Authorization: Bearer s3cret.s3cret",
        "https://sts?X-Amz-Security-Token=s3cret&X-Amz-Signature=s3cret",
        "master_password: s3cret",
    ],
)
def test_secrets_in_text_are_hidden(text: str) -> None:
    assert "s3cret" not in mask_text(text)
    assert "s3cret" not in json.dumps(mask({"detail": [text]}))


@pytest.mark.parametrize(
    "text",
    [
        "random_password.token: Creating...",
        "aws_secretsmanager_secret.database: Creation complete after 1s [id=arn:aws:secretsmanager:x]",
        "ExpiredToken: The security token included in the request is expired",
        "InvalidClientTokenId: The security token included in the request is invalid.",
        "database_secret_arn = arn:aws:secretsmanager:eu-west-1:1:secret:x",
        "role x is not authorized to perform: secretsmanager:GetSecretValue on resource: y",
        "Plan: 2 to add, 0 to change, 0 to destroy.",
        "https://host:8443/path",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_text(text) == text


def test_names_of_secrets() -> None:
    names = [
        "password",
        "PASSWORD",
        "db_password",
        "authToken",
        "secret_key",
        "secretAccessKey",
        "privateKey",
    ]
    assert all(is_secret_name(name) for name in names)
    names = [
        "secret_arn",
        "token_id",
        "database_username",
        "id_key",
        "resource_key",
        "password_version",
        "port",
    ]
    assert not any(is_secret_name(name) for name in names)


def test_a_masked_document_is_a_copy_and_keeps_types() -> None:
    document = {"password": "x", "token": None, "secret": {"on": True, "n": [1, "x"]}, "n": 1}
    assert mask(document) == {
        "password": MASK,
        "token": None,
        "secret": {"on": True, "n": [MASK, MASK]},
        "n": 1,
    }
    assert document["password"] == "x"


def plan(progress: Progress, **actions: str) -> None:
    for name, action in actions.items():
        progress.add(
            event({"type": "planned_change", "change": {"resource": {"addr": name}, "action": action}})
        )


def hook(kind: str, name: str, action: str) -> TerraformEvent:
    return event({"type": kind, "hook": {"resource": {"addr": name}, "action": action}})


def test_progress_of_an_apply_with_a_replacement() -> None:
    progress = Progress()
    plan(progress, a="create", b="replace", c="read", d="noop")
    assert (progress.total, progress.done, progress.current) == (3, 0, None)
    changes = {"add": 2, "change": 0, "import": 0, "remove": 1, "operation": "plan"}
    progress.add(event({"type": "change_summary", "changes": changes}))
    assert progress.total == 3
    progress.add(hook("apply_start", "b", "delete"))
    progress.add(hook("apply_start", "a", "create"))
    assert (progress.done, progress.current) == (0, "b")
    progress.add(hook("apply_complete", "b", "delete"))
    assert (progress.done, progress.current, progress.completed_addresses) == (1, "a", frozenset())
    progress.add(hook("apply_start", "b", "create"))
    progress.add(hook("apply_complete", "b", "create"))
    progress.add(hook("apply_start", "c", "read"))
    progress.add(hook("apply_complete", "c", "read"))
    assert (progress.done, progress.completed_addresses) == (2, frozenset({"b"}))
    progress.add(hook("apply_errored", "a", "create"))
    assert (progress.done, progress.current) == (2, None)
    summary = {"type": "change_summary", "changes": {"add": 1, "operation": "apply"}}
    progress.add(event(summary))
    assert progress.total == 3


def test_what_the_state_has_and_the_plan_leaves_alone_is_complete() -> None:
    progress = Progress()
    for name in ("kept", "changed"):
        progress.add(
            event({"type": "refresh_complete", "hook": {"resource": {"addr": name}, "id_value": "1"}})
        )
    plan(progress, changed="update")
    assert progress.completed_addresses == frozenset()
    progress.add(event({"type": "change_summary", "changes": {"change": 1, "operation": "plan"}}))
    assert progress.completed_addresses == {"kept"}
    progress.add(hook("apply_complete", "changed", "update"))
    assert progress.completed_addresses == {"kept", "changed"}


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_that_lies_where_a_text_is_cut_is_not_shown_in_half(text: str) -> None:
    for before in range(KEPT - len(text) - 8, KEPT, 5):
        detail = f"{('x ' * KEPT)[:before]} {text} {'y ' * 100}"
        document = {"type": "diagnostic", "diagnostic": {"summary": "s", "detail": detail}}
        shown = event(document).data["diagnostic"]["detail"]
        assert "s3c" not in shown[before:]
