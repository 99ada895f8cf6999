"""Trust policies: who may assume a role."""

import json
from typing import Any

import pytest

from beta9_simulator.cloud import trust
from beta9_simulator.cloud.iam.conditions import UnknownConditionKey

USER = "arn:aws:iam::999999999999:user/beta9-control-plane"
EXTERNAL = {"StringEquals": {"sts:ExternalId": "secret"}}


def allowed(*statements: dict[str, Any], external_id: str | None = "secret") -> bool:
    policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return trust.allows(policy, caller=USER, account="999999999999", external_id=external_id)


def statement(**changes: Any) -> dict[str, Any]:
    usual = {
        "Effect": "Allow",
        "Principal": {"AWS": USER},
        "Action": "sts:AssumeRole",
        "Condition": EXTERNAL,
    }
    return {key: value for key, value in {**usual, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Principal": {"AWS": "arn:aws:iam::999999999999:root"}},
        {"Principal": {"AWS": "999999999999"}},
        {"Principal": {"AWS": ["arn:aws:iam::1:root", USER]}},
        {"Principal": "*"},
        {"Action": ["sts:TagSession", "sts:AssumeRole"]},
        {"Action": "sts:*"},
        {"Condition": None},
        {"Condition": {"StringEquals": {"sts:ExternalId": ["other", "secret"]}}},
    ],
)
def test_statements_that_let_the_caller_in(changes: dict[str, Any]) -> None:
    assert allowed(statement(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"Effect": "Deny"},
        {"Principal": {"AWS": "arn:aws:iam::111111111111:root"}},
        {"Principal": {"AWS": f"{USER}-2"}},
        {"Principal": {"Service": "ec2.amazonaws.com"}},
        {"Principal": {"Federated": "*"}},
        {"Action": "sts:AssumeRoleWithWebIdentity"},
        {"Action": "s3:*"},
        {"Condition": {"StringEquals": {"sts:ExternalId": "other"}}},
        {"Condition": {"StringEquals": {"sts:ExternalId": "secret", "aws:PrincipalOrgID": "o-1"}}},
        {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}},
    ],
)
def test_statements_that_do_not(changes: dict[str, Any]) -> None:
    assert not allowed(statement(**changes))


def test_the_external_id_is_demanded() -> None:
    assert not allowed(statement(), external_id=None)
    assert not allowed(statement(), external_id="")


def test_a_deny_wins() -> None:
    assert not allowed(statement(), statement(Effect="Deny", Condition=None))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Condition": {"StringLike": {"sts:RoleSessionName": "beta9-*"}}}, True),
        ({"Condition": {"StringLike": {"sts:RoleSessionName": "other-*"}}}, False),
        ({"Condition": {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}}, False),
        ({"Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::999999999999:role/*"}}}, True),
        ({"Condition": {"Null": {"aws:RequestTag/team": "true"}}}, True),
        ({"Principal": {"AWS": "arn:aws:sts::999999999999:assumed-role/R/one"}}, True),
        ({"Principal": {"AWS": "arn:aws:iam::999999999999:role/R"}}, True),
        ({"Principal": {"AWS": "arn:aws:sts::999999999999:assumed-role/R/two"}}, False),
        ({"NotPrincipal": {"AWS": USER}, "Principal": None}, True),
        ({"NotAction": "sts:TagSession", "Action": None}, True),
    ],
)
def test_sessions_of_roles(changes: dict[str, Any], expected: bool) -> None:
    usual = {"Principal": {"AWS": "*"}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement(**{**usual, **changes})})
    found = trust.allows(
        policy,
        caller="arn:aws:iam::999999999999:role/R",
        account="999999999999",
        external_id="secret",
        session="arn:aws:sts::999999999999:assumed-role/R/one",
        session_name="beta9-1",
    )
    assert found is expected


def test_a_key_that_nobody_judges_is_loud() -> None:
    with pytest.raises(UnknownConditionKey, match="sts:ExternalID2"):
        allowed(statement(Condition={"StringEquals": {"sts:ExternalID2": "secret"}}))


@pytest.mark.parametrize("changes", [{"Resource": "*"}, {"Sid": "a b"}, {"Condition": {"StringIs": {}}}])
def test_a_policy_that_iam_refuses_lets_nobody_in(changes: dict[str, Any]) -> None:
    assert not allowed(statement(), statement(**changes))


@pytest.mark.parametrize("policy", ["", "{", "[]", "null", "{}"])
def test_no_policy_lets_nobody_in(policy: str) -> None:
    assert not trust.allows(policy, caller=USER, account="999999999999", external_id=None)
