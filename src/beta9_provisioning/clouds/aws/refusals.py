"""What AWS's refusals mean, in the words of whoever asked: the worker, or a person at kubectl."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from beta9_provisioning.clouds.aws import clock
from beta9_provisioning.clouds.aws.clock import Skew
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.kit import certificates
from beta9_provisioning.kit.masking import mask_text

# A HEAD request has its HTTP status for a code.
ACCESS_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})
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
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_LONGEST_DETAIL = 500
_ASSUMED_ROLE = re.compile(
    r"^arn:(?P<partition>[\w-]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/.*$"
)


class AwsError(EngineError):
    """AWS refused or failed a request."""

    code = "aws_failed"


@dataclass(frozen=True)
class Asker:
    """Who asked AWS. The texts are whole sentences, but for `whose`; `doing` is "describe the cluster x"."""

    whose: str
    without: str
    credentials: str
    renewal: str
    external_id: str

    def no_credentials(self, detail: str) -> AwsError:
        """There is nothing to ask AWS with."""
        return AwsError(self.without, detail=detail, remedy=self.credentials, code="credentials_missing")

    def unreachable(self, region: str, doing: str, detail: str) -> AwsError:
        """Nobody answered, or somebody who is not AWS (a proxy, mostly)."""
        return AwsError(
            f"AWS could not be reached in {region} to {doing}.",
            detail=detail,
            remedy=f"Check {self.whose} network, DNS and proxy, and that the region's name is right.",
            code="aws_unreachable",
        )

    def untrusted(self, region: str, doing: str, detail: str) -> AwsError:
        """Somebody answered whose certificate was not accepted (a proxy, mostly)."""
        return AwsError(
            f"AWS was not asked to {doing}: the certificate of its endpoint in {region} was not accepted.",
            detail=detail,
            remedy=certificates.REMEDY,
            code=certificates.CODE,
        )

    def role_refused(self, role_arn: str, statement: dict[str, object], detail: str) -> AwsError:
        """The role did not let the asker in; AWS does not tell whether it exists at all."""
        return AwsError(
            f"The role {role_arn} refused to be assumed.",
            detail=detail,
            remedy=(
                "Check that the role exists and that its trust policy holds this statement:\n"
                f"{json.dumps(statement, indent=2)}\n{self.external_id} {self.whose.capitalize()} own "
                "identity needs permission for sts:AssumeRole on the role."
            ),
            code="role_refused",
        )

    def clock_skewed(self, skew: Skew, doing: str, detail: str) -> AwsError:
        """AWS did not take the time of the signature."""
        return AwsError(
            f"AWS refused to {doing}: {self.whose} clock is {skew.words}.",
            detail=detail,
            remedy=clock.REMEDY,
            code=clock.CODE,
        )

    def refused(self, code: str, detail: str, *, region: str, doing: str, tries: int) -> AwsError:
        """AWS answered with an error of this code, which is not about a permission."""
        if code in _REGION_DISABLED:
            return AwsError(
                f"The region {region} is not enabled in the account.",
                detail=detail,
                remedy="Enable the region (AWS console, Account, AWS Regions), or choose another one.",
                code="region_disabled",
            )
        if code in _BAD_CREDENTIALS:
            return AwsError(
                f"AWS did not accept the credentials with which it was asked to {doing}.",
                detail=detail,
                remedy=(
                    f"{self.renewal} If they are right, check that region {region} is enabled in the account."
                ),
                code="credentials_invalid",
            )
        if code in THROTTLED:
            return AwsError(
                f"AWS throttled the request to {doing}, {tries} times.",
                detail=detail,
                remedy=(
                    "Try again in some minutes; other users of the account may be using up its request rate."
                ),
                code="aws_throttled",
            )
        return AwsError(f"AWS failed to {doing}.", detail=detail)


WORKER = Asker(
    whose="the worker's",
    without="The worker has no AWS credentials, so it could not assume the role.",
    credentials="Give the worker an identity of its own: a role for its pod or instance, "
    "or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    renewal="Renew the worker's AWS credentials and check its clock.",
    external_id="The external ID must be the one in cloud.external_id.",
)
USER = Asker(
    whose="your",
    without="You have no AWS credentials, so the cluster's role could not be assumed.",
    credentials="Log in with the AWS CLI, version 2 (for example aws sso login), or name your profile in "
    "AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, if they are "
    "temporary).",
    renewal="Renew your AWS credentials (for example with aws sso login) and check your clock.",
    external_id="The external ID must be the one that the role demands (option --external-id).",
)


def trust_statement(caller_arn: str, external_id: str | None) -> dict[str, object]:
    """Return the statement that a role's trust policy needs so that the caller may assume the role.

    An external ID is not a secret; see "Access to AWS accounts owned by third parties" in the IAM guide.
    """
    statement: dict[str, object] = {
        "Effect": "Allow",
        "Principal": {"AWS": caller_arn},
        "Action": "sts:AssumeRole",
    }
    if external_id is not None:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    return statement


def trusted_arn(caller_arn: str) -> str:
    """Return the ARN that a trust policy must name to trust this caller: a role, rather than its session.

    A role with a path loses it here: the session's ARN does not tell it.
    """
    match = _ASSUMED_ROLE.match(caller_arn)
    if match is None:
        return caller_arn
    return f"arn:{match['partition']}:iam::{match['account']}:role/{match['role']}"


def plain(text: str) -> str:
    """Return foreign words as one short printable line, without what looks like a secret.

    AWS quotes the whole request, session token included, when it refuses a signature.
    """
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return mask_text(" ".join(printable.split()))[:_LONGEST_DETAIL]
