"""Evaluates role trust policies for tokens of OpenID Connect, as `trust` does for keys.

A statement that lets somebody in has to ask for both subject and audience: AWS asks for neither with an
issuer of one's own, and lets every service account of a cluster in then, which nobody should come to rely on.
After "Create a role for OpenID Connect federation" in the AWS IAM user guide.
"""

from dataclasses import dataclass

from beta9_simulator.cloud.iam.conditions import UnknownConditionKey
from beta9_simulator.cloud.iam.documents import Document, Kind, parse
from beta9_simulator.cloud.iam.evaluation import Asked, Caller, matches_role
from beta9_simulator.cloud.rules import CloudError

ASSUME = "sts:AssumeRoleWithWebIdentity"


@dataclass(frozen=True)
class WebIdentity:
    """What a token that was verified says, and the ARN of the provider that vouches for it."""

    provider_arn: str
    issuer: str
    subject: str
    audience: str


def allows(policy: str, identity: WebIdentity) -> bool:
    """Whether a trust policy (JSON text) lets the bearer of a token in. What is unknown refuses."""
    try:
        document = parse(policy, Kind.TRUST)
    except CloudError:
        return False
    host = identity.issuer.removeprefix("https://")
    context = {f"{host}:sub": identity.subject, f"{host}:aud": identity.audience}
    keys = frozenset(key.lower() for key in context)
    who = Caller(arn=identity.provider_arn, account="", provider=identity.provider_arn)
    try:
        return (
            _asks_for(document, keys)
            and matches_role(document, Asked(ASSUME, "*", context, keys), who).is_allowed
        )
    except UnknownConditionKey:
        return False


def _asks_for(document: Document, keys: frozenset[str]) -> bool:
    """Whether every statement that lets somebody in has these conditions."""
    return all(
        keys <= {condition.key.lower() for condition in statement.conditions}
        for statement in document.statements
        if statement.is_allow and any(ASSUME.lower() == action.lower() for action in statement.actions.texts)
    )
