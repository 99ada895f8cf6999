"""What errors of the AWS provider (its aws-sdk-go-base), of AWS itself and of the S3 backend mean."""

from beta9_provisioning.clouds.aws import clock
from beta9_provisioning.engine.terraform.errors import STATE_REMEDY, rule


def _clock(text: str) -> str:
    return f"AWS refused the request: the worker's clock is {clock.skew_in_text(text).words}."


RULES = (
    # Before those that name a role: it may be STS that says so.
    rule(clock.CODE, clock.PATTERN, clock.REMEDY, sentence_of=_clock),
    rule(
        "role_refused",
        r"(?i)sts:AssumeRole\b|Cannot assume IAM Role|STS: AssumeRole",
        "Check that the role exists and that its trust policy names this service and the external ID shown "
        "for this environment.",
    ),
    rule(
        "credentials_refused",
        r"(?i)No valid credential sources|InvalidClientTokenId|InvalidAccessKeyId|ExpiredToken"
        r"|UnrecognizedClientException|SignatureDoesNotMatch|AuthFailure|no EC2 IMDS role found",
        "Check the credentials that this service itself runs with, and the worker's clock.",
    ),
    rule(
        "quota_exceeded",
        r"\b(?!Request)\w*LimitExceeded|Quota\w*Exceeded|maximum number of .{1,40} has been reached",
        "Ask AWS for a higher quota, or free what is no longer used in this region, then try again.",
    ),
    rule(
        "permission_missing",
        r"AccessDenied|UnauthorizedOperation|is not authorized to perform|StatusCode: 403",
        "Add the permission to the role's policy, or lift the policy that denies it, then try again.",
    ),
    rule(
        "state_unavailable",
        r"S3 bucket .* does not exist|NoSuchBucket|Unable to access object",
        STATE_REMEDY,
    ),
)
"""In the order in which they are tried."""
