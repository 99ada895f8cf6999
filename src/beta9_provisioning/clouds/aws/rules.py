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
# Domains of the endpoints, where they are not `amazonaws.com`.
_DOMAINS = {
    "aws-cn": "amazonaws.com.cn",
    "aws-eusc": "amazonaws.eu",
    "aws-iso": "c2s.ic.gov",
    "aws-iso-b": "sc2s.sgov.gov",
    "aws-iso-e": "cloud.adc-e.uk",
    "aws-iso-f": "csp.hci.ic.gov",
}


def partition_of(region: str) -> str:
    """Return the partition of a region, such as `aws` or `aws-cn`."""
    return next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")


def domain_of(region: str) -> str:
    """Return the domain of AWS's endpoints in a region, such as `amazonaws.com` or `amazonaws.com.cn`."""
    return _DOMAINS.get(partition_of(region), "amazonaws.com")


def service_principal(service: str, partition: str) -> str:
    """Return the name of a service in trust policies; it has the partition's domain only where AWS says so.

    EKS in China refuses the nodes' role without `ec2.amazonaws.com.cn`, and IAM there `eks.amazonaws.com.cn`:
    https://github.com/awslabs/cdk-eks-blueprints/issues/558,
    https://github.com/terraform-aws-modules/terraform-aws-eks/issues/1904.
    """
    return f"{service}.amazonaws.com" + (".cn" if (service, partition) == ("ec2", "aws-cn") else "")


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
