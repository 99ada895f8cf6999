"""A role that assumes one elsewhere: its own policies and the trust policy there have to allow it."""

import json
from typing import Any

import pytest

from beta9_simulator.cloud.authorization.call_needs import Called, needs
from beta9_simulator.cloud.authorization.gate import Gate
from beta9_simulator.cloud.principals import Principal
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.seeding import attach
from beta9_simulator.cloud.store import GLOBAL, NewObject, Store

HERE, THERE = "111122223333", "123456789012"
SERVICE, TARGET = f"arn:aws:iam::{HERE}:role/Service", f"arn:aws:iam::{THERE}:role/Target"
SESSION = Principal("", "", "", f"arn:aws:sts::{HERE}:assumed-role/Service/s", HERE, None, SERVICE)
TAGS = [{"Key": "environment", "Value": "1"}]


def add(store: Store, account: str, type_: str, name: str, **state: Any) -> None:
    kind = "role" if type_ == "aws_iam_role" else "policy"
    arn = f"arn:aws:iam::{account}:{kind}/{name}"
    values = {"id": arn, "arn": arn, "name": name, "path": "/", **state}
    store.create(NewObject(account, GLOBAL, type_, arn, name, values))


def document(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


@pytest.fixture
def accounts(store: Store) -> Store:
    """The service may assume and tag; the target trusts it with an external ID, to assume only."""
    allowed = document(Action=["sts:AssumeRole", "sts:TagSession"], Resource="arn:aws:iam::*:role/Target")
    condition = {"StringEquals": {"sts:ExternalId": "b9-1"}}
    trusts = document(Action="sts:AssumeRole", Principal={"AWS": SERVICE}, Condition=condition)
    add(store, HERE, "aws_iam_role", "Service", assume_role_policy="{}")
    add(store, HERE, "aws_iam_policy", "May", policy=allowed)
    add(store, THERE, "aws_iam_role", "Target", assume_role_policy=trusts)
    attach(store, HERE, "Service", f"arn:aws:iam::{HERE}:policy/May")
    return store


def assume(store: Store, **params: Any) -> None:
    named = {"RoleArn": TARGET, "RoleSessionName": "worker", **params}
    asked = needs(store, Called("sts", "AssumeRole", named, HERE, "us-east-1"))
    Gate(store, SESSION).ask(lambda: asked, "us-east-1")


def test_both_sides_allow_it(accounts: Store) -> None:
    assume(accounts, ExternalId="b9-1")


def test_the_external_id_is_judged(accounts: Store) -> None:
    for params in ({}, {"ExternalId": "b9-2"}):
        with pytest.raises(CloudError, match="sts:AssumeRole"):
            assume(accounts, **params)


def test_tags_need_a_trust_of_their_own(accounts: Store) -> None:
    with pytest.raises(CloudError, match="sts:TagSession"):
        assume(accounts, ExternalId="b9-1", Tags=TAGS)


def test_trust_alone_is_not_enough(accounts: Store) -> None:
    for item in accounts.find("aws_iam_role_policy_attachment", account=HERE):
        accounts.delete(item)
    with pytest.raises(CloudError, match="no identity-based policy"):
        assume(accounts, ExternalId="b9-1")
