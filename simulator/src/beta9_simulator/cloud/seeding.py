"""Puts the two parties into an empty cloud: the control plane's user, and a customer's role."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beta9_simulator.cloud.authorization.holding import ADMINISTRATOR
from beta9_simulator.cloud.iam.documents import Kind, parse
from beta9_simulator.cloud.principals import Principal, add_principal
from beta9_simulator.cloud.store import GLOBAL, NewObject, Store
from beta9_simulator.cloud.templates import random_text

CONTROL_PLANE_ACCOUNT = "999999999999"
CONTROL_PLANE_USER = "beta9-control-plane"
PROVISIONER_ROLE = "Beta9Provisioner"
_HOUR = 3600


@dataclass(frozen=True)
class Seeded:
    """What the control plane and its configuration need to know about a seeded cloud."""

    access_key: str
    secret_key: str
    user_arn: str
    account: str
    role_arn: str
    external_id: str


def seed(
    store: Store,
    *,
    account: str = "123456789012",
    external_id: str | None = None,
    role: str = PROVISIONER_ROLE,
    max_session_seconds: int = _HOUR,
    policies: Mapping[str, Any] | None = None,
) -> Seeded:
    """Create the control plane's access key and a customer's role that trusts it, and return both.

    The external ID is made up when none is given. Seeding again with another account adds that customer; the
    control plane keeps its access key. The role may do what the policies (documents by name) allow, or
    everything where there are none.
    """
    user = _control_plane(store)
    external_id = external_id or random_text("alnum", 32)
    arn = f"arn:aws:iam::{account}:role/{role}"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": user.arn},
                "Action": "sts:AssumeRole",
                # A dollar sign would begin a variable of the policy.
                "Condition": {"StringEquals": {"sts:ExternalId": external_id.replace("$", "${$}")}},
            }
        ],
    }
    state = {
        "id": role,
        "name": role,
        "arn": arn,
        "path": "/",
        "unique_id": f"AROA{random_text('upper', 17)}",
        "assume_role_policy": json.dumps(policy),
        "max_session_duration": max_session_seconds,
    }
    store.create(NewObject(account, GLOBAL, "aws_iam_role", role, role, state, origin="seed"), replace=True)
    _detach_all(store, account, role)
    for policy_arn in [_policy(store, account, *one) for one in (policies or {}).items()] or [ADMINISTRATOR]:
        attach(store, account, role, policy_arn)
    return Seeded(user.access_key, user.secret_key, user.arn, account, arn, external_id)


def _policy(store: Store, account: str, name: str, document: Any) -> str:
    """Make a policy of the customer's, and return its ARN."""
    text = json.dumps(document)
    parse(text, Kind.IDENTITY)
    arn = f"arn:aws:iam::{account}:policy/{name}"
    state = {"id": arn, "arn": arn, "name": name, "path": "/", "policy": text}
    store.create(NewObject(account, GLOBAL, "aws_iam_policy", arn, name, state, origin="seed"), replace=True)
    return arn


def _detach_all(store: Store, account: str, role: str) -> None:
    for attached in store.find("aws_iam_role_policy_attachment", account=account, region=GLOBAL):
        if attached.state["role"] == role:
            store.delete(attached)


def attach(store: Store, account: str, role: str, policy_arn: str) -> None:
    """Attach a policy to a role."""
    id_ = f"{role}-{policy_arn}"
    state = {"id": id_, "role": role, "policy_arn": policy_arn}
    type_ = "aws_iam_role_policy_attachment"
    store.create(NewObject(account, GLOBAL, type_, id_, "", state, origin="seed"), replace=True)


def _control_plane(store: Store) -> Principal:
    arn = f"arn:aws:iam::{CONTROL_PLANE_ACCOUNT}:user/{CONTROL_PLANE_USER}"
    known = store.execute("select * from credentials where arn=?", arn)
    if known:
        return Principal(*known[0])
    user = Principal(
        access_key=f"AKIA{random_text('upper', 16)}",
        secret_key=random_text("secret", 40),
        session_token="",
        arn=arn,
        account=CONTROL_PLANE_ACCOUNT,
        expires_at=None,
        role_arn="",
    )
    add_principal(store, user)
    return user
