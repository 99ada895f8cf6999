"""Evaluates role trust policies, as far as this cloud knows them.

Known: Effect, Principal (account, account root, user or role ARN, ``*``), Action, and the condition
``StringEquals`` on ``sts:ExternalId``. Anything else makes a statement not apply, which refuses rather than
allows. After "Policy evaluation logic" in the AWS IAM user guide.
"""

import fnmatch
import json
from typing import Any

ASSUME = "sts:AssumeRole"


def allows(policy: str, *, caller: str, account: str, external_id: str | None) -> bool:
    """Whether a trust policy (JSON text) lets ``caller`` assume the role.

    ``caller`` is the ARN of a user or a role, ``account`` the account it belongs to. An explicit Deny wins. A
    policy that is not valid JSON allows nothing.
    """
    try:
        statements = _list(json.loads(policy).get("Statement", []))
    except (ValueError, AttributeError):
        return False
    effects = [
        statement.get("Effect")
        for statement in statements
        if _action(statement)
        and _principal(statement, caller, account)
        and _conditions(statement, external_id)
    ]
    return "Allow" in effects and "Deny" not in effects


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _action(statement: dict[str, Any]) -> bool:
    return any(
        fnmatch.fnmatchcase(ASSUME.lower(), str(a).lower()) for a in _list(statement.get("Action", []))
    )


def _principal(statement: dict[str, Any], caller: str, account: str) -> bool:
    principal = statement.get("Principal", {})
    names = _list(principal.get("AWS", [])) if isinstance(principal, dict) else _list(principal)
    return any(name in ("*", caller, account, f"arn:aws:iam::{account}:root") for name in names)


def _conditions(statement: dict[str, Any], external_id: str | None) -> bool:
    for operator, wanted in statement.get("Condition", {}).items():
        for key, values in wanted.items():
            if operator != "StringEquals" or key.lower() != "sts:externalid":
                return False
            if external_id not in _list(values):
                return False
    return True
