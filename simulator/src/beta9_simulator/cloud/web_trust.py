"""Evaluates role trust policies for tokens of OpenID Connect, as `trust` does for keys.

Known: Effect, Principal ``Federated``, Action, and ``StringEquals`` on ``<issuer without scheme>:sub`` and
``:aud``. A statement that lets somebody in has to have both: AWS asks for neither with an issuer of one's
own, and lets every service account of a cluster in then, which nobody here should come to rely on. Anything
else makes a statement that allows not apply, and one that denies apply: what is unknown refuses.
After "Create a role for OpenID Connect federation" in the AWS IAM user guide.
"""

import fnmatch
import json
from dataclasses import dataclass
from typing import Any

ASSUME = "sts:AssumeRoleWithWebIdentity"


@dataclass(frozen=True)
class WebIdentity:
    """What a token that was verified says, and the ARN of the provider that vouches for it."""

    provider_arn: str
    issuer: str
    subject: str
    audience: str


def allows(policy: str, identity: WebIdentity) -> bool:
    """Whether a trust policy (JSON text) lets the bearer of a token in. An explicit Deny wins."""
    try:
        statements = _list(json.loads(policy).get("Statement", []))
    except (ValueError, AttributeError):
        return False
    effects = {statement.get("Effect") for statement in statements if _applies(statement, identity)}
    return "Allow" in effects and "Deny" not in effects


def _applies(statement: dict[str, Any], identity: WebIdentity) -> bool:
    denies = statement.get("Effect") == "Deny"
    names = _list(statement.get("Action", []))
    if not any(fnmatch.fnmatchcase(ASSUME.lower(), str(name).lower()) for name in names):
        return False
    principal = statement.get("Principal", {})
    trusted = _list(principal.get("Federated", []) if isinstance(principal, dict) else principal)
    if identity.provider_arn not in trusted and not (denies and "*" in trusted):
        return False
    return _conditions(statement.get("Condition", {}), identity, denies=denies)


def _conditions(conditions: dict[str, Any], identity: WebIdentity, *, denies: bool) -> bool:
    host = identity.issuer.removeprefix("https://").lower()
    told = {f"{host}:sub": identity.subject, f"{host}:aud": identity.audience}
    met: set[str] = set()
    for operator, wanted in conditions.items():
        for key, values in wanted.items():
            is_known = operator == "StringEquals" and key.lower() in told
            if is_known and told[key.lower()] not in _list(values):
                return False
            if not is_known and not denies:
                return False
            met.add(key.lower())
    return denies or met == set(told)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
