"""What went wrong on the way to a token, told to the person at kubectl: with a remedy, and no secret."""

from __future__ import annotations

import json
import re

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.masking import MASK, mask_text

ACCESS_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
THROTTLED = frozenset(
    {"RequestLimitExceeded", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"}
)
_REGION_DISABLED = frozenset({"RegionDisabledException", "OptInRequired"})
_BAD_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_LONGEST_DETAIL = 500
_SHORTEST_SECRET = 8  # AWS's have 40 characters and more; hiding a single letter would spoil the words
_SPACES = re.compile(r"\s+")
_ASSUMED_ROLE = re.compile(
    r"^arn:(?P<partition>[\w-]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/.*$"
)


def plain(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return foreign words as one short printable line, without these secrets and what looks like others.

    AWS quotes the whole request, session token included, when it refuses a signature.
    """
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return _SPACES.sub(" ", mask_text(printable)).strip()[:_LONGEST_DETAIL]


def no_credentials(detail: str, *, remedy: str = "") -> EngineError:
    """The user has no AWS credentials; `remedy` is more exact than the usual one."""
    usual = (
        "Log in (for example with aws sso login), or name your profile in AWS_PROFILE, or set "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. aws sts get-caller-identity shows who you are."
    )
    return EngineError(
        "You have no AWS credentials, so the cluster's role could not be assumed.",
        detail=detail,
        remedy=remedy or usual,
        code="credentials_missing",
    )


def unusable(what: str, remedy: str, detail: str = "") -> EngineError:
    """AWS could not even be asked, because a setting makes no sense. `what` is a whole sentence."""
    return EngineError(what, detail=detail, remedy=remedy, code="aws_failed")


def unreachable(region: str, doing: str, detail: str) -> EngineError:
    """Nobody answered, or somebody who is not AWS (a proxy, mostly)."""
    return EngineError(
        f"AWS could not be reached in {region} to {doing}.",
        detail=detail,
        remedy="Check your network, DNS and proxy, and that the region's name is right.",
        code="aws_unreachable",
    )


def refused(code: str, detail: str, *, region: str, doing: str, tries: int) -> EngineError:
    """AWS answered with an error of this code, which is not one about the role."""
    if code in _REGION_DISABLED:
        return EngineError(
            f"The region {region} is not enabled in the account.",
            detail=detail,
            remedy="Enable the region (AWS console, Account, AWS Regions).",
            code="region_disabled",
        )
    if code in _BAD_CREDENTIALS:
        return bad_credentials(detail, region=region, doing=doing)
    if code in THROTTLED:
        return EngineError(
            f"AWS throttled the request to {doing}, {tries} times.",
            detail=detail,
            remedy="Try again in some minutes; others may be using up the account's request rate.",
            code="aws_throttled",
        )
    return EngineError(f"AWS failed to {doing}.", detail=detail, code="aws_failed")


def impossible_credentials() -> EngineError:
    """The user's credentials are none: AWS need not be asked."""
    return EngineError(
        "Your AWS credentials cannot be right.",
        detail="They hold spaces, line breaks or other characters that AWS does not use.",
        remedy="Check the environment variables or the profile that they come from.",
        code="credentials_invalid",
    )


def bad_credentials(detail: str, *, region: str, doing: str) -> EngineError:
    """The user has credentials, but not good ones."""
    return EngineError(
        f"AWS did not accept the credentials with which it was asked to {doing}.",
        detail=detail,
        remedy=(
            "Renew your AWS credentials (for example with aws sso login) and check your clock. "
            f"If they are right, check that region {region} is enabled in your account."
        ),
        code="credentials_invalid",
    )


def role_refused(role_arn: str, external_id: str | None, caller_arn: str | None, detail: str) -> EngineError:
    """The role did not let the user in; AWS does not tell whether it exists at all."""
    statement = json.dumps(_trust_statement(caller_arn, external_id), indent=2)
    return EngineError(
        f"The role {role_arn} refused to be assumed.",
        detail=detail,
        remedy=(
            f"Check that the role exists and that its trust policy holds this statement:\n{statement}\n"
            "The external ID must be the one that the role demands (option --external-id). Your own identity "
            "needs permission for sts:AssumeRole on the role."
        ),
        code="role_refused",
    )


def _trust_statement(caller_arn: str | None, external_id: str | None) -> dict[str, object]:
    """An external ID is no secret; see "Access to AWS accounts owned by third parties" in the IAM guide."""
    statement: dict[str, object] = {
        "Effect": "Allow",
        "Principal": {"AWS": _trusted_arn(caller_arn) if caller_arn else "ARN of your IAM user or role"},
        "Action": "sts:AssumeRole",
    }
    if external_id is not None:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    return statement


def _trusted_arn(caller_arn: str) -> str:
    """A trust policy names a role rather than its session, whose ARN does not tell the role's path."""
    match = _ASSUMED_ROLE.match(caller_arn)
    if match is None:
        return caller_arn
    return f"arn:{match['partition']}:iam::{match['account']}:role/{match['role']}"
