"""What AWS demands of a configuration's `cloud`: its account, its region, and the role that is assumed."""

import re

ROLE_NAME = "Beta9Provisioner"
# ASCII only: in Unicode, \d and \w have digits and letters that IAM refuses.
_ROLE_ARN = re.compile(
    r"^arn:(?P<partition>aws(?:-[a-z]+)*):iam::(?P<account>\d{12}):role/(?P<name>[\w+=,.@/-]{1,512})$",
    re.ASCII,
)
# Partitions by how the names of their regions begin; every other region is in `aws`. A test compares them
# with botocore's.
_PARTITIONS = {
    "cn-": "aws-cn",
    "eusc-": "aws-eusc",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
    "eu-isoe-": "aws-iso-e",
}


def partition_of(region: str) -> str:
    """Return the partition of a region, such as `aws` or `aws-cn`."""
    return next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")


def account_fault(account_id: str) -> str | None:
    """Return what is wrong with an account's number, or None."""
    if re.fullmatch(r"\d{12}", account_id, re.ASCII):
        return None
    return 'must be twelve digits, such as "123456789012"'


def role_fault(role_arn: str, account_id: str, region: str) -> str | None:
    """Return what is wrong with the ARN of the role, which must be the account's; or None."""
    match = _ROLE_ARN.fullmatch(role_arn)
    expected = f"arn:{partition_of(region)}:iam::{account_id}:role/{ROLE_NAME}"
    if match is None:
        return f"is not an IAM role ARN; expected {expected}"
    if match["name"].rsplit("/", 1)[-1] != ROLE_NAME:
        return f"must name the role {ROLE_NAME}; expected {expected}"
    if match["account"] != account_id:
        return f"is a role of account {match['account']}; expected {expected}"
    return None


def region_fault(region: str, role_arn: str) -> str | None:
    """Return why a role, whose ARN is right in itself, cannot be used in a region; or None."""
    partition, wanted = role_arn.split(":")[1], partition_of(region)
    if partition == wanted:
        return None
    return (
        f"{region} is in the partition {wanted}, and the role in {partition}: credentials of one are no good "
        "in the other; take a region of the role's partition, or a role of the region's"
    )
