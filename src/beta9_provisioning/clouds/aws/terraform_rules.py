"""What errors of the AWS provider (its aws-sdk-go-base), of AWS itself and of the S3 backend mean."""

from beta9_provisioning.clouds.aws import clock
from beta9_provisioning.engine.terraform.errors import STATE_REMEDY, Rule, rule


def _clock(text: str) -> str:
    return f"AWS refused the request: the worker's clock is {clock.skew_in_text(text).words}."


def _quota(pattern: str, name: str) -> Rule:
    return rule(
        "quota_exceeded",
        pattern,
        f"Ask AWS for a higher quota of {name} (AWS console, Service Quotas), or free what is no longer used "
        "in this region, then try again.",
    )


# What AWS has not, or not for this account. Codes of errors are those of botocore's models and of "Error
# codes for the Amazon EC2 API"; EKS tells those of a node group in its health (NodegroupIssueCode).
_LACKS = (
    # Before lack of capacity, of which EKS speaks in these words, too.
    rule(
        "zone_unsupported",
        r"UnsupportedAvailabilityZone|not supported in your requested Availability Zone"
        r"|parameter availabilityZone(Id)? is invalid|DBSubnetGroupDoesNotCoverEnoughAZs",
        "Name zones in cloud.zones that AWS offers for this, and create the environment anew: those of one "
        "that stands never change.",
    ),
    rule(
        "capacity_missing",
        r"Insufficient\w*Capacity\b|UnfulfillableCapacity|sufficient (\S+ )?capacity",
        "Try again later: AWS has no machine of this type free in these zones now. If that lasts, choose "
        "another size, or other zones in cloud.zones, for a new environment.",
    ),
    rule(
        "capacity_missing",
        r"ElastiCache .*unexpected state 'create-failed'",
        "Look for the reason among ElastiCache's events. If it is a lack of capacity, try again later; if "
        "that lasts, choose another size, or other zones in cloud.zones, for a new environment.",
        "ElastiCache could not start the nodes of Redis and told Terraform no reason; most often a zone has "
        "none of this type free.",
    ),
    rule(
        "addresses_exhausted",
        r"InsufficientFreeAddresses|InsufficientCidrBlocks|InsufficientAvailableIPs|InsufficientPrivateAddress"
        r"|(?i:insufficient|enough) (?:free|available) (?:IP )?(?:addresses|cidr blocks)",
        "Free addresses in the subnet that is named, or create the environment anew with a larger "
        "network.cidr.",
    ),
    _quota(r"\bVpcLimitExceeded", "VPCs per Region (L-F678F1CE)"),
    _quota(r"\bAddressLimitExceeded", "EC2-VPC Elastic IPs (L-0263D0A3)"),
    _quota(r"\bNatGatewayLimitExceeded", "NAT gateways per Availability Zone (L-FE5A380F)"),
    _quota(r"\bVcpuLimitExceeded", "Running On-Demand Standard instances, in vCPUs (L-1216C47A)"),
    _quota(r"MaxSpotInstanceCountExceeded", "All Standard Spot Instance Requests, in vCPUs (L-34B43A08)"),
    _quota(
        r"\b(?!Request)\w*LimitExceeded|Quota[\w.]*Exceeded|QuotaExceeded|TooManyBuckets"
        r"|reached your quota|maximum number of .{1,40} has been reached",
        "what is named",
    ),
)

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
        r"|UnrecognizedClientException|SignatureDoesNotMatch|AuthFailure(?!\.Service)|no EC2 IMDS role found",
        "Check the credentials that this service itself runs with, and the worker's clock.",
    ),
    *_LACKS,
    rule(
        "permission_missing",
        r"AccessDenied|UnauthorizedOperation|is not authorized to perform|StatusCode: 403"
        r"|ServiceLinkedRoleCreationNotPermitted",
        "Add the permission to the role's policy, or lift the policy that denies it, then try again.",
    ),
    rule(
        "state_unavailable",
        r"S3 bucket .* does not exist|NoSuchBucket|Unable to access object",
        STATE_REMEDY,
    ),
)
"""In the order in which they are tried."""
